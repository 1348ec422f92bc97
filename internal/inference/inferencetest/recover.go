package inferencetest

import (
	"testing"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/tensor"
)

// recovers checks that requests which the model cannot compute leave nothing behind:
// not in their slot, nor in another.
func recovers(t *testing.T, s Suite) {
	t.Helper()
	const rounds = 4
	one, three := onnxmodel.Floats("x", []int64{1}, 5), onnxmodel.Floats("x", []int64{3}, 1, -2, 3)
	bad := onnxmodel.Floats("x", []int64{2}, 1, 2)
	good := func(tb testing.TB, session inference.Session, n inference.Slot) {
		tb.Helper()
		want(tb, run(tb, session, n, three), onnxmodel.Floats("y", []int64{3}, 11, 20, 33))
	}
	refused := func(tb testing.TB, session inference.Session, n inference.Slot, in tensor.Tensor) {
		tb.Helper()
		_, err := inference.Run(tb.Context(), session.Signature(), n, []tensor.Tensor{in})
		wantKind(tb, "Run", err, fault.Invalid)
	}
	for _, parallel := range []int{1, 2} {
		t.Run("slots answer as before after a shape that an operator refuses", func(t *testing.T) {
			session := s.load(t, s.Narrow, inference.Options{Parallel: parallel})
			a, b := slot(t, session), slot(t, session)
			for range rounds {
				good(t, session, a)
				good(t, session, b)
				refused(t, session, a, bad)
				good(t, session, a)
				good(t, session, a)
				refused(t, session, b, bad)
				refused(t, session, b, bad)
				good(t, session, a)
				good(t, session, b)
				want(t, run(t, session, a, one), onnxmodel.Floats("y", []int64{3}, 15, 25, 35))
			}
		})
		t.Run("slots answer as before after a value that an operator refuses", func(t *testing.T) {
			session := s.load(t, s.Lookup, inference.Options{Parallel: parallel})
			a, b := slot(t, session), slot(t, session)
			single, pair := onnxmodel.Ints("x", []int64{1}, 1), onnxmodel.Ints("x", []int64{2}, 2, 0)
			for range rounds {
				for _, n := range []inference.Slot{a, b} {
					want(t, run(t, session, n, single), onnxmodel.Floats("y", []int64{1}, 20))
					refused(t, session, n, onnxmodel.Ints("x", []int64{2}, 0, 3))
					want(t, run(t, session, n, single), onnxmodel.Floats("y", []int64{1}, 20))
					want(t, run(t, session, n, pair), onnxmodel.Floats("y", []int64{2}, 30, 10))
					refused(t, session, n, onnxmodel.Ints("x", []int64{1}, 3))
				}
				want(t, run(t, session, a, pair), onnxmodel.Floats("y", []int64{2}, 30, 10))
			}
		})
	}
}

// keeps checks a model that keeps values from one run to the next.
func keeps(t *testing.T, s Suite) {
	t.Helper()
	t.Run("each slot keeps the model's values for itself, and begins with the first ones", func(t *testing.T) {
		session := s.load(t, s.Sum, inference.Options{Parallel: 3})
		if info := session.Info(); !info.Stateful || info.Parallel != 1 || len(info.Fallbacks) != 1 {
			t.Errorf("stateful is %v, %d runs at the same time, fallbacks %q; want true, 1, one sentence", info.Stateful, info.Parallel, info.Fallbacks)
		}
		adds := func(n inference.Slot, x, sum float32) {
			t.Helper()
			want(t, run(t, session, n, onnxmodel.Floats("x", []int64{1}, x)), onnxmodel.Floats("y", []int64{1}, sum))
		}
		a, b := slot(t, session), slot(t, session)
		adds(a, 1, 11)
		adds(a, 2, 13)
		adds(b, 5, 15)
		adds(a, 3, 16)
		adds(b, 5, 20)
		if err := b.Close(); err != nil {
			t.Errorf("Close = %v, want no error", err)
		}
		adds(slot(t, session), 7, 17)
		adds(a, 4, 20)
	})
	t.Run("a model that keeps nothing says so", func(t *testing.T) {
		if s.load(t, s.Join, inference.Options{}).Info().Stateful {
			t.Error("stateful is true, want false")
		}
	})
}

// narrowONNX is Suite.Narrow: y FP32[3] is what of x FP32[n] is not negative, plus 10,
// 20, 30. The second of its operators refuses an n of other than 1 and 3.
func narrowONNX() []byte {
	return onnxmodel.Model{
		Nodes: []onnxmodel.Node{
			{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"relu"}},
			{Op: "Add", Inputs: []string{"relu", "w"}, Outputs: []string{"y"}},
		},
		Initializers: []tensor.Tensor{onnxmodel.Floats("w", []int64{3}, 10, 20, 30)},
		Inputs:       []onnxmodel.Value{{Name: "x", DType: tensor.FP32, Shape: []any{"n"}}},
		Outputs:      []onnxmodel.Value{{Name: "y", DType: tensor.FP32, Shape: []any{3}}},
	}.Encode()
}

// narrowTFLite is the same for TensorFlow Lite.
func narrowTFLite() []byte {
	const addOptions = 11 // number of the table in the union BuiltinOptions
	return tflitemodel.Model{Graphs: []tflitemodel.Graph{{
		Tensors: []tflitemodel.Tensor{
			{Name: "x", DType: tensor.FP32, Shape: []int{-1}},
			{Name: "relu", DType: tensor.FP32, Shape: []int{-1}},
			{Name: "w", DType: tensor.FP32, Shape: []int{3}, Data: onnxmodel.Floats("", nil, 10, 20, 30).Data},
			{Name: "y", DType: tensor.FP32, Shape: []int{-1}},
		},
		Operators: []tflitemodel.Operator{
			{Op: tflitemodel.ReLU, Inputs: []int{0}, Outputs: []int{1}},
			{Op: tflitemodel.Add, Inputs: []int{1, 2}, Outputs: []int{3}, Options: tflitemodel.Options{Table: addOptions}},
		},
		Inputs: []int{0}, Outputs: []int{3},
	}}}.Encode()
}
