package openvino_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest/irmodel"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/runtimes/openvino"
	"verge/internal/tensor"
)

// square returns a tensor of size by size zeros.
func square(size int64) []tensor.Tensor {
	return []tensor.Tensor{{Name: "x", DType: tensor.FP32, Shape: []int64{size, size}, Data: make([]byte, 4*size*size)}}
}

// powers returns irmodel.Chain of matrices of any size.
func powers(n int) []byte {
	open := irmodel.Port{DType: tensor.FP32, Shape: []int{-1, -1}}
	m := irmodel.Model{Layers: []irmodel.Layer{irmodel.Parameter("x", tensor.FP32, -1, -1)}}
	last := "x"
	for i := range n {
		name := fmt.Sprintf("product %d", i)
		m.Layers = append(m.Layers, irmodel.Layer{Name: name, Type: "MatMul", Inputs: []string{last, "x"}, Outputs: []irmodel.Port{open}})
		last = name
	}
	m.Layers = append(m.Layers, irmodel.Result(last))
	return m.Encode()
}

func TestShapesOfACanceledRunAreForgotten(t *testing.T) {
	const small, large = 4, width
	session := load(t, open(t), powers(length), inference.Options{})
	a, b := prepared(t, session), prepared(t, session)
	for range 2 {
		for _, slot := range []inference.Slot{a, b, a} {
			got, err := inference.Run(t.Context(), session.Signature(), slot, square(small))
			if err != nil || !slices.Equal(got[0].Shape, []int64{small, small}) {
				t.Fatalf("Run = %v, %v; want %d by %d", got, err, small, small)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), begun)
		_, err := inference.Run(ctx, session.Signature(), a, square(large))
		cancel()
		if err == nil || fault.KindOf(err) != fault.Deadline {
			t.Errorf("Run = %v, want its deadline", err)
		}
	}
}

func TestDimensionOutOfItsBoundsIsRefusedAndForgotten(t *testing.T) {
	bounded := irmodel.Parameter("x", tensor.FP32, -1)
	bounded.Data["shape"] = "1..3"
	session := load(t, open(t), single("ReLU", vector(-1), bounded), inference.Options{})
	slot, err := session.NewSlot(&plain{})
	if err != nil {
		t.Fatal(err)
	}
	good := onnxmodel.Floats("x", []int64{2}, 1, 2)
	for range 3 {
		got, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{good})
		if err != nil || !bytes.Equal(got[0].Data, good.Data) {
			t.Errorf("Run = %v, %v; want %v", got, err, good)
		}
		_, err = inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{onnxmodel.Floats("x", []int64{4}, 1, 2, 3, 4)})
		if err == nil || fault.KindOf(err) != fault.Invalid {
			t.Errorf("Run = %v, want it refused", err)
		}
	}
}

func TestModelsOfEachFormatAreCompiledAgain(t *testing.T) {
	for name, data := range map[string][]byte{"IR": irmodel.Lookup(), "ONNX": gatherElements()} {
		t.Run(name, func(t *testing.T) {
			recovers(t, data, onnxmodel.Ints("x", []int64{2}, 0, 3), onnxmodel.Ints("x", []int64{1}, 1))
		})
	}
	t.Run("TensorFlow Lite", func(t *testing.T) {
		a, b := onnxmodel.Floats("a", []int64{2, 2}, 1, 2, 3, 4), onnxmodel.Floats("b", []int64{2, 3}, 1, 2, 3, 4, 5, 6)
		bad := onnxmodel.Floats("b", []int64{1, 3}, 1, 2, 3)
		session := load(t, open(t), tflitemodel.Join(), inference.Options{})
		slot, err := session.NewSlot(&plain{})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{a, b}); err != nil {
				t.Error(err)
			}
			if _, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{a, bad}); err == nil {
				t.Error("Run succeeded, want it refused")
			}
		}
	})
}

// gatherElements is irmodel.Lookup in ONNX.
func gatherElements() []byte {
	return onnxmodel.Model{
		Nodes:        []onnxmodel.Node{{Op: "GatherElements", Inputs: []string{"table", "x"}, Outputs: []string{"y"}}},
		Initializers: []tensor.Tensor{onnxmodel.Floats("table", []int64{3}, 10, 20, 30)},
		Inputs:       []onnxmodel.Value{{Name: "x", DType: tensor.Int64, Shape: []any{"n"}}},
		Outputs:      []onnxmodel.Value{{Name: "y", DType: tensor.FP32, Shape: []any{"n"}}},
	}.Encode()
}

// recovers checks that a model answers 20 to a good input, before and after a bad one.
func recovers(t *testing.T, data []byte, bad, good tensor.Tensor) {
	t.Helper()
	session := load(t, open(t), data, inference.Options{})
	slot, err := session.NewSlot(&plain{})
	if err != nil {
		t.Fatal(err)
	}
	want := onnxmodel.Floats("y", []int64{1}, 20)
	for range 3 {
		got, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{good})
		if err != nil || !slices.Equal(got[0].Shape, want.Shape) || !bytes.Equal(got[0].Data, want.Data) {
			t.Errorf("Run = %v, %v; want %v", got, err, want)
		}
		if _, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{bad}); err == nil {
			t.Error("Run succeeded, want it refused")
		}
	}
}

