package onnxruntime

import (
	"fmt"

	"verge/internal/tensor"
)

// elements maps ONNXTensorElementDataType to element types. What is Invalid here
// is a type that no request can carry.
var elements = [...]tensor.DType{ //nolint:gochecknoglobals // a constant table
	1: tensor.FP32, 2: tensor.Uint8, 3: tensor.Int8, 4: tensor.Uint16, 5: tensor.Int16, 6: tensor.Int32,
	7: tensor.Int64, 8: tensor.Bytes, 9: tensor.Bool, 10: tensor.FP16, 11: tensor.FP64, 12: tensor.Uint32,
	13: tensor.Uint64, 16: tensor.BF16,
}

// elementNames are the names of the other types of the header.
var elementNames = map[int]string{ //nolint:gochecknoglobals // a constant table
	0: "undefined", 14: "complex64", 15: "complex128", 17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2",
	20: "float8e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4e2m1",
}

// dtypeOf returns the element type with the library's number. The error names
// one that no request can carry.
func dtypeOf(number int) (tensor.DType, error) {
	if number >= 0 && number < len(elements) && elements[number] != tensor.Invalid {
		return elements[number], nil
	}
	name, ok := elementNames[number]
	if !ok {
		name = fmt.Sprintf("number %d", number)
	}
	return tensor.Invalid, fmt.Errorf("element type %s, which no request can carry", name)
}

// elementOf is the inverse of dtypeOf; 0 for no type.
func elementOf(d tensor.DType) uintptr {
	for i, e := range elements {
		if e == d && d != tensor.Invalid {
			return uintptr(i)
		}
	}
	return 0
}
