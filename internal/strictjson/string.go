package strictjson

import (
	"unicode/utf16"
	"unicode/utf8"
)

// String reads a string and returns its bytes, which are valid UTF-8. They are
// part of the text where the string has no escapes; the caller only reads them.
func (s *Scanner) String() ([]byte, error) {
	if err := s.want(String); err != nil {
		return nil, err
	}
	start := s.pos + 1
	i := s.plain(start)
	if i < len(s.text) && s.text[i] == '"' {
		s.pos = i + 1
		return s.text[start:i:i], nil
	}
	return s.escaped(start, i, []byte{})
}

// plain returns the offset, from i on, of the first byte that is a quote, a
// backslash, a control character or not ASCII and part of invalid UTF-8.
func (s *Scanner) plain(i int) int {
	for i < len(s.text) {
		c := s.text[i]
		switch {
		case c == '"' || c == '\\' || c < 0x20:
			return i
		case c < utf8.RuneSelf:
			i++
		default:
			r, size := utf8.DecodeRune(s.text[i:])
			if r == utf8.RuneError && size == 1 {
				return i
			}
			i += size
		}
	}
	return i
}

// escaped reads a string on from i. It appends what the string holds, from start
// on, to out, and returns that; where out is nil, it only checks.
func (s *Scanner) escaped(start, i int, out []byte) ([]byte, error) {
	keep := out != nil
	for {
		if keep {
			out = append(out, s.text[start:i]...)
		}
		switch {
		case i >= len(s.text):
			s.pos = i
			return nil, s.fail("the end of the text in a string")
		case s.text[i] == '"':
			s.pos = i + 1
			return out, nil
		case s.text[i] < 0x20:
			return nil, s.failAt(i, "the control character %#02x in a string, want it escaped", s.text[i])
		case s.text[i] != '\\':
			return nil, s.failAt(i, "invalid UTF-8 in a string")
		}
		r, size := unescape(s.text[i:])
		if size == 0 {
			return nil, s.failAt(i, "no valid escape in a string")
		}
		if keep {
			out = utf8.AppendRune(out, r)
		}
		start = i + size
		i = s.plain(start)
	}
}

// unescape decodes the escape that b begins with. Its size is 0 where it is none,
// or half of a surrogate pair.
func unescape(b []byte) (r rune, size int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	low, ok := hex4(b[6:])
	r = utf16.DecodeRune(r, low)
	if !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// hex4 decodes the \u escape that b begins with.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
