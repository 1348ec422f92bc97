package openvino_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"verge/internal/fault"
	"verge/internal/modelfile/openvino"
)

const (
	damaged    = "Copy or convert the model again; the file is damaged or was cut off."
	check      = "Check that the file is the .xml of an OpenVINO model, and convert it again."
	beside     = "Give the .bin that was written with this .xml, beside it."
	undeclared = "Convert the model again: an OpenVINO file has no <!DOCTYPE …> and no <!ENTITY …>."
	shallow    = "Check that the file is the .xml of an OpenVINO model. If it is, convert it with fewer If and Loop inside each other."
	floats     = "Convert the model with FP32 inputs and outputs, or cast inside it."
)

type refusal struct {
	xml     string
	weights int64
	kind    fault.Kind
	message string
	hint    string
}

func (r refusal) check(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatalf("the file was accepted, want %q", r.message)
	}
	if fault.Message(err) != r.message || fault.KindOf(err) != r.kind || fault.HintOf(err) != r.hint {
		t.Errorf("Read = %v: %s\nhint %q\nwant %v: %s\nhint %q", fault.KindOf(err), fault.Message(err), fault.HintOf(err), r.kind, r.message, r.hint)
	}
}

func refuse(t *testing.T, tests map[string]refusal) {
	t.Helper()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := read(tt.xml, tt.weights)
			tt.check(t, err)
		})
	}
}

func TestADocumentThatIsNoModelIsRefusedWithAReason(t *testing.T) {
	layers, edges := ends()
	bomb := `<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><net>&b;</net>`
	tests := map[string]refusal{
		"nothing":                  {"", 0, fault.Corrupt, "the file is empty", damaged},
		"blanks":                   {" \n ", 0, fault.Corrupt, "line 2: the file ends before the model", damaged},
		"text":                     {"hello <net>", 0, fault.Corrupt, `line 1: the file begins with "hello", not with a tag`, check},
		"another document":         {"<html></html>", 0, fault.Corrupt, "line 1: the file begins with <html>, not with <net>", check},
		"an end alone":             {"</net>", 0, fault.Corrupt, "line 1: </net> ends what has not begun", damaged},
		"a bomb of entities":       {bomb, 0, fault.Corrupt, "line 1: a document type or another declaration <!… is refused: OpenVINO writes none", undeclared},
		"an entity of its own":     {"<net version=\"11\">&b;</net>", 0, fault.Corrupt, "line 1: invalid character entity &b;", damaged},
		"a processing instruction": {"<?xml version=\"1.0\"?>\n<?php x?><net/>", 0, fault.Corrupt, "line 2: the processing instruction <?php is not allowed here", check},
		"a second declaration":     {"<?xml version=\"1.0\"?><?xml version=\"1.0\"?><net/>", 0, fault.Corrupt, "line 1: the processing instruction <?xml is not allowed here", check},
		"a declaration inside":     {"<net version=\"11\"><?xml version=\"1.0\"?></net>", 0, fault.Corrupt, "line 1: the processing instruction <?xml is not allowed here", check},
		"another character set": {
			`<?xml version="1.0" encoding="latin-1"?><net/>`, 0, fault.Unsupported, `the file is in character set "latin-1", only UTF-8 can be read`,
			"Convert the model again.",
		},
		"bytes that are no UTF-8":  {"<net version=\"11\">\xff</net>", 0, fault.Corrupt, "line 1: invalid UTF-8", damaged},
		"an end that does not fit": {"<net version=\"11\">\n<a></b></net>", 0, fault.Corrupt, "line 2: </b> stands where <a> must end", damaged},
		"an attribute twice":       {`<net version="11" version="10"/>`, 0, fault.Corrupt, `line 1: <net> has attribute "version" twice`, damaged},
		"an attribute unquoted":    {`<net version=11/>`, 0, fault.Corrupt, "line 1: unquoted or missing attribute value in element", damaged},
		"something after the end":  {small() + "<net/>", smallBin, fault.Corrupt, "line 26: something follows the end of the model", damaged},
		"no version":               {"<net/>", 0, fault.Corrupt, `line 1: <net> has no attribute "version"`, damaged},
		"an old version": {
			version("7", layers, edges), 0, fault.Unsupported, `the file has IR version "7", only 10 and 11 can be served`,
			"Convert the original model with ovc of OpenVINO 2023.1 or newer.",
		},
		"no layers":           {`<net version="11"><edges/></net>`, 0, fault.Corrupt, "line 1: <net> has no <layers>", check},
		"no edges":            {`<net version="11"><layers/></net>`, 0, fault.Corrupt, "line 1: <net> has no <edges>", check},
		"layers twice":        {`<net version="11"><layers/><layers/><edges/></net>`, 0, fault.Corrupt, "line 1: <net> has two <layers>", damaged},
		"edges twice":         {`<net version="11"><layers/><edges/><edges/></net>`, 0, fault.Corrupt, "line 1: <net> has two <edges>", damaged},
		"no output":           {net(nil, nil), 0, fault.Corrupt, "the model has no Result layer, which is what an output is", check},
		"an element in <dim>": {with(layer(2, "A", "a", `<output><port id="0"><dim><b/></dim></port></output>`)), 0, fault.Corrupt, "line 5: <b> stands where a number is wanted", damaged},
	}
	refuse(t, tests)
}

