package onnxruntime_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/runtimes/onnxruntime"
	"verge/internal/tensor"
)

// numbers returns a tensor of FP32 with numbers from -0.5 to 0.5.
func numbers(name string, shape ...int64) tensor.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(math.Mod(float64(i)*0.6180339887, 1) - 0.5)
	}
	return onnxmodel.Floats(name, shape, values...)
}

// odd returns the model with 1 MiB and 20 bytes of weights in front, of which its
// output z FP32[n] holds the elements that its input i INT64[n] points to.
func odd(m onnxmodel.Model) onnxmodel.Model {
	m.Initializers = append([]tensor.Tensor{numbers("a", 1<<18+5)}, m.Initializers...)
	m.Nodes = append([]onnxmodel.Node{{Op: "Gather", Inputs: []string{"a", "i"}, Outputs: []string{"z"}}}, m.Nodes...)
	m.Inputs = append(m.Inputs, value("i", tensor.Int64, "count"))
	m.Outputs = append(m.Outputs, value("z", tensor.FP32, "count"))
	return m
}

// product is a graph whose output is the product of x FP32[n,121] and the weights,
// which belong to the graph.
func product(output string, weights tensor.Tensor) onnxmodel.Model {
	return onnxmodel.Model{
		Graph:        output,
		Initializers: []tensor.Tensor{weights},
		Nodes:        []onnxmodel.Node{{Op: "MatMul", Inputs: []string{"x", weights.Name}, Outputs: []string{output}}},
		Outputs:      []onnxmodel.Value{value(output, tensor.FP32, "n", 33)},
	}
}

// The library's kernels read these weights with instructions that want addresses at
// multiples of 32 or 64 bytes: a process dies where one is elsewhere.
func TestPreparedWeightsAreWhereKernelsCanReadThem(t *testing.T) {
	x := numbers("x", 5, 121)
	matmul := product("y", numbers("w", 121, 33))
	matmul.Inputs = []onnxmodel.Value{value("x", tensor.FP32, "n", 121)}
	lstm := onnxmodel.Model{
		Initializers: []tensor.Tensor{numbers("w", 1, 36, 256), numbers("r", 1, 36, 9)},
		Nodes:        []onnxmodel.Node{{Op: "LSTM", Inputs: []string{"x", "w", "r"}, Outputs: []string{"y"}, Attributes: map[string]any{"hidden_size": 9}}},
		Inputs:       []onnxmodel.Value{value("x", tensor.FP32, "n", 1, 256)},
		Outputs:      []onnxmodel.Value{value("y", tensor.FP32, "n", 1, 1, 9)},
	}
	branches := onnxmodel.Model{
		Nodes: []onnxmodel.Node{{Op: "If", Inputs: []string{"first"}, Outputs: []string{"y"}, Attributes: map[string]any{
			"then_branch": product("y1", numbers("w1", 121, 33)),
			"else_branch": product("y2", numbers("w2", 121, 33)),
		}}},
		Inputs:  []onnxmodel.Value{value("x", tensor.FP32, "n", 121), value("first", tensor.Bool)},
		Outputs: []onnxmodel.Value{value("y", tensor.FP32, "n", 33)},
	}
	branches.Inputs[1].Shape = []any{} // a scalar
	for name, tc := range map[string]struct {
		model  onnxmodel.Model
		inputs []tensor.Tensor
	}{
		"a product":             {matmul, []tensor.Tensor{x}},
		"an LSTM":               {lstm, []tensor.Tensor{numbers("x", 5, 1, 256)}},
		"a graph in an If":      {branches, []tensor.Tensor{x, {Name: "first", DType: tensor.Bool, Shape: []int64{}, Data: []byte{1}}}},
		"the other graph in it": {branches, []tensor.Tensor{x, {Name: "first", DType: tensor.Bool, Shape: []int64{}, Data: []byte{0}}}},
	} {
		t.Run(name, func(t *testing.T) {
			inputs := append(tc.inputs, onnxmodel.Ints("i", []int64{3}, 0, 1, 1<<18+4))
			data, cache := odd(tc.model).Encode(), t.TempDir()
			want, err := ask(t, load(t, data, inference.Options{OptimizationLevel: 1}), &plain{}, inputs...)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				got, err := ask(t, load(t, data, inference.Options{OptimizationLevel: 1, Cache: cache}), &plain{}, inputs...)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("the prepared model's answer differs (-want +got):\n%s", diff)
				}
			}
			checkAligned(t, cache)
		})
	}
}

