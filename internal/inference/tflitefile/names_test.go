package tflitefile_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/inference/tflitefile"
	"verge/internal/tensor"
)

// name is an entry of a signature.
func name(text string, index int) tflitemodel.Name {
	return tflitemodel.Name{Name: text, Tensor: index}
}

// file is a model with two inputs and two outputs, and these signatures.
func file(signatures ...tflitemodel.Signature) []byte {
	t := func(name string) tflitemodel.Tensor {
		return tflitemodel.Tensor{Name: name, DType: tensor.FP32, Shape: []int{1}}
	}
	return tflitemodel.Model{
		Graphs:     []tflitemodel.Graph{{Tensors: []tflitemodel.Tensor{t("t0"), t("t1"), t("t2"), t("t3")}, Inputs: []int{1, 0}, Outputs: []int{3, 2}}},
		Signatures: signatures,
	}.Encode()
}

func TestNamesAreTheFirstSignaturesInTheGraphsOrder(t *testing.T) {
	in, out := []tflitemodel.Name{name("a", 0), name("b", 1)}, []tflitemodel.Name{name("c", 2), name("d", 3)}
	for what, tc := range map[string]struct {
		signatures      []tflitemodel.Signature
		inputs, outputs []tflitefile.Name
	}{
		"two signatures": {
			[]tflitemodel.Signature{{Inputs: in, Outputs: out}, {Inputs: out, Outputs: in}},
			[]tflitefile.Name{{"b", "t1"}, {"a", "t0"}},
			[]tflitefile.Name{{"d", "t3"}, {"c", "t2"}},
		},
		"no signature":            {},
		"another graph":           {signatures: []tflitemodel.Signature{{Inputs: in, Outputs: out, Graph: 1}}},
		"one input less":          {signatures: []tflitemodel.Signature{{Inputs: in[:1], Outputs: out}}},
		"an input twice":          {signatures: []tflitemodel.Signature{{Inputs: []tflitemodel.Name{name("a", 0), name("b", 0)}, Outputs: out}}},
		"no outputs":              {signatures: []tflitemodel.Signature{{Inputs: in}}},
		"a tensor that is no end": {signatures: []tflitemodel.Signature{{Inputs: in, Outputs: in}}},
	} {
		t.Run(what, func(t *testing.T) {
			inputs, outputs := tflitefile.Names(file(tc.signatures...))
			if diff := cmp.Diff([][]tflitefile.Name{tc.inputs, tc.outputs}, [][]tflitefile.Name{inputs, outputs}); diff != "" {
				t.Errorf("names differ (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzNames(f *testing.F) {
	f.Add(file(tflitemodel.Signature{
		Inputs: []tflitemodel.Name{name("a", 0), name("b", 1)}, Outputs: []tflitemodel.Name{name("c", 2), name("d", 3)},
	}))
	f.Add(tflitemodel.Join())
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		inputs, outputs := tflitefile.Names(data)
		if len(inputs) > inference.MaxTensors || len(outputs) > inference.MaxTensors {
			t.Errorf("%d and %d names, want at most %d on each side", len(inputs), len(outputs), inference.MaxTensors)
		}
	})
}