func TestLayersThatDoNotFitAreRefusedWithAReason(t *testing.T) {
	linked := func(edges ...string) string {
		layers, have := ends(layer(2, "Relu", "a", inputs(0), outputs(port(1, "FP32", 1))))
		return net(layers, append(have, edges...))
	}
	input := func(element, shape string) string {
		return net([]string{parameter(0, "x", element, shape, port(0, "FP32")), result(1, "r")}, []string{edge(0, 0, 1, 0)})
	}
	output := func(precision string) string {
		return net([]string{layer(0, "Own", "y", outputs(port(0, precision, 1))), result(1, "r")}, []string{edge(0, 0, 1, 0)})
	}
	tests := map[string]refusal{
		"an id twice":          {with(layer(1, "A", "a")), 0, fault.Corrupt, "line 5: two layers have id 1", damaged},
		"no id":                {with(`<layer name="a" type="A" version="opset1"/>`), 0, fault.Corrupt, `line 5: <layer> has no attribute "id"`, damaged},
		"an id that is none":   {with(`<layer id="-1" name="a" type="A" version="opset1"/>`), 0, fault.Corrupt, `line 5: attribute "id" of <layer> is "-1", want a number of 0 or more`, damaged},
		"no type":              {with(`<layer id="2" name="a" type="" version="opset1"/>`), 0, fault.Corrupt, `line 5: layer "a" has no type`, damaged},
		"no operator set":      {with(`<layer id="2" name="a" type="A"/>`), 0, fault.Corrupt, `line 5: <layer> has no attribute "version"`, damaged},
		"data twice":           {with(layer(2, "A", "a", "<data/><data/>")), 0, fault.Corrupt, `line 5: A "a" has two <data>`, damaged},
		"an input without one": {linked(), 0, fault.Corrupt, `line 5: input 0 of Relu "a" has no edge`, damaged},
		"an input with two":    {linked(edge(0, 0, 2, 0), edge(2, 1, 2, 0)), 0, fault.Corrupt, `line 9: input 0 of Relu "a" has two edges`, damaged},
		"an edge from nowhere": {linked(edge(9, 0, 2, 0)), 0, fault.Corrupt, "line 8: an edge names layer 9, which is not there", damaged},
		"an edge from no port": {linked(edge(2, 0, 2, 0)), 0, fault.Corrupt, `line 8: an edge names output 0 of Relu "a", which is not there`, damaged},
		"an edge to no port":   {linked(edge(0, 0, 2, 7)), 0, fault.Corrupt, `line 8: an edge names input 7 of Relu "a", which is not there`, damaged},
		"an edge without ends": {linked("<edge/>"), 0, fault.Corrupt, `line 8: <edge> has no attribute "from-layer"`, damaged},
		"a port twice":         {with(layer(2, "Relu", "a", inputs(3, 3))), 0, fault.Corrupt, `line 5: Relu "a" has two inputs with id 3`, damaged},
		"an output twice":      {with(layer(2, "Relu", "a", outputs(port(3, "FP32"), port(3, "FP32")))), 0, fault.Corrupt, `line 5: Relu "a" has two outputs with id 3`, damaged},
		"a dimension of -2":    {with(layer(2, "Relu", "a", outputs(port(3, "FP32", -2)))), 0, fault.Corrupt, `line 5: Relu "a" has a <dim> of "-2", want a number of -1 or more`, damaged},
		"a result of two": {
			net([]string{parameter(0, "x", "f32", "1", port(0, "FP32", 1)), layer(1, "Result", "r", inputs(0, 1))}, []string{edge(0, 0, 1, 0), edge(0, 0, 1, 1)}),
			0, fault.Corrupt, `line 4: Result "r" has 2 inputs, want 1`, damaged,
		},
		"a body with a wrong edge": {
			with(layer(2, "If", "a", "<then_body><layers></layers><edges>"+edge(0, 0, 1, 1)+"</edges></then_body>")), 0, fault.Corrupt,
			"line 5: an edge names layer 0, which is not there", damaged,
		},
		"a body without layers":   {with(layer(2, "Loop", "a", "<body><edges/></body>")), 0, fault.Corrupt, "line 5: <body> has no <layers>", check},
		"an input without data":   {net([]string{layer(0, "Parameter", "x")}, nil), 0, fault.Corrupt, `line 3: Parameter "x" has no <data>`, damaged},
		"an input without shape":  {net([]string{layer(0, "Parameter", "x", `<data element_type="f32"/>`)}, nil), 0, fault.Corrupt, `line 3: <data> has no attribute "shape"`, damaged},
		"a shape of words":        {input("f32", "1,abc"), 0, fault.Corrupt, `line 3: Parameter "x": dimension "abc" is not a number, a range or ?`, damaged},
		"a shape with a hole":     {input("f32", "1,,2"), 0, fault.Corrupt, `line 3: Parameter "x": dimension "" is not a number, a range or ?`, damaged},
		"a shape of -2":           {input("f32", "-2"), 0, fault.Corrupt, `line 3: Parameter "x": dimension "-2" is not a number, a range or ?`, damaged},
		"a range without an end":  {input("f32", "1..b"), 0, fault.Corrupt, `line 3: Parameter "x": dimension "1..b" is not a number, a range or ?`, damaged},
		"a number over 63 bits":   {input("f32", "9223372036854775808"), 0, fault.Corrupt, `line 3: Parameter "x": dimension "9223372036854775808" is not a number, a range or ?`, damaged},
		"17 dimensions":           {input("f32", strings.Repeat("1,", 16)+"1"), 0, fault.Unsupported, `input "input_0" has 17 dimensions, at most 16 can be served`, ""},
		"an input of 4 bits":      {input("i4", "1"), 0, fault.Unsupported, `input "input_0" has element type i4, which the protocol cannot carry`, floats},
		"an output of 8 bits":     {output("F8E4M3"), 0, fault.Unsupported, `output "output_0" has element type f8e4m3, which the protocol cannot carry`, floats},
		"an output of tomorrow":   {output("F3"), 0, fault.Unsupported, `output "output_0" has an element type that this version does not know`, floats},
		"an input of a port type": {input("FP32", "1"), 0, fault.Unsupported, `input "input_0" has an element type that this version does not know`, floats},
	}
	refuse(t, tests)
}

