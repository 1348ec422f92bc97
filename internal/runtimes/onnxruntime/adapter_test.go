package onnxruntime_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/runtimes/onnxruntime"
	"verge/internal/tensor"
)

// load loads a model, and ends the test where that fails.
func load(tb testing.TB, data []byte, o inference.Options) inference.Session {
	tb.Helper()
	session, err := open(tb).Load(tb.Context(), inference.Model{Name: "m@1", Data: data, FD: -1}, o)
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

func value(name string, d tensor.DType, shape ...any) onnxmodel.Value {
	return onnxmodel.Value{Name: name, DType: d, Shape: shape}
}

// single is a model of one operator with the output y.
func single(op string, attributes map[string]any, y onnxmodel.Value, inputs ...onnxmodel.Value) []byte {
	node := onnxmodel.Node{Op: op, Outputs: []string{"y"}, Attributes: attributes}
	for _, in := range inputs {
		node.Inputs = append(node.Inputs, in.Name)
	}
	return onnxmodel.Model{Nodes: []onnxmodel.Node{node}, Inputs: inputs, Outputs: []onnxmodel.Value{y}}.Encode()
}

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

func TestOutputsThatAreInputsHaveTheirValues(t *testing.T) {
	for name, dims := range map[string][]any{"fixed": {2}, "open": {"n"}} {
		x, y := onnxmodel.Value{Name: "x", DType: tensor.FP32, Shape: dims}, onnxmodel.Value{Name: "y", DType: tensor.FP32, Shape: dims}
		model := onnxmodel.Model{
			Nodes:  []onnxmodel.Node{{Op: "Neg", Inputs: []string{"x"}, Outputs: []string{"y"}}},
			Inputs: []onnxmodel.Value{x}, Outputs: []onnxmodel.Value{y, x},
		}
		session := load(t, model.Encode(), inference.Options{})
		memory := arena.New("test", 1<<20, 1<<20)
		defer memory.Close()
		slot, err := session.NewSlot(memory)
		if err != nil {
			t.Fatal(err)
		}
		for _, values := range [][]float32{{5, 6}, {7, -8}} {
			got, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{onnxmodel.Floats("x", []int64{2}, values...)})
			want := []tensor.Tensor{onnxmodel.Floats("y", []int64{2}, -values[0], -values[1]), onnxmodel.Floats("x", []int64{2}, values...)}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
			}
		}
	}
}

const noKernel = "Export the model with another element type: ONNX Runtime has this operator for others."

