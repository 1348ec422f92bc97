package openvino_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/inference"
	"verge/internal/modelfile/openvino"
	"verge/internal/tensor"
)

func read(xml string, weights int64) (*openvino.Model, error) {
	return openvino.Read(strings.NewReader(xml), int64(len(xml)), weights, openvino.DefaultLimits())
}

func TestReadTellsWhatAModelSaysOfItself(t *testing.T) {
	got, err := read(small(), smallBin)
	if err != nil {
		t.Fatal(err)
	}
	want := &openvino.Model{
		IRVersion: 11, Name: "small", Converter: "2023.1", Framework: "tf",
		Signature: inference.Signature{
			Inputs: []inference.Spec{{Name: "x", DType: tensor.FP32, Shape: []int64{-1, 4}}},
			Outputs: []inference.Spec{
				{Name: "y,1", DType: tensor.Int64, Shape: []int64{2, 3}},
				{Name: "second", DType: tensor.FP32, Shape: []int64{-1, 4}},
			},
		},
		Operators: []openvino.OperatorCount{
			{"opset1", "Const", 6},
			{"opset1", "Result", 4},
			{"opset1", "Parameter", 3},
			{"opset1", "Add", 2},
			{"acme", "Own", 1},
			{"opset1", "Convert", 1},
			{"opset1", "If", 1},
			{"opset1", "Multiply", 1},
		},
		Layers: 19,
		// w16 4, b and same 8 once, part 3, the two bodies' 2 once.
		Parameters:     4 + 8 + 3 + 2,
		ParameterBytes: 8 + 32 + 8,
		ConvertedBytes: 16,
		// x, i's first output and own's always; m at the If.
		ActivationBytes: 16 + 16 + 48 + 16,
		UnsizedValues:   1, // the If's second output
		Notes:           []string{`Operators of "acme" need an extension of the library.`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Read(small) (-want +got):\n%s", diff)
	}
	if a, b := got.Operators[0].String(), got.Operators[4].String(); a != "Const" || b != "acme.Own" {
		t.Errorf("operators are written %q and %q, want Const and acme.Own", a, b)
	}
}

// The names, types and shapes are those that openvino 2026.4.1 gives after it
// has read the file.
func TestReadAgreesWithTheLibrary(t *testing.T) {
	tests := map[string]struct {
		path    string
		weights int64
		bytes   int64
		layers  int
		ir      int64
		in, out string
	}{
		"dummy":       {"dummy.xml", 4, 4, 4, 10, "b FP32[1,10]", "a FP32[1,10]"},
		"summator":    {"summator.xml", 4, 4, 6, 10, "input FP32[1,1]", "add_sum FP32[1,1]"},
		"passthrough": {"passthrough.xml", 1, 1, 4, 11, "input UINT8[-1,-1]", "copy:0 UINT8[-1,-1]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			xml, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "shared", "models", tt.path))
			if err != nil {
				t.Skipf("the model is not here: %v", err)
			}
			m, err := read(string(xml), tt.weights)
			if err != nil {
				t.Fatal(err)
			}
			if m.Stateful != (m.Notes != nil) || m.Stateful != (name == "summator") {
				t.Errorf("Stateful = %t, notes %q", m.Stateful, m.Notes)
			}
			if len(m.Signature.Inputs) != 1 || len(m.Signature.Outputs) != 1 {
				t.Fatalf("signature = %v, want one input and one output", m.Signature)
			}
			if m.ParameterBytes != tt.bytes || m.Layers != tt.layers || m.IRVersion != tt.ir ||
				m.Signature.Inputs[0].String() != tt.in || m.Signature.Outputs[0].String() != tt.out {
				t.Errorf("Read = %+v, want %+v", m, tt)
			}
		})
	}
}

// signature returns the specs of a file as people write them, inputs first, then "->".
func signature(t *testing.T, xml string) string {
	t.Helper()
	m, err := read(xml, 64)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range m.Signature.Inputs {
		all = append(all, s.String())
	}
	all = append(all, "->")
	for _, s := range m.Signature.Outputs {
		all = append(all, s.String())
	}
	return strings.Join(all, " ")
}

