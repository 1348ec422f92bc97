package openvino_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/inference/inferencetest/irmodel"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/runtimes/openvino"
	"verge/internal/tensor"
)

// model is the files of a model in Go's own memory.
func model(data []byte) inference.Model {
	m := inference.Model{Name: "m@1", FD: -1}
	var weights []byte
	if m.Data, weights = irmodel.Split(data); weights != nil {
		m.Weights = &inference.Memory{Data: weights, FD: -1}
	}
	return m
}

// load loads a model, and ends the test where that fails.
func load(tb testing.TB, rt inference.Runtime, data []byte, o inference.Options) inference.Session {
	tb.Helper()
	session, err := rt.Load(tb.Context(), model(data), o)
	if err != nil {
		tb.Fatalf("Load = %v, want a session", err)
	}
	tb.Cleanup(func() { session.Close() })
	return session
}

// ask runs inputs in a new slot.
func ask(tb testing.TB, session inference.Session, memory inference.Arena, inputs ...tensor.Tensor) ([]tensor.Tensor, error) {
	tb.Helper()
	slot, err := session.NewSlot(memory)
	if err != nil {
		tb.Fatal(err)
	}
	defer slot.Close()
	return inference.Run(tb.Context(), session.Signature(), slot, inputs)
}

// plain is an arena of Go's own memory.
type plain struct{ input, output []byte }

func (p *plain) Input(n int) (inference.Memory, error)  { return grow(&p.input, n) }
func (p *plain) Output(n int) (inference.Memory, error) { return grow(&p.output, n) }

func grow(b *[]byte, n int) (inference.Memory, error) {
	if len(*b) < n {
		*b = make([]byte, n)
	}
	return inference.Memory{Data: *b, FD: -1}, nil
}

// single is a model of one operation with the output y.
func single(op string, y irmodel.Port, inputs ...irmodel.Layer) []byte {
	y.Name = "y"
	node := irmodel.Layer{Name: "node", Type: op, Outputs: []irmodel.Port{y}}
	for _, in := range inputs {
		node.Inputs = append(node.Inputs, in.Name)
	}
	return irmodel.Model{Layers: append(inputs, node, irmodel.Result("node"))}.Encode()
}

func vector(n int) irmodel.Port { return irmodel.Port{DType: tensor.FP32, Shape: []int{n}} }

// check compares an error's kind, text and hint.
func check(tb testing.TB, err error, kind fault.Kind, text, hint string) {
	tb.Helper()
	if err == nil {
		tb.Errorf("no error, want %q", text)
		return
	}
	got := []string{fault.KindOf(err).String(), fault.Message(err), fault.HintOf(err)}
	if diff := cmp.Diff([]string{kind.String(), text, hint}, got); diff != "" {
		tb.Errorf("error differs (-want +got):\n%s", diff)
	}
}