// checkAligned checks the one prepared model of a cache, in which texts name offsets.
func checkAligned(t *testing.T, cache string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(cache, "*", "*", "model.onnx"))
	if err != nil || len(found) != 1 {
		t.Fatalf("prepared models = %q, %v; want one", found, err)
	}
	model, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	for what, pattern := range map[string]string{
		"of tensors":        `(?s)offset\x12.(\d+)`,
		"of packed weights": `[|](\d+);\d+;\d`,
	} {
		offsets := regexp.MustCompile(pattern).FindAllSubmatch(model, -1)
		if len(offsets) == 0 {
			t.Errorf("the prepared model has no offsets %s", what)
		}
		for _, match := range offsets {
			if offset, err := strconv.Atoi(string(match[1])); err != nil || offset%inference.Align != 0 {
				t.Errorf("offset %s of those %s is no multiple of %d, %v", match[1], what, inference.Align, err)
			}
		}
	}
}

// field is a field of a protocol buffer with parts one behind the other.
func field(number int, parts ...string) string {
	body := strings.Join(parts, "")
	head := binary.AppendUvarint(nil, uint64(number)<<3|2)
	return string(binary.AppendUvarint(head, uint64(len(body)))) + body
}

// at is a TensorProto with external data: keys and values in turn.
func at(name string, external ...string) string {
	all := "\x10\x01" + field(8, name) // an element type
	for i := 0; i < len(external); i += 2 {
		all += field(13, field(1, external[i]), field(2, external[i+1]))
	}
	return all + "\x70\x01" // that the data are external
}

// lies is a TensorProto whose bytes are in the file of weights.
func lies(name, offset, length string, packed ...string) string {
	return at(name, append([]string{"location", "weights.bin", "offset", offset, "length", length}, packed...)...)
}