func TestWeightsThatDoNotFitAreRefusedWithAReason(t *testing.T) {
	tests := map[string]refusal{
		"no .bin file":        {with(constant(2, "w", "f32", "2", 8, 8)), -1, fault.Corrupt, `line 5: Const "w" needs bytes 8 to 16 of the .bin file, which is not there, or empty`, beside},
		"a short .bin file":   {with(constant(2, "w", "f32", "2", 8, 8)), 15, fault.Corrupt, `line 5: Const "w" needs bytes 8 to 16 of the .bin file, which has 15`, beside},
		"a size that is huge": {with(constant(2, "w", "f32", "2", 1<<62, 1<<62+1<<61)), 15, fault.Corrupt, `line 5: Const "w" needs bytes 4611686018427387904 to 9223372036854775807 of the .bin file, which has 15`, beside},
		"weights in a body": {
			with(layer(2, "Loop", "l", "<body><layers>", constant(0, "w", "f32", "1", 0, 4), "</layers><edges/></body>")), 3,
			fault.Corrupt, `line 5: Const "w" needs bytes 0 to 4 of the .bin file, which has 3`, beside,
		},
		"more bytes than elements": {with(constant(2, "w", "f32", "2", 0, 9)), 99, fault.Corrupt, `line 5: Const "w" claims 2 elements of f32, which take 8 bytes, and has 9`, damaged},
		"fewer halves of bytes":    {with(constant(2, "w", "i4", "3", 0, 1)), 99, fault.Corrupt, `line 5: Const "w" claims 3 elements of i4, which take 2 bytes, and has 1`, damaged},
		"fewer groups of bits":     {with(constant(2, "w", "u3", "8", 0, 2)), 99, fault.Corrupt, `line 5: Const "w" claims 8 elements of u3, which take at least 3 bytes, and has 2`, damaged},
		"a shape that overflows":   {with(constant(2, "w", "f32", "6442450944,6442450944", 0, 4)), 99, fault.Corrupt, `line 5: Const "w" claims more than 1152921504606846975 elements`, damaged},
		"a negative dimension":     {with(constant(2, "w", "f32", "2,-1", 0, 4)), 99, fault.Corrupt, `line 5: Const "w": dimension "-1" is not a number`, damaged},
		"no type":                  {with(constant(2, "w", "dynamic", "1", 0, 4)), 99, fault.Corrupt, `line 5: Const "w" has element type "dynamic"`, damaged},
		"no offset":                {with(layer(2, "Const", "w", `<data element_type="f32" shape="" size="4"/>`)), 99, fault.Corrupt, `line 5: <data> has no attribute "offset"`, damaged},
		"no data":                  {with(layer(2, "Const", "w")), 99, fault.Corrupt, `line 5: Const "w" has no <data>`, damaged},
		"elements without bytes": {
			with(constant(2, "a", "string", "1152921504606846975", 0, 1), constant(3, "b", "string", "1152921504606846975", 1, 1), constant(4, "c", "string", "1152921504606846975", 2, 1),
				constant(5, "d", "string", "1152921504606846975", 3, 1), constant(6, "e", "string", "1152921504606846975", 4, 1), constant(7, "f", "string", "1152921504606846975", 5, 1),
				constant(8, "g", "string", "1152921504606846975", 6, 1), constant(9, "h", "string", "1152921504606846975", 7, 1), constant(10, "i", "string", "1152921504606846975", 8, 1)),
			99, fault.TooLarge, "the Const layers together claim more than 9223372036854775807 elements", "",
		},
	}
	refuse(t, tests)
}

