package onnx_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/modelfile/onnx"
	"verge/internal/tensor"
)

func read(data []byte) (*onnx.Model, error) {
	return onnx.Read(bytes.NewReader(data), int64(len(data)), onnx.DefaultLimits())
}

func TestLongMetadataAreCutWithAMark(t *testing.T) {
	long := strings.Repeat("m", onnx.DefaultLimits().NameBytes)
	for text, want := range map[string]string{long: long, long + "m": long + "…"} {
		m, err := read(onnxmodel.Model{
			Nodes: []onnxmodel.Node{{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}}}, Metadata: map[string]string{"text": text},
			Inputs: []onnxmodel.Value{{Name: "x", DType: tensor.FP32, Shape: []any{1}}}, Outputs: []onnxmodel.Value{{Name: "y", DType: tensor.FP32, Shape: []any{1}}},
		}.Encode())
		if err != nil || m.Metadata["text"] != want {
			t.Errorf("of %d bytes: %v, %d bytes; want %d", len(text), err, len(m.Metadata["text"]), len(want))
		}
	}
}

func TestReadTellsWhatAModelSaysOfItself(t *testing.T) {
	got, err := read(small())
	if err != nil {
		t.Fatal(err)
	}
	spec := func(name string) []inference.Spec {
		return []inference.Spec{{Name: name, DType: tensor.FP32, Shape: []int64{-1, 4}, Symbols: []string{"N", ""}}}
	}
	want := &onnx.Model{
		IRVersion: 8, Producer: "tester 1.0", Domain: "org.example", ModelVersion: 7, Graph: "small[2J",
		Opsets:    []onnx.Opset{{"ai.onnx", 17}, {"acme", 1}, {"lib", 2}},
		Signature: inference.Signature{Inputs: spec("x"), Outputs: spec("y")},
		Operators: []onnx.OperatorCount{
			{"", "Relu", 3}, {"", "Add", 1}, {"", "Constant", 1}, {"", "If", 1}, {"", "Mul", 1}, {"acme", "Own", 1},
		},
		Functions: []onnx.Function{{"lib", "Twice", 1}},
		Nodes:     8,
		// w 4, words 1, constant 3, two branches of 2, and 2 + 2 of the sparse tensor's 1,000 floats.
		Parameters:     4 + 1 + 3 + 2*2 + 2,
		ParameterBytes: 16 + 5 + 12 + 2*8 + 4000,
		// x and y always, m and i at the If.
		ActivationBytes: 4 * 16,
		UnsizedValues:   2, // c and z
		Metadata:        map[string]string{"author": "nobody"},
		Notes:           []string{"Operators of acme need an extension of the library."},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Read(small) (-want +got):\n%s", diff)
	}
}

func TestDimensionsOfUnknownNameHaveNone(t *testing.T) {
	m, err := read(model(
		block(1, node("Relu", "x", "y")), text(2, "g"),
		block(11, declared("x", elemFloat, "n", 3, "?", "?")), block(12, declared("y", elemFloat, "None", 3, "?", "")),
	))
	if err != nil {
		t.Fatal(err)
	}
	want := inference.Signature{
		Inputs:  []inference.Spec{{Name: "x", DType: tensor.FP32, Shape: []int64{-1, 3, -1, -1}, Symbols: []string{"n", "", "", ""}}},
		Outputs: []inference.Spec{{Name: "y", DType: tensor.FP32, Shape: []int64{-1, 3, -1, -1}}},
	}
	if diff := cmp.Diff(want, m.Signature); diff != "" {
		t.Errorf("signature differs (-want +got):\n%s", diff)
	}
}

