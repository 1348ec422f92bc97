package openvino

import (
	"fmt"
	"regexp"
	"strings"

	"verge/internal/fault"
	"verge/internal/native"
)

// Values of ov_status_e.
const (
	statusGeneral        = -1
	statusNotImplemented = -2
	statusBusy           = -8
	statusCanceled       = -13
	statusUnknown        = -17
)

// statusError says why a call failed.
type statusError struct {
	code int
	text string // cleaned
}

func (e *statusError) Error() string { return e.text }

// fault returns the error with a kind and an operation.
func (e *statusError) fault(kind fault.Kind, op string) *fault.Error {
	return &fault.Error{Kind: kind, Op: op, Err: e}
}

// status turns an ov_status_e into an error; nil for success. The library has one
// message for the whole process: when two calls fail at the same moment, one may
// get the other's. Failures that no exception of the library caused leave the
// message of an earlier one, so it is not looked at then.
func (a *api) status(result uintptr) *statusError {
	code := int(int32(result)) //nolint:gosec // the functions return an int
	if code == 0 {
		return nil
	}
	e := &statusError{code: code}
	switch code {
	case statusGeneral, statusNotImplemented, statusBusy, statusCanceled, statusUnknown:
		e.text = clean(a.take(native.Call(a.functions[getLastErrMsg])))
	}
	if e.text == "" {
		e.text = clean(native.String(native.Call(a.functions[getErrorInfo], result), maxText))
	}
	if e.text == "" {
		e.text = fmt.Sprintf("status %d", code)
	}
	return e
}

// loadKind returns the kind of a failure to read or compile a model.
func (e *statusError) loadKind() fault.Kind {
	switch {
	case e.outOfMemory():
		return fault.Exhausted
	case contains(e.text, "Unsupported property", "Unsupported configuration", "Wrong value", "Could not read", "stoi", "NotFound: "):
		return fault.Invalid
	case e.code == statusNotImplemented,
		contains(e.text, "doesn't contain the operation", "No conversion rule found", "No translator found", "Cannot create",
			"nsupported", "not supported", "doesn't support", "does not support", "not implemented"):
		return fault.Unsupported
	}
	return fault.Corrupt
}

// loadFault returns the error of a failure to read or compile a model.
func (e *statusError) loadFault(op string) *fault.Error {
	return e.fault(e.loadKind(), op).WithHint("%s", e.loadHint())
}

// loadHint says what can be done about such a failure.
func (e *statusError) loadHint() string {
	switch kind := e.loadKind(); {
	case contains(e.text, "doesn't contain the operation", "Cannot create"):
		return "Convert the model again for this version of OpenVINO, or install a newer one."
	case contains(e.text, "No conversion rule found", "No translator found"):
		return "Export the model with operators of its format itself, or run it in the format's own runtime: deployment.runtime."
	case contains(e.text, "dynamic rank"):
		return "Declare the number of dimensions in the model; dimensions may be dynamic."
	case kind == fault.Corrupt:
		return "Convert the model again: its file is damaged, or says what cannot be."
	}
	return ""
}

// runKind returns the kind of a failure to run a model. A node that fails was given
// values that it does not take; everything else that the library does is checked before.
func (e *statusError) runKind() fault.Kind {
	switch {
	case e.outOfMemory():
		return fault.Exhausted
	case e.code == statusNotImplemented:
		return fault.Unsupported
	case e.code == statusGeneral:
		return fault.Invalid
	}
	return fault.Internal
}

func (e *statusError) outOfMemory() bool {
	return contains(e.text, "bad_alloc", "bad allocation", "Failed to allocate", "out of memory", "OutOfHostMemory", "Can not allocate")
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
	// "Exception from src/inference/src/cpp/core.cpp:97: ".
	exceptionPattern = regexp.MustCompile(`Exception from \S+\.(?:cpp|hpp|h|cc):\d+:\s*`)
	// "Check 'condition' failed at src/core/src/node.cpp:41: ", a line of its own.
	checkPattern = regexp.MustCompile(`Check '.*' failed at \S+\.(?:cpp|hpp|h|cc):\d+:\s*`)
	// "src/core/src/node.cpp:41: " and "(src/core/src/node.cpp:41)".
	sourcePattern = regexp.MustCompile(`\(?\bsrc/\S+\.(?:cpp|hpp|h|cc):\d+\)?:?\s*`)
	// "FrontEnd API failed with OpConversionFailure: ".
	frontEndPattern = regexp.MustCompile(`FrontEnd API failed with \w+:\s*`)
)

// adviceToProgrammers begins what the library says to those who may extend it.
const adviceToProgrammers = "To facilitate the conversion of unsupported operations"

// clean shortens a text of the library to what says something to its user: no
// source file, no condition of the source, one line, at most 1,000 bytes.
func clean(text string) string {
	text, _, _ = strings.Cut(text, adviceToProgrammers)
	text = exceptionPattern.ReplaceAllString(text, "")
	text = checkPattern.ReplaceAllString(text, "")
	text = sourcePattern.ReplaceAllString(text, "")
	text = frontEndPattern.ReplaceAllString(text, "")
	text = strings.Join(strings.Fields(text), " ")
	const limit = 1000
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