func TestEachLimitIsKept(t *testing.T) {
	deep := strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40)
	tests := map[string]struct {
		set     func(*openvino.Limits)
		xml     string
		message string
		hint    string
	}{
		"file":       {func(l *openvino.Limits) { l.FileBytes = 9 }, "<net></net>", "the file has 11 bytes, the limit is 9", ""},
		"tag":        {func(l *openvino.Limits) { l.TokenBytes = 200 }, with(layer(2, "A", strings.Repeat("a", 200))), "a tag or a text is longer than 200 bytes", ""},
		"comment":    {func(l *openvino.Limits) { l.TokenBytes = 200 }, "<!--" + strings.Repeat("a", 200) + "-->", "a tag or a text is longer than 200 bytes", ""},
		"elements":   {func(l *openvino.Limits) { l.Elements = 9 }, small(), "the file has more than 9 elements", ""},
		"attributes": {func(l *openvino.Limits) { l.Attributes = 3 }, with(), "line 3: <layer> has 4 attributes, the limit is 3", ""},
		"depth":      {func(l *openvino.Limits) { l.Depth = 30 }, with(layer(2, "A", "a", deep)), "line 5: elements are nested more than 30 deep", shallow},
		"layers":     {func(l *openvino.Limits) { l.Layers = 18 }, small(), "the file has more than 18 layers", ""},
		"ports":      {func(l *openvino.Limits) { l.Ports = 20 }, small(), "the file has more than 20 ports", ""},
		"edges":      {func(l *openvino.Limits) { l.Edges = 12 }, small(), "the file has more than 12 edges", ""},
		"kinds":      {func(l *openvino.Limits) { l.Kinds = 7 }, small(), "the file has more than 7 different operators", ""},
		"name":       {func(l *openvino.Limits) { l.NameBytes = 20 }, with(layer(2, "A", strings.Repeat("a", 21))), `line 5: attribute "name" of <layer> has 21 bytes, the limit is 20`, ""},
		"dimension":  {func(l *openvino.Limits) { l.NameBytes = 20 }, with(layer(2, "A", "a", "<output><port id=\"0\"><dim>"+strings.Repeat("1", 21)+"</dim></port></output>")), "line 5: the text in <dim> is longer than 20 bytes", ""},
		"tensor name": {
			func(l *openvino.Limits) { l.NameBytes = 20 },
			net([]string{parameter(0, "x", "f32", "1", named(0, "FP32", strings.Repeat("a", 21), 1)), result(1, "r")}, []string{edge(0, 0, 1, 0)}),
			`the name of input "aaaaaaaaaaaaaaaaaaaaa" has 21 bytes, the limit is 20`, "",
		},
		"text":    {func(l *openvino.Limits) { l.TextBytes = 30 }, with(layer(2, "A", strings.Repeat("a", 40))), "the names in the file take more than 30 bytes", ""},
		"inputs":  {func(*openvino.Limits) {}, many(257, 1), "the model has more than 256 inputs", ""},
		"outputs": {func(*openvino.Limits) {}, many(1, 257), "the model has more than 256 outputs", ""},
		"both":    {func(*openvino.Limits) {}, many(300, 300), "the model has more than 512 inputs and outputs", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			limits := openvino.DefaultLimits()
			tt.set(&limits)
			_, err := openvino.Read(strings.NewReader(tt.xml), int64(len(tt.xml)), smallBin, limits)
			refusal{kind: fault.TooLarge, message: tt.message, hint: tt.hint}.check(t, err)
		})
	}
}

