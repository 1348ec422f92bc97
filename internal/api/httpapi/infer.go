package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"verge/internal/fault"
	"verge/internal/oip"
	"verge/internal/serve"
	"verge/internal/tensor"
)

// exchange is one inference request and its answer.
type exchange struct {
	h      *Handler
	model  string // as it was asked for: the plain name, or that of a stage
	w      http.ResponseWriter
	r      *http.Request
	body   *body
	buffer *buffer
	plan   *oip.Plan
}

func (h *Handler) infer(w http.ResponseWriter, r *http.Request, e endpoint) (err error) {
	if _, err = h.models.Resolve(e.model, e.version); err != nil {
		return err // before a byte of the body is read
	}
	b, err := h.openBody(r)
	if err != nil {
		return err
	}
	x := &exchange{h: h, model: e.model, w: w, r: r, body: b, buffer: h.getBuffer()}
	defer h.putBuffer(x.buffer)
	prepare, timeout, err := x.read()
	if err != nil {
		return err
	}
	call, err := serve.Admit(r.Context(), h.models, serve.Ask{Model: e.model, Version: e.version, Timeout: timeout, Header: r.Header.Get}, prepare)
	if err != nil {
		return err
	}
	defer func() { call.End(err) }()
	return x.run(call)
}

// read reads the JSON part, and returns what holds the request against a version.
func (x *exchange) read() (prepare func(*serve.Version) error, timeout time.Duration, err error) {
	if x.body.framed && x.body.header == 0 {
		size, sizeErr := x.rawSize()
		return func(v *serve.Version) error {
			request, rawErr := oip.RawRequest(v.Signature(), size, x.h.cfg.Requests)
			if rawErr != nil {
				return rawErr
			}
			return x.match(request, v)
		}, 0, sizeErr
	}
	text, err := x.readJSON()
	if err != nil {
		return nil, 0, err
	}
	request, err := oip.ParseRequest(text, x.h.cfg.Requests)
	if err != nil {
		return nil, 0, err
	}
	return func(v *serve.Version) error { return x.match(request, v) }, request.Timeout, nil
}

// readJSON reads up to the end of the JSON part.
func (x *exchange) readJSON() ([]byte, error) {
	limit := x.h.cfg.Requests.JSONBytes
	want := limit + 1 // one byte too much tells that it is over the limit
	if x.body.framed {
		want = x.body.header
	}
	text, err := readUpTo(x.body, x.buffer.request[:0], want)
	x.buffer.request = text
	switch {
	case errors.Is(err, errLimit):
		return nil, x.h.tooLarge(-1)
	case err != nil && !errors.Is(err, io.EOF):
		return nil, x.body.explain(err)
	case x.body.framed && len(text) < want:
		return nil, fault.New(fault.Invalid, opBody, "the body has %d bytes, header %s says %d for its JSON part", len(text), oip.HeaderLength, want)
	case len(text) > limit:
		return nil, jsonTooLarge("more than "+strconv.Itoa(limit), limit)
	}
	return text, nil
}

// rawSize returns how many bytes the body of a raw request has. One of unknown
// length is read, to know.
func (x *exchange) rawSize() (int, error) {
	if x.body.length >= 0 {
		return int(x.body.length), nil // within the limit of tensors
	}
	data, err := readUpTo(x.body, x.buffer.request[:0], x.h.cfg.Requests.TensorBytes+1)
	x.buffer.request = data
	switch {
	case errors.Is(err, errLimit), len(data) > x.h.cfg.Requests.TensorBytes:
		return 0, x.h.tooLarge(-1)
	case err != nil && !errors.Is(err, io.EOF):
		return 0, x.body.explain(err)
	}
	x.body.reader, x.body.limit = bytes.NewReader(data), int64(len(data))
	return len(data), nil
}

// match makes the plan. It is called again where the version was replaced meanwhile.
func (x *exchange) match(request *oip.Request, v *serve.Version) error {
	plan, err := request.Match(v.Signature(), v.BatchSize())
	if err != nil {
		return err
	}
	x.plan = plan
	if !x.body.framed {
		return plan.CheckRest(0, false)
	}
	if rest := x.body.rest(); rest >= 0 {
		return plan.CheckRest(rest, true)
	}
	return nil
}

// run fills the inputs, runs the model and writes the answer.
func (x *exchange) run(call *serve.Call) error {
	if err := x.fill(call); err != nil {
		return err
	}
	outputs, err := call.Run()
	if err != nil {
		return err
	}
	answer, err := x.answer(call, outputs)
	if err != nil && !tensor.Finite(outputs, math.MaxInt) { // JSON has no NaN
		if others, failed := call.Instead(err); failed == nil {
			answer, err = x.answer(call, others)
		}
	}
	if err != nil {
		return err
	}
	return x.write(answer)
}

// answer encodes the outputs of the version that has answered.
func (x *exchange) answer(call *serve.Call, outputs []tensor.Tensor) (*oip.Answer, error) {
	v := call.Version()
	about := oip.About{Model: x.model, Version: v.Number(), Labels: v.Labels(), Limit: x.h.cfg.Requests.JSONBytes}
	answer, err := x.plan.Answer(x.buffer.answer[:0], about, outputs)
	if err == nil {
		x.buffer.answer = answer.JSON
	}
	return answer, err
}

// fill reads the tensors into the memory of the slot, until the request's time is over.
func (x *exchange) fill(call *serve.Call) error {
	views, err := call.Inputs(x.plan.Inputs)
	if err != nil {
		return err
	}
	if timed, ok := x.r.Body.(*timedBody); ok {
		defer context.AfterFunc(call.Context(), timed.stop)()
	}
	for i := range x.plan.Parts {
		part := &x.plan.Parts[i]
		if err := x.fillPart(part, views[part.Index]); err != nil {
			if errors.Is(err, errStopped) {
				_, err = call.Run() // says why the time is over
			}
			return err
		}
	}
	if x.body.framed {
		return x.finish()
	}
	return nil
}

func (x *exchange) fillPart(part *oip.Part, view []byte) error {
	if !part.Binary() {
		return part.Decode(view)
	}
	got, err := io.ReadFull(x.body, part.Target(view))
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return part.Short(got)
	case errors.Is(err, errLimit):
		return x.h.tooLarge(-1)
	case err != nil:
		return x.body.explain(err)
	}
	return part.Check(view)
}

// finish makes sure that nothing follows the last input.
func (x *exchange) finish() error {
	var one [1]byte
	n, err := x.body.Read(one[:])
	switch {
	case n > 0, errors.Is(err, errLimit):
		return oip.Trailing(0)
	case err != nil && !errors.Is(err, io.EOF):
		return x.body.explain(err)
	}
	return nil
}

// write sends the answer from where it lies. What fails from here on cannot be
// answered any more: the client sees a connection that breaks.
func (x *exchange) write(answer *oip.Answer) error {
	header := x.w.Header()
	header.Set("Content-Type", "application/json")
	if answer.Binary {
		header.Set("Content-Type", "application/octet-stream")
		header.Set(oip.HeaderLength, strconv.Itoa(len(answer.JSON)))
	}
	header.Set("Content-Length", strconv.Itoa(answer.Len()))
	_, err := x.w.Write(answer.JSON)
	for _, blob := range answer.Blobs {
		if err == nil {
			_, err = x.w.Write(blob)
		}
	}
	if err != nil {
		x.h.log.Debug("answer was not taken", "path", x.r.URL.Path, "err", err)
	}
	return nil
}
