package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// The binary form of Bytes: each element is its length in four bytes, little-endian,
// and then itself, without padding: "ab" and "c" are 02 00 00 00 61 62 01 00 00 00 63.

// AppendString appends the binary form of one element of a Bytes tensor. It
// panics on a string of 2^32 bytes or more, which has none.
func AppendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	if uint64(len(s)) > math.MaxUint32 {
		panic(fmt.Sprintf("tensor: a string of %d bytes, at most 2^32-1 fit", len(s)))
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(s))) //nolint:gosec // compared above
	return append(dst, s...)
}

// Strings returns the elements of a Bytes tensor, as parts of data. It fails where
// data is not their binary form, or holds more than limit of them.
func Strings(data []byte, limit int) ([][]byte, error) {
	var all [][]byte
	for n := 0; len(data) > 0; n++ {
		element, rest, err := nextString(data, n)
		if err != nil {
			return nil, err
		}
		if n == limit {
			return nil, fmt.Errorf("more than %d strings", limit)
		}
		all = append(all, element)
		data = rest
	}
	return all, nil
}

// CheckBytes says why data is not the binary form of a Bytes tensor with that many
// elements, or nil.
func CheckBytes(data []byte, elements int) error {
	n := 0
	for ; len(data) > 0; n++ {
		if n == elements {
			return fmt.Errorf("%d bytes behind the last of %d strings", len(data), elements)
		}
		_, rest, err := nextString(data, n)
		if err != nil {
			return err
		}
		data = rest
	}
	if n != elements {
		return fmt.Errorf("%d strings, want %d", n, elements)
	}
	return nil
}

// SkipStrings returns where the string behind the first n begins in the binary form of
// BYTES, or the length of data where there are fewer, or where it is damaged.
func SkipStrings(data []byte, n int) int {
	rest := data
	for i := range n {
		_, next, err := nextString(rest, i)
		if err != nil {
			return len(data)
		}
		rest = next
	}
	return len(data) - len(rest)
}

// nextString returns the element that data begins with, and what is behind it.
func nextString(data []byte, n int) (element, rest []byte, err error) {
	if len(data) < 4 {
		return nil, nil, fmt.Errorf("%d bytes where the length of string %d should be, want 4", len(data), n)
	}
	size := binary.LittleEndian.Uint32(data)
	data = data[4:]
	if uint64(size) > uint64(len(data)) {
		return nil, nil, fmt.Errorf("string %d has %d bytes where %d are left", n, size, len(data))
	}
	return data[:size:size], data[size:], nil
}

// CheckData says why data is not the binary form of a tensor of that type and
// shape, or nil: its size, the lengths of strings, and booleans other than 0 and 1.
func CheckData(d DType, shape []int64, data []byte) error {
	if d == Bytes {
		n, err := Elements(shape)
		if err != nil {
			return err
		}
		return CheckBytes(data, n)
	}
	want, err := ByteSize(d, shape)
	if err != nil {
		return err
	}
	if len(data) != want {
		return fmt.Errorf("%d bytes, want %d for %s%s", len(data), want, d, formatShape(shape))
	}
	if d == Bool {
		for i, b := range data {
			if b > 1 {
				return fmt.Errorf("element %d of BOOL is the byte %d, want 0 or 1", i, b)
			}
		}
	}
	return nil
}

// formatShape returns "[1,28,28]".
func formatShape(shape []int64) string {
	return strings.ReplaceAll(fmt.Sprint(shape), " ", ",")
}
