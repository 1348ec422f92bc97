package strictjson

// MaxKeys is the highest number of members of an object that is skipped, or
// whose keys a Keys keeps.
const MaxKeys = 1024

// Skip reads one value of any kind, checks all of it, and returns its bytes,
// which are part of the text.
func (s *Scanner) Skip() ([]byte, error) {
	s.Peek() // to leave the white space before it out
	start := s.pos
	if err := s.skip(); err != nil {
		return nil, err
	}
	return s.text[start:s.pos:s.pos], nil
}

// skip reads one value. It calls itself at most MaxDepth deep.
func (s *Scanner) skip() error {
	switch s.Peek() {
	case Number:
		var n number
		return s.number(&n)
	case String:
		start := s.pos + 1
		_, err := s.escaped(start, s.plain(start), nil)
		return err
	case Array:
		if err := s.Enter(Array); err != nil {
			return err
		}
		for s.More() {
			s.skipNumbers()
			if err := s.skip(); err != nil {
				return err
			}
		}
		return s.err
	case Object:
		return s.skipObject()
	case Bool:
		_, err := s.Bool()
		return err
	case Null:
		return s.word("null")
	case None:
	}
	return s.fail("%s, want a value", s.here())
}

// skipNumbers reads, where an element of an array begins, numbers that a comma
// follows, and ends where another element begins. It is the short way through
// long arrays of numbers; whatever it does not know it leaves to skip.
func (s *Scanner) skipNumbers() {
	for text, i := s.text, s.pos; ; s.pos = i {
		for i < len(text) && text[i] == ' ' {
			i++
		}
		if i < len(text) && text[i] == '-' {
			i++
		}
		from := i
		for i < len(text) && text[i]-'0' <= 9 {
			i++
		}
		if i == from || text[from] == '0' && i > from+1 {
			return
		}
		if i < len(text) && text[i] == '.' {
			i++
			for from = i; i < len(text) && text[i]-'0' <= 9; i++ { //nolint:revive // counts digits
			}
			if i == from {
				return
			}
		}
		if i >= len(text) || text[i] != ',' {
			return
		}
		i++
	}
}

func (s *Scanner) skipObject() error {
	if err := s.Enter(Object); err != nil {
		return err
	}
	var keys Keys
	for s.More() {
		offset := s.pos
		key := s.Key()
		if s.err != nil {
			return s.err
		}
		if err := keys.Add(key); err != nil {
			return s.failAt(offset, "%s", err)
		}
		if err := s.skip(); err != nil {
			return err
		}
	}
	return s.err
}
