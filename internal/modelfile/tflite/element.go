package tflite

import (
	"errors"
	"fmt"
	"math"

	"verge/internal/tensor"
)

// elementInfo describes an element type of the schema's TensorType.
type elementInfo struct {
	name  string
	bits  int // of one element; 0 where the size does not follow from the shape
	dtype tensor.DType
}

const elementString = 5

// elements is indexed by TensorType.
var elements = [...]elementInfo{ //nolint:gochecknoglobals // a constant table
	{"FLOAT32", 32, tensor.FP32},
	{"FLOAT16", 16, tensor.FP16},
	{"INT32", 32, tensor.Int32},
	{"UINT8", 8, tensor.Uint8},
	{"INT64", 64, tensor.Int64},
	{"STRING", 0, tensor.Bytes},
	{"BOOL", 8, tensor.Bool},
	{"INT16", 16, tensor.Int16},
	{"COMPLEX64", 64, tensor.Invalid},
	{"INT8", 8, tensor.Int8},
	{"FLOAT64", 64, tensor.FP64},
	{"COMPLEX128", 128, tensor.Invalid},
	{"UINT64", 64, tensor.Uint64},
	{"RESOURCE", 0, tensor.Invalid},
	{"VARIANT", 0, tensor.Invalid},
	{"UINT32", 32, tensor.Uint32},
	{"UINT16", 16, tensor.Uint16},
	{"INT4", 4, tensor.Invalid},
	{"BFLOAT16", 16, tensor.BF16},
	{"INT2", 2, tensor.Invalid},
	{"UINT4", 4, tensor.Invalid},
	{"FLOAT8_E4M3FN", 8, tensor.Invalid},
	{"FLOAT8_E5M2", 8, tensor.Invalid},
}

// elementOf returns what is known of an element type; false for one that a
// newer schema may have added.
func elementOf(number int64) (elementInfo, bool) {
	if number < 0 || number >= int64(len(elements)) {
		return elementInfo{name: fmt.Sprintf("number %d", number)}, false
	}
	return elements[number], true
}

// integer reports whether scales can give the elements another meaning.
func (e elementInfo) integer() bool {
	switch e.dtype {
	case tensor.Int8, tensor.Uint8, tensor.Int16, tensor.Uint16, tensor.Int32, tensor.Uint32, tensor.Int64, tensor.Uint64:
		return true
	case tensor.Invalid, tensor.Bool, tensor.FP16, tensor.BF16, tensor.FP32, tensor.FP64, tensor.Bytes:
	}
	return false
}

// bytes returns the size of n elements, several to a byte where they are
// smaller. The caller has checked that n times 16 bytes fit an int64.
func (e elementInfo) bytes(n int64) int64 {
	bits := int64(e.bits)
	if bits >= 8 || bits == 0 {
		return n * (bits / 8)
	}
	group := 8 / bits
	return n/group + min(n%group, 1)
}

// maxElements is such that the size of the widest element type fits an int64.
const maxElements = math.MaxInt64 / 16

// errTooMany is the error for more than maxElements elements.
var errTooMany = errors.New("claims more than 576460752303423487 elements")

// product multiplies dimensions, none of which is negative: 1 for a scalar, 0
// where one is zero.
func product(dims []int64) (int64, error) {
	n, zero := int64(1), false
	for _, d := range dims {
		switch {
		case d == 0:
			zero = true
		case n > maxElements/d:
			return 0, errTooMany
		default:
			n *= d
		}
	}
	if zero {
		return 0, nil
	}
	return n, nil
}
