package litert_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/tensor"
)

func TestDimensionsThatOlderConvertersLeaveOpenAreServed(t *testing.T) {
	want := inferencetest.TFLite(t).JoinSpec
	for name, open := range libraries() {
		for level := range 2 {
			t.Run(name, func(t *testing.T) {
				session, err := loadIn(t, open(t), tflitemodel.OldJoin(), inference.Options{OptimizationLevel: level})
				if err != nil {
					t.Fatal(err)
				}
				defer session.Close()
				if diff := cmp.Diff(want, session.Signature()); diff != "" {
					t.Fatalf("signature differs (-want +got):\n%s", diff)
				}
				refusedAndTaken(t, session)
			})
		}
	}
}

func TestAnOutputOfUnknownRankComesInTheShapeThatItHas(t *testing.T) {
	for name, open := range libraries() {
		for level := range 2 {
			t.Run(name, func(t *testing.T) {
				session, err := loadIn(t, open(t), tflitemodel.Detections(), inference.Options{OptimizationLevel: level})
				if err != nil {
					t.Fatal(err)
				}
				defer session.Close()
				want := inference.Signature{
					Inputs:  []inference.Spec{{Name: "x", DType: tensor.FP32, Shape: []int64{2, 3}}},
					Outputs: []inference.Spec{{Name: "y", DType: tensor.FP32}},
				}
				if diff := cmp.Diff(want, session.Signature()); diff != "" {
					t.Errorf("signature differs (-want +got):\n%s", diff)
				}
				in := onnxmodel.Floats("x", []int64{2, 3}, 1, 2, 3, 4, 5, 6)
				slot := newSlot(t, session)
				for range 2 {
					got, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{in})
					if err != nil || !cmp.Equal(in.Shape, got[0].Shape) || !bytes.Equal(in.Data, got[0].Data) {
						t.Errorf("Run = %v, %v; want what went in", got, err)
					}
				}
			})
		}
	}
}

// late returns a model whose output y FP32[?,3] is its input x FP32[?,3], as many rows
// as the input rows INT32[1] says. The library makes the operator of y ready only while
// the model runs, since the one before it chooses a shape from values.
func late() []byte {
	const concatenationOptions, reshapeOptions = 10, 17
	return tflitemodel.Model{Graphs: []tflitemodel.Graph{{
		Tensors: []tflitemodel.Tensor{
			{Name: "x", DType: tensor.FP32, Shape: []int{-1, 3}},
			{Name: "rows", DType: tensor.Int32, Shape: []int{1}},
			{Name: "columns", DType: tensor.Int32, Shape: []int{1}, Data: []byte{3, 0, 0, 0}},
			{Name: "sizes", DType: tensor.Int32, Shape: []int{2}},
			{Name: "between", DType: tensor.FP32, Shape: []int{-1, 3}},
			{Name: "y", DType: tensor.FP32, Shape: []int{-1, 3}},
		},
		Operators: []tflitemodel.Operator{
			{Op: tflitemodel.Concatenation, Inputs: []int{1, 2}, Outputs: []int{3}, Options: tflitemodel.Options{Table: concatenationOptions}},
			{Op: tflitemodel.Reshape, Inputs: []int{0, 3}, Outputs: []int{4}, Options: tflitemodel.Options{Table: reshapeOptions}},
			{Op: tflitemodel.Reshape, Inputs: []int{4, 3}, Outputs: []int{5}, Options: tflitemodel.Options{Table: reshapeOptions}},
		},
		Inputs: []int{0, 1}, Outputs: []int{5},
	}}}.Encode()
}

func TestAnOutputThatLiteRTKeepsToItselfIsNeverAnsweredFromMemoryThatNobodyWrote(t *testing.T) {
	for level := range 2 {
		session := load(t, late(), inference.Options{OptimizationLevel: level})
		slot := newSlot(t, session)
		for n := int64(1); n < 4; n++ {
			in := []tensor.Tensor{
				onnxmodel.Floats("x", []int64{n, 3}, make([]float32, 3*n)...),
				{Name: "rows", DType: tensor.Int32, Shape: []int64{1}, Data: []byte{byte(n), 0, 0, 0}},
			}
			for range 2 {
				_, err := inference.Run(t.Context(), session.Signature(), slot, in)
				check(t, err, fault.Unsupported, "model m@1: an output takes its shape from values, right where an operator makes it, which LiteRT's interface cannot give",
					"Run the model in another runtime (deployment.runtime: openvino or tflite).")
			}
		}
	}
}
