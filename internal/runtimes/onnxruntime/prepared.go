package onnxruntime

import (
	"context"
	"path/filepath"
	"unsafe"

	"verge/internal/inference"
	"verge/internal/inference/prepared"
	"verge/internal/native"
)

// A prepared model is what the library makes of a model for this processor: the
// optimised graph, and beside it the weights in the order in which kernels read them.
// It loads in less time, and since the library maps the weights, processes that have
// loaded the same one share them.
const (
	preparedModel   = "model.onnx"
	preparedWeights = "weights.bin"
)

// preparedLayout is in the names of entries, so that those of builds which prepared
// otherwise are not used: the first did not align weights.
const preparedLayout = "aligned"

// minPrepared is the size in bytes of the smallest model that is worth it.
const minPrepared = 1 << 20

// usePrepared makes the native session of a prepared model, which it prepares first
// where the cache has none that is whole. Where that fails, it says so for debugging,
// and the model is to be loaded as it is.
func (s *session) usePrepared(ctx context.Context, m inference.Model, o inference.Options, c candidate) bool {
	if o.Cache == "" || !c.cpu() || o.OptimizationLevel <= 0 || len(m.Data) < minPrepared || ctx.Err() != nil {
		return false
	}
	entry := prepared.Entry(o.Cache, m, Name, s.api.version+"-"+preparedLayout)
	used := entry.Use(ctx, o.Log,
		func(folder string) error { return s.prepare(ctx, m.Data, o, folder) },
		func() error { return s.loadPrepared(ctx, o, entry.Path(preparedModel)) })
	if !used {
		s.messages.forget()
	}
	return used
}

// prepare writes a prepared model to a folder.
func (s *session) prepare(ctx context.Context, data []byte, o inference.Options, folder string) error {
	o.Profile = ""
	quiet := &session{api: s.api, env: s.env, subject: s.subject, messages: &journal{log: o.Log, level: o.LogLevel, run: true}}
	quiet.id = s.env.open("", quiet.messages)
	defer quiet.free() //nolint:errcheck // it never ran
	options, err := s.api.newOptions(o, quiet.id, candidate{})
	if err != nil {
		return err
	}
	defer s.api.release(releaseSessionOptions, options)
	path, err := native.CString(filepath.Join(folder, preparedModel))
	if err != nil {
		return err
	}
	if status := s.api.call(setOptimizedModelFilePath, options, uintptr(unsafe.Pointer(&path[0]))); status != nil {
		return status
	}
	for key, value := range map[string]string{ // names as in onnxruntime_session_options_config_keys.h
		"session.optimized_model_external_initializers_file_name":         preparedWeights,
		"session.optimized_model_external_initializers_min_size_in_bytes": "1024",
		"session.save_external_prepacked_constant_initializers":           "1",
	} {
		if err := s.api.setConfig(options, key, value); err != nil {
			return err
		}
	}
	if failure := quiet.compile(ctx, data, options, o, candidate{}); failure != nil {
		return quiet.messages.explain(failure)
	}
	return alignWeights(folder)
}

// loadPrepared makes the native session of a prepared model. Its graph is as the
// optimiser left it.
func (s *session) loadPrepared(ctx context.Context, o inference.Options, model string) error {
	o.OptimizationLevel = 0
	options, err := s.api.newOptions(o, s.id, candidate{})
	if err != nil {
		return err
	}
	defer s.api.release(releaseSessionOptions, options)
	path, err := native.CString(model)
	if err != nil {
		return err
	}
	defer keepSignalStack()()
	defer s.env.onThread(s.messages)()
	if status := s.create(ctx, options, createSession, uintptr(unsafe.Pointer(&path[0]))); status != nil {
		return status
	}
	return nil
}
