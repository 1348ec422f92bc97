package litert

import (
	"path/filepath"
	"regexp"
	"slices"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/native"
)

// maxText is the longest text of the library that is read, in bytes.
const maxText = 16 << 10

// function is one of the library's functions, by its place in symbols.
type function int

// The functions that are called. Each but the last four returns a LiteRtStatus.
const (
	createEnvironment         function = iota // (count, options, &environment)
	getNumAccelerators                        // (environment, &count)
	getAccelerator                            // (environment, index, &accelerator)
	getAcceleratorName                        // (accelerator, &text)
	getAcceleratorSupport                     // (accelerator, &mask)
	createModelFromBuffer                     // (environment, data, size, &model)
	getNumSignatures                          // (model, &count)
	getSignature                              // (model, index, &signature)
	getNumSignatureInputs                     // (signature, &count)
	getNumSignatureOutputs                    // (signature, &count)
	getSignatureInputName                     // (signature, index, &text)
	getSignatureOutputName                    // (signature, index, &text)
	getSignatureInputTensor                   // (signature, index, &tensor)
	getSignatureOutputTensor                  // (signature, index, &tensor)
	getTensorType                             // (tensor, &type id)
	getRankedType                             // (tensor, &rankedType)
	getQuantizationType                       // (tensor, &id)
	getPerTensorQuantization                  // (tensor, &perTensor)
	getPerChannelQuantization                 // (tensor, &perChannel)
	getModelMetadata                          // (model, key, &data, &size)
	createOptions                             // (&options)
	setAccelerators                           // (options, mask)
	createOpaqueOptions                       // (identifier, payload, deleter, &opaque)
	addOpaqueOptions                          // (options, opaque)
	createCompiledModel                       // (environment, model, options, &compiled)
	isFullyAccelerated                        // (compiled, &bool)
	resizeInput                               // (compiled, signature, index, dimensions, rank)
	getOutputLayouts                          // (compiled, signature, count, layouts, allocate)
	runCompiledModel                          // (compiled, signature, inputs, buffers, outputs, buffers)
	getErrorMessages                          // (compiled, &text); the text is the C allocator's
	clearErrors                               // (compiled)
	setCancellation                           // (compiled, data, function)
	createHostBuffer                          // (rankedType, address, size, deleter, &buffer)
	getProfiler                               // (compiled, &profiler); the profiler is the compiled model's
	startProfiler                             // (profiler)
	stopProfiler                              // (profiler)
	getProfileSummary                         // (profiler, compiled, &text); the text is the C allocator's
	destroyBuffer                             // this and what follows returns nothing
	destroyOptions
	destroyCompiledModel
	destroyModel
	destroyEnvironment

	functions
)

// symbols are the names of the functions in the library.
var symbols = [functions]string{ //nolint:gochecknoglobals // a constant table
	createEnvironment:         "LiteRtCreateEnvironment",
	getNumAccelerators:        "LiteRtGetNumAccelerators",
	getAccelerator:            "LiteRtGetAccelerator",
	getAcceleratorName:        "LiteRtGetAcceleratorName",
	getAcceleratorSupport:     "LiteRtGetAcceleratorHardwareSupport",
	createModelFromBuffer:     "LiteRtCreateModelFromBuffer",
	getNumSignatures:          "LiteRtGetNumModelSignatures",
	getSignature:              "LiteRtGetModelSignature",
	getNumSignatureInputs:     "LiteRtGetNumSignatureInputs",
	getNumSignatureOutputs:    "LiteRtGetNumSignatureOutputs",
	getSignatureInputName:     "LiteRtGetSignatureInputName",
	getSignatureOutputName:    "LiteRtGetSignatureOutputName",
	getSignatureInputTensor:   "LiteRtGetSignatureInputTensorByIndex",
	getSignatureOutputTensor:  "LiteRtGetSignatureOutputTensorByIndex",
	getTensorType:             "LiteRtGetTensorTypeId",
	getRankedType:             "LiteRtGetRankedTensorType",
	getQuantizationType:       "LiteRtGetQuantizationTypeId",
	getPerTensorQuantization:  "LiteRtGetPerTensorQuantization",
	getPerChannelQuantization: "LiteRtGetPerChannelQuantization",
	getModelMetadata:          "LiteRtGetModelMetadata",
	createOptions:             "LiteRtCreateOptions",
	setAccelerators:           "LiteRtSetOptionsHardwareAccelerators",
	createOpaqueOptions:       "LiteRtCreateOpaqueOptions",
	addOpaqueOptions:          "LiteRtAddOpaqueOptions",
	createCompiledModel:       "LiteRtCreateCompiledModel",
	isFullyAccelerated:        "LiteRtCompiledModelIsFullyAccelerated",
	resizeInput:               "LiteRtCompiledModelResizeInputTensor",
	getOutputLayouts:          "LiteRtGetCompiledModelOutputTensorLayouts",
	runCompiledModel:          "LiteRtRunCompiledModel",
	getErrorMessages:          "LiteRtCompiledModelGetErrorMessages",
	clearErrors:               "LiteRtCompiledModelClearErrors",
	setCancellation:           "LiteRtSetCompiledModelCancellationFunction",
	createHostBuffer:          "LiteRtCreateTensorBufferFromHostMemory",
	getProfiler:               "LiteRtCompiledModelGetProfiler",
	startProfiler:             "LiteRtStartProfiler",
	stopProfiler:              "LiteRtStopProfiler",
	getProfileSummary:         "LiteRtGetProfileSummary",
	destroyBuffer:             "LiteRtDestroyTensorBuffer",
	destroyOptions:            "LiteRtDestroyOptions",
	destroyCompiledModel:      "LiteRtDestroyCompiledModel",
	destroyModel:              "LiteRtDestroyModel",
	destroyEnvironment:        "LiteRtDestroyEnvironment",
}

