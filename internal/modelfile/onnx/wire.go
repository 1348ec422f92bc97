package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"verge/internal/fault"
)

const (
	opRead     = "onnx.read"
	windowSize = 4096 // bytes that one read of the file asks for
)

// wireType is the low three bits of a field's tag (protobuf encoding, "Message
// Structure").
type wireType uint8

const (
	wireVarint  wireType = 0
	wireFixed64 wireType = 1
	wireLength  wireType = 2
	wireFixed32 wireType = 5
)

// span is the half-open range of file offsets that a message or a payload takes.
type span struct{ pos, end int64 }

func (s span) len() int64 { return s.end - s.pos }

// field is one field of a message. body is the payload of wireLength, and value
// holds the others, floating point as bits.
type field struct {
	number int32
	wire   wireType
	value  uint64
	body   span
	at     int64 // offset of the tag
}

// is reports whether f is field n in the given encoding. A known number in
// another encoding is an unknown field, as protobuf has it.
func (f field) is(n int32, w wireType) bool { return f.number == n && f.wire == w }

// reader decodes protobuf from src through one window.
type reader struct {
	src    io.ReaderAt
	size   int64
	lim    Limits
	buf    [windowSize]byte
	base   int64 // offset of buf[0]
	filled int   // valid bytes of buf
	fields int64 // looked at so far
	text   int64 // bytes of text kept so far
}

// corrupt returns the error for bytes that are no ONNX model.
func corrupt(at int64, format string, args ...any) error {
	return fault.New(fault.Corrupt, opRead, "at byte %d: %w", at, fmt.Errorf(format, args...)).
		WithHint("Copy or export the model again; the file is damaged or was cut off.")
}

// tooLarge returns the error for a file that is over a limit.
func tooLarge(format string, args ...any) error {
	return fault.New(fault.TooLarge, opRead, format, args...)
}

// unsupported returns the error for a model that this version cannot serve.
func unsupported(format string, args ...any) *fault.Error {
	return fault.New(fault.Unsupported, opRead, format, args...)
}

// peek returns the n bytes at pos. They are valid until the next peek. The
// caller has checked that they lie in the file; n is at most windowSize.
func (r *reader) peek(pos int64, n int) ([]byte, error) {
	if pos < r.base || pos+int64(n) > r.base+int64(r.filled) {
		want := int(min(int64(windowSize), r.size-pos))
		got, err := r.src.ReadAt(r.buf[:want], pos)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fault.New(fault.Internal, opRead, "read at byte %d: %w", pos, err)
		}
		r.base, r.filled = pos, got
		if got < n {
			return nil, corrupt(pos+int64(got), "the file ended while it was read")
		}
	}
	start := int(pos - r.base)
	return r.buf[start : start+n], nil
}

// varint decodes the varint at the start of s and steps over it.
func (r *reader) varint(s *span) (uint64, error) {
	if s.len() <= 0 {
		return 0, corrupt(s.pos, "the file ends inside a field")
	}
	b, err := r.peek(s.pos, int(min(s.len(), binary.MaxVarintLen64)))
	if err != nil {
		return 0, err
	}
	v, n := binary.Uvarint(b)
	switch {
	case n > 0:
		s.pos += int64(n)
		return v, nil
	case n == 0 && len(b) < binary.MaxVarintLen64:
		return 0, corrupt(s.pos, "a number is cut off")
	}
	return 0, corrupt(s.pos, "a number is longer than 64 bits")
}

// next decodes the field at the start of s and steps over it. It returns false
// at the end of s.
func (r *reader) next(s *span) (field, bool, error) {
	if s.pos == s.end {
		return field{}, false, nil
	}
	if r.fields++; r.fields > r.lim.Fields {
		return field{}, false, tooLarge("the file has more than %d protobuf fields", r.lim.Fields)
	}
	f := field{at: s.pos}
	tag, err := r.varint(s)
	if err != nil {
		return field{}, false, err
	}
	if tag>>3 == 0 || tag > math.MaxUint32 {
		return field{}, false, corrupt(f.at, "field number %d is out of range", tag>>3)
	}
	f.number, f.wire = int32(tag>>3), wireType(tag&7) // at most 29 bits, as checked
	switch f.wire {
	case wireVarint:
		f.value, err = r.varint(s)
	case wireFixed64:
		f.value, err = r.fixed(s, 8)
	case wireFixed32:
		f.value, err = r.fixed(s, 4)
	case wireLength:
		var n uint64
		if n, err = r.varint(s); err == nil && n > uint64(s.len()) { //nolint:gosec // never negative
			err = corrupt(f.at, "field %d claims %d bytes, only %d are left", f.number, n, s.len())
		}
		if err == nil {
			f.body = span{s.pos, s.pos + int64(n)} //nolint:gosec // at most s.len()
			s.pos = f.body.end
		}
	default:
		err = corrupt(f.at, "field %d has wire type %d, which ONNX does not use", f.number, f.wire)
	}
	return f, err == nil, err
}

// fixed decodes the n little-endian bytes at the start of s and steps over them.
func (r *reader) fixed(s *span, n int) (uint64, error) {
	if s.len() < int64(n) {
		return 0, corrupt(s.pos, "the file ends inside a field")
	}
	b, err := r.peek(s.pos, n)
	if err != nil {
		return 0, err
	}
	s.pos += int64(n)
	if n == 4 {
		return uint64(binary.LittleEndian.Uint32(b)), nil
	}
	return binary.LittleEndian.Uint64(b), nil
}

// each calls visit for every field of s.
func (r *reader) each(s span, visit func(field) error) error {
	for {
		f, ok, err := r.next(&s)
		if err != nil || !ok {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
	}
}

// name returns the text of f, which what describes. It is refused over
// Limits.NameBytes and where it is not UTF-8.
func (r *reader) name(f field, what string) (string, error) {
	if f.body.len() > int64(r.lim.NameBytes) {
		return "", tooLarge("at byte %d: %s has %d bytes, the limit is %d", f.at, what, f.body.len(), r.lim.NameBytes)
	}
	s, err := r.keep(f.body)
	if err == nil && !utf8.ValidString(s) {
		err = corrupt(f.at, "%s %q is not UTF-8 text", what, fault.Clip(s))
	}
	return s, err
}

// label returns the text of f for people: in valid UTF-8, without control characters,
// and where it is longer, cut to Limits.NameBytes with "…" behind them.
func (r *reader) label(f field) (string, error) {
	s, more := f.body, ""
	if most := int64(r.lim.NameBytes); s.len() > most {
		s.end, more = s.pos+most, "…"
	}
	text, err := r.keep(s)
	return strings.Map(printable, strings.ToValidUTF8(text, "")) + more, err
}

// keep copies a span out of the file.
func (r *reader) keep(s span) (string, error) {
	if r.text += s.len(); r.text > r.lim.TextBytes {
		return "", tooLarge("the names in the file take more than %d bytes", r.lim.TextBytes)
	}
	var b strings.Builder
	b.Grow(int(s.len()))
	for s.len() > 0 {
		part, err := r.peek(s.pos, int(min(s.len(), windowSize)))
		if err != nil {
			return "", err
		}
		b.Write(part)
		s.pos += int64(len(part))
	}
	return b.String(), nil
}

// printable drops what would move a terminal's cursor or reorder its text.
func printable(c rune) rune {
	if unicode.IsControl(c) && c != '\n' && c != '\t' || unicode.Is(unicode.Bidi_Control, c) {
		return -1
	}
	return c
}
