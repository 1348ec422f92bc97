package openvino

import (
	"errors"
	"fmt"

	"verge/internal/tensor"
)

// elements maps ov_element_type_e to element types. What is Invalid here is a type
// that no request can carry.
var elements = [...]tensor.DType{ //nolint:gochecknoglobals // a constant table
	1: tensor.Bool, 2: tensor.BF16, 3: tensor.FP16, 4: tensor.FP32, 5: tensor.FP64, 7: tensor.Int8, 8: tensor.Int16,
	9: tensor.Int32, 10: tensor.Int64, 16: tensor.Uint8, 17: tensor.Uint16, 18: tensor.Uint32, 19: tensor.Uint64,
}

// elementNames are the names of the other types of the header.
var elementNames = map[int]string{ //nolint:gochecknoglobals // a constant table
	0: "dynamic", 6: "i4", 11: "u1", 12: "u2", 13: "u3", 14: "u4", 15: "u6", 20: "nf4", 21: "f8e4m3", 22: "f8e5m2",
	24: "f4e2m1", 25: "f8e8m0",
}

// stringElement is the number of strings. Releases up to 2026.4.1 copy the library's
// strings between nodes as bytes, so that two of them own one memory, and the
// process ends: with the Identity operation always, with none at all at times.
const stringElement = 23

// errString says that a tensor has strings.
var errString = errors.New("element type string, which OpenVINO cannot run safely")

const stringHint = "Convert the model with inputs and outputs of numbers, or run its ONNX file in ONNX Runtime (deployment.runtime)."

// dtypeOf returns the element type with the library's number. The error names one
// that no request can carry, or no run survives.
func dtypeOf(number int) (tensor.DType, error) {
	if number == stringElement {
		return tensor.Invalid, errString
	}
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
