// Package fault is the one error type that crosses package borders in this
// program. A transport maps its Kind to a status code, the command line maps it
// to an exit status; nobody decides by matching text.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind says what a caller can do about an error. Its names are part of the
// HTTP API and of metric labels: add at the end, never rename.
type Kind uint8

// The kinds.
const (
	Internal        Kind = iota // a bug, or a failure nobody classified (the zero value)
	Invalid                     // the request is wrong; repeating it cannot help
	Unauthenticated             // who is asking is not known
	Denied                      // who is asking may not
	NotFound                    // no such model, version, file, device or deployment
	Conflict                    // the state changed underneath, or the name is taken
	TooLarge                    // a body, a tensor or a name is over its limit
	Quota                       // this client asks too much; retry later
	Unavailable                 // not now: loading, draining, queue full, worker down; retry with back-off
	Deadline                    // the time given was not enough
	Canceled                    // the caller went away
	Unsupported                 // this build, device or runtime cannot do it
	Corrupt                     // bytes are not what their digest or format says
	Exhausted                   // disk or memory on our side ran out
)

var kindNames = [...]string{ //nolint:gochecknoglobals // a constant table
	"internal", "invalid", "unauthenticated", "denied", "not_found", "conflict", "too_large",
	"quota", "unavailable", "deadline", "canceled", "unsupported", "corrupt", "exhausted",
}

// Kinds returns every kind, in declaration order.
func Kinds() []Kind {
	all := make([]Kind, len(kindNames))
	for i := range all {
		all[i] = Kind(i) // at most len(kindNames)
	}
	return all
}

// String returns the kind's name on the wire, such as "not_found".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// OfAsked says whether an error of this kind is the fault of who was asked, rather than of
// who asked.
func (k Kind) OfAsked() bool {
	switch k {
	case Internal, Unavailable, Deadline, Corrupt, Exhausted:
		return true
	default:
		return false
	}
}

// ParseKind is the inverse of Kind.String. A name that this build does not
// know is Internal, and false.
func ParseKind(name string) (Kind, bool) {
	for i, n := range kindNames {
		if n == name {
			return Kind(i), true // at most len(kindNames)
		}
	}
	return Internal, false
}

// Error carries what failed (Op), on what (Subject), why (Err) and what the
// person in charge can do next (Hint). Hint is shown apart from the message; it
// is not part of Error().
type Error struct {
	Kind    Kind
	Op      string // package and verb: "onnxruntime.load"
	Subject string // the thing in hand: `model "yolo@3"`, a path, a device
	Hint    string // one imperative sentence, or empty
	Err     error
}

// Error returns "op subject: cause", for logs.
func (e *Error) Error() string {
	head := strings.TrimSpace(e.Op + " " + e.Subject)
	switch {
	case e.Err == nil && head == "":
		return e.Kind.String()
	case e.Err == nil:
		return head + ": " + e.Kind.String()
	case head == "":
		return e.Err.Error()
	}
	return head + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an *Error whose cause is the formatted text; %w wraps.
func New(kind Kind, op, format string, args ...any) *Error {
	return &Error{Kind: kind, Op: op, Err: fmt.Errorf(format, args...)}
}

// On returns e with its subject set, for use in one expression with New.
func (e *Error) On(subject string) *Error { e.Subject = subject; return e }

// WithHint returns e with its hint set, for use in one expression with New.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// KindOf returns the Kind of the outermost *Error in err's tree. A bare context
// error is Canceled or Deadline; any other error is Internal. KindOf(nil) is
// Internal and means that the caller forgot to look.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Deadline
	}
	return Internal
}

// HintOf returns the first hint found from the outside in, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// Message returns err for people: like err.Error(), without the operation
// names of the *Errors at its outside.
func Message(err error) string {
	var e *Error
	if err == nil {
		return ""
	}
	if !isFault(err, &e) {
		return err.Error()
	}
	switch {
	case e.Err == nil && e.Subject == "":
		return e.Kind.String()
	case e.Err == nil:
		return e.Subject + ": " + e.Kind.String()
	case e.Subject == "":
		return Message(e.Err)
	}
	return e.Subject + ": " + Message(e.Err)
}

// isFault reports whether err itself, not something that it wraps, is an *Error.
func isFault(err error, out **Error) bool {
	e, ok := err.(*Error) //nolint:errorlint // only the outermost value counts here
	*out = e
	return ok
}