func TestModelsThatCannotBeLoadedAreRefusedInTheLibrarysWords(t *testing.T) {
	x := irmodel.Parameter("x", tensor.FP32, 1)
	anyRank := irmodel.Parameter("x", tensor.FP32)
	anyRank.Data["shape"] = "..."
	lookup := irmodel.Lookup()
	graph, _ := irmodel.Split(lookup)
	many := irmodel.Model{Layers: []irmodel.Layer{x}}
	for range inference.MaxTensors + 1 {
		many.Layers = append(many.Layers, irmodel.Result("x"))
	}
	const noStrings = "Convert the model with inputs and outputs of numbers, or run its ONNX file in ONNX Runtime (deployment.runtime)."
	const unreadable = `model m@1: Unable to read the model. Please check if the model format is supported and model is correct.`
	const (
		damaged = "Convert the model again: its file is damaged, or says what cannot be."
		foreign = "Export the model with operators of its format itself, or run it in the format's own runtime: deployment.runtime."
	)
	for name, tc := range map[string]struct {
		model      []byte
		kind       fault.Kind
		text, hint string
	}{
		"no bytes":                         {nil, fault.Corrupt, `model m@1: the file is empty`, ""},
		"another format":                   {[]byte("plain text"), fault.Corrupt, `model m@1: the file is neither OpenVINO IR, nor ONNX, nor TensorFlow Lite`, ""},
		"other XML":                        {[]byte("<html></html>"), fault.Corrupt, unreadable, damaged},
		"broken XML":                       {graph[:100], fault.Corrupt, `model m@1: Error parsing element attribute at offset 95`, damaged},
		"no ONNX":                          {[]byte("rplain text"), fault.Corrupt, unreadable, damaged},
		"cut ONNX":                         {onnxmodel.Join()[:100], fault.Corrupt, `model m@1: Error during import of ONNX model provided as input stream with binary protobuf message.`, damaged},
		"cut TensorFlow Lite":              {tflitemodel.Join()[:100], fault.Corrupt, `model m@1: TensorFlow Lite Frontend: the model file "model.tflite" is corrupted or malformed (FlatBuffer verification failed).`, damaged},
		"a graph without its weights":      {graph, fault.Corrupt, `model m@1: Empty weights data in bin file or bin file cannot be found!`, "Deploy the .bin file together with the .xml file."},
		"weights that are cut":             {lookup[:len(lookup)-5], fault.Corrupt, `model m@1: Incorrect weights in bin file!`, damaged},
		"an operation that is none":        {irmodel.Unknown(), fault.Unsupported, `model m@1: Opset opset8 doesn't contain the operation with type: Levitate`, "Convert the model again for this version of OpenVINO, or install a newer one."},
		"an ONNX operator that is none":    {onnxmodel.Unknown(), fault.Unsupported, `model m@1: Model wasn't fully converted. Summary: -- No conversion rule found for operations: Levitate-17`, foreign},
		"an operator of TensorFlow's none": {tflitemodel.Unknown(), fault.Unsupported, `model m@1: No translator found for Levitate node.`, foreign},
		"a type that nobody can send":      {irmodel.Identity(irmodel.Int4, 4), fault.Unsupported, `model m@1: input "x" has element type i4, which no request can carry`, ""},
		"strings":                          {irmodel.Identity(tensor.Bytes, 4), fault.Unsupported, `model m@1: input "x" has element type string, which OpenVINO cannot run safely`, noStrings},
		"an input of any rank":             {single("ReLU", vector(-1), anyRank), fault.Unsupported, `model m@1: Unexpected: CPU plug-in doesn't support Parameter operation with dynamic rank. Operation name: x`, "Declare the number of dimensions in the model; dimensions may be dynamic."},
		"too many outputs":                 {many.Encode(), fault.Unsupported, `model m@1: the model has 257 outputs, at most 256 are allowed`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t).Load(t.Context(), model(tc.model), inference.Options{})
			check(t, err, tc.kind, tc.text, tc.hint)
		})
	}
}

