package tflite_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/modelfile/tflite"
	dtype "verge/internal/tensor"
)

func read(data []byte) (*tflite.Model, error) {
	return tflite.Read(bytes.NewReader(data), int64(len(data)), tflite.DefaultLimits())
}

// file is the file of a model.
func file(m fields) []byte { return encode(m, "TFL3") }

func TestReadTellsWhatAModelSaysOfItself(t *testing.T) {
	got, err := read(append(file(small()), archive("labels.txt", "cat\ndog\n", "notes/a.bin", "x")...))
	if err != nil {
		t.Fatal(err)
	}
	want := &tflite.Model{
		SchemaVersion: 3, Description: "small[2J", MinRuntimeVersion: "1.5.0",
		Signature: inference.Signature{
			Inputs: []inference.Spec{
				{
					Name: "x", DType: dtype.Uint8, Shape: []int64{-1, 2},
					Quantization: &inference.Quantization{Scales: []float32{0.5, 0.25}, ZeroPoints: []int64{3, -1}, Axis: 1},
				},
				{Name: "n", DType: dtype.FP32, Shape: []int64{4}},
			},
			Outputs: []inference.Spec{{Name: "y", DType: dtype.FP32, Shape: []int64{1, 4}}},
		},
		SignatureKeys: []string{"serve", "other"}, Subgraphs: 3, ServedSubgraph: 1,
		Operators: []tflite.OperatorCount{
			{"ADD", false, 1, 2}, {"FlexErf", true, 1, 1}, {"Levitate", true, 1, 1}, {"Mfcc", true, 1, 1}, {"WHILE", false, 1, 1},
		},
		Nodes:      6,
		Parameters: 4 + 2, ParameterBytes: 16 + 19, // w and same share a buffer; two words
		ActivationBytes: 2 + 16 + 8 + 16 + 16, // x, n, state, y, and h with 1 row
		UnsizedValues:   1,                    // ?
		Stateful:        true,
		VariableTensors: true,
		Metadata: &tflite.Metadata{
			Name: "small", Description: "A model.", Version: "v1", Author: "nobody", Licence: "none",
			Inputs: []tflite.TensorMetadata{
				{Name: "number"},
				{
					Name: "picture", Description: "What is seen.", Content: "image", ColourSpace: "RGB",
					Mean: []float32{127.5}, Std: []float32{127.5},
				},
			},
			Outputs: []tflite.TensorMetadata{
				{Name: "class", Content: "features", Labels: []string{"labels.txt"}, Files: []string{"vocabulary.txt", "labels.txt"}},
			},
		},
		Files: []tflite.AppendedFile{{"labels.txt", 8}, {"notes/a.bin", 1}},
		Notes: []string{
			"The model keeps values from one run to the next: an answer depends on the requests before it.",
			"Operator FlexErf needs the Flex delegate, which runs operators of TensorFlow.",
			"Custom operator Levitate needs an extension of the library.",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Read(small) (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"FlexErf", "Levitate", "Mfcc"}, got.CustomOperators()); diff != "" {
		t.Errorf("CustomOperators (-want +got):\n%s", diff)
	}
}

func TestTheServedNamesAreUniqueAndNeverEmpty(t *testing.T) {
	tensors := []fields{}
	for _, name := range []string{"a", "", "a", "a:1"} {
		tensors = append(tensors, tensor(name, float32s, []int32{1}))
	}
	graph := subgraph([]int32{0, 1, 2, 3}, []int32{0, 1, 0}, tensors, nil)
	names := func(m fields) []string {
		got, err := read(file(m))
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, s := range slices.Concat(got.Signature.Inputs, got.Signature.Outputs) {
			all = append(all, s.Name)
		}
		return all
	}
	m := model(nil, []fields{graph})
	if diff := cmp.Diff([]string{"a", "input_1", "a:1", "a:1:1", "a", "output_1", "a:1"}, names(m)); diff != "" {
		t.Errorf("names of tensors (-want +got):\n%s", diff)
	}
	m[7] = []fields{signature("k", []string{"", "b", "b"}, []string{"c", ""}, 0, 0, 0)}
	if diff := cmp.Diff([]string{"input_0", "b", "b:1", "c", "output_1"}, names(m)); diff != "" {
		t.Errorf("names of a signature (-want +got):\n%s", diff)
	}
}

func TestWeightsMayLieAfterTheFlatbuffer(t *testing.T) {
	weights := make([]byte, 16)
	m := tiny()
	m[4] = []fields{{}, {1: uint64(1), 2: uint64(16)}} // a place that a writer has not filled in
	if _, err := read(file(m)); err == nil {
		t.Error("a constant without data is accepted")
	}
	m[4] = []fields{{}, {1: uint64(1), 2: uint64(0)}}
	m[4] = []fields{{}, {1: uint64(len(file(m))), 2: uint64(len(weights))}}
	got, err := read(append(file(m), weights...))
	if err != nil || got.ParameterBytes != 16 || got.Parameters != 4 {
		t.Errorf("Read = %+v, %v, want 4 parameters in 16 bytes", got, err)
	}
	_, err = read(append(file(m), weights[1:]...))
	want := "at byte 68: buffer 1 would lie at byte 424 with 16 bytes, the file has 439"
	if fault.KindOf(err) != fault.Corrupt || fault.Message(err) != want {
		t.Errorf("Read of a cut file = %v, want %q", err, want)
	}
}

func TestASparseTensorCountsAsWhatItStands(t *testing.T) {
	w := sparse(sparsity([]int32{0, 2}, []uint16{0, 2}))
	got, err := read(file(tinyWith(w, make([]byte, 8))))
	if err != nil || got.Parameters != 4 || got.ParameterBytes != 8 {
		t.Errorf("Read = %+v, %v, want 4 parameters in 8 bytes", got, err)
	}
}

func TestActivationsAreWhatLivesTogether(t *testing.T) {
	var tensors, operators []fields
	for i := range int32(6) { // x, y, and a chain of four values of 16, 32, 48 and 64 bytes
		tensors = append(tensors, tensor("t", float32s, []int32{4 * max(i-1, 1)}))
	}
	for _, step := range [][2]int32{{0, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 1}} {
		operators = append(operators, operator(0, []int32{step[0]}, []int32{step[1]}))
	}
	got, err := read(file(model([]fields{code(gelu)}, []fields{subgraph([]int32{0}, []int32{1}, tensors, operators)})))
	if err != nil || got.ActivationBytes != 2*16+48+64 {
		t.Errorf("Read = %+v, %v, want %d bytes of activations", got, err, 2*16+48+64)
	}
}

// sparse is a constant of 4 elements with sparsity parameters.
func sparse(parameters fields) fields {
	return constant("w", float32s, []int32{4}, 1).with(fields{6: parameters})
}

// sparsity has one dimension, compressed.
func sparsity(segments []int32, indices []uint16) fields {
	level := fields{0: int8(1), 2: uint8(1), 3: fields{0: segments}, 4: uint8(2), 5: fields{0: indices}}
	return fields{0: []int32{0}, 2: []fields{level}}
}

func TestReadNotesWhatAPersonShouldKnow(t *testing.T) {
	g := tinyGraph()
	g[3] = []fields{operator(0, []int32{0, 1}, []int32{2}), operator(1, nil, nil), operator(2, nil, nil), operator(3, nil, nil)}
	m := model([]fields{code(addCode), code(1000), custom("edgetpu-custom-op"), custom("MaxUnpooling2D")}, []fields{g}, make([]byte, 16), []byte("nonsense, and more"))
	m = m.with(fields{0: uint32(4), 6: []fields{{0: "TFLITE_METADATA", 1: uint32(2)}}})
	got, err := read(file(m))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`The TFLite metadata cannot be read: at byte 136: a ModelMetadata has the identifier "ense", want "M001".`,
		"Schema version 4 is newer than 3, the newest that this version knows: a library may refuse it.",
		"Custom operator MaxUnpooling2D is in LiteRT, but not in the classic TensorFlow Lite library.",
		"The model is compiled for the Edge TPU: it runs only with that device and its delegate.",
		"Operator number 1000 is newer than this version: a library may refuse it.",
	}
	if diff := cmp.Diff(want, got.Notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	if !got.EdgeTPU {
		t.Error("EdgeTPU = false, want true")
	}
}

func TestReadHoldsItsLimits(t *testing.T) {
	whole := file(small())
	tests := map[string]struct {
		limit func(*tflite.Limits)
		want  string
	}{
		"file":     {func(l *tflite.Limits) { l.FileBytes = 100 }, "the file has 2504 bytes, the limit is 100"},
		"work":     {func(l *tflite.Limits) { l.Work = 200 }, "reading the file takes more than 200 steps"},
		"nodes":    {func(l *tflite.Limits) { l.Nodes = 5 }, "the file has 6 operators, the limit is 5"},
		"tensors":  {func(l *tflite.Limits) { l.Tensors = 10 }, "the file has more than 10 tensors"},
		"buffers":  {func(l *tflite.Limits) { l.Buffers = 4 }, "the file has 5 buffers, the limit is 4"},
		"kinds":    {func(l *tflite.Limits) { l.Kinds = 5 }, "the file has 6 operator codes, the limit is 5"},
		"depth":    {func(l *tflite.Limits) { l.Depth = 1 }, "more than 1 subgraphs run each other in a row"},
		"one name": {func(l *tflite.Limits) { l.NameBytes = 7 }, "at byte 2468: the name of a custom operator has 8 bytes, the limit is 7"},
		"all text": {func(l *tflite.Limits) { l.TextBytes = 30 }, "the names in the file take more than 30 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			limits := tflite.DefaultLimits()
			tt.limit(&limits)
			_, err := tflite.Read(bytes.NewReader(whole), int64(len(whole)), limits)
			if fault.KindOf(err) != fault.TooLarge || fault.Message(err) != tt.want {
				t.Errorf("Read = %v (%v), want %q", err, fault.KindOf(err), tt.want)
			}
		})
	}
}
