package manage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"verge/client"
	"verge/internal/fault"
)

// writeJSON answers with one JSON document.
func writeJSON(w http.ResponseWriter, status int, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fault.New(fault.Internal, "manage.answer", "encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // an error means that whoever asked has gone
	return nil
}

// readJSON decodes a body of at most limit bytes: one object with known members
// only, and nothing behind it.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, value any) error {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	body.DisallowUnknownFields()
	if err := body.Decode(value); err != nil {
		return explain(err)
	}
	switch _, err := body.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return explain(err)
	}
	return fault.New(fault.Invalid, opRead, "the body goes on behind its JSON object")
}

const opRead = "manage.read"

// explain gives the error of decoding a body its kind.
func explain(err error) error {
	var classified *fault.Error
	var tooLarge *http.MaxBytesError
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &classified): // of reading it
		return err
	case errors.As(err, &tooLarge):
		return fault.New(fault.TooLarge, opRead, "the body has more than %d bytes", tooLarge.Limit)
	case errors.Is(err, io.EOF):
		return fault.New(fault.Invalid, opRead, "the body is empty, want a JSON object")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.Invalid, opRead, "the body is not valid JSON: it ends too early")
	case errors.As(err, &syntax):
		return fault.New(fault.Invalid, opRead, "the body is not valid JSON: byte %d: %w", syntax.Offset, err)
	case errors.As(err, &wrong) && wrong.Field == "":
		return fault.New(fault.Invalid, opRead, "the body is a JSON %s, want an object", wrong.Value)
	case errors.As(err, &wrong):
		return fault.New(fault.Invalid, opRead, "member %s is a %s, which it cannot be", wrong.Field, wrong.Value)
	}
	return fault.New(fault.Invalid, opRead, "the body has an %s", strings.TrimPrefix(err.Error(), "json: ")) // an unknown field
}

// number reads an optional query parameter.
func number(r *http.Request, name string, most uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, fault.New(fault.Invalid, "manage.query", "query parameter %s is %.40q, want a number from 0 to %d", name, text, most)
	}
	return n, nil
}

// limit reads how many elements a page may have.
func (a *API) limit(r *http.Request) (int, error) {
	n, err := number(r, "limit", uint64(a.cfg.PageSize)) //nolint:gosec // a positive setting
	if err != nil || n == 0 {
		return a.cfg.PageSize, err
	}
	return int(n), nil //nolint:gosec // at most PageSize
}

// The forms in which events come.
const (
	eventLines  = "application/x-ndjson"
	eventStream = "text/event-stream"
)

// eventWriter writes events as they come.
type eventWriter struct {
	w     http.ResponseWriter
	flush func() error
	sse   bool
}

// newEventWriter begins an answer that lasts for as long as the deployment does.
// Each event has the time of an answer of its own to be taken in.
func newEventWriter(w http.ResponseWriter, sse bool) (*eventWriter, error) {
	kind := eventLines
	if sse {
		kind = eventStream
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	e := &eventWriter{w: w, flush: http.NewResponseController(w).Flush, sse: sse}
	return e, e.flush()
}

// event writes one event.
func (e *eventWriter) event(event client.Event) error {
	text, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	if e.sse {
		_, err = fmt.Fprintf(e.w, "id: %d\nevent: %s\ndata: %s\n\n", event.Seq, event.Type, text)
	} else {
		_, err = e.w.Write(append(text, '\n'))
	}
	if err != nil {
		return err
	}
	return e.flush()
}
