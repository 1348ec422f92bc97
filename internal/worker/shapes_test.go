package worker_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/runtimes/onnxruntime"
	"verge/internal/tensor"
)

func TestOutputsOfOtherShapesThanTheModelDeclaresComeAsTheyAre(t *testing.T) {
	library := inferencetest.Library(t, onnxruntime.Name)
	value := func(name string, d tensor.DType, dims ...any) onnxmodel.Value {
		return onnxmodel.Value{Name: name, DType: d, Shape: dims}
	}
	reshape := func(y onnxmodel.Value) []byte {
		return onnxmodel.Model{
			Nodes:   []onnxmodel.Node{{Op: "Reshape", Inputs: []string{"x", "shape"}, Outputs: []string{"y"}}},
			Inputs:  []onnxmodel.Value{value("x", tensor.FP32, "n"), value("shape", tensor.Int64, "rank")},
			Outputs: []onnxmodel.Value{y},
		}.Encode()
	}
	six := onnxmodel.Floats("x", []int64{6}, 1, 2, 3, 4, 5, 6)
	for name, model := range map[string][]byte{
		"another rank":       reshape(value("y", tensor.FP32, 1)),
		"another dimension":  reshape(value("y", tensor.FP32, 9, 9)),
		"any rank":           reshape(value("y", tensor.FP32)),
		"any, of that many":  reshape(value("y", tensor.FP32, "a", "b", "c")),
		"as it was declared": reshape(value("y", tensor.FP32, 2, 3)),
	} {
		t.Run(name, func(t *testing.T) {
			session, err := newHost(t, quick(), "honest", nil).Runtime(onnxruntime.Name, library).
				Load(t.Context(), inference.Model{Name: "m@1", Data: model, FD: -1}, inference.Options{})
			if err != nil {
				t.Fatalf("Load = %v, want a session", err)
			}
			memory := arena.New("test", arenaLimit, arenaLimit)
			defer memory.Close()
			slot, err := session.NewSlot(memory)
			if err != nil {
				t.Fatalf("NewSlot = %v, want a slot", err)
			}
			defer slot.Close()
			for _, shape := range [][]int64{{2, 3}, {6}, {1, 2, 1, 3, 1}, {2, 3}} {
				got, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{six, onnxmodel.Ints("shape", []int64{int64(len(shape))}, shape...)})
				if err != nil {
					t.Fatalf("Run with %v = %v, want an output", shape, err)
				}
				if diff := cmp.Diff(shape, got[0].Shape); diff != "" || !bytes.Equal(got[0].Data, six.Data) {
					t.Errorf("shape (-want +got):\n%s and data % x, want % x", diff, got[0].Data, six.Data)
				}
			}
		})
	}
}