func TestRefusedValuesAreExplainedWithoutTheLibrarysSource(t *testing.T) {
	bounded := irmodel.Parameter("x", tensor.FP32, -1)
	bounded.Data["shape"] = "1..3"
	numbers := func(d tensor.DType, data ...byte) tensor.Tensor {
		return tensor.Tensor{Name: "x", DType: d, Shape: []int64{int64(len(data) / d.Size())}, Data: data}
	}
	for name, tc := range map[string]struct {
		model  []byte
		inputs []tensor.Tensor
		text   string
	}{
		"an index": {
			irmodel.Lookup(),
			[]tensor.Tensor{onnxmodel.Ints("x", []int64{1}, 9)},
			`model m@1: Node node of type GatherElements indices values of GatherElement exceed data size`,
		},
		"batches that differ": {
			irmodel.Join(),
			[]tensor.Tensor{onnxmodel.Floats("a", []int64{1, 2}, 1, 2), onnxmodel.Floats("b", []int64{2, 3}, 1, 2, 3, 4, 5, 6)},
			`model m@1: [CPU] Concat node with name 'concat' While validating node 'opset1::Concat concat (opset1::Parameter a[0]:f32[?,2], opset1::Parameter b[0]:f32[?,3]) -> (f32[?,5])' with friendly_name 'concat': Shape inference input shapes {{1,2},{2,3}} Argument shapes are inconsistent; they must have the same rank, and must have equal dimension everywhere except on the concatenation axis (axis 1).`,
		},
		"a dimension out of its bounds": {
			single("ReLU", vector(-1), bounded),
			[]tensor.Tensor{onnxmodel.Floats("x", []int64{5}, 1, 2, 3, 4, 5)},
			`model m@1: Can't set the input tensor with index: 0, because the model input (shape=[1..3]) and the tensor (shape=(5)) are incompatible`,
		},
		"an integer of 64 bits": {
			irmodel.Identity(tensor.Int64, -1),
			[]tensor.Tensor{onnxmodel.Ints("x", []int64{3}, -1<<31, 1<<31-1, 1<<31)},
			`model m@1: input "x" has element 2 of 2147483648, which OpenVINO does not compute with: it takes -2147483648 to 2147483647`,
		},
		"an unsigned integer of 64 bits": {
			irmodel.Identity(tensor.Uint64, -1),
			[]tensor.Tensor{numbers(tensor.Uint64, 255, 255, 255, 127, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0)},
			`model m@1: input "x" has element 1 of 1099511627776, which OpenVINO does not compute with: it takes -2147483648 to 2147483647`,
		},
		"an unsigned integer of 32 bits": {
			irmodel.Identity(tensor.Uint32, -1),
			[]tensor.Tensor{numbers(tensor.Uint32, 255, 255, 255, 127, 0, 0, 0, 128)},
			`model m@1: input "x" has element 1 of 2147483648, which OpenVINO does not compute with: it takes -2147483648 to 2147483647`,
		},
		"FP64": {
			irmodel.Identity(tensor.FP64, -1),
			[]tensor.Tensor{doubles(math.Inf(1), math.MaxFloat32, -1e300)},
			`model m@1: input "x" has element 2 of -1e+300, which OpenVINO does not compute with: it takes -3.4028235e+38 to 3.4028235e+38`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(t, load(t, open(t), tc.model, inference.Options{}), &plain{}, tc.inputs...)
			check(t, err, fault.Invalid, tc.text, "")
		})
	}
}

func TestDoublesThatFitComeBack(t *testing.T) {
	in := doubles(0, -1.5, 1<<24, math.MaxFloat32, math.Inf(-1))
	got, err := ask(t, load(t, open(t), irmodel.Identity(tensor.FP64, -1), inference.Options{}), &plain{}, in)
	if err != nil || !bytes.Equal(got[0].Data, in.Data) {
		t.Errorf("Run = %v, %v; want %v", got, err, in)
	}
}

// doubles is an input x of FP64.
func doubles(values ...float64) tensor.Tensor {
	x := tensor.Tensor{Name: "x", DType: tensor.FP64, Shape: []int64{int64(len(values))}}
	for _, v := range values {
		x.Data = binary.LittleEndian.AppendUint64(x.Data, math.Float64bits(v))
	}
	return x
}

func TestIntegersOfThirtyTwoBitsComeBackAsTheyAre(t *testing.T) {
	session := load(t, open(t), irmodel.Identity(tensor.Int64, -1), inference.Options{})
	in := onnxmodel.Ints("x", []int64{4}, -1<<31, -1, 0, 1<<31-1)
	got, err := ask(t, session, &plain{}, in)
	if err != nil || !bytes.Equal(got[0].Data, in.Data) {
		t.Errorf("Run = %v, %v; want %v", got, err, in)
	}
}

