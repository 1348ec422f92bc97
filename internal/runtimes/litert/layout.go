package litert

import (
	"fmt"

	"verge/internal/tensor"
)

// maxRank is the highest number of dimensions that the library takes.
const maxRank = 8

// layout is a LiteRtLayout: 68 bytes.
type layout struct {
	bits       uint32 // 0 to 6 the rank, 7 whether there are strides
	dimensions [maxRank]int32
	_          [maxRank]uint32 // strides
}

// rankedType is a LiteRtRankedTensorType: 72 bytes.
type rankedType struct {
	element int32
	layout  layout
}

// perTensor is a LiteRtQuantizationPerTensor.
type perTensor struct {
	scale     float32
	_         uint32
	zeroPoint int64
}

// perChannel is a LiteRtQuantizationPerChannel.
type perChannel struct {
	axis       int32
	_          uint32
	count      uint64
	scales     uintptr // of float
	zeroPoints uintptr // of int64_t
}

// newType returns the type of a tensor. Every dimension fits, since CheckInputs has
// seen the shape and maxRank the signature.
func newType(d tensor.DType, shape []int64) *rankedType {
	t := &rankedType{element: elementOf(d), layout: layout{bits: uint32(len(shape))}} //nolint:gosec // at most maxRank
	for i, n := range shape {
		t.layout.dimensions[i] = int32(n) //nolint:gosec // checked by dimensions
	}
	return t
}

// rank returns the number of dimensions, which is never above maxRank.
func (l *layout) rank() int { return int(min(l.bits&0x7f, maxRank)) }

// appendShape appends the dimensions to shape.
func (l *layout) appendShape(shape []int64) []int64 {
	for _, n := range l.dimensions[:l.rank()] {
		shape = append(shape, int64(n))
	}
	return shape
}

// equal reports whether the dimensions are those of shape.
func (l *layout) equal(shape []int64) bool {
	if l.rank() != len(shape) {
		return false
	}
	for i, n := range shape {
		if int64(l.dimensions[i]) != n {
			return false
		}
	}
	return true
}

// elements maps LiteRtElementType to element types. What is Invalid here is a type
// that no request can carry. Strings are refused too: LiteRT compiles models of
// strings, but takes no buffer of them. The classic library has the same numbers,
// TfLiteType, up to its own highest.
var elements = [...]tensor.DType{ //nolint:gochecknoglobals // a constant table
	1: tensor.FP32, 2: tensor.Int32, 3: tensor.Uint8, 4: tensor.Int64, 6: tensor.Bool, 7: tensor.Int16, 9: tensor.Int8,
	10: tensor.FP16, 11: tensor.FP64, 13: tensor.Uint64, 16: tensor.Uint32, 17: tensor.Uint16, 19: tensor.BF16,
}

// elementNames are the names of the other types of the header.
var elementNames = map[int32]string{ //nolint:gochecknoglobals // a constant table
	0: "none", elementText: "string", 8: "complex64", 12: "complex128", 14: "resource", 15: "variant", 18: "int4", 20: "int2", 21: "uint4",
}

// elementText is the number of strings.
const elementText = 5

// elementError is an element type that no request to the library can carry.
type elementError struct {
	library string
	number  int32
}

func (e *elementError) Error() string {
	name, ok := elementNames[e.number]
	if !ok {
		name = fmt.Sprintf("number %d", e.number)
	}
	return fmt.Sprintf("element type %s, which %s's interface cannot carry", name, e.library)
}

// dtypeOf returns the element type with the library's number, or an elementError.
func dtypeOf(library string, number int32) (tensor.DType, error) {
	if number >= 0 && int(number) < len(elements) && elements[number] != tensor.Invalid {
		return elements[number], nil
	}
	return tensor.Invalid, &elementError{library, number}
}

// elementOf is the inverse of dtypeOf; 0 for no type.
func elementOf(d tensor.DType) int32 {
	for i, e := range elements {
		if e == d && d != tensor.Invalid {
			return int32(i)
		}
	}
	return 0
}
