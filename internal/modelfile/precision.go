package modelfile

import (
	"fmt"
	"slices"
	"strings"

	"verge/internal/inference"
)

// Precision says in which numbers the model computes for the most part: "int8",
// "fp16" or "fp32", or "" for a TensorRT engine, and by what that is told. Which kernels a library picks is its
// own affair.
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
		if i.OpenVINO.ConvertedBytes > 0 {
			return "fp32", "its weights are kept in fewer bits, and converted when it is loaded"
		}
	}
	if i.TensorRT != nil {
		return "", "only the library can tell"
	}
	return "fp32", "nothing in it is quantised" + halves(i.Signature)
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