// What the library calls the tensors was found by reading such files with it.
func TestNamesAndTypesAreThoseOfTheLibrary(t *testing.T) {
	type names struct{ version, layer, element, input, output, own string }
	model := func(n names) string {
		return version(n.version, []string{
			parameter(0, n.layer, n.element, "1,4", named(0, "FP32", n.input, 1, 4)),
			layer(1, "Split", "op", inputs(0), outputs(port(1, "FP32", 1, 2), named(2, "I64", n.output, 1, 2))),
			`<layer id="2" name="r" type="Result" version="opset1" output_names="` + n.own + `">` + inputs(0) + `</layer>`,
		}, []string{edge(0, 0, 1, 0), edge(1, 2, 2, 0)})
	}
	tests := map[string]struct {
		names names
		want  string
	}{
		"the first in the order of bytes":                    {names{"11", "p", "f16", "bb,aa", "z,y", ""}, "aa FP16[1,4] -> y INT64[1,2]"},
		"a comma and spaces in names":                        {names{"11", "p", "f32", `a\,b,c\\,d e , f,,g`, `\,`, ""}, " f FP32[1,4] -> , INT64[1,2]"},
		"an output with its own names":                       {names{"11", "p", "f32", "b", "a", "q,p"}, "b FP32[1,4] -> p INT64[1,2]"},
		"tensors without names are called by their position": {names{"11", "p", "boolean", "", "", ""}, "input_0 BOOL[1,4] -> output_0 INT64[1,2]"},
		"nothing has a name":                                 {names{"11", "", "u64", "", "o", ""}, "input_0 UINT64[1,4] -> o INT64[1,2]"},
		"version 10 adds those of layers":                    {names{"10", "b", "f16", "zz", "zz", "a"}, "b FP32[1,4] -> op.1 INT32[1,2]"},
		"version 10 keeps an earlier name":                   {names{"10", "b", "u8", "aa", "bb", ""}, "aa UINT8[1,4] -> bb INT32[1,2]"},
		"element types in capitals":                          {names{"11", "p", "BF16", "x", "y", ""}, "x BF16[1,4] -> y INT64[1,2]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := signature(t, model(tt.names)); got != tt.want {
				t.Errorf("signature = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestAnInputThatIsAnOutputSharesItsNames(t *testing.T) {
	own := func(id, name string) string {
		return `<layer id="` + id + `" name="r" type="Result" version="opset1" output_names="` + name + `">` + inputs(0) + `</layer>`
	}
	xml := net([]string{parameter(0, "p", "f32", "4", named(0, "FP32", "x", 4)), own("1", "o"), own("2", ""), own("3", "")},
		[]string{edge(0, 0, 1, 0), edge(0, 0, 2, 0), edge(0, 0, 3, 0)})
	if got, want := signature(t, xml), "o FP32[4] -> o FP32[4] x FP32[4] x:1 FP32[4]"; got != want {
		t.Errorf("signature = %s, want %s", got, want)
	}
}

func TestVersion10ServesOutputsAsFloatsAndShortIntegers(t *testing.T) {
	tests := map[string]string{
		"I64": "INT32", "U64": "INT32", "U32": "INT32", "I32": "INT32", "FP16": "FP32", "FP32": "FP32", "U8": "FP32", "BOOL": "FP32", "I4": "FP32",
	}
	for precision, want := range tests {
		xml := version("10", []string{layer(0, "Own", "y", outputs(port(0, precision, 2))), result(1, "r")}, []string{edge(0, 0, 1, 0)})
		if got := signature(t, xml); got != "-> y "+want+"[2]" {
			t.Errorf("an output of %s is served as %s, want %s", precision, got, want)
		}
	}
}

func TestShapesAreReadAsTheLibraryDoes(t *testing.T) {
	tests := map[string]string{
		"[1,4]": "[1,4]", " 1 , 4 ": "[1,4]", "1..4,4": "[-1,4]", "..4,?": "[-1,-1]", "1..,4": "[-1,4]", "-1": "[-1]", "..": "[-1]",
		"0..": "[-1]", "4..4,1": "[4,1]", "0,4": "[0,4]", "": "[]", "[]": "[]",
	}
	for shape, want := range tests {
		xml := net([]string{parameter(0, "x", "f32", shape, port(0, "FP32")), layer(1, "Own", "y", inputs(0), outputs(port(1, "FP32", 1))), result(2, "r")},
			[]string{edge(0, 0, 1, 0), edge(1, 1, 2, 0)})
		if got := signature(t, xml); got != "input_0 FP32"+want+" -> output_0 FP32[1]" {
			t.Errorf("shape %q makes %s, want %s", shape, got, want)
		}
	}
}

func TestNotesTellWhatTheFileDoesNot(t *testing.T) {
	m, err := read(net([]string{
		parameter(0, "a", "f32", "...", port(0, "FP32")),
		parameter(1, "b", "undefined", "2", port(0, "UNSPECIFIED", 2)),
		`<layer id="2" name="c" type="Own" version="opset18">` + inputs(0, 1) + outputs(`<port id="2"/>`) + `</layer>`,
		result(3, "r"),
	}, []string{edge(0, 0, 2, 0), edge(1, 0, 2, 1), edge(2, 2, 3, 0)}), -1)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`The file does not declare how many dimensions input "input_0" has.`,
		`The file does not declare the element type of input "input_1".`,
		`The file does not declare the element type of output "output_0".`,
		`The file does not tell whether output "output_0" is a scalar or has any number of dimensions.`,
		"Operator set 18 is newer than 17, the newest that this version knows: a library may refuse it.",
	}
	if diff := cmp.Diff(want, m.Notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	if shape := m.Signature.Inputs[0].Shape; shape != nil {
		t.Errorf("the shape of any rank is %v, want nil", shape)
	}
	if m.UnsizedValues != 3 {
		t.Errorf("UnsizedValues = %d, want 3", m.UnsizedValues)
	}
}

func TestAModelThatWritesToVariablesKeepsValues(t *testing.T) {
	const note = "The model keeps values from one run to the next: an answer depends on the requests before it."
	for name, tt := range map[string]struct {
		layers []string
		want   []string
	}{
		"written and read": {[]string{layer(2, "ReadValue", "v"), layer(3, "Assign", "v")}, []string{note}},
		"written inside of a body": {
			[]string{layer(2, "Loop", "l", "<body><layers>", layer(0, "Assign", "v"), "</layers><edges/></body>")}, []string{note},
		},
		"only read": {[]string{layer(2, "ReadValue", "v")}, nil},
		"another's operator of that name": {
			[]string{`<layer id="2" name="v" type="Assign" version="acme"/>`}, []string{`Operators of "acme" need an extension of the library.`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := read(with(tt.layers...), 0)
			if err != nil {
				t.Fatal(err)
			}
			if want := slices.Contains(tt.want, note); m.Stateful != want || !cmp.Equal(tt.want, m.Notes) {
				t.Errorf("Stateful = %t, notes %q; want %t, %q", m.Stateful, m.Notes, want, tt.want)
			}
		})
	}
}

func TestWeightsThatNobodyUsesAreTold(t *testing.T) {
	xml := with(constant(2, "w", "f32", "4", 8, 16)) // the last byte is the 24th
	for weights, unused := range map[int64]int64{24: 0, 25: 1, 1 << 40: 1<<40 - 24} {
		m, err := read(xml, weights)
		if err != nil {
			t.Fatal(err)
		}
		var notes []string
		if unused > 0 {
			notes = []string{fmt.Sprintf("The .bin file has %d bytes behind the last one that the .xml file uses: it may be another model's.", unused)}
		}
		if m.UnusedBytes != unused || !cmp.Equal(notes, m.Notes) {
			t.Errorf("of %d bytes: UnusedBytes = %d, notes %q; want %d, %q", weights, m.UnusedBytes, m.Notes, unused, notes)
		}
	}
	if m, err := read(with(), -1); err != nil || m.UnusedBytes != 0 {
		t.Errorf("without a file: %+v, %v", m, err)
	}
}

func TestWeightsOfAnyTypeAreAccepted(t *testing.T) {
	sizes := map[string]int64{
		"f16": 10, "bf16": 10, "f32": 20, "f64": 40, "boolean": 5, "i8": 5, "u8": 5, "i16": 10, "u16": 10, "i32": 20, "u32": 20,
		"i64": 40, "u64": 40, "u1": 1, "u2": 2, "u3": 3, "u4": 3, "u6": 6, "i4": 3, "nf4": 3, "f4e2m1": 3, "f8e4m3": 5, "f8e5m2": 5,
		"f8e8m0": 5, "string": 44, "of tomorrow": 7,
	}
	for element, size := range sizes {
		m, err := read(with(constant(2, "w", element, "5", 10, size)), size+10)
		if err != nil || m.Parameters != 5 || m.ParameterBytes != size {
			t.Errorf("Read(%s) = %+v, %v, want 5 parameters in %d bytes", element, m, err, size)
		}
	}
}

func TestRangesOfTheWeightsThatOverlapCountOnce(t *testing.T) {
	m, err := read(with(constant(2, "a", "u8", "10", 0, 10), constant(3, "b", "u8", "6", 8, 6), constant(4, "c", "u8", "2", 2, 2),
		constant(5, "d", "u8", "4", 20, 4), constant(6, "e", "u8", "0", 7, 0)), 24)
	if err != nil {
		t.Fatal(err)
	}
	if m.ParameterBytes != 18 || m.Parameters != 22 {
		t.Errorf("Read = %d parameters in %d bytes, want 22 in 18", m.Parameters, m.ParameterBytes)
	}
}

func TestAValueLivesUntilItsLastReader(t *testing.T) {
	relu := func(id int) string {
		return layer(id, "Relu", "n", inputs(0), outputs(port(1, "FP32", 4)))
	}
	m, err := read(net([]string{parameter(0, "x", "f32", "4", port(0, "FP32", 4)), relu(1), relu(2), relu(3), relu(4), result(5, "r")},
		[]string{edge(0, 0, 1, 0), edge(1, 1, 2, 0), edge(2, 1, 3, 0), edge(3, 1, 4, 0), edge(4, 1, 5, 0)}), -1)
	if err != nil {
		t.Fatal(err)
	}
	if m.ActivationBytes != 4*16 {
		t.Errorf("ActivationBytes = %d, want 64: the input, the output, and two values between", m.ActivationBytes)
	}
}

func TestTextForPeopleIsCutAndCleaned(t *testing.T) {
	long := strings.Repeat("ä", 600)
	layers, edges := ends()
	xml := net(layers, edges, `<rt_info><MO_version value="`+long+`"/></rt_info>`)
	m, err := read(strings.Replace(xml, `name="small"`, "name=\"sm\u202eall\"", 1), 0)
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "small" || m.Converter != long[:1024]+"…" {
		t.Errorf("name %q and converter of %d bytes, want small and 1024 with a mark", m.Name, len(m.Converter))
	}
}

func TestOperatorSetsOfExtensionsAreNoted(t *testing.T) {
	own := func(id, kind, opset string) string {
		return `<layer id="` + id + `" name="n" type="` + kind + `" version="` + opset + `"/>`
	}
	m, err := read(with(own("2", "A", "zeta"), own("3", "B", "zeta"), own("4", "C", "acme"), own("5", "GRUCell", "experimental"),
		own("6", "Proposal", "extension"), own("7", "D", "opset0")), 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"acme", "opset0", "zeta"}, m.CustomOpsets()); diff != "" {
		t.Errorf("CustomOpsets (-want +got):\n%s", diff)
	}
}

func TestAByteOrderMarkIsSteppedOver(t *testing.T) {
	if _, err := read("\uFEFF"+small(), smallBin); err != nil {
		t.Error(err)
	}
}

func TestALoopOfLayersEnds(t *testing.T) {
	m, err := read(net([]string{
		layer(0, "Add", "a", inputs(0), outputs(port(1, "FP32", 2))), layer(1, "Add", "b", inputs(0), outputs(port(1, "FP32", 2))), result(2, "r"),
	}, []string{edge(0, 1, 1, 0), edge(1, 1, 0, 0), edge(1, 1, 2, 0)}), 0)
	if err != nil || m.Layers != 3 {
		t.Errorf("Read = %+v, %v, want a model: what a loop means is for the library to say", m, err)
	}
}
