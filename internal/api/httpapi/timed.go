package httpapi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"verge/internal/api"
	"verge/internal/fault"
)

const opBody = "httpapi.body"

// timedBody bounds how slowly the body of a request may come: each byte that is
// awaited within timeout, and all of them at the least rate after that. Only the
// time in which a read waits counts, not that in which nobody reads.
//
// Its errors have kinds, for every reader above it: 408 for a slow body, and
// fault.Invalid or fault.Canceled for one that cannot be read to its end.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
	rate    int           // bytes a second; 0: any
	got     int64         // bytes that came
	waited  time.Duration // for them

	deadline time.Time // of the last read

	mu     sync.Mutex // guards what follows, and the connection's read deadline
	ended  bool       // nothing more is awaited: the server watches the connection now, and a deadline would look like a client that has gone
	broken bool       // by a deadline or a failure: the connection cannot be used again
}

// errStopped is what a read fails with that stop has ended.
var errStopped = errors.New("the time of the request is over")

// Read implements io.Reader.
func (t *timedBody) Read(p []byte) (int, error) {
	begin := time.Now()
	if err := t.await(begin); err != nil {
		return 0, err
	}
	n, err := t.ReadCloser.Read(p)
	t.got += int64(n)
	t.waited += time.Since(begin)
	if err == nil {
		return n, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	if err == io.EOF {
		return n, err
	}
	t.broken = true
	if errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(t.deadline) {
		return n, errStopped // the deadline was not that of await
	}
	return n, t.explain(err)
}

// await sets the deadline of the next read.
func (t *timedBody) await(now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ended:
		return nil // the body says again what it said
	case t.broken:
		return errStopped
	}
	wait := t.timeout
	if t.rate > 0 {
		earned := time.Duration(float64(t.got) / float64(t.rate) * float64(time.Second))
		wait = min(wait, t.timeout+earned-t.waited)
	}
	if t.got == 0 && t.waited == 0 {
		_ = t.control.SetWriteDeadline(now.Add(t.timeout)) // for the 100 that this read may send; an error comes again below
	}
	t.deadline = now.Add(wait)
	if err := t.control.SetReadDeadline(t.deadline); err != nil {
		t.ended, t.broken = true, true
		return t.explain(err)
	}
	return nil
}

// explain gives the error of a read its kind; its text holds no address.
func (t *timedBody) explain(err error) error {
	var network net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return api.Refuse(http.StatusRequestTimeout, fault.Deadline, "the body came too slowly: no byte for %v, or below %d bytes a second", t.timeout, t.rate)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.Invalid, opBody, "the body ended too early: %w", io.ErrUnexpectedEOF)
	case errors.As(err, &network), errors.Is(err, net.ErrClosed):
		return fault.New(fault.Canceled, opBody, "the connection broke before the end of the body")
	}
	return fault.New(fault.Invalid, opBody, "the body is not framed as HTTP asks: %w", err)
}

// stop ends a read that waits, and all later ones. It does nothing to a body that
// has come to its end.
func (t *timedBody) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		t.broken = true
		_ = t.control.SetReadDeadline(time.Unix(1, 0)) // an error means that the connection has gone
	}
}

// leave bounds how long the server may wait for what is left of the body, which it
// reads before it sends an answer. It reports whether the connection can be used
// again.
func (t *timedBody) leave() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		_ = t.control.SetReadDeadline(time.Now().Add(t.timeout)) // an error means that the connection has gone
	}
	return !t.broken
}

// unread reports whether a client may still be sending a body that nobody has read,
// and will see its connection reset before it reads the answer. What is left of a
// short one the server reads itself, unless the client asked it to close.
func (t *timedBody) unread(r *http.Request) bool {
	const server = 256 << 10 // that http.Server reads
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ended, t.broken:
		return false
	case t.got == 0 && r.Header.Get("Expect") != "":
		return false // it waits for the word to send, and got an answer instead
	}
	return r.Close || r.ContentLength < 0 || r.ContentLength-t.got > server
}

// linger reads what is left of a body that was refused, and forgets it, until the
// deadline that leave has set. The answer is on its way before it is called.
func (t *timedBody) linger() {
	_, _ = io.Copy(io.Discard, t.ReadCloser) // however it ends, the connection is closed
}

// timedWriter bounds how slowly an answer may be taken: timeout from its first byte
// to its last, and, where it is flushed, from each piece to the next flush.
type timedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	body    *timedBody // of the request; nil without one
	timeout time.Duration
	armed   bool
}

// WriteHeader implements http.ResponseWriter.
func (t *timedWriter) WriteHeader(status int) {
	t.arm()
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (t *timedWriter) Write(p []byte) (int, error) {
	t.arm()
	return t.ResponseWriter.Write(p)
}

// FlushError is what http.ResponseController calls.
func (t *timedWriter) FlushError() error {
	t.arm()
	t.armed = false
	return t.control.Flush()
}

// Unwrap is for http.ResponseController.
func (t *timedWriter) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// arm sets the deadline, once for each piece.
func (t *timedWriter) arm() {
	if t.armed {
		return
	}
	t.armed = true
	_ = t.control.SetWriteDeadline(time.Now().Add(t.timeout)) // an error means that the connection has gone
	if t.body != nil && !t.body.leave() {
		t.Header().Set("Connection", "close")
	}
}
