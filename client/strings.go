package client

import (
	"encoding/binary"
	"fmt"
	"math"
)

// FromStrings makes a BYTES tensor. An element may hold any bytes, and at most
// 2^32-1 of them; beyond that FromStrings panics.
func FromStrings(name string, shape []int64, values []string) Tensor {
	size := 0
	for _, v := range values {
		size += 4 + len(v)
	}
	data := make([]byte, 0, size)
	for _, v := range values {
		if uint64(len(v)) > math.MaxUint32 {
			panic(fmt.Sprintf("tensor %q: a string of %d bytes, at most 2^32-1 fit", name, len(v)))
		}
		data = binary.LittleEndian.AppendUint32(data, uint32(len(v))) //nolint:gosec // compared above
		data = append(data, v...)
	}
	return Tensor{Name: name, Datatype: "BYTES", Shape: shape, Data: data}
}

// Strings returns the elements of a BYTES tensor.
func (t *Tensor) Strings() ([]string, error) {
	if t.Datatype != "BYTES" {
		return nil, fmt.Errorf("tensor %q is %s, not BYTES", t.Name, t.Datatype)
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	var values []string
	err := eachString(t.Data, func(s []byte) { values = append(values, string(s)) })
	return values, err
}

// countStrings returns how many elements data holds.
func countStrings(data []byte) (n int, err error) {
	err = eachString(data, func([]byte) { n++ })
	return n, err
}

// eachString passes every element in data on.
func eachString(data []byte, fn func([]byte)) error {
	for len(data) > 0 {
		if len(data) < 4 {
			return fmt.Errorf("%d bytes after the last string", len(data))
		}
		n := binary.LittleEndian.Uint32(data)
		data = data[4:]
		if uint64(n) > uint64(len(data)) {
			return fmt.Errorf("a string of %d bytes where %d are left", n, len(data))
		}
		fn(data[:n])
		data = data[n:]
	}
	return nil
}
