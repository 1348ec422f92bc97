package openvino

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"verge/internal/fault"
)

const (
	opRead     = "openvino.read"
	windowSize = 1 << 14 // bytes that one read of the file asks for
)

// source hands the file to the XML decoder byte by byte and counts those of the
// token in hand, which the decoder would gather without a bound.
type source struct {
	src    io.ReaderAt
	size   int64
	pos    int64 // of the next read
	buf    [windowSize]byte
	next   int // of the bytes of buf that hold something
	filled int
	token  int // bytes since the token began
	limit  int // of token
}

// ReadByte implements io.ByteReader. It fails with a *fault.Error.
func (s *source) ReadByte() (byte, error) {
	if s.token++; s.token > s.limit {
		return 0, tooLarge("a tag or a text is longer than %d bytes", s.limit)
	}
	if s.next == s.filled {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	b := s.buf[s.next]
	s.next++
	return b, nil
}

// Read implements io.Reader, which the decoder asks for and does not use.
func (s *source) Read(b []byte) (int, error) {
	for i := range b {
		c, err := s.ReadByte()
		if err != nil {
			return i, err
		}
		b[i] = c
	}
	return len(b), nil
}

// fill reads the next window. At the end of the file it returns io.EOF.
func (s *source) fill() error {
	want := int(min(int64(len(s.buf)), s.size-s.pos))
	if want == 0 {
		return io.EOF
	}
	n, err := s.src.ReadAt(s.buf[:want], s.pos)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return fault.New(fault.Corrupt, opRead, "the file ended after %d bytes while it was read, it had %d", s.pos, s.size).WithHint(damagedHint)
	case n == 0 && err != nil:
		return fault.New(fault.Internal, opRead, "read at byte %d: %w", s.pos, err)
	case n == 0:
		return fault.New(fault.Internal, opRead, "read at byte %d: %w", s.pos, io.ErrNoProgress)
	}
	s.pos += int64(n)
	s.next, s.filled = 0, n
	return nil
}

const (
	damagedHint = "Copy or convert the model again; the file is damaged or was cut off."
	formatHint  = "Check that the file is the .xml of an OpenVINO model, and convert it again."
	weightsHint = "Give the .bin that was written with this .xml, beside it."

	declarationHint = "Convert the model again: an OpenVINO file has no <!DOCTYPE …> and no <!ENTITY …>."
	deepHint        = "Check that the file is the .xml of an OpenVINO model. If it is, convert it with fewer If and Loop inside each other."
)

// corrupt returns the error for a document that is no OpenVINO model.
func corrupt(line int, format string, args ...any) *fault.Error {
	return fault.New(fault.Corrupt, opRead, "line %d: %w", line, fmt.Errorf(format, args...)).WithHint(damagedHint)
}

// tooLarge returns the error for a file that is over a limit.
func tooLarge(format string, args ...any) *fault.Error {
	return fault.New(fault.TooLarge, opRead, format, args...)
}

// unsupported returns the error for a model that this version cannot serve.
func unsupported(format string, args ...any) *fault.Error {
	return fault.New(fault.Unsupported, opRead, format, args...)
}

// printable drops what would move a terminal's cursor or reorder its text.
func printable(c rune) rune {
	if unicode.IsControl(c) && c != '\n' && c != '\t' || unicode.Is(unicode.Bidi_Control, c) {
		return -1
	}
	return c
}

// label returns text for people: cut to Limits.NameBytes, without control characters.
func (p *parser) label(text string) string {
	if len(text) > p.lim.NameBytes {
		text = strings.ToValidUTF8(text[:p.lim.NameBytes], "") + "…"
	}
	return strings.Map(printable, text)
}