func TestModelsThatCannotBeLoadedAreRefusedInTheLibrarysWords(t *testing.T) {
	x, y := value("x", tensor.FP32, 1), value("y", tensor.FP32, 1)
	many := onnxmodel.Model{Inputs: []onnxmodel.Value{x}}
	for i := range inference.MaxTensors + 1 {
		name := "y" + strings.Repeat("y", i)
		many.Nodes = append(many.Nodes, onnxmodel.Node{Op: "Identity", Inputs: []string{"x"}, Outputs: []string{name}})
		many.Outputs = append(many.Outputs, value(name, tensor.FP32, 1))
	}
	const (
		damaged = "Export the model again: its file is damaged, or says what cannot be."
		newer   = "Export the model for an earlier version of ONNX, or install a newer ONNX Runtime."
		foreign = "Export the model with operators of ONNX itself, in a version that this ONNX Runtime has."
	)
	relu := onnxmodel.Node{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}}
	dangling := onnxmodel.Node{Op: "Relu", Inputs: []string{"z"}, Outputs: []string{"y"}}
	xy := onnxmodel.Model{Nodes: []onnxmodel.Node{relu}, Inputs: []onnxmodel.Value{x}, Outputs: []onnxmodel.Value{y}}
	with := func(change func(m *onnxmodel.Model)) []byte {
		m := xy
		change(&m)
		return m.Encode()
	}
	for name, tc := range map[string]struct {
		model      []byte
		kind       fault.Kind
		text, hint string
	}{
		"no bytes":                    {nil, fault.Corrupt, `model m@1: the file is empty`, ""},
		"no ONNX":                     {[]byte("plain text"), fault.Corrupt, `model m@1: Failed to load model because protobuf parsing failed.`, damaged},
		"a type that nobody can send": {single("Identity", nil, value("y", 114, 1), value("x", 114, 1)), fault.Unsupported, `model m@1: Exception during loading: MLDataType for: tensor(complex64) is not currently registered or supported`, "Export the model with inputs and outputs of numbers or strings."},
		"an input of any rank":        {single("Identity", nil, y, onnxmodel.Value{Name: "x", DType: tensor.FP32}), fault.Unsupported, `model m@1: input "x" has no declared number of dimensions`, "Declare its shape in the model; dimensions may be dynamic."},
		"an operator without a kernel for the type": {single("Relu", nil, value("y", tensor.BF16, 1), value("x", tensor.BF16, 1)), fault.Unsupported, `model m@1: Could not find an implementation for Relu(14) node with name ''`, noKernel},
		"too new a format":                          {with(func(m *onnxmodel.Model) { m.IRVersion = 99 }), fault.Unsupported, `model m@1: Unsupported model IR version: 99, max supported IR version: 13`, newer},
		"too new operators":                         {with(func(m *onnxmodel.Model) { m.Opset = 99 }), fault.Unsupported, `model m@1: ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions. Opset 99 is under development and support for this is limited. The operator schemas and or other functionality may change before next ONNX release and in this case ONNX Runtime will not guarantee backward compatibility. Current official support for domain ai.onnx is till opset 26.`, newer},
		"an unknown operator":                       {onnxmodel.Unknown(), fault.Unsupported, `model m@1: This is an invalid model. In Node, ("", Levitate, "", -1) : ("x": tensor(float),) -> ("y": tensor(float),) , Error No Op registered for Levitate with domain_version of 17`, foreign},
		"an input from nowhere":                     {with(func(m *onnxmodel.Model) { m.Nodes = []onnxmodel.Node{dangling} }), fault.Corrupt, `model m@1: Invalid model. Node input 'z' is not a graph input, initializer, or output of a previous node.`, damaged},
		"too many outputs":                          {many.Encode(), fault.Unsupported, `model m@1: the model has 257 outputs, at most 256 are allowed`, ""},
		"a wrong graph":                             {single("Relu", nil, value("y", tensor.Int64, 1), x), fault.Corrupt, `model m@1: Type Error: Type (tensor(int64)) of output arg (y) of node () does not match expected type (tensor(float)).`, damaged},
		"a sequence as output":                      {single("SplitToSequence", nil, value("y", tensor.FP32, 1), x), fault.Corrupt, `model m@1: Type Error: Type (tensor(float)) of output arg (y) of node () does not match expected type (seq(tensor(float))).`, damaged},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t).Load(t.Context(), inference.Model{Name: "m@1", Data: tc.model, FD: -1}, inference.Options{})
			check(t, err, tc.kind, tc.text, tc.hint)
		})
	}
}

