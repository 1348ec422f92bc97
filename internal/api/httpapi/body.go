package httpapi

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"verge/internal/api"
	"verge/internal/fault"
	"verge/internal/oip"
)

// body is the body of an inference request, decompressed.
type body struct {
	reader io.Reader
	length int64 // -1 where it is not known beforehand
	limit  int64 // of what is left
	framed bool  // the header that tells where the JSON part ends is there
	header int   // what it says
}

// errLimit is what a body fails with that is longer than it may be.
var errLimit = errors.New("the body is over its limit")

// openBody looks at the headers of a request, before anything of its body is read.
func (h *Handler) openBody(r *http.Request) (*body, error) {
	if err := checkContentType(r); err != nil {
		return nil, err
	}
	b := &body{reader: r.Body, length: r.ContentLength, limit: h.bodyLimit()}
	if b.length > b.limit {
		return nil, h.tooLarge(b.length)
	}
	if err := b.decompress(r); err != nil {
		return nil, err
	}
	return b, b.readFrame(r, h.cfg.Requests)
}

// bodyLimit is how many bytes a body may have, decompressed.
func (h *Handler) bodyLimit() int64 {
	return int64(h.cfg.Requests.JSONBytes) + int64(h.cfg.Requests.TensorBytes)
}

// tooLarge is the error of a body over the limit; length is -1 where it is not known.
func (h *Handler) tooLarge(length int64) error {
	if length < 0 {
		return fault.New(fault.TooLarge, opBody, "the body has more than %d bytes", h.bodyLimit())
	}
	return fault.New(fault.TooLarge, opBody, "the body has %d bytes, the limit is %d", length, h.bodyLimit())
}

// checkContentType takes what clients send: nothing, JSON, or bytes.
func checkContentType(r *http.Request) error {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return nil
	}
	kind, _, err := mime.ParseMediaType(header)
	if err == nil {
		switch kind {
		case "application/json", "application/octet-stream",
			"application/x-www-form-urlencoded": // what curl -d says
			return nil
		}
	}
	return api.Refuse(http.StatusUnsupportedMediaType, fault.Invalid, "content type %s, want application/json or application/octet-stream", quote(header))
}

// decompress reads through gzip, or deflate, which is zlib's form (RFC 9110,
// section 8.4.1). What comes out is bounded like what comes in.
func (b *body) decompress(r *http.Request) (err error) {
	encoding := strings.Join(r.Header.Values("Content-Encoding"), ",")
	source := bufio.NewReader(r.Body)
	var stream io.Reader
	switch strings.ToLower(encoding) {
	case "", "identity":
		return nil
	case "gzip", "x-gzip":
		stream, err = gzip.NewReader(source)
	case "deflate":
		stream, err = zlib.NewReader(source)
	default:
		return api.Refuse(http.StatusUnsupportedMediaType, fault.Invalid, "content encoding %s, want gzip, deflate or none", quote(encoding))
	}
	b.reader, b.length = &inflated{stream: stream, source: source}, -1
	if err != nil {
		return b.explain(err)
	}
	return nil
}

// inflated is a compressed body that holds one stream and nothing behind it.
type inflated struct {
	stream io.Reader
	source *bufio.Reader
}

var errBehindStream = errors.New("bytes behind the compressed stream")

// Read implements io.Reader.
func (i *inflated) Read(p []byte) (int, error) {
	n, err := i.stream.Read(p)
	if err != io.EOF {
		return n, err
	}
	if _, sourceErr := i.source.ReadByte(); sourceErr == nil {
		err = errBehindStream
	} else if sourceErr != io.EOF {
		err = sourceErr
	}
	return n, err
}

// readFrame reads the header that tells where the JSON part ends: digits, at most
// as many bytes as there are.
func (b *body) readFrame(r *http.Request, limits oip.Limits) error {
	values := r.Header.Values(oip.HeaderLength)
	if len(values) == 0 {
		if b.length > int64(limits.JSONBytes) {
			return jsonTooLarge(strconv.FormatInt(b.length, 10), limits.JSONBytes)
		}
		return nil
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	switch {
	case len(values) > 1 || err != nil || strings.TrimLeft(values[0], "0123456789") != "":
		return fault.New(fault.Invalid, opBody, "header %s is %s, want one number", oip.HeaderLength, quote(strings.Join(values, ", ")))
	case b.length >= 0 && n > uint64(b.length):
		return fault.New(fault.Invalid, opBody, "header %s is %d, the body has %d bytes", oip.HeaderLength, n, b.length)
	case n > uint64(limits.JSONBytes): //nolint:gosec // a positive limit
		return jsonTooLarge(strconv.FormatUint(n, 10), limits.JSONBytes)
	case b.length-int64(n) > int64(limits.TensorBytes):
		return fault.New(fault.TooLarge, opBody, "%d bytes follow the JSON part, the limit is %d", b.length-int64(n), limits.TensorBytes)
	}
	b.framed, b.header = true, int(n)
	return nil
}

// jsonTooLarge is the error of a JSON part of that many bytes ("more than 10").
func jsonTooLarge(length string, limit int) error {
	return fault.New(fault.TooLarge, opBody, "the JSON part has %s bytes, the limit is %d", length, limit).WithHint("Send tensors as binary data.")
}

// rest is how many bytes follow the JSON part, or -1 where that is not known.
func (b *body) rest() int64 {
	if b.length < 0 {
		return -1
	}
	if !b.framed {
		return 0
	}
	return b.length - int64(b.header)
}

// Read implements io.Reader, within the limit.
func (b *body) Read(p []byte) (int, error) {
	if b.limit <= 0 {
		var one [1]byte
		if n, err := b.reader.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, errLimit
	}
	n, err := b.reader.Read(p[:min(int64(len(p)), b.limit)])
	b.limit -= int64(n)
	return n, err
}

// explain gives an error of reading its kind.
func (b *body) explain(err error) error {
	var classified *fault.Error
	var corrupt flate.CorruptInputError
	switch {
	case errors.As(err, &classified):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fault.New(fault.Invalid, opBody, "the compressed body ended too early")
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, zlib.ErrHeader), errors.Is(err, zlib.ErrDictionary):
		return fault.New(fault.Invalid, opBody, "the body is not compressed as its header Content-Encoding says")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, zlib.ErrChecksum), errors.Is(err, errBehindStream), errors.As(err, &corrupt):
		return fault.New(fault.Invalid, opBody, "the compressed body is damaged: %w", err)
	}
	return fault.New(fault.Internal, opBody, "read the body: %w", err)
}

// quote quotes foreign text for a message, shortened.
func quote(s string) string {
	const limit = 64
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}
