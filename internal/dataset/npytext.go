package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"verge/internal/inference"
	"verge/internal/tensor"
)

// text is how an array keeps strings: in fields of one width, filled up with zeros,
// which NumPy does not count as part of a string.
type text struct {
	kind  byte // 'S' for bytes, 'U' for code points of four bytes, 0 for numbers
	width int  // of a field, in bytes
}

// maxField is the most characters of a field.
const maxField = 1 << 20

// parseText understands the name of such a type without its byte order, as "U7".
func parseText(name string) (text, bool) {
	if name == "" {
		return text{}, false
	}
	n, err := strconv.ParseUint(name[1:], 10, 32)
	if err != nil || n > maxField {
		return text{}, false
	}
	switch name[0] {
	case 'S', 'a':
		return text{'S', int(n)}, true
	case 'U':
		return text{'U', 4 * int(n)}, true
	}
	return text{}, false
}

// size returns the bytes of an array of strings, and the most that they become with their
// lengths before them. It fails where that is more than MaxBytes.
func (t text) size(shape []int64) (here, then int, err error) {
	n, err := tensor.Elements(shape)
	if err != nil {
		return 0, 0, err
	}
	const length = 4
	if n > MaxBytes/(t.width+length) {
		return 0, 0, fmt.Errorf("%d strings of %d bytes", n, t.width)
	}
	return n * t.width, n * (t.width + length), nil
}

// strings turns n fields into the binary form of tensor.Bytes. swap says that code
// points are big-endian. It fails for what is no code point.
func (t text) strings(data []byte, n int, swap bool) ([]byte, error) {
	order := binary.ByteOrder(binary.LittleEndian)
	if swap {
		order = binary.BigEndian
	}
	out := make([]byte, 0, len(data)+4*n) // ASCII takes less
	var utf []byte
	for i := range n {
		field := data[i*t.width : (i+1)*t.width]
		if t.kind == 'S' {
			out = tensor.AppendString(out, bytes.TrimRight(field, "\x00"))
			continue
		}
		utf = utf[:0]
		for j := 0; j < len(field); j += 4 {
			point := order.Uint32(field[j:])
			if point > math.MaxInt32 || !utf8.ValidRune(rune(point)) {
				return nil, fmt.Errorf("string %d has %#x at %d, which is no character", i, point, j/4)
			}
			utf = utf8.AppendRune(utf, rune(point))
		}
		out = tensor.AppendString(out, bytes.TrimRight(utf, "\x00"))
	}
	return out, nil
}

// Text makes the contents of a file the one string of an input. The line feed that ends
// a text is no part of it; in other bytes it is. The result has the input's name, and 1
// for its open dimensions. It fails with fault.Invalid for an input that takes another
// number of strings.
func Text(data []byte, spec inference.Spec) (tensor.Tensor, error) {
	shape := slices.Clone(spec.Shape)
	for k, dim := range shape {
		if dim < 0 {
			shape[k] = 1
		}
	}
	if n, err := tensor.Elements(shape); err != nil || n != 1 {
		return tensor.Tensor{}, invalid("dataset.text", "a file is one string, and input %s takes %d", spec, n).
			WithHint("Give a NumPy array of strings, as numpy.save writes array.astype(str).")
	}
	if utf8.Valid(data) {
		data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	}
	return tensor.Tensor{Name: spec.Name, DType: tensor.Bytes, Shape: shape, Data: tensor.AppendString(nil, data)}, nil
}