func TestRefusedValuesAreExplainedWithoutTheLibrarysSource(t *testing.T) {
	vector := func(name, symbol string) onnxmodel.Value { return value(name, tensor.FP32, symbol) }
	for name, tc := range map[string]struct {
		model  []byte
		inputs []tensor.Tensor
		kind   fault.Kind
		text   string
	}{
		"an index": {
			onnxmodel.Lookup(),
			[]tensor.Tensor{onnxmodel.Ints("x", []int64{1}, 9)},
			fault.Invalid,
			`model m@1: Non-zero status code returned while running Gather node. Name:'' Status Message: indices element out of data bounds, idx=9 must be within the inclusive range [-3,2]`,
		},
		"shapes of which the library checks the agreement": {
			single("Add", nil, vector("y", "n"), vector("a", "n"), vector("b", "m")),
			[]tensor.Tensor{onnxmodel.Floats("a", []int64{3}, 1, 2, 3), onnxmodel.Floats("b", []int64{2}, 1, 2)},
			fault.Invalid,
			`model m@1: Non-zero status code returned while running Add node. Name:'' Status Message: Attempting to broadcast an axis by a dimension other than 1. 2 by 3`,
		},
		"batches that differ": {
			onnxmodel.Join(),
			[]tensor.Tensor{onnxmodel.Floats("a", []int64{1, 2}, 1, 2), onnxmodel.Floats("b", []int64{2, 3}, 1, 2, 3, 4, 5, 6)},
			fault.Invalid,
			`model m@1: Non-zero status code returned while running Concat node. Name:'' Status Message: Non concat axis dimensions must match: Axis 0 has mismatched dimensions of 2 and 1`,
		},
		"more memory than there is": {
			single("ConstantOfShape", nil, value("y", tensor.FP32, ""), value("x", tensor.Int64, 1)),
			[]tensor.Tensor{onnxmodel.Ints("x", []int64{1}, 1<<46)},
			fault.Exhausted,
			`model m@1: Non-zero status code returned while running ConstantOfShape node. Name:'' Status Message: Failed to allocate memory for requested buffer of size 281474976710656`,
		},
		"text that is no number": {
			single("Cast", map[string]any{"to": 1}, vector("y", "n"), value("x", tensor.Bytes, "n")),
			[]tensor.Tensor{onnxmodel.Strings("x", "abc")},
			fault.Invalid,
			`model m@1: Non-zero status code returned while running Cast node. Name:'' Status Message: stod`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(t, load(t, tc.model, inference.Options{}), &plain{}, tc.inputs...)
			check(t, err, tc.kind, tc.text, "")
		})
	}
}

