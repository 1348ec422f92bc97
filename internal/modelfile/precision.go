package modelfile

import (
	"fmt"
	"slices"
	"strings"

	"verge/internal/inference"
	"verge/internal/modelfile/tflite"
)

// Precision says in which numbers the model computes or keeps its weights for the most
// part, whichever are the smaller: "int8", "fp16" or "fp32", or "" for a TensorRT engine,
// and by what that is told. Which kernels a library picks is its own affair.
func (i *Info) Precision() (name, why string) {
	switch {
	case i.ONNX != nil:
		for _, o := range i.ONNX.Operators {
			if strings.HasPrefix(o.Name, "QLinear") || strings.HasSuffix(o.Name, "Integer") || o.Name == "DequantizeLinear" {
				return "int8", fmt.Sprintf("it has %d %s operators", o.Count, o.Name)
			}
		}
	case i.TFLite != nil:
		for _, spec := range slices.Concat(i.Signature.Inputs, i.Signature.Outputs) {
			if spec.Quantization != nil {
				return "int8", fmt.Sprintf("%s is quantised", spec.Name)
			}
		}
		for _, o := range i.TFLite.Operators {
			if o.Name == "QUANTIZE" {
				return "int8", fmt.Sprintf("it has %d QUANTIZE operators", o.Count)
			}
		}
	case i.OpenVINO != nil:
		for _, o := range i.OpenVINO.Operators {
			if o.Name == "FakeQuantize" {
				return "int8", fmt.Sprintf("it has %d FakeQuantize operators", o.Count)
			}
		}
	}
	if i.TensorRT != nil {
		return "", "only the library can tell"
	}
	if bits := i.weightBits(); bits > 0 {
		return map[int]string{8: "int8", 16: "fp16"}[bits], fmt.Sprintf("its weights are kept in %d bits", bits)
	}
	return "fp32", "nothing in it is quantised" + halves(i.Signature)
}

// weightBits is 16 or 8 where most of the model's weights are kept in so many bits, and 0
// where that cannot be told or is no more than a few.
func (i *Info) weightBits() int {
	const few = 256
	var count, bytes int64
	switch {
	case i.ONNX != nil:
		count, bytes = i.ONNX.Parameters, i.ONNX.ParameterBytes
	case i.TFLite != nil && slices.ContainsFunc(i.TFLite.Operators, func(o tflite.OperatorCount) bool { return o.Name == "DEQUANTIZE" }):
		count, bytes = i.TFLite.Parameters, i.TFLite.ParameterBytes
	case i.OpenVINO != nil && i.OpenVINO.ConvertedBytes > 0:
		count, bytes = i.OpenVINO.Parameters, i.OpenVINO.ParameterBytes
	}
	switch perWeight := float64(bytes) / float64(max(count, 1)); {
	case count < few, perWeight >= 3:
	case perWeight >= 1.5:
		return 16
	case i.OpenVINO != nil: // in the others, sparse weights take as little
		return 8
	}
	return 0
}

// halves says that inputs are of 16 bits, where they are.
func halves(g inference.Signature) string {
	for _, spec := range g.Inputs {
		if strings.HasSuffix(spec.DType.String(), "16") {
			return "; " + spec.Name + " is " + spec.DType.String()
		}
	}
	return ""
}
