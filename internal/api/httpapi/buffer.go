package httpapi

import (
	"io"
	"slices"
)

// Sizes of buffers, in bytes.
const (
	firstRead   = 4 << 10 // asked for before anything has come
	largestKept = 1 << 20 // a buffer that has grown over this is not kept
)

// buffer holds the JSON parts of one request and of its answer.
type buffer struct {
	request, answer []byte
}

func (h *Handler) getBuffer() *buffer { return h.buffers.Get().(*buffer) } // the pool holds nothing else

func (h *Handler) putBuffer(b *buffer) {
	if cap(b.request) > largestKept {
		b.request = nil
	}
	if cap(b.answer) > largestKept {
		b.answer = nil
	}
	h.buffers.Put(b)
}

// readUpTo appends to buf what r gives, until the end or until n bytes. Memory
// follows what has come, not what was claimed.
func readUpTo(r io.Reader, buf []byte, n int) ([]byte, error) {
	for n > 0 {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(firstRead, len(buf)))
		}
		room := buf[len(buf):min(cap(buf), len(buf)+n)]
		got, err := r.Read(room)
		buf, n = buf[:len(buf)+got], n-got
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}
