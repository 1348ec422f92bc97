package onnxruntime

import (
	"runtime"
	"unsafe"

	"verge/internal/inference"
	"verge/internal/native"
)

// newOptions makes an OrtSessionOptions, which the caller releases. The provider of c
// is not added yet.
func (a *api) newOptions(o inference.Options, logID string, c candidate) (options uintptr, err error) {
	var out uintptr
	if status := a.call(createSessionOptions, uintptr(unsafe.Pointer(&out))); status != nil {
		return 0, status
	}
	defer func() {
		if err != nil {
			a.release(releaseSessionOptions, out)
		}
	}()
	id, err := native.CString(logID)
	if err != nil {
		return 0, err
	}
	level := uintptr(optimizationAll)
	if o.OptimizationLevel <= 0 {
		level = optimizationOff
	}
	for _, set := range []struct {
		entry entry
		value uintptr
	}{
		{setGraphOptimizationLevel, level},
		{setIntraOpNumThreads, uintptr(max(o.Threads, 1))}, // not negative
		{setInterOpNumThreads, 1},
		{setSessionLogSeverityLevel, severityOf(o.LogLevel)},
		{setSessionLogID, native.Address(id)}, // copied; kept alive below
	} {
		if status := a.call(set.entry, out, set.value); status != nil {
			return 0, status
		}
	}
	runtime.KeepAlive(id)
	// Names as in onnxruntime_session_options_config_keys.h.
	config := [][2]string{{"session.intra_op.allow_spinning", "0"}, {"session.inter_op.allow_spinning", "0"}}
	if !c.cpu() {
		config = append(config, [2]string{"session.record_ep_graph_assignment_info", "1"})
		if o.Fallback == "none" {
			config = append(config, [2]string{"session.disable_cpu_ep_fallback", "1"})
		}
	}
	for _, entry := range config {
		if err := a.setConfig(out, entry[0], entry[1]); err != nil {
			return 0, err
		}
	}
	if o.Profile != "" {
		prefix, err := native.CString(o.Profile)
		if err != nil {
			return 0, err
		}
		if status := a.call(enableProfiling, out, uintptr(unsafe.Pointer(&prefix[0]))); status != nil {
			return 0, status
		}
	}
	return out, nil
}

// setConfig sets one of the options that the library knows by name.
func (a *api) setConfig(options uintptr, key, value string) error {
	k, err := native.CString(key)
	if err != nil {
		return err
	}
	v, err := native.CString(value)
	if err != nil {
		return err
	}
	if status := a.call(addSessionConfigEntry, options, uintptr(unsafe.Pointer(&k[0])), uintptr(unsafe.Pointer(&v[0]))); status != nil {
		return status
	}
	return nil
}