// The figures are those that the onnx package of Python gives for these files.
func TestReadAgreesWithTheONNXPackage(t *testing.T) {
	digits := func(name string) string { return filepath.Join("..", "..", "..", "examples", "digits", name) }
	tests := map[string]struct {
		path              string
		params, bytes     int64
		nodes             int
		ir, opset, active int64
		in, out           string
	}{
		"digits":       {digits("digits.onnx"), 23946, 95784, 11, 8, 17, 296, "image FP32[-1,1,8,8]", "probabilities FP32[-1,10]"},
		"digits, bad":  {digits("digits-bad.onnx"), 23946, 95784, 11, 8, 17, 296, "image FP32[-1,1,8,8]", "probabilities FP32[-1,10]"},
		"digits, slow": {digits("digits-slow.onnx"), 74122, 296488, 1211, 8, 17, 296, "image FP32[-1,1,8,8]", "probabilities FP32[-1,10]"},
		"mnist of CNTK": {
			filepath.Join("..", "..", "..", "..", "shared", "models", "mnist.onnx"), 5998, 24008, 12, 3, 7, 63592,
			"Input3 FP32[1,1,28,28]", "Plus214_Output_0 FP32[1,10]",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(tt.path)
			if err != nil {
				t.Skipf("the model is not here: %v", err)
			}
			m, err := read(data)
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Signature.Inputs) != 1 || len(m.Signature.Outputs) != 1 {
				t.Fatalf("signature = %v, want one input and one output", m.Signature)
			}
			if m.Parameters != tt.params || m.ParameterBytes != tt.bytes || m.Nodes != tt.nodes || m.IRVersion != tt.ir ||
				m.Opsets[0] != (onnx.Opset{Domain: "ai.onnx", Version: tt.opset}) || m.ActivationBytes != tt.active ||
				m.Signature.Inputs[0].String() != tt.in || m.Signature.Outputs[0].String() != tt.out || m.Notes != nil {
				t.Errorf("Read = %+v, want %+v", m, tt)
			}
		})
	}
}

