package litert

import (
	"fmt"
	"regexp"
	"strings"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/native"
)

// status is a LiteRtStatus; 0 is success.
type status int32

// Values of LiteRtStatus.
const (
	statusOK              status = 0
	statusInvalidArgument status = 1
	statusAllocation      status = 2
	statusRuntime         status = 3
	statusUnsupported     status = 5
	statusBadFile         status = 501
	statusNoLibrary       status = 502
	statusNotCompiled     status = 504
)

// String returns what the headers call the status.
func (s status) String() string {
	names := map[status]string{
		statusInvalidArgument: "invalid argument", statusAllocation: "memory allocation failure", statusRuntime: "runtime failure", 4: "missing input",
		statusUnsupported: "unsupported", 6: "not found", 7: "time-out", 8: "wrong version", 9: "unknown", 10: "already there",
		100: "canceled", 500: "file", statusBadFile: "invalid flatbuffer", statusNoLibrary: "a library did not load", 503: "serialization",
		statusNotCompiled: "compilation",
	}
	if name, ok := names[s]; ok {
		return name
	}
	return fmt.Sprintf("status %d", int32(s))
}

// failure is a call that failed: its status and what the library said, cleaned.
type failure struct {
	status status
	text   string // "" where the library said nothing
}

func (f *failure) Error() string {
	if f.text == "" {
		return "the library says " + f.status.String()
	}
	return f.text
}

// fault returns the error with a kind and an operation.
func (f *failure) fault(kind fault.Kind, op string) *fault.Error {
	return &fault.Error{Kind: kind, Op: op, Err: f}
}

// fail returns a failure without a text, or nil for success.
func fail(s status) *failure {
	if s == statusOK {
		return nil
	}
	return &failure{status: s}
}

// loadKind returns the kind of a failure to load a model.
func (f *failure) loadKind() fault.Kind {
	switch {
	case f.outOfMemory():
		return fault.Exhausted
	case f.status == statusBadFile:
		return fault.Corrupt
	case f.status == statusUnsupported, f.status == statusNoLibrary, f.status == statusNotCompiled,
		contains(f.text, "unresolved custom op", "Didn't find op for builtin opcode", "unsupported", "not supported", "Unsupported"):
		return fault.Unsupported
	}
	return fault.Corrupt
}

// runKind returns the kind of a failure to run a model. An operator that fails was
// given values that it does not take, or has no implementation.
func (f *failure) runKind() fault.Kind {
	switch {
	case f.outOfMemory():
		return fault.Exhausted
	case contains(f.text, "unresolved custom op", "not supported", "unsupported"):
		return fault.Unsupported
	case contains(f.text, "failed to invoke", "failed to prepare", "failed to reshape"):
		return fault.Invalid
	}
	return fault.Internal
}

func (f *failure) outOfMemory() bool {
	return f.status == statusAllocation || contains(f.text, "bad_alloc", "out of memory", "Out of memory", "Failed to allocate memory")
}

// canceled reports whether the run was told to give up.
func (f *failure) canceled() bool { return contains(f.text, "Client requested cancel") }

// tooSmall reports whether an output came out larger than the memory that it was
// given. Nothing was written then.
func (f *failure) tooSmall() bool { return contains(f.text, "Custom allocation is too small") }

// ownShape reports whether an operator chooses the shape of an output from values.
// The library keeps such an output in memory of its own, which it does not show.
func (f *failure) ownShape() bool {
	return contains(f.text, "allocation_type == kTfLiteArenaRw", "Failed to set custom allocation for output")
}

func contains(text string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

// clean shortens a text of the library to what says something to its user: no
// source file, one line, at most 1,000 bytes.
func clean(text string) string {
	const limit = 1000
	// "tflite/kernels/file.cc:12 condition was not true.", "[file.cc:12] " or "tflite/file.cc ".
	text = regexp.MustCompile(`\[?\S+\.(?:cc|cpp|h)(?::\d+)?\]? `).ReplaceAllString(text, "")
	text = regexp.MustCompile(`See instructions: \S+`).ReplaceAllString(text, "") // how to compile an operator into a program
	lines := strings.Split(text, "\n")
	kept := lines[:0]
	for _, line := range lines {
		line = strings.Join(strings.Fields(line), " ")
		if line != "" && !strings.HasPrefix(line, "Failed to allocate tensors for execution") {
			kept = append(kept, strings.TrimSuffix(line, "."))
		}
	}
	text = strings.Join(kept, "; ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// explain returns the failure of a call on a compiled model with what the library
// has said since the last one, or nil for success.
func (a *api) explain(compiled uintptr, s status) *failure {
	if s == statusOK {
		return nil
	}
	f := &failure{status: s}
	var text uintptr
	if a.call(getErrorMessages, compiled, uintptr(unsafe.Pointer(&text))) == statusOK {
		f.text = clean(native.String(text, maxText))
		if text != 0 {
			native.Call(a.free, text)
		}
	}
	a.call(clearErrors, compiled)
	return f
}