// many is a model with that many inputs, the first of which feeds that many outputs.
func many(inputs, outputs int) string {
	var layers, edges []string
	for i := range inputs {
		layers = append(layers, parameter(i, fmt.Sprint("x", i), "f32", "1", port(0, "FP32", 1)))
	}
	for i := range outputs {
		layers = append(layers, result(inputs+i, fmt.Sprint("r", i)))
		edges = append(edges, edge(0, 0, inputs+i, 0))
	}
	return net(layers, edges)
}

func TestAModelCutAnywhereIsRefused(t *testing.T) {
	whole := strings.TrimSpace(small())
	for n := range whole {
		_, err := read(whole[:n], smallBin)
		if err == nil || fault.KindOf(err) != fault.Corrupt || n > 0 && !strings.Contains(fault.Message(err), "the file ends ") {
			t.Errorf("cut at %d of %d: %v, want the file to end too early", n, len(whole), err)
		}
	}
}

func TestAFlippedByteNeverPanics(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	whole := small()
	for i := range whole {
		data := []byte(whole)
		data[i] ^= byte(1 + random.IntN(255))
		if _, err := read(string(data), smallBin); err != nil && fault.KindOf(err) == fault.Internal {
			t.Errorf("byte %d is %#x: %v", i, data[i], err)
		}
	}
}

func TestAClaimOfAGigabyteMovesNoMemory(t *testing.T) {
	claims := map[string]string{
		"weights":        with(constant(2, "w", "f32", "268435456", 0, 1<<30)),
		"a shape":        with(layer(2, "A", "a", outputs(port(0, "FP32", 1<<30, 1<<30)))),
		"a long comment": "<!--" + strings.Repeat("a", 1<<24),
		"a long tag":     "<net a=\"" + strings.Repeat("a", 1<<24),
	}
	for name, xml := range claims {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _ = read(xml, 1<<40)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
				t.Errorf("Read allocated %d bytes, want at most %d", got, 8<<20)
			}
		})
	}
}

type hole struct{ from int64 }

func (h hole) ReadAt(p []byte, off int64) (int, error) {
	if off >= h.from {
		return 0, errors.New("input/output error")
	}
	return strings.NewReader(small()[:h.from]).ReadAt(p[:min(int64(len(p)), h.from-off)], off)
}

func TestAFileThatCannotBeReadIsNotCorrupt(t *testing.T) {
	for _, at := range []int64{0, 100} {
		_, err := openvino.Read(hole{at}, 2000, smallBin, openvino.DefaultLimits())
		refusal{kind: fault.Internal, message: fmt.Sprintf("read at byte %d: input/output error", at)}.check(t, err)
	}
}

func TestAFileThatShrinksIsCorrupt(t *testing.T) {
	_, err := openvino.Read(strings.NewReader(small()[:100]), 2000, smallBin, openvino.DefaultLimits())
	refusal{kind: fault.Corrupt, message: "the file ended after 100 bytes while it was read, it had 2000", hint: damaged}.check(t, err)
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(small()), int64(smallBin))
	f.Add([]byte(with(constant(2, "w", "u4", "3", 0, 2))), int64(2))
	f.Add([]byte(version("10", []string{layer(0, "Own", "y", outputs(port(0, "I64", 2))), result(1, "r")}, []string{edge(0, 0, 1, 0)})), int64(-1))
	files, _ := filepath.Glob(filepath.Join("..", "..", "..", "..", "shared", "models", "*.xml"))
	for _, path := range files {
		if data, err := os.ReadFile(path); err == nil {
			f.Add(data, int64(4))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, weights int64) {
		m, err := openvino.Read(strings.NewReader(string(data)), int64(len(data)), weights, openvino.DefaultLimits())
		if err != nil {
			if kind := fault.KindOf(err); kind == fault.Internal {
				t.Fatalf("kind %v: %v", kind, err)
			}
			return
		}
		if m.Parameters < 0 || m.ParameterBytes < 0 || m.ParameterBytes > max(weights, 0) || m.ActivationBytes < 0 || m.ConvertedBytes < 0 {
			t.Fatalf("a wrong figure: %+v", m)
		}
		if len(m.Signature.Outputs) == 0 {
			t.Fatal("a model without outputs")
		}
	})
}