func TestAScalarBesideAnOutputOfOpenShapeIsGiven(t *testing.T) {
	data := onnxmodel.Model{
		Nodes: []onnxmodel.Node{
			{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}},
			{Op: "ReduceSum", Inputs: []string{"y"}, Outputs: []string{"s"}, Attributes: map[string]any{"keepdims": 0}},
		},
		Inputs:  []onnxmodel.Value{{Name: "x", DType: tensor.FP32, Shape: []any{"n", "m"}}},
		Outputs: []onnxmodel.Value{{Name: "y", DType: tensor.FP32, Shape: []any{"n", "m"}}, {Name: "s", DType: tensor.FP32, Shape: []any{}}},
	}.Encode()
	got, err := ask(t, load(t, open(t), data, inference.Options{}), &plain{}, onnxmodel.Floats("x", []int64{2, 2}, 1, -2, 3, 4))
	if err != nil {
		t.Fatal(err)
	}
	want := onnxmodel.Floats("s", []int64{}, 8)
	if s := got[1]; s.Name != want.Name || s.Shape == nil || len(s.Shape) != 0 || !bytes.Equal(s.Data, want.Data) {
		t.Errorf("answer %v, want %v", s, want)
	}
}

func TestOutputsHaveTheNamesOfTheFile(t *testing.T) {
	branch := func(op string) onnxmodel.Model {
		return onnxmodel.Model{
			Graph:   "branch",
			Nodes:   []onnxmodel.Node{{Op: op, Inputs: []string{"x"}, Outputs: []string{"A::inner"}}},
			Outputs: []onnxmodel.Value{{Name: "A::inner", DType: tensor.FP32, Shape: []any{2}}},
		}
	}
	data := onnxmodel.Model{
		Nodes: []onnxmodel.Node{{
			Op: "If", Inputs: []string{"yes"}, Outputs: []string{"output"},
			Attributes: map[string]any{"then_branch": branch("Relu"), "else_branch": branch("Neg")},
		}},
		Initializers: []tensor.Tensor{{Name: "yes", DType: tensor.Bool, Shape: []int64{}, Data: []byte{1}}},
		Inputs:       []onnxmodel.Value{{Name: "x", DType: tensor.FP32, Shape: []any{2}}},
		Outputs:      []onnxmodel.Value{{Name: "output", DType: tensor.FP32, Shape: []any{2}}},
	}.Encode()
	if got := load(t, open(t), data, inference.Options{}).Signature().Outputs[0].Name; got != "output" {
		t.Errorf("the output is called %q, want output", got)
	}
}

func TestModelsOfOtherFormatsRun(t *testing.T) {
	a, b := onnxmodel.Floats("a", []int64{1, 2}, 1, 2), onnxmodel.Floats("b", []int64{1, 3}, 3, 4, 5)
	want := onnxmodel.Floats("joined", []int64{1, 5}, 1, 2, 3, 4, 5)
	for name, data := range map[string][]byte{"ONNX": onnxmodel.Join(), "TensorFlow Lite": tflitemodel.Join()} {
		t.Run(name, func(t *testing.T) {
			temporary := t.TempDir()
			t.Setenv("TMPDIR", temporary)
			got, err := ask(t, load(t, open(t), data, inference.Options{}), &plain{}, a, b)
			if err != nil || got[0].Name != want.Name || !slices.Equal(got[0].Shape, want.Shape) || !bytes.Equal(got[0].Data, want.Data) {
				t.Errorf("Run = %v, %v; want %v", got, err, want)
			}
			if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
				t.Errorf("%d files are left behind, %v", len(left), err)
			}
		})
	}
}

func TestLinkToAModelNeedsAPlace(t *testing.T) {
	rt := open(t)
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	_, err := rt.Load(t.Context(), model(tflitemodel.Join()), inference.Options{})
	if err == nil || fault.KindOf(err) != fault.Exhausted || fault.HintOf(err) != "Set TMPDIR to a directory that can be written to." ||
		!strings.HasPrefix(fault.Message(err), "model m@1: a link to the model, which OpenVINO reads by name: ") {
		t.Errorf("Load = %v, hint %q; want no place for the link", err, fault.HintOf(err))
	}
}

