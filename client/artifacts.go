package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// uploadOffsetHeader tells how many bytes of an artifact the node holds from an
// upload that was cut. It comes with 404 to HEAD and with 409 to PUT.
const uploadOffsetHeader = "Upload-Offset"

// uploadTries is how often an upload goes on after a cut without that a single
// byte more has arrived.
const uploadTries = 3

// digestLength is that of "sha256:" and 64 hexadecimal digits.
const digestLength = 7 + 64

// HasArtifact reports whether the node holds all bytes of the artifact.
func (c *Client) HasArtifact(ctx context.Context, digest string) (bool, error) {
	has, _, err := c.headArtifact(ctx, digest)
	return has, err
}

// PutArtifact uploads the size bytes of r, whose digest the caller has computed
// ("sha256:" and 64 lower-case hexadecimal digits), unless the node holds them.
// An upload that was cut, by this call or an earlier one, goes on where it
// ended. progress, unless nil, is told how many bytes have been sent, one call at
// a time; a number may be lower than the one before where an upload goes on.
//
// It fails with kind "exhausted" when the node has no room, before the first
// byte, and with "corrupt" when the bytes are not what the digest says.
func (c *Client) PutArtifact(ctx context.Context, digest string, r io.ReaderAt, size int64, progress func(sent, total int64)) error {
	if size < 1 {
		return invalid("artifact %s has %d bytes, want 1 or more", digest, size)
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	has, offset, err := c.headArtifact(ctx, digest)
	for try := 1; err == nil && !has; {
		var next int64
		has, next, err = c.putFrom(ctx, digest, r, offset, size, progress)
		if next > offset {
			try = 0
		}
		offset = next
		if try++; err == nil && !has && try > uploadTries {
			err = &Error{Kind: "unavailable", Message: fmt.Sprintf("the upload to %s was cut %d times at byte %d", c.address, try, offset), uploadOffset: -1}
		}
	}
	if err == nil {
		progress(size, size)
	}
	return err
}

// headArtifact asks what the node has: all, or the first bytes.
func (c *Client) headArtifact(ctx context.Context, digest string) (has bool, offset int64, err error) {
	if len(digest) != digestLength || !strings.HasPrefix(digest, "sha256:") {
		return false, 0, invalid("artifact %.80q: want sha256: and 64 hexadecimal digits", digest)
	}
	resp, err := c.send(ctx, http.MethodHead, route("v1", "artifacts", digest), nil, nil)
	var e *Error
	switch {
	case errors.As(err, &e) && e.Status == http.StatusNotFound:
		return false, max(0, e.uploadOffset), nil
	case err != nil:
		return false, 0, err
	}
	return true, 0, resp.Body.Close()
}

// putFrom sends the bytes from offset on. Where the node has another idea of
// the offset, or the connection is cut, it returns where to go on.
func (c *Client) putFrom(ctx context.Context, digest string, r io.ReaderAt, offset, size int64, progress func(sent, total int64)) (done bool, next int64, err error) {
	if offset >= size {
		return false, 0, c.badAnswer("it holds %d bytes of an artifact of %d", offset, size)
	}
	source := &uploadReader{r: io.NewSectionReader(r, offset, size-offset), sent: offset, total: size, progress: progress}
	resp, err := c.send(ctx, http.MethodPut, route("v1", "artifacts", digest), source, func(req *http.Request) {
		req.ContentLength = size - offset
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set("Content-Range", "bytes "+strconv.FormatInt(offset, 10)+"-"+strconv.FormatInt(size-1, 10)+"/"+strconv.FormatInt(size, 10))
		req.Header.Set("Expect", "100-continue") // a refusal comes before the bytes
	})
	readErr := source.stop()
	var e *Error
	switch {
	case err == nil:
		return true, size, resp.Body.Close()
	case readErr != nil:
		return false, 0, fmt.Errorf("read artifact %s: %w", digest, readErr)
	case errors.As(err, &e) && e.Status == http.StatusConflict && e.uploadOffset >= 0:
		return false, e.uploadOffset, nil
	case errors.As(err, &e) && e.Status == 0 && e.Kind == "unavailable" && !errors.Is(err, ErrUnreachable):
		return c.headArtifact(ctx, digest)
	}
	return false, 0, err
}

// uploadReader reports what it was read for, and remembers a failure of its
// own, which the transport reports like a broken connection.
type uploadReader struct {
	total    int64
	progress func(sent, total int64)

	mu      sync.Mutex // guards all below: the transport may read on after an early answer
	r       io.Reader
	sent    int64
	stopped bool
	err     error
}

// Read implements io.Reader.
func (u *uploadReader) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopped {
		return 0, io.ErrClosedPipe
	}
	n, err := u.r.Read(p)
	u.sent += int64(n)
	if err != nil && err != io.EOF { // io.Reader's contract: EOF itself
		u.err = err
	}
	if n > 0 {
		u.progress(u.sent, u.total)
	}
	return n, err
}

// stop ends all reading and reporting, and returns why a read failed.
func (u *uploadReader) stop() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopped = true
	return u.err
}
