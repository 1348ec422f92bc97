package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"verge/internal/fault"
	"verge/internal/oip"
)

// retryAfter is the Retry-After of 429 and 503, in seconds: the least that the
// header can say.
const retryAfter = 1

// WriteError answers a request of the Open Inference Protocol with an error. Its
// body is {"error": message}, with the hint as a sentence of its own behind it.
func WriteError(w http.ResponseWriter, err error) {
	message := messageOf(err)
	if hint := fault.HintOf(err); hint != "" {
		message += ". " + hint
	}
	write(w, err, statusesOf(fault.KindOf(err)).inference, oip.ErrorBody{Error: message})
}

// ManagementError is the body of an error on /v1.
type ManagementError struct {
	Error    string          `json:"error"`
	Kind     string          `json:"kind"`
	Hint     string          `json:"hint,omitempty"`
	Problems []fault.Problem `json:"problems,omitempty"`
}

// WriteManagementError answers a request of the management API with an error.
func WriteManagementError(w http.ResponseWriter, err error) {
	kind := fault.KindOf(err)
	body := ManagementError{Error: messageOf(err), Kind: kind.String(), Hint: fault.HintOf(err)}
	if problems, ok := errors.AsType[fault.Problems](err); ok {
		body.Problems = problems
	}
	write(w, err, statusesOf(kind).management, body)
}

// Classified reports whether a client is told what err says. Of a failure that
// nobody gave a kind it is told no more than that, since the text may hold paths and
// addresses: such an error belongs in the log.
func Classified(err error) bool {
	_, classified := errors.AsType[*fault.Error](err)
	return classified || fault.KindOf(err) != fault.Internal
}

func messageOf(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.message // whatever the reader of the body put around it
	}
	if !Classified(err) {
		return "internal error"
	}
	return fault.Message(err)
}

// write answers with the body of an error, which is small.
func write(w http.ResponseWriter, err error, status int, body any) {
	h := w.Header()
	if r, ok := errors.AsType[*refusal](err); ok {
		status = r.status
		if r.allow != "" {
			h.Set("Allow", r.allow)
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // the bodies above can be encoded
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	case http.StatusRequestTimeout, http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close") // the rest of the body is not wanted
	}
	w.WriteHeader(status)
	_, _ = w.Write(text) // an error means that the client has gone
}
