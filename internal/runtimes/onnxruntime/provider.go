package onnxruntime

import (
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"verge/internal/inference"
	"verge/internal/native"
)

// Names of execution providers that are more than a row of a table here.
const (
	cpuProvider      = "CPUExecutionProvider"
	cudaProvider     = "CUDAExecutionProvider"
	tensorRTProvider = "TensorrtExecutionProvider"
	openVINOProvider = "OpenVINOExecutionProvider"
	qnnProvider      = "QNNExecutionProvider"
	xnnpackProvider  = "XnnpackExecutionProvider"
)

// providerSuffix ends the library's names of the providers of its build.
const providerSuffix = "ExecutionProvider"

// builtin is a provider that a build of the library may have.
type builtin struct {
	name   string // the library's, as it lists it
	short  string // by which addProvider knows it; "" where functions are there for it
	device string // the kind of device that it drives, unless its options say otherwise

	create, update, add, release entry // its functions, where short is ""
}

// builtins are the providers that can be added to a session. Source: the names in
// core/session/provider_registration.cc and include/onnxruntime/core/graph/constants.h.
var builtins = []builtin{ //nolint:gochecknoglobals // a constant table
	{name: tensorRTProvider, device: "gpu", create: createTensorRTOptions, update: updateTensorRTOptions, add: addTensorRT, release: releaseTensorRTOptions},
	{name: cudaProvider, device: "gpu", create: createCUDAOptions, update: updateCUDAOptions, add: addCUDA, release: releaseCUDAOptions},
	{name: "MIGraphXExecutionProvider", short: "MIGraphX", device: "gpu"},
	{name: openVINOProvider, short: "OpenVINO", device: "cpu"},
	{name: "WebGpuExecutionProvider", short: "WebGPU", device: "gpu"},
	{name: qnnProvider, short: "QNN", device: "npu"},
	{name: "VitisAIExecutionProvider", short: "VitisAI", device: "npu"},
	{name: "SNPEExecutionProvider", short: "SNPE", device: "npu"},
	{name: "CoreMLExecutionProvider", short: "CoreML", device: "npu"},
	{name: xnnpackProvider, short: "XNNPACK", device: "cpu"},
	{name: "AzureExecutionProvider", short: "AZURE", device: "cpu"},
}

// findBuiltin returns the provider with that name, in the long form or without
// "ExecutionProvider", in any case; nil where there is none.
func findBuiltin(name string) *builtin {
	for i := range builtins {
		if sameProvider(builtins[i].name, name) {
			return &builtins[i]
		}
	}
	return nil
}

// sameProvider reports whether name means the provider that the library calls long.
func sameProvider(long, name string) bool {
	return strings.EqualFold(long, name) || strings.EqualFold(strings.TrimSuffix(long, providerSuffix), name)
}

// candidate is one provider that a model may be given to, with the CPU behind it for
// what it does not take. The zero value is the CPU alone.
type candidate struct {
	name    string            // of the provider; of a plug-in, as it was asked for
	builtin *builtin          // nil where the name is none of these
	library string            // path of a plug-in
	options map[string]string // of the provider
	device  string            // the kind of device that it drives, or that a plug-in is asked for
	refusal string            // why it cannot be tried; "" where it can

	handle uintptr // OrtEpDevice of a plug-in, once its library is open
}

// cpu reports whether c is the CPU alone.
func (c candidate) cpu() bool { return c.name == "" }

// key tells apart what has to be proved apart.
func (c candidate) key() string {
	parts := []string{c.name, c.library, c.device}
	for _, k := range slices.Sorted(maps.Keys(c.options)) {
		parts = append(parts, k, c.options[k])
	}
	return strings.Join(parts, "\x00")
}

// deviceOf returns the kind of device that a provider drives with these options.
func (b *builtin) deviceOf(options map[string]string) string {
	kind := ""
	switch b.name {
	case openVINOProvider: // "GPU.0", "NPU", "HETERO:GPU,CPU"
		kind = options["device_type"]
		if _, list, ok := strings.Cut(kind, ":"); ok {
			kind = list
		}
	case qnnProvider: // "gpu", or a path that ends in "libQnnGpu.so"
		if kind = options["backend_type"]; kind == "" {
			kind = strings.TrimPrefix(filepath.Base(options["backend_path"]), "libQnn")
		}
	}
	kind = strings.ToLower(kind)
	for _, device := range []string{"gpu", "npu", "cpu"} {
		if strings.HasPrefix(kind, device) {
			return device
		}
	}
	return b.device
}