func TestFailedRunsOfOthersDoNotChangeAnAnswer(t *testing.T) {
	const slots, rounds = 3, 40
	session := load(t, open(t), irmodel.Narrow(), inference.Options{Parallel: slots})
	good, want := onnxmodel.Floats("x", []int64{3}, 1, -2, 3), onnxmodel.Floats("y", []int64{3}, 11, 20, 33)
	bad := onnxmodel.Floats("x", []int64{2}, 1, 2)
	var wg sync.WaitGroup
	for i := range slots {
		slot, err := session.NewSlot(&plain{})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for round := range rounds {
				if round%10 == 3*i {
					if _, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{bad}); err == nil {
						t.Error("Run succeeded, want it refused")
					}
				}
				got, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{good})
				if err != nil || !bytes.Equal(got[0].Data, want.Data) {
					t.Errorf("slot %d, round %d: Run = %v, %v; want %v", i, round, got, err, want)
				}
			}
		})
	}
	wg.Wait()
}

func TestFailedRunLosesTheStateOfItsSlotOnly(t *testing.T) {
	one := irmodel.Port{DType: tensor.FP32, Shape: []int{1}}
	sum := one
	sum.Name = "y"
	variable := map[string]string{"variable_id": "sum"}
	m := irmodel.Model{Layers: []irmodel.Layer{
		irmodel.Const("table", onnxmodel.Floats("", []int64{3}, 1, 2, 3)),
		irmodel.Parameter("x", tensor.Int64, 1),
		irmodel.Parameter("open", tensor.FP32, -1), // so that it is compiled again
		irmodel.Const("initial", onnxmodel.Floats("", []int64{1}, 10)),
		{Name: "found", Type: "GatherElements", Data: map[string]string{"axis": "0"}, Inputs: []string{"table", "x"}, Outputs: []irmodel.Port{one}},
		{Name: "read", Type: "ReadValue", Opset: "opset3", Data: variable, Inputs: []string{"initial"}, Outputs: []irmodel.Port{one}},
		{Name: "add", Type: "Add", Inputs: []string{"found", "read"}, Outputs: []irmodel.Port{sum}},
		{Name: "save", Type: "Assign", Opset: "opset3", Data: variable, Inputs: []string{"add"}},
		irmodel.Result("add"), irmodel.Result("open"),
	}}
	session := load(t, open(t), m.Encode(), inference.Options{})
	slots := make([]inference.Slot, 2)
	for i := range slots {
		var err error
		if slots[i], err = session.NewSlot(&plain{}); err != nil {
			t.Fatal(err)
		}
	}
	for i, step := range []struct {
		slot int
		x    int64
		want float32 // 0 for a refusal
	}{{0, 0, 11}, {1, 1, 12}, {0, 0, 12}, {0, 9, 0}, {1, 1, 14}, {0, 0, 11}, {0, 0, 12}, {1, 9, 0}, {1, 1, 12}, {0, 0, 13}} {
		got, err := inference.Run(t.Context(), session.Signature(), slots[step.slot], []tensor.Tensor{onnxmodel.Ints("x", []int64{1}, step.x), onnxmodel.Floats("open", []int64{1}, 0)})
		if step.want == 0 {
			if err == nil || fault.KindOf(err) != fault.Invalid {
				t.Errorf("step %d: Run = %v, want it refused", i, err)
			}
			continue
		}
		if want := onnxmodel.Floats("y", []int64{1}, step.want); err != nil || !bytes.Equal(got[0].Data, want.Data) {
			t.Errorf("step %d: Run = %v, %v; want %v", i, got, err, want)
		}
	}
}

func TestModelsOfFixedShapeAreCompiledOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		model []byte
		fluid bool
	}{
		"fixed IR":              {irmodel.Chain(2, 4), false},
		"fixed ONNX":            {onnxmodel.Identity(tensor.FP32, 4), false},
		"fixed TensorFlow Lite": {tflitemodel.Weights(8), false},
		"open IR":               {irmodel.Join(), true},
		"open ONNX":             {onnxmodel.Join(), true},
		"open TensorFlow Lite":  {tflitemodel.Join(), true},
		"open inside":           {openInside(), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := openvino.Fluid(load(t, open(t), tc.model, inference.Options{})); got != tc.fluid {
				t.Errorf("fluid = %t, want %t", got, tc.fluid)
			}
		})
	}
}

// openInside is a model of fixed inputs and outputs that has shapes which follow from
// values: y FP32[] is how many of x FP32[4] are not zero.
func openInside() []byte {
	return irmodel.Model{Layers: []irmodel.Layer{
		irmodel.Parameter("x", tensor.FP32, 4),
		{Name: "found", Type: "NonZero", Data: map[string]string{"output_type": "i64"}, Inputs: []string{"x"}, Outputs: []irmodel.Port{{DType: tensor.Int64, Shape: []int{1, -1}}}},
		{Name: "shape", Type: "ShapeOf", Data: map[string]string{"output_type": "i64"}, Inputs: []string{"found"}, Outputs: []irmodel.Port{{DType: tensor.Int64, Shape: []int{2}, Name: "y"}}},
		irmodel.Result("shape"),
	}}.Encode()
}

func TestModelIsNotCompiledAgainForARequestThatIsLate(t *testing.T) {
	session := load(t, open(t), irmodel.Lookup(), inference.Options{})
	slot, err := session.NewSlot(&plain{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{onnxmodel.Ints("x", []int64{1}, 9)}); err == nil {
		t.Error("Run succeeded, want it refused")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if _, err = slot.Run(ctx); err == nil || fault.KindOf(err) != fault.Deadline {
		t.Errorf("Run = %v, want its deadline", err)
	}
	if got := openvino.Compilations(session); got != 1 {
		t.Errorf("the model was compiled %d times, want once", got)
	}
	got, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{onnxmodel.Ints("x", []int64{1}, 1)})
	if want := onnxmodel.Floats("y", []int64{1}, 20); err != nil || !bytes.Equal(got[0].Data, want.Data) {
		t.Errorf("Run = %v, %v; want %v", got, err, want)
	}
	if got := openvino.Compilations(session); got != 2 {
		t.Errorf("the model was compiled %d times, want twice", got)
	}
}
