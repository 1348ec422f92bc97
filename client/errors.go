package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// ErrUnreachable is matched, by errors.Is, by the error of a call that found no
// node at the address.
var ErrUnreachable = errors.New("node not reachable")

// Error is what a node answered instead of a result, or why there is no answer.
type Error struct {
	// Status is the HTTP status; 0 where no valid answer came.
	Status int
	// Kind says what can be done: "invalid", "unauthenticated", "denied",
	// "not_found", "conflict", "too_large", "quota", "unavailable", "deadline",
	// "canceled", "unsupported", "corrupt", "exhausted" or "internal".
	Kind       string
	Message    string        // for people, without a final stop
	Hint       string        // what to do next, or ""
	Problems   []Problem     // everything that is wrong with a deployment file
	RetryAfter time.Duration // how long to wait before another try; 0 where the node names no time

	uploadOffset int64 // of a refused part of an upload; -1 where it names none
	cause        error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause of an error that is not the node's answer.
func (e *Error) Unwrap() error { return e.cause }

// errorBody is the body of an error on /v1; on /v2 only Error is there.
type errorBody struct {
	Error    string    `json:"error"`
	Kind     string    `json:"kind,omitempty"`
	Hint     string    `json:"hint,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
}

// errorOf makes an Error of an answer that is not a success. Whatever the body
// holds, the result has a message and a kind.
func errorOf(resp *http.Response) *Error {
	e := &Error{Status: resp.StatusCode, Kind: kindOfStatus(resp.StatusCode), uploadOffset: -1}
	var body errorBody
	text, _ := io.ReadAll(io.LimitReader(resp.Body, errorLimit)) // a cut body tells what it tells
	if json.Unmarshal(text, &body) == nil {
		e.Message, e.Hint, e.Problems = body.Error, body.Hint, body.Problems
		if body.Kind != "" {
			e.Kind = body.Kind
		}
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("the node answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 && s <= 1<<30 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	if n, err := strconv.ParseInt(resp.Header.Get(uploadOffsetHeader), 10, 64); err == nil && n >= 0 {
		e.uploadOffset = n
	}
	return e
}

// kindOfStatus is for bodies that name no kind.
func kindOfStatus(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "unauthenticated"
	case http.StatusForbidden:
		return "denied"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusConflict:
		return "conflict"
	case http.StatusRequestEntityTooLarge:
		return "too_large"
	case http.StatusUnprocessableEntity:
		return "corrupt"
	case http.StatusTooManyRequests:
		return "quota"
	case 499: // nginx's "client closed request"
		return "canceled"
	case http.StatusNotImplemented:
		return "unsupported"
	case http.StatusServiceUnavailable:
		return "unavailable"
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return "deadline"
	case http.StatusInsufficientStorage:
		return "exhausted"
	}
	if status >= 400 && status < 500 {
		return "invalid"
	}
	return "internal"
}

func invalid(format string, args ...any) *Error {
	return &Error{Kind: "invalid", Message: fmt.Sprintf(format, args...), uploadOffset: -1}
}

// badAnswer is the error of an answer that breaks the protocol.
func (c *Client) badAnswer(format string, args ...any) *Error {
	return &Error{
		Kind: "corrupt", Message: fmt.Sprintf("the answer of %s is not valid: ", c.address) + fmt.Sprintf(format, args...),
		Hint: "Check that a Verge node listens there.", uploadOffset: -1,
	}
}

// transportError tells apart a call that was ended, a node that is not there
// and a connection that broke.
func (c *Client) transportError(ctx context.Context, err error) error {
	var op *net.OpError
	var netErr net.Error
	e := &Error{Kind: "unavailable", cause: err, uploadOffset: -1}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		e.Kind, e.cause, e.Message = "canceled", ctx.Err(), "canceled while waiting for "+c.address
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		e.Kind, e.cause, e.Message = "deadline", context.DeadlineExceeded, c.address+" did not answer in time"
	case errors.As(err, &op) && op.Op == "dial" && errors.Is(err, os.ErrPermission):
		e.cause = errors.Join(ErrUnreachable, err)
		e.Message = fmt.Sprintf("no permission to use the node at %s", c.address)
		e.Hint = "Join the group that owns the socket, or ask as the user who runs the node."
	case errors.As(err, &op) && op.Op == "dial":
		e.cause = errors.Join(ErrUnreachable, err)
		e.Message = fmt.Sprintf("no node answers at %s (%s): is `verge serve` running?", c.address, reason(op.Err))
		e.Hint = "Start one: verge serve"
	case strings.Contains(err.Error(), "malformed HTTP"):
		return c.badAnswer("it does not speak HTTP")
	case errors.As(err, &netErr) && netErr.Timeout():
		e.Kind, e.Message = "deadline", c.address+" did not answer in time"
	default:
		e.Message = fmt.Sprintf("the connection to %s was lost (%s)", c.address, reason(err))
	}
	return e
}

// reason returns the innermost text of a network error, without its addresses.
func reason(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
