package strictjson

import (
	"bytes"
	"fmt"
)

// MaxDepth is the highest number of objects and arrays within each other.
const MaxDepth = 100

// Kind is what a value is.
type Kind uint8

// The kinds. None stands where no value begins.
const (
	None Kind = iota
	Object
	Array
	String
	Number
	Bool
	Null
)

// String returns the kind for messages, such as "an object".
func (k Kind) String() string {
	switch k {
	case Object:
		return "an object"
	case Array:
		return "an array"
	case String:
		return "a string"
	case Number:
		return "a number"
	case Bool:
		return "true or false"
	case Null:
		return "null"
	case None:
	}
	return "no value"
}

// Error says what is wrong, and where.
type Error struct {
	Offset  int // in bytes from the start of the text
	Message string
}

// Error returns "byte 17: message".
func (e *Error) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Message) }

// Scanner reads one text. Make it with New.
type Scanner struct {
	text  []byte
	pos   int
	depth int
	first [MaxDepth + 1]bool // by depth: no element was read yet
	array [MaxDepth + 1]bool // by depth: an array, else an object
	err   error
}

// New returns a scanner at the beginning of text, which must not change while
// the scanner, or a string that it returned, is in use.
func New(text []byte) *Scanner {
	s := &Scanner{}
	s.Reset(text)
	return s
}

// Reset begins another text.
func (s *Scanner) Reset(text []byte) {
	s.text, s.pos, s.depth, s.err = text, 0, 0, nil
	if bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) {
		_ = s.fail("a byte order mark, want JSON in UTF-8 without one")
	}
}

// Err returns the error that stopped the scanner, or nil.
func (s *Scanner) Err() error { return s.err }

// Offset returns how many bytes were read.
func (s *Scanner) Offset() int { return s.pos }

// Rest returns what was not read yet, as part of the text.
func (s *Scanner) Rest() []byte { return s.text[s.pos:] }

// fail stops the scanner at its position, unless it has stopped before.
func (s *Scanner) fail(format string, args ...any) error { return s.failAt(s.pos, format, args...) }

func (s *Scanner) failAt(offset int, format string, args ...any) error {
	if s.err == nil {
		s.err = &Error{Offset: offset, Message: fmt.Sprintf(format, args...)}
	}
	return s.err
}

// space skips white space.
func (s *Scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// Peek returns the kind of the next value, None where the text has none there.
// It looks at one byte: the value may yet turn out wrong.
func (s *Scanner) Peek() Kind {
	if s.err != nil {
		return None
	}
	s.space()
	if s.pos >= len(s.text) {
		return None
	}
	switch c := s.text[s.pos]; {
	case c == '{':
		return Object
	case c == '[':
		return Array
	case c == '"':
		return String
	case c == '-' || c >= '0' && c <= '9':
		return Number
	case c == 't' || c == 'f':
		return Bool
	case c == 'n':
		return Null
	}
	return None
}

// want fails unless a value of kind k begins here.
func (s *Scanner) want(k Kind) error {
	got := s.Peek()
	switch {
	case s.err != nil:
		return s.err
	case got == k:
		return nil
	case got == None:
		return s.fail("%s, want %s", s.here(), k)
	}
	return s.fail("%s, want %s", got, k)
}

// here describes the next byte for a message.
func (s *Scanner) here() string {
	if s.pos >= len(s.text) {
		return "the end of the text"
	}
	if c := s.text[s.pos]; c >= 0x20 && c < 0x7f {
		return fmt.Sprintf("%q", c)
	}
	return fmt.Sprintf("the byte %#02x", s.text[s.pos])
}

// Enter goes into an object or an array.
func (s *Scanner) Enter(k Kind) error {
	if err := s.want(k); err != nil {
		return err
	}
	if s.depth == MaxDepth {
		return s.fail("more than %d objects and arrays within each other", MaxDepth)
	}
	s.depth++
	s.first[s.depth], s.array[s.depth] = true, k == Array
	s.pos++
	return nil
}

// More reports whether the object or array that was entered last has another
// element, which must then be read. After the last one it leaves the object or
// array. It is false as well after an error: look at Err, or at what End returns.
func (s *Scanner) More() bool {
	if s.err != nil {
		return false
	}
	if s.depth == 0 {
		_ = s.fail("no object or array was entered")
		return false
	}
	first := s.first[s.depth]
	if !first && s.pos < len(s.text) && s.text[s.pos] == ',' { // the usual case
		s.pos++
		return true
	}
	s.space()
	s.first[s.depth] = false
	if s.pos < len(s.text) {
		c := s.text[s.pos]
		switch {
		case c == ']' && s.array[s.depth], c == '}' && !s.array[s.depth]:
			s.pos++
			s.depth--
			return false
		case c == ',' && !first:
			s.pos++
			return true
		case first:
			return true
		}
	}
	closing := '}'
	if s.array[s.depth] {
		closing = ']'
	}
	if first {
		_ = s.fail("%s, want a value or %q", s.here(), closing)
	} else {
		_ = s.fail("%s, want ',' or %q", s.here(), closing)
	}
	return false
}

// Key returns the key of the next member of an object, and stands at its value.
// It is nil after an error. As a string, it may be part of the text.
func (s *Scanner) Key() []byte {
	key, err := s.String()
	if err != nil {
		return nil
	}
	s.space()
	if s.pos >= len(s.text) || s.text[s.pos] != ':' {
		_ = s.fail("%s, want ':'", s.here())
		return nil
	}
	s.pos++
	return key
}

// End fails unless the document is complete and nothing but white space is left.
func (s *Scanner) End() error {
	if s.err != nil {
		return s.err
	}
	s.space()
	switch {
	case s.depth > 0:
		return s.fail("the document is not complete")
	case s.pos < len(s.text):
		return s.fail("%s behind the end of the document", s.here())
	}
	return nil
}

// Bool reads true or false.
func (s *Scanner) Bool() (bool, error) {
	if err := s.want(Bool); err != nil {
		return false, err
	}
	if s.text[s.pos] == 't' {
		return true, s.word("true")
	}
	return false, s.word("false")
}

// word reads a literal.
func (s *Scanner) word(word string) error {
	if rest := s.text[s.pos:]; len(rest) < len(word) || string(rest[:len(word)]) != word {
		return s.fail("no valid literal, want %s", word)
	}
	s.pos += len(word)
	return nil
}
