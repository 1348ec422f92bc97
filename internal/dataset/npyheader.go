package dataset

import (
	"bytes"
	"strconv"
	"strings"

	"verge/internal/fault"
	"verge/internal/tensor"
)

// npyTypes are the element types of NumPy by their letter and size.
var npyTypes = map[string]tensor.DType{ //nolint:gochecknoglobals // a constant table
	"b1": tensor.Bool,
	"u1": tensor.Uint8, "u2": tensor.Uint16, "u4": tensor.Uint32, "u8": tensor.Uint64,
	"i1": tensor.Int8, "i2": tensor.Int16, "i4": tensor.Int32, "i8": tensor.Int64,
	"f2": tensor.FP16, "f4": tensor.FP32, "f8": tensor.FP64,
}

// literal scans the Python literal of a header. After the first mistake, bad is
// true and nothing matches any more.
type literal struct {
	rest []byte
	bad  bool
}

// skip steps over blanks.
func (l *literal) skip() { l.rest = bytes.TrimLeft(l.rest, " \t\n\r") }

// take steps over token and blanks around it, where token is next.
func (l *literal) take(token string) bool {
	l.skip()
	rest, ok := bytes.CutPrefix(l.rest, []byte(token))
	if !ok || l.bad {
		return false
	}
	l.rest = rest
	return true
}

// want is take for a token that must be there.
func (l *literal) want(token string) {
	if !l.take(token) {
		l.bad = true
	}
}

// text reads a quoted string without escapes.
func (l *literal) text() string {
	for _, quote := range []string{"'", `"`} {
		if !l.take(quote) {
			continue
		}
		s, rest, ok := bytes.Cut(l.rest, []byte(quote))
		if !ok || bytes.ContainsAny(s, "\\\n") {
			break
		}
		l.rest = rest
		return string(s)
	}
	l.bad = true
	return ""
}

// number reads a decimal number of zero or more. Python 2 wrote an L behind it.
func (l *literal) number() int64 {
	l.skip()
	digits := len(l.rest) - len(bytes.TrimLeft(l.rest, "0123456789"))
	n, err := strconv.ParseInt(string(l.rest[:digits]), 10, 64)
	if err != nil {
		l.bad = true
		return 0
	}
	l.rest = l.rest[digits:]
	l.take("L")
	return n
}

// boolean reads True or False.
func (l *literal) boolean() bool {
	if l.take("True") {
		return true
	}
	l.want("False")
	return false
}

// shape reads a tuple of numbers, of at most tensor.MaxRank+1 so that a longer
// one is seen to be too long.
func (l *literal) shape() []int64 {
	shape := []int64{}
	l.want("(")
	for !l.bad && !l.take(")") {
		if len(shape) > tensor.MaxRank {
			l.bad = true
			break
		}
		shape = append(shape, l.number())
		if !l.take(",") {
			if len(shape) == 1 {
				l.bad = true // (3) is no tuple
			}
			l.want(")")
			break
		}
	}
	return shape
}

// parseNPYHeader reads a header such as
// "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }".
func parseNPYHeader(text []byte) (*npyHeader, error) {
	const hint = "Give a file that numpy.save wrote."
	var (
		l     = literal{rest: text}
		h     = &npyHeader{}
		descr string
		seen  = map[string]bool{}
	)
	l.want("{")
	for !l.bad && !l.take("}") {
		key := l.text()
		l.want(":")
		if seen[key] {
			l.bad = true
		}
		seen[key] = true
		switch key {
		case "descr":
			if l.take("[") {
				return nil, fault.New(fault.Unsupported, opNPY, "the array holds records, arrays of numbers are read").
					WithHint("Save each field as an array of its own, with numpy.savez.")
			}
			descr = l.text()
		case "fortran_order":
			h.fortran = l.boolean()
		case "shape":
			h.shape = l.shape()
		default:
			l.bad = true
		}
		if !l.take(",") {
			l.want("}")
			break
		}
	}
	if l.skip(); l.bad || len(l.rest) > 0 || len(seen) != 3 {
		return nil, invalid(opNPY, "the header of the array, %q, is not one of NumPy's", fault.Clip(strings.TrimSpace(string(text)))).WithHint(hint)
	}
	if len(h.shape) > tensor.MaxRank {
		return nil, invalid(opNPY, "the array has more than %d dimensions", tensor.MaxRank).WithHint("Reshape the array.")
	}
	return h, h.setType(descr)
}

// setType understands a type such as "<f4".
func (h *npyHeader) setType(descr string) error {
	order, name := byte(0), ""
	if len(descr) > 1 {
		order, name = descr[0], descr[1:]
	}
	dtype, ok := npyTypes[name]
	if ok && (order == '<' || order == '>' || order == '|' && dtype.Size() == 1) {
		h.dtype, h.swap = dtype, order == '>'
		return nil
	}
	if h.text, ok = parseText(name); ok && (order == '|' && h.text.kind == 'S' || order != '|' && h.text.kind == 'U') && bytes.IndexByte([]byte("<>|"), order) >= 0 {
		h.dtype, h.swap = tensor.Bytes, order == '>'
		return nil
	}
	what, hint := "an element type that is not read", "Convert the array, for instance with array.astype(numpy.float32)."
	switch {
	case strings.HasPrefix(name, "O"):
		what, hint = "Python objects", "Save an array of numbers, or of strings as array.astype(str) makes it; objects could run code when they are read."
	case strings.HasPrefix(name, "c"):
		what, hint = "complex numbers", "Save the real and the imaginary part as two arrays."
	}
	return fault.New(fault.Unsupported, opNPY, "the array holds %s (%q)", what, fault.Clip(descr)).WithHint("%s", hint)
}