func TestLibraryWithoutLaterFunctionsRunsModels(t *testing.T) {
	session := load(t, openvino.WithoutProperties(open(t)), irmodel.Join(), inference.Options{Threads: 2, Parallel: 2})
	got, err := ask(t, session, &plain{}, onnxmodel.Floats("a", []int64{1, 2}, 1, 2), onnxmodel.Floats("b", []int64{1, 3}, 3, 4, 5))
	if want := onnxmodel.Floats("joined", []int64{1, 5}, 1, 2, 3, 4, 5); err != nil || !bytes.Equal(got[0].Data, want.Data) {
		t.Errorf("Run = %v, %v; want %v", got, err, want)
	}
	if metadata := session.Info().Metadata; metadata != nil {
		t.Errorf("metadata = %v, want none", metadata)
	}
}

func TestMetadataIsWhatTheLibraryTells(t *testing.T) {
	want := map[string]string{"graph": "join"}
	if diff := cmp.Diff(want, load(t, open(t), irmodel.Join(), inference.Options{}).Info().Metadata); diff != "" {
		t.Errorf("metadata differs (-want +got):\n%s", diff)
	}
}

func TestTensorsWithoutNamesOrWithTakenOnesGetTheirOwn(t *testing.T) {
	x := irmodel.Parameter("x", tensor.FP32, 1)
	nameless := irmodel.Parameter("nameless", tensor.FP32, 2)
	nameless.Outputs[0].Name = ""
	m := irmodel.Model{Layers: []irmodel.Layer{x, nameless, irmodel.Result("x"), irmodel.Result("x"), irmodel.Result("nameless")}}
	want := inference.Signature{
		Inputs: []inference.Spec{{Name: "x", DType: tensor.FP32, Shape: []int64{1}}, {Name: "input_1", DType: tensor.FP32, Shape: []int64{2}}},
		Outputs: []inference.Spec{
			{Name: "x", DType: tensor.FP32, Shape: []int64{1}},
			{Name: "x:1", DType: tensor.FP32, Shape: []int64{1}},
			{Name: "output_2", DType: tensor.FP32, Shape: []int64{2}},
		},
	}
	session := load(t, open(t), m.Encode(), inference.Options{})
	if diff := cmp.Diff(want, session.Signature()); diff != "" {
		t.Errorf("signature differs (-want +got):\n%s", diff)
	}
	a, b := onnxmodel.Floats("", []int64{1}, 3), onnxmodel.Floats("", []int64{2}, 4, 5)
	got, err := ask(t, session, &plain{}, a, b)
	if err != nil || !bytes.Equal(got[0].Data, a.Data) || !bytes.Equal(got[1].Data, a.Data) || !bytes.Equal(got[2].Data, b.Data) {
		t.Errorf("Run = %v, %v; want what went in", got, err)
	}
}

func TestModelWithoutInputsRuns(t *testing.T) {
	w := onnxmodel.Floats("w", []int64{2}, -1, 2)
	got, err := ask(t, load(t, open(t), single("ReLU", vector(2), irmodel.Const("w", w)), inference.Options{}), &plain{})
	if want := onnxmodel.Floats("y", []int64{2}, 0, 2); err != nil || !bytes.Equal(got[0].Data, want.Data) {
		t.Errorf("Run = %v, %v; want %v", got, err, want)
	}
}

func TestOutputsLieInTheArena(t *testing.T) {
	for name, data := range map[string][]byte{"known shape": irmodel.Identity(tensor.FP32, 2), "unknown shape": irmodel.Identity(tensor.FP32, -1)} {
		t.Run(name, func(t *testing.T) {
			memory := &plain{}
			got, err := ask(t, load(t, open(t), data, inference.Options{}), memory, onnxmodel.Floats("x", []int64{2}, 1, 2))
			if err != nil {
				t.Fatal(err)
			}
			if &got[0].Data[0] != &memory.output[0] {
				t.Error("the output lies elsewhere")
			}
		})
	}
}

func TestProfileIsWrittenAtClose(t *testing.T) {
	for slots, want := range map[int]int{1: 1, 20: 16} { // the last ones of many
		t.Run(fmt.Sprint(slots), func(t *testing.T) { profileOf(t, slots, want) })
	}
}

