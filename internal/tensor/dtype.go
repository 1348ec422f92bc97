// Package tensor holds named n-dimensional arrays in the layout that crosses
// the wire: little-endian, row-major, without padding. It knows element types,
// shape arithmetic that cannot overflow, and the JSON and binary forms of the
// Open Inference Protocol. It does no numerical work.
package tensor

import (
	"fmt"

	"verge/internal/fault"
)

// DType is an element type of the Open Inference Protocol, or BF16.
// The zero value is no type.
type DType uint8

// The element types.
const (
	Invalid DType = iota
	Bool          // one byte, 0 or 1
	Uint8
	Uint16
	Uint32
	Uint64
	Int8
	Int16
	Int32
	Int64
	FP16  // IEEE 754 binary16
	BF16  // upper half of an FP32
	FP32  // IEEE 754 binary32
	FP64  // IEEE 754 binary64
	Bytes // strings of any bytes; see the binary form in binary.go
)

type dtypeInfo struct {
	name string
	size int
}

var dtypes = [...]dtypeInfo{ //nolint:gochecknoglobals // a constant table
	Invalid: {"INVALID", 0},
	Bool:    {"BOOL", 1},
	Uint8:   {"UINT8", 1}, Uint16: {"UINT16", 2}, Uint32: {"UINT32", 4}, Uint64: {"UINT64", 8},
	Int8: {"INT8", 1}, Int16: {"INT16", 2}, Int32: {"INT32", 4}, Int64: {"INT64", 8},
	FP16: {"FP16", 2}, BF16: {"BF16", 2}, FP32: {"FP32", 4}, FP64: {"FP64", 8},
	Bytes: {"BYTES", 0},
}

// DTypes returns every element type, in declaration order.
func DTypes() []DType {
	all := make([]DType, 0, len(dtypes)-1)
	for d := Bool; int(d) < len(dtypes); d++ {
		all = append(all, d)
	}
	return all
}

// ParseDType returns the type with the protocol's name, such as "FP32". Case counts.
func ParseDType(name string) (DType, error) {
	for d := Bool; int(d) < len(dtypes); d++ {
		if dtypes[d].name == name {
			return d, nil
		}
	}
	return Invalid, fmt.Errorf("unknown datatype %q, want one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, BF16, FP32, FP64, BYTES", fault.Clip(name))
}

// String returns the protocol's name.
func (d DType) String() string {
	if int(d) < len(dtypes) {
		return dtypes[d].name
	}
	return fmt.Sprintf("DTYPE(%d)", uint8(d))
}

// Size returns the bytes of one element; 0 for Bytes, whose elements differ,
// and for no type.
func (d DType) Size() int {
	if int(d) < len(dtypes) {
		return dtypes[d].size
	}
	return 0
}

// MarshalText implements encoding.TextMarshaler.
func (d DType) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *DType) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDType(string(text))
	return err
}