// api is the library's functions, and those of the C library that it is handed. It
// never changes.
type api struct {
	version   string // of the library, as its file is named; "unknown" where it is not
	path      string
	functions [functions]uintptr

	malloc, free uintptr
	// strlen is what the library asks, before each operator, whether to give up: it
	// is handed a text that is empty while it is to go on, and has one character
	// when it is not. A C function costs nothing there; one of Go's would.
	strlen uintptr
}

// bind finds the functions of an open library. It fails with fault.Unsupported
// where one is missing.
func bind(library *native.Library) (*api, error) {
	const op = "litert.open"
	a := &api{version: versionOf(library.Path()), path: library.Path()}
	if _, err := library.Symbol(symbols[createEnvironment]); err != nil {
		return nil, fault.New(fault.Unsupported, op, "not LiteRT: it has no function %s", symbols[createEnvironment]).On(library.Path()).
			WithHint("Name the file libLiteRt.so, or the classic libtensorflowlite_c.so.")
	}
	for i, name := range symbols {
		address, err := library.Symbol(name)
		if err != nil && i >= int(getProfiler) && i <= int(getProfileSummary) {
			continue // other versions call them otherwise; see api.measures
		}
		if err != nil {
			return nil, fault.New(fault.Unsupported, op, "this LiteRT has no function %s", name).On(library.Path()).
				WithHint("Install a version that this build knows with `verge runtime install litert`.")
		}
		a.functions[i] = address
	}
	for name, to := range map[string]*uintptr{"malloc": &a.malloc, "free": &a.free, "strlen": &a.strlen} {
		address, err := library.Symbol(name)
		if err != nil {
			return nil, err
		}
		*to = address
	}
	return a, nil
}

// measures reports whether the library has the functions that measure operators.
func (a *api) measures() bool {
	return !slices.Contains(a.functions[getProfiler:getProfileSummary+1], 0)
}

// versionOf reads the version in the name of the library's file, since the library
// itself does not tell: "libLiteRt.so.2.3.0" is 2.3.0. The way of its folder counts
// where the name has none, as "litert/2.3.0/libLiteRt.so".
func versionOf(path string) string {
	if m := regexp.MustCompile(`\.so\.(\d+(?:\.\d+)+)$`).FindStringSubmatch(path); m != nil {
		return m[1]
	}
	if folder := filepath.Base(filepath.Dir(path)); regexp.MustCompile(`^\d+(\.\d+)+$`).MatchString(folder) {
		return folder
	}
	return "unknown"
}

// call calls a function that returns a status. Arguments as native.Call.
//
//go:uintptrescapes
func (a *api) call(f function, args ...uintptr) status {
	return status(int32(native.Call(a.functions[f], args...))) //nolint:gosec // the function returns an int
}

// destroy frees an object with its function; the null pointer is left alone.
func (a *api) destroy(f function, object uintptr) {
	if object != 0 {
		native.Call(a.functions[f], object)
	}
}

// text returns a copy of s in memory of the C allocator, or 0 where that has none.
func (a *api) text(s string) uintptr {
	address := native.Call(a.malloc, uintptr(len(s)+1)) // not negative
	if memory := native.View(address, len(s)+1); memory != nil {
		memory[copy(memory, s)] = 0
	}
	return address
}

// get returns the word that a function about an object of the library writes.
func (a *api) get(f function, object uintptr) (out uintptr, s status) {
	s = a.call(f, object, uintptr(unsafe.Pointer(&out)))
	return out, s
}

// getAt is get for a function that takes an index.
func (a *api) getAt(f function, object, index uintptr) (out uintptr, s status) {
	s = a.call(f, object, index, uintptr(unsafe.Pointer(&out)))
	return out, s
}