// align lays out the weights of a model, and returns both files.
func align(t *testing.T, model, weights string) (newModel, newWeights string, err error) {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{"model.onnx": model, "weights.bin": weights} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := onnxruntime.AlignWeights(folder); err != nil {
		return "", "", err
	}
	var texts [2]string
	for i, name := range []string{"model.onnx", "weights.bin"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(text)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 2 {
		t.Errorf("the folder holds %v, %v; want two files", entries, err)
	}
	return texts[0], texts[1], nil
}

func TestWeightsAreMovedWhereverATensorIs(t *testing.T) {
	const others = "\x08\x05\x11\x01\x02\x03\x04\x05\x06\x07\x08\x1d\x01\x02\x03\x04" // a field of each other wire type
	model := func(earlier, a, b, packed, empty, c, d, e string) string {
		sparse := field(1, lies("d", d, "3")) + field(2, "\x10\x01")
		branch := earlier + field(5, lies("b", b, "5", "prepacked_2", "LSTM+1|"+packed+";2;0|"+empty+";0;0"))
		return others + field(2, "producer") + field(7,
			others,
			field(1, field(4, "If"), field(5, field(1, "then_branch"), field(6, branch))),
			field(1, field(5, field(5, lies("c", c, "7")), field(22, sparse))),
			field(5, lies("a", a, "4"), "\x20\x01"),
			field(5, lies("same", a, "4")),
			field(5, field(8, "inside"), field(9, "bytes")),
			field(15, sparse),
		) + field(25, field(7, field(5, field(10, lies("e", e, "1")))))
	}
	earlier := field(5, field(8, "b"), field(9, "bytes")) + field(5, lies("b", "3", "99")) // the last b counts
	got, weights, err := align(t, model(earlier, "0", "4", "9", "11", "13", "20", "23"), "aaaabbbbbpp..cccccccddde")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(model("", "0", "64", "128", "192", "192", "256", "320"), got); diff != "" {
		t.Errorf("model differs (-want +got):\n%s", diff)
	}
	want := ""
	for _, part := range []string{"aaaa", "bbbbb", "pp", "ccccccc", "ddd"} {
		want += part + strings.Repeat("\x00", inference.Align-len(part))
	}
	if diff := cmp.Diff(want+"e", weights); diff != "" {
		t.Errorf("weights differ (-want +got):\n%s", diff)
	}
}

func TestAPreparedModelThatIsNotAsExpectedIsLeftAlone(t *testing.T) {
	initializer := func(tensors ...string) string {
		var all string
		for _, t := range tensors {
			all += field(5, t)
		}
		return field(7, all)
	}
	deep := field(5, lies("a", "0", "4"))
	for range 33 {
		deep = field(1, field(5, field(6, deep)))
	}
	for name, tc := range map[string]struct{ model, want string }{
		"another file":           {initializer(at("a", "location", "/etc/passwd", "offset", "0", "length", "4")), `model.onnx: a tensor is in file "/etc/passwd", want "weights.bin"`},
		"no length":              {initializer(at("a", "location", "weights.bin", "offset", "0")), `model.onnx: a tensor's external data have 2 of location, offset and length`},
		"an offset twice":        {initializer(lies("a", "0", "4", "offset", "4")), `model.onnx: a tensor's external data have the key "offset", or have it twice`},
		"an unknown key":         {initializer(lies("a", "0", "4", "checksum", "1")), `model.onnx: a tensor's external data have the key "checksum", or have it twice`},
		"no number":              {initializer(lies("a", "0x0", "4")), `model.onnx: strconv.ParseUint: parsing "0x0": invalid syntax`},
		"a negative number":      {initializer(lies("a", "0", "-4")), `model.onnx: strconv.ParseUint: parsing "-4": invalid syntax`},
		"a number of 64 bits":    {initializer(lies("a", "9223372036854775808", "4")), `model.onnx: strconv.ParseUint: parsing "9223372036854775808": value out of range`},
		"two of three":           {initializer(lies("a", "0", "4", "prepacked_1", "X|4;4")), `model.onnx: packed weights are at "4;4", want an offset, a length and a check sum`},
		"packed at no number":    {initializer(lies("a", "0", "4", "prepacked_1", "X|?;4;0")), `model.onnx: strconv.ParseUint: parsing "?": invalid syntax`},
		"one in another":         {initializer(lies("a", "0", "4"), lies("b", "3", "4")), `weights.bin: 4 bytes at 3 are in others or behind the end, 8`},
		"one behind the end":     {initializer(lies("a", "0", "4"), lies("b", "5", "4")), `weights.bin: 4 bytes at 5 are in others or behind the end, 8`},
		"one far behind the end": {initializer(lies("a", "9223372036854775807", "9223372036854775807")), `weights.bin: 9223372036854775807 bytes at 9223372036854775807 are in others or behind the end, 8`},
		"a number as an entry":   {initializer("\x68\x01"), `model.onnx: external data have wire type 0`},
		"another entry":          {initializer(field(13, field(3, "x"))), `model.onnx: external data have a field 3`},
		"a group":                {field(7, "\x0b\x0c"), `model.onnx: field 1 has wire type 3`},
		"cut off":                {initializer(lies("a", "0", "4"))[:40], `model.onnx: a field is cut off or malformed`},
		"a name cut off":         {field(7, field(5, "\x42\x09a")), `model.onnx: a field is cut off or malformed`},
		"a number cut off":       {field(7, "\x08"), `model.onnx: a field is cut off or malformed`},
		"too long a number":      {field(7, "\x08"+strings.Repeat("\xff", 10)+"\x01"), `model.onnx: a field is cut off or malformed`},
		"too long a length":      {field(7, "\x0a"+strings.Repeat("\xff", 10)+"\x01"), `model.onnx: a field is cut off or malformed`},
		"field 0":                {field(7, "\x00\x00"), `model.onnx: a field is cut off or malformed`},
		"too deep":               {field(7, field(1, field(5, field(6, deep)))), `model.onnx: messages lie more than 100 deep in each other`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := align(t, tc.model, "aaaabbbb"); err == nil || err.Error() != tc.want {
				t.Errorf("align = %v, want %q", err, tc.want)
			}
		})
	}
	if err := onnxruntime.AlignWeights(t.TempDir()); err == nil {
		t.Error("a model that is not there was laid out")
	}
	if got, _, err := align(t, initializer(field(8, "a")), ""); err != nil || got != initializer(field(8, "a")) {
		t.Errorf("a model without such weights became %q, %v", got, err)
	}
}

func TestAFlippedByteOfAPreparedModelNeverPanics(t *testing.T) {
	whole := field(7, field(1, field(5, field(6, field(5, lies("b", "0", "2"))))), field(5, lies("a", "3", "4", "prepacked_1", "X|7;1;0")))
	for i := range whole {
		for _, flip := range []byte{1, 2, 0x80, 0xff} {
			data := []byte(whole)
			data[i] ^= flip
			_, _, _ = align(t, string(data), "aaaabbbb")
		}
		_, _, _ = align(t, whole[:i], "aaaabbbb")
	}
}
