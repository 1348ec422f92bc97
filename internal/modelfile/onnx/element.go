package onnx

import (
	"fmt"

	"verge/internal/tensor"
)

// payload says in which field of a TensorProto the elements of a type lie when
// raw_data is not used.
type payload uint8

const (
	inInt32s payload = iota
	inInt64s
	inUint64s
	inFloats
	inDoubles
	inStrings
)

// elementInfo describes an element type of TensorProto.DataType.
type elementInfo struct {
	name  string
	bits  int // of one element in raw_data; 0 for strings
	dtype tensor.DType
	in    payload
	per   int // entries of the payload field for one element, -n for one entry for n elements
}

// elements is indexed by TensorProto.DataType.
var elements = [...]elementInfo{ //nolint:gochecknoglobals // a constant table
	1: {"FLOAT", 32, tensor.FP32, inFloats, 1},
	2: {"UINT8", 8, tensor.Uint8, inInt32s, 1}, 3: {"INT8", 8, tensor.Int8, inInt32s, 1},
	4: {"UINT16", 16, tensor.Uint16, inInt32s, 1}, 5: {"INT16", 16, tensor.Int16, inInt32s, 1},
	6: {"INT32", 32, tensor.Int32, inInt32s, 1}, 7: {"INT64", 64, tensor.Int64, inInt64s, 1},
	8: {"STRING", 0, tensor.Bytes, inStrings, 1}, 9: {"BOOL", 8, tensor.Bool, inInt32s, 1},
	10: {"FLOAT16", 16, tensor.FP16, inInt32s, 1}, 11: {"DOUBLE", 64, tensor.FP64, inDoubles, 1},
	12: {"UINT32", 32, tensor.Uint32, inUint64s, 1}, 13: {"UINT64", 64, tensor.Uint64, inUint64s, 1},
	14: {"COMPLEX64", 64, tensor.Invalid, inFloats, 2}, 15: {"COMPLEX128", 128, tensor.Invalid, inDoubles, 2},
	16: {"BFLOAT16", 16, tensor.BF16, inInt32s, 1},
	17: {"FLOAT8E4M3FN", 8, tensor.Invalid, inInt32s, 1}, 18: {"FLOAT8E4M3FNUZ", 8, tensor.Invalid, inInt32s, 1},
	19: {"FLOAT8E5M2", 8, tensor.Invalid, inInt32s, 1}, 20: {"FLOAT8E5M2FNUZ", 8, tensor.Invalid, inInt32s, 1},
	21: {"UINT4", 4, tensor.Invalid, inInt32s, -2}, 22: {"INT4", 4, tensor.Invalid, inInt32s, -2},
	23: {"FLOAT4E2M1", 4, tensor.Invalid, inInt32s, -2}, 24: {"FLOAT8E8M0", 8, tensor.Invalid, inInt32s, 1},
	25: {"UINT2", 2, tensor.Invalid, inInt32s, -4}, 26: {"INT2", 2, tensor.Invalid, inInt32s, -4},
}

// elementOf returns what is known of an element type; false for one that a
// newer ONNX may have added.
func elementOf(number uint64) (elementInfo, bool) {
	if number >= uint64(len(elements)) || elements[number].name == "" {
		return elementInfo{name: fmt.Sprintf("number %d", number)}, false
	}
	return elements[number], true
}

// entries returns how many entries of the payload field n elements take.
func (e elementInfo) entries(n int64) int64 {
	if e.per < 0 {
		group := int64(-e.per)
		return n/group + min(n%group, 1)
	}
	return n * int64(e.per)
}

// rawBytes returns the size of n elements in raw_data. The caller has checked
// that n times 16 bytes fit an int64.
func (e elementInfo) rawBytes(n int64) int64 {
	bits := int64(e.bits)
	if bits >= 8 {
		return n * (bits / 8)
	}
	group := 8 / max(bits, 1)
	return n/group + min(n%group, 1)
}
