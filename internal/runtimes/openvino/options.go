package openvino

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"unsafe"

	"verge/internal/inference"
	"verge/internal/native"
)

// maxProperties is how many properties one compilation takes: the older of its two
// functions takes them one by one, and native.Call at most 32 arguments.
const maxProperties = 13

// properties returns the properties of a compilation. They are set there, never on
// the core, where they would limit other models.
//
// On the processor, the library gets o.Threads threads for each of o.Parallel runs at
// the same time, which it calls streams. They are not tied to processors, since
// models that know nothing of each other would be tied to the same. Floating-point
// numbers are computed as FP32, so that answers do not depend on the processor. The
// library has no switch for its graph optimisations: o.OptimizationLevel does nothing.
//
// Another device gets the hint only; it schedules by itself. A virtual one passes on
// what the processor needs.
func properties(t target, o inference.Options) map[string]string {
	threads, parallel := max(o.Threads, 1), max(o.Parallel, 1)
	set := map[string]string{"PERFORMANCE_HINT": "THROUGHPUT"}
	if parallel == 1 {
		set["PERFORMANCE_HINT"] = "LATENCY"
	}
	streams, all := strconv.Itoa(parallel), strconv.Itoa(threads*parallel)
	switch base(t.device) {
	case cpuDevice:
		set["NUM_STREAMS"], set["INFERENCE_NUM_THREADS"] = streams, all
		set["ENABLE_CPU_PINNING"], set["INFERENCE_PRECISION_HINT"] = "NO", "f32"
	case "AUTO", "HETERO", "MULTI":
		set["DEVICE_PROPERTIES"] = fmt.Sprintf("{CPU:{NUM_STREAMS:%s,INFERENCE_NUM_THREADS:%s,ENABLE_CPU_PINNING:NO,INFERENCE_PRECISION_HINT:f32}}", streams, all)
	}
	if o.Profile != "" {
		set["PERF_COUNT"] = "YES"
	}
	maps.Copy(set, t.options)
	return set
}

// compileFor makes an ov_compiled_model of a model for a device.
func (a *api) compileFor(core, model uintptr, device string, set map[string]string) (compiled uintptr, err error) {
	if len(set) > maxProperties {
		return 0, fmt.Errorf("%d properties, at most %d are allowed", len(set), maxProperties)
	}
	var held cStrings
	defer held.free()
	name := held.add(device)
	var list []uintptr // ov_property_t: {key, value}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		list = append(list, held.add(key), held.add(set[key]))
	}
	if held.err != nil {
		return 0, held.err
	}
	var out uintptr
	var status *statusError
	if a.functions[coreCompileModelProps] != 0 {
		status = a.call(coreCompileModelProps, core, model, name, uintptr(len(list)/2),
			uintptr(unsafe.Pointer(unsafe.SliceData(list))), uintptr(unsafe.Pointer(&out)))
	} else {
		// The rest of the arguments is variadic: on Linux, integers and pointers go the same way there.
		args := append([]uintptr{core, model, name, uintptr(len(list)), uintptr(unsafe.Pointer(&out))}, list...)
		status = a.call(coreCompileModel, args...)
	}
	if status != nil {
		return 0, status
	}
	return out, nil
}

// cStrings holds C strings in place until free.
type cStrings struct {
	pins runtime.Pinner
	err  error
}

// add returns the address of a C string.
func (t *cStrings) add(s string) uintptr {
	c, err := native.CString(s)
	if err != nil {
		t.err = err
		return 0
	}
	t.pins.Pin(&c[0])
	return native.Address(c)
}

func (t *cStrings) free() { t.pins.Unpin() }
