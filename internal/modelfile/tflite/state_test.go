package tflite_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest/tflitemodel"
	dtype "verge/internal/tensor"
)

func TestReadTellsWhetherAModelKeepsValues(t *testing.T) {
	for name, tt := range map[string]struct {
		data []byte
		want bool
	}{
		"in a variable":               {tflitemodel.Sum(1), true},
		"in a tensor":                 {tflitemodel.Previous(), true},
		"a variable that stays as is": {tflitemodel.Constant(1), false},
		"none":                        {tflitemodel.Join(), false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(tt.data)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			if tt.want {
				want = []string{"The model keeps values from one run to the next: an answer depends on the requests before it."}
			}
			if got.Stateful != tt.want || !cmp.Equal(want, got.Notes) {
				t.Errorf("Stateful = %t, notes %q; want %t, %q", got.Stateful, got.Notes, tt.want, want)
			}
		})
	}
}

func TestReadRefusesAStateThatALibraryWouldWriteBehind(t *testing.T) {
	const (
		hint     = "Convert the model for TensorFlow Lite: this file may be for TensorFlow Lite Micro."
		svdf     = int32(27)
		lstm     = int32(44) // UNIDIRECTIONAL_SEQUENCE_LSTM
		variable = 5
	)
	micro := func(state int8) []byte {
		tensors := []fields{
			tensor("x", int8Type, []int32{1, 1}), tensor("features", int8Type, []int32{1, 1}), tensor("times", int8Type, []int32{1, 2}),
			tensor("state", state, []int32{1, 2}, fields{variable: true}), tensor("y", int8Type, []int32{1, 1}),
		}
		return file(model([]fields{code(svdf)}, []fields{subgraph([]int32{0, 1, 2}, []int32{4}, tensors, []fields{operator(0, []int32{0, 1, 2, -1, 3}, []int32{4})})}))
	}
	sequence := func(element, output, cell int8) []byte {
		tensors := []fields{
			tensor("x", element, []int32{1, 1}), tensor("output", output, []int32{1, 1}, fields{variable: true}),
			tensor("cell", cell, []int32{1, 1}, fields{variable: true}), tensor("y", element, []int32{1, 1}),
		}
		inputs := slices.Repeat([]int32{-1}, 20)
		inputs[0], inputs[18], inputs[19] = 0, 1, 2
		return file(model([]fields{code(lstm)}, []fields{subgraph([]int32{0}, []int32{3}, tensors, []fields{operator(0, inputs, []int32{3})})}))
	}
	const shorts = int8(7)
	checkRefusals(t, map[string]refusal{
		"an output of floats": {
			sequence(float32s, int8Type, float32s), fault.Unsupported,
			`operator 0 (UNIDIRECTIONAL_SEQUENCE_LSTM) of subgraph 0 keeps its state, tensor "output", as INT8, where TensorFlow Lite keeps FLOAT32`, hint,
		},
		"a cell of bytes": {
			sequence(int8Type, int8Type, int8Type), fault.Unsupported,
			`operator 0 (UNIDIRECTIONAL_SEQUENCE_LSTM) of subgraph 0 keeps its state, tensor "cell", as INT8, where TensorFlow Lite keeps INT16`, hint,
		},
		"of bytes": {
			micro(int8Type), fault.Unsupported,
			`operator 0 (SVDF) of subgraph 0 keeps its state, tensor "state", as INT8, where TensorFlow Lite keeps INT16`, hint,
		},
		"of bytes beside floats": {
			tflitemodel.PreviousIn(dtype.Int8), fault.Unsupported,
			`operator 0 (SVDF) of subgraph 0 keeps its state, tensor "state", as INT8, where TensorFlow Lite keeps FLOAT32`, hint,
		},
	})
	for name, data := range map[string][]byte{
		"SVDF of bytes": micro(shorts), "LSTM of floats": sequence(float32s, float32s, float32s),
		"LSTM of bytes": sequence(int8Type, int8Type, shorts), "LSTM of shorts": sequence(shorts, shorts, shorts),
	} {
		if _, err := read(data); err != nil {
			t.Errorf("Read of an %s = %v, want a model", name, err)
		}
	}
}

func TestAModelForAnEthosUIsToldByItsOperator(t *testing.T) {
	vela := func(name string) []byte {
		tensors := []fields{
			tensor("x", int8Type, []int32{1, 4}), tensor("_split_1_scratch", uint8Type, []int32{64}), tensor("y", int8Type, []int32{1, 4}),
		}
		return file(model([]fields{custom(name)}, []fields{subgraph([]int32{0}, []int32{2}, tensors, []fields{operator(0, []int32{1, 1, 0}, []int32{2})})}))
	}
	got, err := read(vela("ethos-u"))
	want := []string{"The model is compiled by Vela for an Arm Ethos-U: it runs only with that device and its delegate. Without, use the file that Vela was given."}
	if err != nil || !got.EthosU || !cmp.Equal(want, got.Notes) {
		t.Errorf("Read = %+v, %v; want EthosU and notes %q", got, err, want)
	}
	checkRefusals(t, map[string]refusal{"of another operator": {
		vela("Levitate"), fault.Corrupt, `at byte 128: operator 0 (Levitate) of subgraph 0 reads tensor "_split_1_scratch", which nothing has made`, damaged,
	}})
}

func TestAnOutputMayHaveAnyRank(t *testing.T) {
	got, err := read(tflitemodel.Detections())
	if err != nil {
		t.Fatal(err)
	}
	want := inference.Signature{
		Inputs:  []inference.Spec{{Name: "x", DType: dtype.FP32, Shape: []int64{2, 3}}},
		Outputs: []inference.Spec{{Name: "y", DType: dtype.FP32}},
	}
	if diff := cmp.Diff(want, got.Signature); diff != "" {
		t.Errorf("signature (-want +got):\n%s", diff)
	}
	if notes := []string{`The file does not declare the shape of output "y".`}; !cmp.Equal(notes, got.Notes) {
		t.Errorf("notes %q, want %q", got.Notes, notes)
	}
}
