package onnxruntime

import (
	"regexp"
	"strings"

	"verge/internal/fault"
	"verge/internal/native"
)

// statusError is an OrtStatus that says why a call failed, copied and released.
type statusError struct {
	code int
	text string // cleaned
}

func (e *statusError) Error() string { return e.text }

// fault returns the error with a kind and an operation.
func (e *statusError) fault(kind fault.Kind, op string) *fault.Error {
	return &fault.Error{Kind: kind, Op: op, Err: e}
}

// status turns an OrtStatus, which it releases, into an error; nil for success.
func (a *api) status(status uintptr) *statusError {
	if status == 0 {
		return nil
	}
	e := &statusError{
		code: int(int32(native.Call(a.functions[getErrorCode], status))), //nolint:gosec // the function returns an int
		text: clean(native.String(native.Call(a.functions[getErrorMessage], status), maxText)),
	}
	native.Call(a.functions[releaseStatus], status)
	return e
}

// loadKind returns the kind of a failure to load a model.
func (e *statusError) loadKind() fault.Kind {
	switch {
	case e.outOfMemory():
		return fault.Exhausted
	case e.code == errorCodeLoadCanceled:
		return fault.Canceled
	case e.code == errorCodeNotImplemented,
		contains(e.text, "is not a registered function/op", "No Op registered for", "Could not find an implementation for",
			"Unsupported model IR version", "is not currently registered or supported",
			"only *guarantees* support for models stamped with"):
		return fault.Unsupported
	}
	return fault.Corrupt
}

// loadHint says what can be done about a failure to load a model.
func (e *statusError) loadHint() string {
	switch {
	case contains(e.text, "Unsupported model IR version", "only *guarantees* support for models stamped with"):
		return "Export the model for an earlier version of ONNX, or install a newer ONNX Runtime."
	case contains(e.text, "is not a registered function/op", "No Op registered for"):
		return "Export the model with operators of ONNX itself, in a version that this ONNX Runtime has."
	case contains(e.text, "Could not find an implementation for"):
		return "Export the model with another element type: ONNX Runtime has this operator for others."
	case contains(e.text, "is not currently registered or supported"):
		return "Export the model with inputs and outputs of numbers or strings."
	case e.loadKind() == fault.Corrupt:
		return "Export the model again: its file is damaged, or says what cannot be."
	}
	return ""
}

// providerKind returns the kind of a failure to load a model with a provider other
// than the CPU's, which mostly says something about the provider.
func (e *statusError) providerKind() fault.Kind {
	kind := e.loadKind()
	if kind == fault.Corrupt && e.code != errorCodeInvalidProtobuf && e.code != errorCodeInvalidGraph {
		return fault.Unsupported
	}
	return kind
}

// runKind returns the kind of a failure to run a model. A node that fails was
// given values that it does not take; everything else the library does is checked
// before, so that it is nobody's but ours.
func (e *statusError) runKind() fault.Kind {
	switch {
	case e.outOfMemory():
		return fault.Exhausted
	case e.code == errorCodeNotImplemented:
		return fault.Unsupported
	case e.code == errorCodeInvalidArgument, strings.Contains(e.text, "while running"):
		return fault.Invalid
	}
	return fault.Internal
}

// misdeclaredShape reports whether an output came out in another shape than the
// memory was made for.
func (e *statusError) misdeclaredShape() bool {
	return contains(e.text, "The output OrtValue provided for output", "shape verification failed")
}

func (e *statusError) outOfMemory() bool {
	return contains(e.text, "bad_alloc", "bad allocation", "Failed to allocate memory", "out of memory")
}

func contains(text string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

// Patterns of what a text of the library says to its programmers only.
var (
	// "/src/file.cc:12 type ns::Name(arguments) condition was false. " of a failed check.
	checkPattern = regexp.MustCompile(`\S+\.(?:cc|cpp|h|hpp|cuh?):\d+ .*? was false\. ?`)
	// "/src/file.cc:12 type ns::Name(arguments) " or "file.h:12 Name ".
	sourcePattern = regexp.MustCompile(`\S+\.(?:cc|cpp|h|hpp|cuh?):\d+ (?:[\w:*&<>~ ,]*?\bonnxruntime::[^()]*\([^()]*\)(?:::<lambda\([^()]*\)>)?(?: const)? |[A-Z]\w* )?`)
	// "OrtSessionOptionsAppendExecutionProvider_TensorRT: ".
	appendPattern = regexp.MustCompile(`OrtSessionOptionsAppendExecutionProvider_\w+: `)
	// "[with T = cudaError] " of a function template, as the compiler names it.
	templatePattern = regexp.MustCompile(`\[with [^\]]*\] `)
	// " ; GPU=0 ; hostname=h ; file=/src/file.cc ; line=12 ; expr=cudaSetDevice(id); ".
	placePattern = regexp.MustCompile(` ; GPU=-?\d+ ; hostname=[^;]* ; file=[^;]* ; line=\d+ ; expr=[^;]*;? ?`)
	// "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : ".
	codePattern = regexp.MustCompile(`\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : `)
)

// clean shortens a text of the library to what says something to its user: no
// source file, no stack, one line, at most 1,000 bytes.
func clean(text string) string {
	text, _, _ = strings.Cut(text, "\nStacktrace:")
	text = checkPattern.ReplaceAllString(text, "")
	text = sourcePattern.ReplaceAllString(text, "")
	text = templatePattern.ReplaceAllString(text, "")
	text = placePattern.ReplaceAllString(text, "")
	text = appendPattern.ReplaceAllString(text, "")
	text = codePattern.ReplaceAllString(text, "")
	text = strings.Join(strings.Fields(text), " ")
	const limit = 1000
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
