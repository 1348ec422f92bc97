package inferencetest

import (
	"testing"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/tensor"
)

// TFLite returns the suite's models and the digits example in TensorFlow Lite's format.
// The caller sets Open.
func TFLite(tb testing.TB) Suite {
	tb.Helper()
	identity := map[tensor.DType][]byte{}
	for _, d := range tensor.DTypes() {
		identity[d] = tflitemodel.Identity(d, -1)
	}
	delete(identity, tensor.Bytes)
	return Suite{
		Identity: identity,
		Scalar:   tflitemodel.Identity(tensor.FP32),
		Join:     tflitemodel.Join(),
		JoinSpec: inference.Signature{
			Inputs: []inference.Spec{
				{Name: "a", DType: tensor.FP32, Shape: []int64{-1, 2}},
				{Name: "b", DType: tensor.FP32, Shape: []int64{-1, 3}},
			},
			Outputs: []inference.Spec{
				{Name: "joined", DType: tensor.FP32, Shape: []int64{-1, 5}},
				{Name: "count", DType: tensor.Int64, Shape: []int64{2}},
			},
		},
		NonZero: tflitemodel.NonZero(),
		Repeat:  tflitemodel.Repeat(),
		Lookup:  tflitemodel.Lookup(),
		Narrow:  narrowTFLite(),
		Sum:     tflitemodel.Sum(10),
		Loop:    tflitemodel.Loop(),
		Weights: tflitemodel.Weights(4 << 20),
		Unknown: tflitemodel.Unknown(),
		Known:   DigitsIn(tb, "digits.tflite"),
		NoEmpty: true,
	}
}
