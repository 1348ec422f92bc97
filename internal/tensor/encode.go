package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends the data of t as one flat JSON array in row-major order.
// Floating-point numbers take the fewest digits that read back as the same number.
// It fails for what JSON cannot say: FP16 and BF16, NaN and infinities, and BYTES
// that are not UTF-8; and where t's parts do not fit each other. What it returns
// with an error is dst as it was.
func AppendJSON(dst []byte, t Tensor) ([]byte, error) {
	if t.DType == FP16 || t.DType == BF16 {
		return dst, noJSON(t.DType)
	}
	if err := CheckData(t.DType, t.Shape, t.Data); err != nil {
		return dst, err
	}
	out, err := append(dst, '['), error(nil)
	switch t.DType {
	case Bytes:
		out, err = appendStrings(out, t.Data)
	case FP32, FP64:
		out, err = appendFloats(out, t.DType, t.Data)
	default:
		out = appendWhole(out, t.DType, t.Data)
	}
	if err != nil {
		return dst, err
	}
	return append(out, ']'), nil
}

// appendWhole appends booleans and integers.
func appendWhole(out []byte, d DType, data []byte) []byte {
	size := d.Size()
	for at := 0; at < len(data); at += size {
		if at > 0 {
			out = append(out, ',')
		}
		v := data[at : at+size]
		switch d {
		case Bool:
			out = strconv.AppendBool(out, v[0] != 0)
		case Int8, Int16, Int32, Int64:
			out = strconv.AppendInt(out, signed(v), 10)
		default:
			out = strconv.AppendUint(out, unsigned(v), 10)
		}
	}
	return out
}

// unsigned reads an integer of 1, 2, 4 or 8 bytes.
func unsigned(v []byte) uint64 {
	switch len(v) {
	case 1:
		return uint64(v[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(v))
	case 4:
		return uint64(binary.LittleEndian.Uint32(v))
	}
	return binary.LittleEndian.Uint64(v)
}

// signed is unsigned in two's complement.
func signed(v []byte) int64 {
	shift := 64 - 8*len(v)
	return int64(unsigned(v)<<shift) >> shift //nolint:gosec // two's complement is what is stored
}

func appendFloats(out []byte, d DType, data []byte) ([]byte, error) {
	size := d.Size()
	for at := 0; at < len(data); at += size {
		if at > 0 {
			out = append(out, ',')
		}
		f := math.Float64frombits(unsigned(data[at : at+size]))
		if d == FP32 {
			f = float64(math.Float32frombits(binary.LittleEndian.Uint32(data[at:])))
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("element %d is %g, which JSON cannot say", at/size, f)
		}
		out = appendFloat(out, f, 8*size)
	}
	return out, nil
}

// appendFloat writes a float as encoding/json does: without an exponent unless
// the number is very small or large. Negative zero has a fraction, since many
// readers take -0 for the integer, which has no sign.
func appendFloat(out []byte, f float64, size int) []byte {
	if f == 0 && math.Signbit(f) {
		return append(out, "-0.0"...)
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(out, f, format, -1, size)
}

func appendStrings(out, data []byte) ([]byte, error) {
	for n := 0; len(data) > 0; n++ {
		element, rest, err := nextString(data, n)
		if err != nil {
			return nil, err
		}
		if !utf8.Valid(element) {
			return nil, fmt.Errorf("element %d is not UTF-8, which JSON cannot say", n)
		}
		if n > 0 {
			out = append(out, ',')
		}
		out = AppendQuoted(out, element)
		data = rest
	}
	return out, nil
}

// AppendQuoted appends s, which must be UTF-8, as a JSON string.
func AppendQuoted[S ~string | ~[]byte](out []byte, s S) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		out = append(out, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\n':
			out = append(out, '\\', 'n')
		case '\r':
			out = append(out, '\\', 'r')
		case '\t':
			out = append(out, '\\', 't')
		default:
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	out = append(out, s[from:]...)
	return append(out, '"')
}