func TestReadRefusesWithAReason(t *testing.T) {
	const damaged = "Copy or export the model again; the file is damaged or was cut off."
	const check = "Check that the file is an ONNX model, and export it again."
	initialiser := func(fields ...[]byte) []byte { return model(io(), block(5, fields...)) }
	gigabyte := initialiser(packed(1, 1<<14, 1<<14), number(2, elemFloat), text(8, "w"), block(9))
	tests := map[string]struct {
		data    []byte
		kind    fault.Kind
		message string
		hint    string
	}{
		"an empty file": {nil, fault.Corrupt, "at byte 0: the file is empty", damaged},
		"no graph": {
			message(number(1, 8), block(8, number(2, 17))), fault.Corrupt, "the file has no graph", check,
		},
		"no IR version": {
			message(block(7, io()), block(8, number(2, 17))), fault.Corrupt, "the file has IR version 0, want 1 or more", check,
		},
		"no operator set": {message(number(1, 8), block(7, io())), fault.Corrupt, "the file names no operator set", check},
		"an empty graph":  {model(), fault.Corrupt, "the graph has neither nodes nor outputs", check},
		"a group": {
			message(number(1, 8), []byte{7<<3 | 3}), fault.Corrupt, "at byte 2: field 7 has wire type 3, which ONNX does not use", damaged,
		},
		"a length past the end": {
			message(number(1, 8), []byte{7<<3 | 2, 100, 0}), fault.Corrupt, "at byte 2: field 7 claims 100 bytes, only 1 are left", damaged,
		},
		"a tensor of 1 GB without data": {
			gigabyte, fault.Corrupt, `at byte 63: initialiser "w" claims 268435456 elements of FLOAT in 1073741824 bytes, the file has 0`, damaged,
		},
		"a shape that overflows": {
			initialiser(packed(1, 1<<40, 1<<40), number(2, elemFloat), text(8, "w")), fault.Corrupt,
			`at byte 63: initialiser "w" claims more than 576460752303423487 elements`, damaged,
		},
		"a negative dimension": {
			initialiser(number(1, -3), number(2, elemFloat)), fault.Corrupt, "at byte 63: initialiser without a name has a negative dimension", damaged,
		},
		"too few packed numbers": {
			initialiser(number(1, 3), number(2, elemInt64), packed(7, 1, 300)), fault.Corrupt,
			"at byte 63: initialiser without a name claims 3 elements of INT64 in 3 entries, the file has 2", damaged,
		},
		"a packed number that is cut off": {
			initialiser(number(1, 1), number(2, elemInt64), block(7, []byte{0x80})), fault.Corrupt, "at byte 70: a number is cut off", damaged,
		},
		"floats that are no multiple of 4 bytes": {
			initialiser(number(1, 1), number(2, elemFloat), block(4, []byte{1, 2, 3})), fault.Corrupt,
			"at byte 67: field 4 has 3 bytes, want a multiple of 4", damaged,
		},
		"a tensor without a type": {initialiser(number(1, 0)), fault.Corrupt, "at byte 63: initialiser without a name has no element type", damaged},
		"a type of a later ONNX": {
			initialiser(number(1, 0), number(2, 77), text(8, "w")), fault.Unsupported,
			`initialiser "w" has element type number 77, which this version does not know`, "Export the model with an element type of ONNX 1.20 or older.",
		},
		"data in another file": {
			initialiser(number(1, 1<<40), number(2, elemFloat), text(8, "w"), block(13, text(1, "location"), text(2, "w.bin")), number(14, 1)),
			fault.Unsupported, `initialiser "w" keeps its data in another file`,
			"Save the model as one file: onnx.save_model(model, path, save_as_external_data=False).",
		},
		"a sparse tensor with more values than elements": {
			model(io(), block(15, block(1, floats("s", 3)), packed(3, 2))), fault.Corrupt,
			`at byte 65: sparse tensor "s" has 3 values for 2 elements`, damaged,
		},
		"sparse tensors that overflow together": {
			model(io(), block(15, block(1, floats("s", 1)), number(3, 1<<58)), block(15, block(1, floats("t", 1)), number(3, 1<<58)),
				block(15, block(1, floats("u", 1)), number(3, 1<<58)), block(15, block(1, floats("v", 1)), number(3, 1<<58)),
				block(15, block(1, floats("v", 1)), number(3, 1<<58)), block(15, block(1, floats("v", 1)), number(3, 1<<58)),
				block(15, block(1, floats("v", 1)), number(3, 1<<58)), block(15, block(1, floats("v", 1)), number(3, 1<<58))),
			fault.TooLarge, "at byte 255: the tensors together claim more than 9223372036854775807 bytes", "",
		},
		"a node without an operator": {model(io(), block(1, text(1, "x"))), fault.Corrupt, "at byte 63: a node names no operator", damaged},
		"a function without a name": {
			message(model(io()), block(25, text(10, "lib"))), fault.Corrupt, "at byte 70: a function has no name", damaged,
		},
		"an operator that is not text": {
			model(io(), block(1, text(4, "\xff"))), fault.Corrupt, `at byte 63: the name of an operator "\xff" is not UTF-8 text`, damaged,
		},
		"an input twice": {
			model(io(), block(11, declared("x", elemFloat, 1))), fault.Corrupt, `at byte 61: the graph has two inputs named "x"`, damaged,
		},
		"an input without a name": {model(io(), block(11, block(2))), fault.Corrupt, "at byte 61: an input has no name", damaged},
		"an input that is a sequence": {
			model(io(), block(11, text(1, "s"), block(2, block(4)))), fault.Unsupported,
			`input "s" is a sequence, only tensors can be served`, "Export the model with tensors for all inputs and outputs.",
		},
		"the output of a scikit-learn classifier": {
			model(io(), block(12, text(1, "p"), block(2, block(4)))), fault.Unsupported, `output "p" is a sequence, only tensors can be served`,
			"Export the model with tensors for all inputs and outputs. For scikit-learn that is convert_sklearn(…, options={'zipmap': False}).",
		},
		"an element type that the protocol lacks": {
			model(io(), block(11, declared("c", 14, 1))), fault.Unsupported,
			`input "c" has element type COMPLEX64, which the protocol cannot carry`, "Export the model with FP32 inputs and outputs, or cast inside it.",
		},
		"too many dimensions": {
			model(io(), block(11, declared("d", elemFloat, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1))), fault.Unsupported,
			`at byte 61: "d" has more than 16 dimensions`, "",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := read(tt.data)
			if err == nil {
				t.Fatal("no error")
			}
			got := [...]string{fault.KindOf(err).String(), fault.Message(err), fault.HintOf(err)}
			want := [...]string{tt.kind.String(), tt.message, tt.hint}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadHoldsItsLimits(t *testing.T) {
	nested := node("Relu", "x", "y")
	for range 4 {
		nested = node("If", "x", "y", block(5, block(6, block(1, nested))))
	}
	tests := map[string]struct {
		data  []byte
		limit func(*onnx.Limits)
		want  string
	}{
		"file":     {small(), func(l *onnx.Limits) { l.FileBytes = 100 }, "the file has 576 bytes, the limit is 100"},
		"fields":   {small(), func(l *onnx.Limits) { l.Fields = 20 }, "the file has more than 20 protobuf fields"},
		"nodes":    {small(), func(l *onnx.Limits) { l.Nodes = 7 }, "the file has more than 7 nodes"},
		"tensors":  {small(), func(l *onnx.Limits) { l.Tensors = 3 }, "the file has more than 3 tensors and values"},
		"kinds":    {small(), func(l *onnx.Limits) { l.Kinds = 4 }, "the file has more than 4 different operators"},
		"depth":    {model(io(), block(1, nested)), func(l *onnx.Limits) { l.Depth = 3 }, "at byte 125: graphs are nested more than 3 deep"},
		"one name": {small(), func(l *onnx.Limits) { l.NameBytes = 3 }, "at byte 56: the name of an operator has 8 bytes, the limit is 3"},
		"all text": {small(), func(l *onnx.Limits) { l.TextBytes = 40 }, "the names in the file take more than 40 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			limits := onnx.DefaultLimits()
			tt.limit(&limits)
			_, err := onnx.Read(bytes.NewReader(tt.data), int64(len(tt.data)), limits)
			if fault.KindOf(err) != fault.TooLarge || fault.Message(err) != tt.want {
				t.Errorf("Read = %v (%v), want %q", err, fault.KindOf(err), tt.want)
			}
		})
	}
}

func TestReadNotesWhatAPersonShouldKnow(t *testing.T) {
	graph := message(io(), block(12, text(1, "q")), block(12, text(1, "r"), block(2, block(1, number(1, elemFloat)))))
	m, err := read(message(number(1, 15), block(7, graph), block(8, number(2, 99)), block(20)))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`The file does not declare the element type of output "q".`,
		`The file does not declare the shape of output "q".`,
		`The file does not declare the shape of output "r".`,
		"IR version 15 is newer than 14, the newest that this version knows: a library may refuse it.",
		"Operator set 99 is newer than 28, the newest that this version knows: a library may refuse it.",
		"The file holds information for training, which is not used.",
	}
	if diff := cmp.Diff(want, m.Notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	if m.Nodes != 0 {
		t.Errorf("nodes = %d, want 0", m.Nodes)
	}
}

func TestMessagesThatAreWrittenTwiceAreMerged(t *testing.T) {
	pieces := message(
		number(1, 8), block(8, number(2, 17)),
		block(7, block(1, node("Relu", "x", "h"))),
		block(7, io(), block(1, node("Constant", "h", "y", block(5, block(5, number(1, 2)), block(5, number(2, elemFloat), float(4, 1), float(4, 2)))))),
	)
	m, err := read(pieces)
	if err != nil {
		t.Fatal(err)
	}
	if m.Nodes != 2 || m.Parameters != 2 || m.ParameterBytes != 8 || m.ActivationBytes != 32 {
		t.Errorf("Read = %+v, want 2 nodes, 2 parameters in 8 bytes, 32 bytes of activations", m)
	}
}