// addTo adds the provider to session options. Options that were not set and follow
// from o are filled in.
func (c candidate) addTo(a *api, env *environment, options uintptr, o inference.Options) error {
	if c.handle != 0 {
		return c.addPlugin(a, env, options)
	}
	set := c.settings(o)
	if c.builtin.short == "" {
		if err := a.addWithFunctions(c.builtin, options, set); err != nil {
			return err
		}
		if c.name == tensorRTProvider { // what it leaves goes to CUDA before the CPU, where CUDA loads
			behind := candidate{name: cudaProvider, builtin: findBuiltin(cudaProvider), options: map[string]string{}}
			if id, ok := c.options["device_id"]; ok {
				behind.options["device_id"] = id
			}
			behind.addTo(a, env, options, o) //nolint:errcheck,gosec // then the CPU takes it
		}
		return nil
	}
	short, err := native.CString(c.builtin.short)
	if err != nil {
		return err
	}
	p, err := newPairs(set)
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(p)
	if status := a.call(addProvider, options, uintptr(unsafe.Pointer(&short[0])), first(p.keys), first(p.values), uintptr(len(p.keys))); status != nil {
		return status
	}
	return nil
}

// settings are the provider's options with what follows from o: as many threads on
// the CPU, and no more of the accelerator's memory. Where the memory's size cannot be
// read, it is not limited.
func (c candidate) settings(o inference.Options) map[string]string {
	set := maps.Clone(c.options)
	if set == nil {
		set = map[string]string{}
	}
	fill := func(key, value string) {
		if _, ok := set[key]; !ok {
			set[key] = value
		}
	}
	switch c.name {
	case cudaProvider:
		fill("arena_extend_strategy", "kSameAsRequested") // it grows by what is needed
		if bytes, ok := memoryLimit(set["device_id"], o.GPUMemoryFraction); ok {
			fill("gpu_mem_limit", bytes)
		}
	case tensorRTProvider:
		if bytes, ok := memoryLimit(set["device_id"], o.GPUMemoryFraction); ok {
			fill("trt_max_workspace_size", bytes)
		}
	case openVINOProvider:
		if c.device == "cpu" {
			fill("num_of_threads", strconv.Itoa(max(o.Threads, 1)))
		}
	case xnnpackProvider:
		fill("intra_op_num_threads", strconv.Itoa(max(o.Threads, 1)))
	}
	return set
}

// memoryLimit is the share of a GPU's memory in bytes, where there is to be a limit and
// the memory's size can be read.
func memoryLimit(deviceID string, share float64) (bytes string, ok bool) {
	ordinal, err := strconv.Atoi(deviceID)
	if err != nil {
		ordinal = 0
	}
	if share == 0 {
		return "", false
	}
	total, ok := cudaMemory(ordinal)
	return strconv.FormatUint(max(1, uint64(share*float64(total))), 10), ok // 0 would be no limit
}

// addWithFunctions adds a provider that has functions of its own.
func (a *api) addWithFunctions(b *builtin, options uintptr, set map[string]string) error {
	p, err := newPairs(set)
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(p)
	var own uintptr
	if status := a.call(b.create, uintptr(unsafe.Pointer(&own))); status != nil {
		return status
	}
	defer a.release(b.release, own)
	if len(p.keys) > 0 {
		if status := a.call(b.update, own, first(p.keys), first(p.values), uintptr(len(p.keys))); status != nil {
			return status
		}
	}
	if status := a.call(b.add, options, own); status != nil {
		return status
	}
	return nil
}

// pairs are keys and values as arrays of C strings, for one call.
type pairs struct {
	keys, values []uintptr
	text         [][]byte // what they point to
}

// newPairs fails where a text has a zero byte. The caller keeps the pairs alive.
func newPairs(options map[string]string) (*pairs, error) {
	p := &pairs{}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		k, err := native.CString(key)
		if err != nil {
			return nil, err
		}
		v, err := native.CString(options[key])
		if err != nil {
			return nil, err
		}
		p.text = append(p.text, k, v)
		p.keys, p.values = append(p.keys, native.Address(k)), append(p.values, native.Address(v))
	}
	return p, nil
}
