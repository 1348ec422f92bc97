package litert

import (
	"verge/internal/fault"
	"verge/internal/native"
)

// classicFunction is one of the classic library's functions, by its place in
// classicSymbols.
type classicFunction int

// The functions that are called, those of tensorflow/lite/c/c_api.h. From
// enableCancellation on, a library may lack them: 2.9 has no cancellation.
const (
	libraryVersion       classicFunction = iota // () text
	modelCreate                                 // (data, size) model
	modelDelete                                 // (model)
	optionsCreate                               // () options
	optionsDelete                               // (options)
	setNumThreads                               // (options, int32)
	addDelegate                                 // (options, delegate)
	setErrorReporter                            // (options, function(user data, format, va_list), user data)
	interpreterCreate                           // (model, options) interpreter
	interpreterDelete                           // (interpreter)
	allocateTensors                             // (interpreter) status
	invokeInterpreter                           // (interpreter) status
	resizeInputTensor                           // (interpreter, index, int32 dimensions, count) status
	getInputTensorCount                         // (interpreter) int32
	getOutputTensorCount                        // (interpreter) int32
	getInputTensor                              // (interpreter, index) tensor
	getOutputTensor                             // (interpreter, index) tensor
	tensorType                                  // (tensor) int32
	tensorNumDims                               // (tensor) int32
	tensorDim                                   // (tensor, index) int32
	tensorByteSize                              // (tensor) size
	tensorData                                  // (tensor) address
	tensorName                                  // (tensor) text
	copyFromBuffer                              // (tensor, address, size) status
	enableCancellation                          // (options, bool) status
	cancelInterpreter                           // (interpreter) status
	tensorRealloc                               // (size, tensor): of common.h
	xnnpackCreate                               // (options) delegate: of xnnpack_delegate.h
	xnnpackDelete                               // (delegate)

	classicFunctions
)

// classicSymbols are the names of the functions in the library.
var classicSymbols = [classicFunctions]string{ //nolint:gochecknoglobals // a constant table
	libraryVersion:       "TfLiteVersion",
	modelCreate:          "TfLiteModelCreate",
	modelDelete:          "TfLiteModelDelete",
	optionsCreate:        "TfLiteInterpreterOptionsCreate",
	optionsDelete:        "TfLiteInterpreterOptionsDelete",
	setNumThreads:        "TfLiteInterpreterOptionsSetNumThreads",
	addDelegate:          "TfLiteInterpreterOptionsAddDelegate",
	setErrorReporter:     "TfLiteInterpreterOptionsSetErrorReporter",
	interpreterCreate:    "TfLiteInterpreterCreate",
	interpreterDelete:    "TfLiteInterpreterDelete",
	allocateTensors:      "TfLiteInterpreterAllocateTensors",
	invokeInterpreter:    "TfLiteInterpreterInvoke",
	resizeInputTensor:    "TfLiteInterpreterResizeInputTensor",
	getInputTensorCount:  "TfLiteInterpreterGetInputTensorCount",
	getOutputTensorCount: "TfLiteInterpreterGetOutputTensorCount",
	getInputTensor:       "TfLiteInterpreterGetInputTensor",
	getOutputTensor:      "TfLiteInterpreterGetOutputTensor",
	tensorType:           "TfLiteTensorType",
	tensorNumDims:        "TfLiteTensorNumDims",
	tensorDim:            "TfLiteTensorDim",
	tensorByteSize:       "TfLiteTensorByteSize",
	tensorData:           "TfLiteTensorData",
	tensorName:           "TfLiteTensorName",
	copyFromBuffer:       "TfLiteTensorCopyFromBuffer",
	enableCancellation:   "TfLiteInterpreterOptionsEnableCancellation",
	cancelInterpreter:    "TfLiteInterpreterCancel",
	tensorRealloc:        "TfLiteTensorRealloc",
	xnnpackCreate:        "TfLiteXNNPackDelegateCreate",
	xnnpackDelete:        "TfLiteXNNPackDelegateDelete",
}

// classic is the classic TensorFlow Lite library. It never changes.
type classic struct {
	version   string
	path      string
	functions [classicFunctions]uintptr // 0 where the library lacks one
	vsnprintf uintptr
	edgeTPU   []string // where libedgetpu may lie
}

// bindClassic finds the functions of an open library. It fails with
// fault.Unsupported where one is missing that is always there.
func bindClassic(library *native.Library, edgeTPU []string) (*classic, error) {
	c := &classic{path: library.Path(), edgeTPU: edgeTPU}
	for i, name := range classicSymbols {
		address, err := library.Symbol(name)
		if err != nil && classicFunction(i) < enableCancellation {
			return nil, fault.New(fault.Unsupported, "litert.open", "this TensorFlow Lite has no function %s", name).On(library.Path()).
				WithHint("Install a version that this build knows with `verge runtime install tflite`.")
		}
		c.functions[i] = address
	}
	var err error
	if c.vsnprintf, err = library.Symbol("vsnprintf"); err != nil {
		return nil, err
	}
	c.version = native.String(c.call(libraryVersion), 64)
	return c, nil
}

// has reports whether the library has all of the functions.
func (c *classic) has(functions ...classicFunction) bool {
	for _, f := range functions {
		if c.functions[f] == 0 {
			return false
		}
	}
	return true
}

// call calls a function. Arguments as native.Call.
//
//go:uintptrescapes
func (c *classic) call(f classicFunction, args ...uintptr) uintptr {
	return native.Call(c.functions[f], args...)
}

// number calls a function that returns an int32.
//
//go:uintptrescapes
func (c *classic) number(f classicFunction, args ...uintptr) int {
	return int(int32(native.Call(c.functions[f], args...))) //nolint:gosec // the function returns an int
}

// Values of TfLiteStatus.
const (
	classicOK         = 0
	classicUnresolved = 7 // an operator is missing
)

// failed returns the failure of a call with what the library has said since the last
// one, or nil for success.
func (j *journal) failed(status int) *failure {
	text := j.take()
	switch status {
	case classicOK:
		return nil
	case classicUnresolved:
		return &failure{status: statusUnsupported, text: text}
	}
	return &failure{status: statusRuntime, text: text}
}
