package api

import (
	"fmt"
	"net/http"

	"verge/internal/fault"
)

const opRequest = "api.request"

// refusal is the cause of an error of the transport: a method, a path, a type of
// content, a sender that is too slow. Its status is one that no kind stands for.
type refusal struct {
	status  int
	allow   string // the header Allow; "" for none
	message string
}

// Error implements error.
func (r *refusal) Error() string { return r.message }

// Refuse returns an error that is answered with status, whatever its kind would
// become.
func Refuse(status int, kind fault.Kind, format string, args ...any) *fault.Error {
	return fault.New(kind, opRequest, "%w", &refusal{status: status, message: fmt.Sprintf(format, args...)})
}

// NoSuchPath is the error of a path that nothing is served at.
func NoSuchPath() *fault.Error {
	return fault.New(fault.NotFound, opRequest, "no such path")
}

// MethodNotAllowed is the error of a method that its path does not have; allow is
// the list of those that it has, "GET, HEAD".
func MethodNotAllowed(allow string) *fault.Error {
	return fault.New(fault.Invalid, opRequest, "%w", &refusal{
		status: http.StatusMethodNotAllowed, allow: allow, message: "method not allowed, want " + allow,
	})
}