func TestDevicesAndProvidersAreRefusedOrFallBackByName(t *testing.T) {
	const has = "ONNX Runtime 1.30.0 has AzureExecutionProvider, CPUExecutionProvider"
	rt := open(t)
	if rt.Info().Version != "1.30.0" {
		t.Skipf("the texts are those of 1.30.0, the library is %s", rt.Info().Version)
	}
	provider := func(names ...string) (list []inference.Provider) {
		for _, name := range names {
			list = append(list, inference.Provider{Name: name})
		}
		return list
	}
	gpu := "device gpu: looked for TensorrtExecutionProvider, CUDAExecutionProvider, MIGraphXExecutionProvider, OpenVINOExecutionProvider, WebGpuExecutionProvider; " + has
	for name, tc := range map[string]struct {
		options    inference.Options
		kind       fault.Kind
		text, hint string   // the refusal
		requested  []string // or what is in effect
		fallbacks  []string
	}{
		"the cpu":  {options: inference.Options{}, requested: []string{"CPUExecutionProvider"}},
		"embedded": {options: inference.Options{Device: "embedded"}, requested: []string{"CPUExecutionProvider"}},
		"a gpu": {
			options: inference.Options{Device: "gpu"}, kind: fault.Unsupported, text: "model m@1: " + gpu,
			hint: "Set deployment.device_type to cpu, or deployment.fallback to cpu.",
		},
		"a gpu with fallback": {
			options:   inference.Options{Device: "gpu", Fallback: "cpu"},
			requested: []string{"TensorrtExecutionProvider", "CUDAExecutionProvider", "MIGraphXExecutionProvider", "OpenVINOExecutionProvider", "WebGpuExecutionProvider"},
			fallbacks: []string{gpu + "; the CPU is used"},
		},
		"a tpu": {
			options: inference.Options{Device: "tpu"}, kind: fault.Unsupported, text: "model m@1: device tpu: ONNX Runtime has no provider for it",
			hint: "Set deployment.device_type to cpu, or deployment.fallback to cpu.",
		},
		"a provider that is not compiled in": {
			options: inference.Options{Providers: provider("CUDAExecutionProvider", "CPUExecutionProvider")}, requested: []string{"CUDAExecutionProvider", "CPUExecutionProvider"},
			fallbacks: []string{"provider CUDAExecutionProvider: " + has + "; the CPU is used"},
		},
		"that without fallback": {
			options: inference.Options{Providers: provider("CUDAExecutionProvider"), Fallback: "none"}, kind: fault.Unsupported,
			text: "model m@1: provider CUDAExecutionProvider: " + has, hint: "Set deployment.fallback to cpu, or name CPUExecutionProvider.",
		},
		"a provider that takes nothing of the model": {
			options: inference.Options{Providers: provider("AzureExecutionProvider")}, requested: []string{"AzureExecutionProvider"},
			fallbacks: []string{"provider AzureExecutionProvider: takes no operator of the model; the CPU is used"},
		},
		"one that takes nothing, without fallback": {
			options: inference.Options{Providers: provider("azure"), Fallback: "none"}, kind: fault.Unsupported,
			text: "model m@1: provider AzureExecutionProvider: does not load the model: This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled by the user.",
			hint: "Set deployment.fallback to cpu, or name CPUExecutionProvider.",
		},
		"one that takes nothing, for a device": {
			options: inference.Options{Providers: provider("Azure"), Device: "gpu", Fallback: "none"}, kind: fault.Unsupported,
			text: "model m@1: provider AzureExecutionProvider: does not load the model: This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled by the user.",
			hint: "Set deployment.fallback to cpu, or name CPUExecutionProvider.",
		},
		"one that works and takes nothing, for a device": {
			options: inference.Options{Providers: provider("Azure"), Device: "gpu"}, requested: []string{"AzureExecutionProvider"},
			fallbacks: []string{"provider AzureExecutionProvider: takes no operator of the model; the CPU is used"},
		},
		"a provider in short": {
			options: inference.Options{Providers: provider("cuda", "cpu")}, requested: []string{"CUDAExecutionProvider", "CPUExecutionProvider"},
			fallbacks: []string{"provider CUDAExecutionProvider: " + has + "; the CPU is used"},
		},
		"providers that fail for a device that is not there": {
			options: inference.Options{Providers: provider("CUDA", "OpenVINO"), Device: "gpu"}, kind: fault.Unsupported,
			text: "model m@1: device gpu: provider CUDAExecutionProvider: " + has + "; provider OpenVINOExecutionProvider: " + has,
			hint: "Set deployment.device_type to cpu, or deployment.fallback to cpu.",
		},
		"such providers with fallback": {
			options: inference.Options{Providers: provider("CUDA", "OpenVINO"), Device: "gpu", Fallback: "cpu"}, requested: []string{"CUDAExecutionProvider", "OpenVINOExecutionProvider"},
			fallbacks: []string{"provider CUDAExecutionProvider: " + has + "; the CPU is used", "provider OpenVINOExecutionProvider: " + has + "; the CPU is used"},
		},
		"an option that no C library takes": {
			options: inference.Options{Providers: []inference.Provider{{Name: "Azure", Options: map[string]string{"x": "a\x00b"}}}, Fallback: "none"}, kind: fault.Unsupported,
			text: `model m@1: provider AzureExecutionProvider: does not work here: "a\x00b" has a zero byte at 1, which a C library cannot take`,
			hint: "Set deployment.fallback to cpu, or name CPUExecutionProvider.",
		},
		"an npu": {
			options: inference.Options{Device: "npu"}, kind: fault.Unsupported,
			text: "model m@1: device npu: looked for QNNExecutionProvider, VitisAIExecutionProvider, OpenVINOExecutionProvider; " + has,
			hint: "Set deployment.device_type to cpu, or deployment.fallback to cpu.",
		},
		"more than all of the memory": {options: inference.Options{GPUMemoryFraction: 1.5}, kind: fault.Invalid, text: "model m@1: a share of 1.5 of the accelerator's memory, want 0 to 1"},
		"options for the cpu": {
			options: inference.Options{Providers: []inference.Provider{{Name: "CPUExecutionProvider", Options: map[string]string{"x": "y"}}}},
			kind:    fault.Invalid, text: "model m@1: provider CPUExecutionProvider takes no options",
		},
		"negative threads": {options: inference.Options{Threads: -5}, kind: fault.Invalid, text: "model m@1: -5 threads and 0 parallel runs, want 0 or more of each"},
	} {
		t.Run(name, func(t *testing.T) {
			session, err := rt.Load(t.Context(), inference.Model{Name: "m@1", Data: onnxmodel.Join(), FD: -1}, tc.options)
			if tc.text != "" {
				check(t, err, tc.kind, tc.text, tc.hint)
				return
			}
			if err != nil {
				t.Fatalf("Load = %v, want a session", err)
			}
			defer session.Close()
			info := session.Info()
			if diff := cmp.Diff([][]string{tc.requested, {"CPUExecutionProvider"}, tc.fallbacks}, [][]string{info.ProvidersRequested, info.Providers, info.Fallbacks}); diff != "" {
				t.Errorf("placement differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetadataIsWhatTheModelSays(t *testing.T) {
	want := map[string]string{
		"producer": "onnxmodel", "graph": "join", "description": "Two of each.", "version": "7", "colour": "blue", "größe": "2×",
	}
	if diff := cmp.Diff(want, load(t, onnxmodel.Join(), inference.Options{}).Info().Metadata); diff != "" {
		t.Errorf("metadata differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"graph": "test"}, load(t, onnxmodel.Lookup(), inference.Options{}).Info().Metadata); diff != "" {
		t.Errorf("metadata of a model that says little differs (-want +got):\n%s", diff)
	}
}

func TestOutputsComeInTheShapeTheyHaveWhateverTheModelDeclares(t *testing.T) {
	twice := func(declared any) []byte { // x beside itself
		model := onnxmodel.Model{
			Nodes:   []onnxmodel.Node{{Op: "Concat", Inputs: []string{"x", "x"}, Outputs: []string{"y"}, Attributes: map[string]any{"axis": 0}}},
			Inputs:  []onnxmodel.Value{value("x", tensor.FP32, "n")},
			Outputs: []onnxmodel.Value{value("y", tensor.FP32, declared)},
		}
		return model.Encode()
	}
	for name, declared := range map[string]any{"a symbol": "n", "a number": 4} {
		t.Run(name, func(t *testing.T) {
			session := load(t, twice(declared), inference.Options{})
			for range 2 {
				got, err := ask(t, session, &plain{}, onnxmodel.Floats("x", []int64{3}, 1, 2, 3))
				if err != nil {
					t.Fatalf("Run = %v, want outputs", err)
				}
				want := onnxmodel.Floats("y", []int64{6}, 1, 2, 3, 1, 2, 3)
				if !slices.Equal(got[0].Shape, want.Shape) || !bytes.Equal(got[0].Data, want.Data) {
					t.Errorf("Run = %v, want %v", got[0], want)
				}
			}
		})
	}
}

func TestDimensionsOfUnknownNameMayDiffer(t *testing.T) {
	x, y := value("x", tensor.FP32, "n", "?", "?"), value("y", tensor.FP32, "None", "?", "?")
	session := load(t, single("Relu", nil, y, x), inference.Options{})
	want := inference.Signature{
		Inputs:  []inference.Spec{{Name: "x", DType: tensor.FP32, Shape: []int64{-1, -1, -1}, Symbols: []string{"n", "", ""}}},
		Outputs: []inference.Spec{{Name: "y", DType: tensor.FP32, Shape: []int64{-1, -1, -1}}},
	}
	if diff := cmp.Diff(want, session.Signature()); diff != "" {
		t.Errorf("signature differs (-want +got):\n%s", diff)
	}
	got, err := ask(t, session, &plain{}, onnxmodel.Floats("x", []int64{1, 2, 3}, 1, 2, 3, 4, 5, 6))
	if err != nil || !slices.Equal(got[0].Shape, []int64{1, 2, 3}) {
		t.Errorf("Run = %v, %v; want the input", got, err)
	}
}

func TestModelWithoutInputsRuns(t *testing.T) {
	model := onnxmodel.Model{
		Initializers: []tensor.Tensor{onnxmodel.Floats("w", []int64{2}, -1, 2)},
		Nodes:        []onnxmodel.Node{{Op: "Relu", Inputs: []string{"w"}, Outputs: []string{"y"}}},
		Outputs:      []onnxmodel.Value{value("y", tensor.FP32, 2)},
	}
	got, err := ask(t, load(t, model.Encode(), inference.Options{}), &plain{})
	if want := onnxmodel.Floats("y", []int64{2}, 0, 2); err != nil || !bytes.Equal(got[0].Data, want.Data) {
		t.Errorf("Run = %v, %v; want %v", got, err, want)
	}
}

func TestOutputsLieInTheArena(t *testing.T) {
	for name, model := range map[string][]byte{"known shape": onnxmodel.Identity(tensor.FP32, "n"), "unknown shape": single("Identity", nil, value("y", tensor.FP32, "m"), value("x", tensor.FP32, "n"))} {
		t.Run(name, func(t *testing.T) {
			memory := &plain{}
			got, err := ask(t, load(t, model, inference.Options{}), memory, onnxmodel.Floats("x", []int64{2}, 1, 2))
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
	prefix := filepath.Join(t.TempDir(), "profile")
	session := load(t, onnxmodel.Join(), inference.Options{Profile: prefix})
	if _, err := ask(t, session, &plain{}, onnxmodel.Floats("a", []int64{1, 2}, 1, 2), onnxmodel.Floats("b", []int64{1, 3}, 1, 2, 3)); err != nil {
		t.Fatal(err)
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
	if data, err := os.ReadFile(files[0]); err != nil || !bytes.Contains(data, []byte("Concat")) {
		t.Errorf("profile of %d bytes, %v; want it to name Concat", len(data), err)
	}
}

func TestLibrarysMessagesGoToTheLogOfTheirModel(t *testing.T) {
	// A declared shape that is not the actual one gives a warning at every run; an
	// initialiser that nothing uses gives one at load.
	unused := onnxmodel.Model{
		Initializers: []tensor.Tensor{onnxmodel.Floats("never", []int64{1}, 1)},
		Nodes:        []onnxmodel.Node{{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		Inputs:       []onnxmodel.Value{value("x", tensor.FP32, 1)},
		Outputs:      []onnxmodel.Value{value("y", tensor.FP32, 1)},
	}
	for name, tc := range map[string]struct {
		level slog.Level
		want  bool
	}{
		"warnings are shown by default": {slog.LevelInfo, true},
		"warnings are not errors":       {slog.LevelError, false},
	} {
		t.Run(name, func(t *testing.T) {
			var out, other bytes.Buffer
			load(t, onnxmodel.Join(), inference.Options{Log: slog.New(slog.NewTextHandler(&other, nil))})
			load(t, unused.Encode(), inference.Options{Log: slog.New(slog.NewTextHandler(&out, nil)), LogLevel: tc.level})
			line := `level=WARN msg="library message" runtime=onnxruntime text="Removing initializer 'never'. It is not used by any node and should be removed from the model."`
			if got := strings.Contains(out.String(), line); got != tc.want {
				t.Errorf("log has the warning: %v, want %v; it holds\n%s", got, tc.want, out.String())
			}
			if other.Len() > 0 {
				t.Errorf("another model's log holds\n%s", other.String())
			}
		})
	}
}

func TestManyWarningsOfALoadAreCounted(t *testing.T) {
	model := onnxmodel.Model{
		Nodes:   []onnxmodel.Node{{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		Inputs:  []onnxmodel.Value{value("x", tensor.FP32, 1)},
		Outputs: []onnxmodel.Value{value("y", tensor.FP32, 1)},
	}
	for i := range 20 {
		model.Initializers = append(model.Initializers, onnxmodel.Floats(fmt.Sprintf("never%d", i), []int64{1}, 1))
	}
	const count = `level=WARN msg="more library messages" runtime=onnxruntime count=12`
	for level, want := range map[slog.Level][3]int{slog.LevelDebug: {8, 12, 1}, slog.LevelInfo: {8, 0, 1}, slog.LevelError: {0, 0, 0}} {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		load(t, model.Encode(), inference.Options{Log: log, LogLevel: level})
		const removing = ` msg="library message" runtime=onnxruntime text="Removing initializer 'never`
		got := [3]int{strings.Count(out.String(), "level=WARN"+removing), strings.Count(out.String(), "level=DEBUG"+removing), strings.Count(out.String(), count)}
		if got != want {
			t.Errorf("level %v: %v warnings, hidden ones and counts, want %v; the log holds\n%s", level, got, want, out.String())
		}
	}
}

func TestMessagesOfRunsAreForDebugging(t *testing.T) {
	model := single("Identity", nil, value("y", tensor.FP32, 2), value("x", tensor.FP32, "n")) // declares another shape
	for level, want := range map[slog.Level]bool{slog.LevelDebug: true, slog.LevelInfo: false} {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		session := load(t, model, inference.Options{Log: log, LogLevel: level})
		out.Reset()
		if _, err := ask(t, session, &plain{}, onnxmodel.Floats("x", []int64{3}, 1, 2, 3)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "level=DEBUG msg=\"library message\" runtime=onnxruntime text="); got != want {
			t.Errorf("level %v: messages: %v, want %v; the log holds\n%s", level, got, want, out.String())
		}
	}
}

func TestFailuresAreExplainedByWhatTheLibraryLoggedBefore(t *testing.T) {
	model := onnxmodel.Model{ // the warning comes before the missing kernel is found
		Initializers: []tensor.Tensor{onnxmodel.Floats("never", []int64{1}, 1)},
		Nodes:        []onnxmodel.Node{{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		Inputs:       []onnxmodel.Value{value("x", tensor.BF16, 1)},
		Outputs:      []onnxmodel.Value{value("y", tensor.BF16, 1)},
	}
	_, err := open(t).Load(t.Context(), inference.Model{Name: "m@1", Data: model.Encode(), FD: -1}, inference.Options{})
	check(t, err, fault.Unsupported, `model m@1: Could not find an implementation for Relu(14) node with name '' `+
		`(library's log: Removing initializer 'never'. It is not used by any node and should be removed from the model.)`, noKernel)
}

func TestFilesThatAreNotTheLibraryAreRefused(t *testing.T) {
	library, err := filepath.Glob("/lib/*-linux-gnu/libm.so.6")
	if err != nil || len(library) == 0 {
		t.Skip("needs the mathematics library of glibc")
	}
	_, err = onnxruntime.Open(library[0], nil)
	if err == nil || fault.KindOf(err) != fault.Unsupported || fault.HintOf(err) != "Install it with `verge runtime install onnxruntime`, and take this file away." {
		t.Errorf("Open = %v, hint %q; want it refused as another library", err, fault.HintOf(err))
	}
	_, err = onnxruntime.Open(filepath.Join(t.TempDir(), "none.so"), nil)
	if err == nil || fault.KindOf(err) != fault.NotFound {
		t.Errorf("Open = %v, want not_found", err)
	}
}

func TestRunAllocatesNothingWhenShapesStay(t *testing.T) {
	session := load(t, onnxmodel.Identity(tensor.FP32, "n"), inference.Options{})
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
