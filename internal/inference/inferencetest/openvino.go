package inferencetest

import (
	"testing"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest/irmodel"
	"verge/internal/tensor"
)

// OpenVINO returns the suite's models and the digits example in OpenVINO's IR. The
// caller sets Open.
//
// Some models are missing. No identity has strings, which the library cannot run
// safely, or the numbers of more bits than it computes in. None is endless: a
// run is canceled between two nodes of the graph, never inside a Loop.
func OpenVINO(tb testing.TB) Suite {
	tb.Helper()
	identity := map[tensor.DType][]byte{}
	for _, d := range tensor.DTypes() {
		identity[d] = irmodel.Identity(d, -1)
	}
	for _, d := range []tensor.DType{tensor.Bytes, tensor.Int64, tensor.Uint64, tensor.Uint32, tensor.FP64} {
		delete(identity, d)
	}
	return Suite{
		Split:    irmodel.Split,
		Identity: identity,
		Scalar:   irmodel.Identity(tensor.FP32),
		Join:     irmodel.Join(),
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
		NonZero: irmodel.NonZero(),
		Repeat:  irmodel.Repeat(),
		Lookup:  irmodel.Lookup(),
		Narrow:  irmodel.Narrow(),
		Sum:     irmodel.Sum(10),
		Weights: irmodel.Weights(4 << 20),
		Unknown: irmodel.Unknown(),
		Known:   DigitsIn(tb, "digits.xml", "digits.bin"),
	}
}