// profileOf checks the profile of a session with so many slots, one after the other.
func profileOf(t *testing.T, slots, want int) {
	t.Helper()
	prefix := filepath.Join(t.TempDir(), "profile")
	session := load(t, open(t), irmodel.Join(), inference.Options{Profile: prefix})
	for range slots {
		slot, err := session.NewSlot(&plain{})
		if err != nil {
			t.Fatal(err)
		}
		inputs := []tensor.Tensor{onnxmodel.Floats("a", []int64{2, 2}, 1, 2, 3, 4), onnxmodel.Floats("b", []int64{2, 3}, 1, 2, 3, 4, 5, 6)}
		if _, err := inference.Run(t.Context(), session.Signature(), slot, inputs); err != nil {
			t.Fatal(err)
		}
		if err := slot.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := session.Info().Profile; got != prefix {
		t.Errorf("Profile = %q, want %q", got, prefix)
	}
	if err := session.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(prefix + "_*.json")
	if err != nil || len(files) != 1 {
		t.Fatalf("profiles = %q, %v; want one file", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	type node struct{ Name, Type, Status string }
	var profile struct{ Slots []struct{ Nodes []node } }
	if err := json.Unmarshal(data, &profile); err != nil || len(profile.Slots) != want {
		t.Fatalf("profile of %d slots, %v; want %d", len(profile.Slots), err, want)
	}
	if concat := (node{"concat", "Concat", "executed"}); slots == 1 && !slices.Contains(profile.Slots[0].Nodes, concat) {
		t.Errorf("profile has %v, want %v among them", profile.Slots[0].Nodes, concat)
	}
}

func TestLibrarysMessagesGoToTheLogOfTheirModel(t *testing.T) {
	talkative := []inference.Provider{{Name: "AUTO", Options: map[string]string{"LOG_LEVEL": "LOG_DEBUG"}}}
	for level, want := range map[slog.Level]bool{slog.LevelDebug: true, slog.LevelInfo: false} {
		var out, other bytes.Buffer
		everything := &slog.HandlerOptions{Level: slog.LevelDebug}
		load(t, open(t), irmodel.Join(), inference.Options{Log: slog.New(slog.NewTextHandler(&other, everything)), LogLevel: slog.LevelDebug})
		load(t, open(t), irmodel.Join(), inference.Options{Log: slog.New(slog.NewTextHandler(&out, everything)), LogLevel: level, Providers: talkative})
		line := `level=DEBUG msg="library message" runtime=openvino text="[AUTO] device:CPU, config:INFERENCE_NUM_THREADS=1"`
		if got := strings.Contains(out.String(), line); got != want {
			t.Errorf("log of level %v has the message: %v, want %v; it holds\n%s", level, got, want, out.String())
		}
		if other.Len() > 0 {
			t.Errorf("another model's log holds\n%s", other.String())
		}
	}
}

func TestRunAllocatesNothingWhenShapesStay(t *testing.T) {
	session := load(t, open(t), irmodel.Identity(tensor.FP32, 4), inference.Options{})
	memory := arena.New("test", 1<<20, 1<<20)
	defer memory.Close()
	slot, err := session.NewSlot(memory)
	if err != nil {
		t.Fatal(err)
	}
	in := []inference.Input{{Shape: []int64{4}}}
	allocations := testing.AllocsPerRun(200, func() {
		if _, err := slot.Inputs(in); err != nil {
			t.Error(err)
		}
		if _, err := slot.Run(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if allocations > 0 {
		t.Errorf("%v allocations for each run, want none", allocations)
	}
}

func TestOutputsThatAreInputsComeBackAsTheyAre(t *testing.T) {
	for name, size := range map[string]int{"known shape": 2, "unknown shape": -1} {
		t.Run(name, func(t *testing.T) {
			x := irmodel.Parameter("x", tensor.FP32, size)
			negative := irmodel.Layer{Name: "negative", Type: "Negative", Inputs: []string{"x"}, Outputs: []irmodel.Port{{DType: tensor.FP32, Shape: []int{size}, Name: "y"}}}
			m := irmodel.Model{Layers: []irmodel.Layer{x, negative, irmodel.Result("negative"), irmodel.Result("x")}}
			session := load(t, open(t), m.Encode(), inference.Options{})
			slot, err := session.NewSlot(&plain{})
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range []float32{1, 2, 3} {
				in := onnxmodel.Floats("x", []int64{2}, v, 5)
				want := onnxmodel.Floats("y", []int64{2}, -v, -5)
				got, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{in})
				if err != nil || !bytes.Equal(got[0].Data, want.Data) || !bytes.Equal(got[1].Data, in.Data) {
					t.Errorf("Run = %v, %v; want %v and %v", got, err, want, in)
				}
			}
		})
	}
}

func TestTensorFlowLiteIsServedUnderTheNamesOfItsSignature(t *testing.T) {
	tensors := func(names ...string) (list []tflitemodel.Tensor) {
		for _, name := range names {
			list = append(list, tflitemodel.Tensor{Name: name, DType: tensor.FP32, Shape: []int{1}})
		}
		return list
	}
	inside := []string{"serving_default_b:0", "serving_default_a:0", "StatefulPartitionedCall:1", "StatefulPartitionedCall:0"}
	own := func(name string, index int) tflitemodel.Name { return tflitemodel.Name{Name: name, Tensor: index} }
	in, out := []tflitemodel.Name{own("b", 0), own("a", 1)}, []tflitemodel.Name{own("less", 2), own("sum", 3)}
	for name, tc := range map[string]struct {
		signatures []tflitemodel.Signature
		want       []string // a, b, the sum, the difference
	}{
		"a signature":     {[]tflitemodel.Signature{{Key: "serving_default", Inputs: in, Outputs: out}}, []string{"a", "b", "sum", "less"}},
		"no signature":    {nil, []string{inside[1], inside[0], inside[3], inside[2]}},
		"another graph's": {[]tflitemodel.Signature{{Inputs: in, Outputs: out, Graph: 1}}, []string{inside[1], inside[0], inside[3], inside[2]}},
		"a name given twice": {
			[]tflitemodel.Signature{{Inputs: []tflitemodel.Name{own("x", 0), own("x", 1)}, Outputs: []tflitemodel.Name{own("", 2), own("y", 3)}}},
			[]string{"x", "x:1", "y", "output_1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := tflitemodel.Model{Signatures: tc.signatures, Graphs: []tflitemodel.Graph{{
				Tensors: tensors(inside...),
				Operators: []tflitemodel.Operator{
					{Op: tflitemodel.Sub, Inputs: []int{1, 0}, Outputs: []int{2}, Options: tflitemodel.Options{Table: 28}},
					{Op: tflitemodel.Add, Inputs: []int{1, 0}, Outputs: []int{3}, Options: tflitemodel.Options{Table: 11}},
				},
				Inputs: []int{1, 0}, Outputs: []int{3, 2},
			}}}
			if len(tc.signatures) > 0 && tc.signatures[0].Graph == 1 {
				m.Graphs = append(m.Graphs, m.Graphs[0])
			}
			session := load(t, open(t), m.Encode(), inference.Options{})
			var names []string
			for _, spec := range slices.Concat(session.Signature().Inputs, session.Signature().Outputs) {
				names = append(names, spec.Name)
			}
			if diff := cmp.Diff(tc.want, names); diff != "" {
				t.Fatalf("names differ (-want +got):\n%s", diff)
			}
			got, err := ask(t, session, &plain{}, onnxmodel.Floats(tc.want[1], []int64{1}, 3), onnxmodel.Floats(tc.want[0], []int64{1}, 5))
			if err != nil || !bytes.Equal(got[0].Data, onnxmodel.Floats("", nil, 8).Data) || !bytes.Equal(got[1].Data, onnxmodel.Floats("", nil, 2).Data) {
				t.Errorf("Run = %v, %v; want 8 and 2", got, err)
			}
		})
	}
}
