package litert_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/runtimes/litert"
	"verge/internal/tensor"
)

// load loads a model, or ends the test.
func load(tb testing.TB, data []byte, o inference.Options) inference.Session {
	tb.Helper()
	session, err := open(tb).Load(tb.Context(), inference.Model{Name: "m@1", Data: data, FD: -1}, o)
	if err != nil {
		tb.Fatalf("Load = %v, want a session", err)
	}
	tb.Cleanup(func() { session.Close() })
	return session
}

// ask runs inputs in a slot of their own.
func ask(tb testing.TB, session inference.Session, inputs ...tensor.Tensor) ([]tensor.Tensor, error) {
	tb.Helper()
	memory := arena.New("test", 1<<20, 1<<20)
	tb.Cleanup(func() { memory.Close() })
	slot, err := session.NewSlot(memory)
	if err != nil {
		tb.Fatalf("NewSlot = %v, want a slot", err)
	}
	return inference.Run(tb.Context(), session.Signature(), slot, inputs)
}

// check compares an error's kind, text and hint.
func check(tb testing.TB, err error, kind fault.Kind, text, hint string) {
	tb.Helper()
	switch {
	case err == nil:
		tb.Errorf("no error, want %q", text)
	case fault.KindOf(err) != kind || fault.Message(err) != text || fault.HintOf(err) != hint:
		tb.Errorf("error is %v %q, hint %q\nwant      %v %q, hint %q", fault.KindOf(err), fault.Message(err), fault.HintOf(err), kind, text, hint)
	}
}

func TestModelsThatDoNotLoadSayWhy(t *testing.T) {
	const strings = "Set deployment.runtime to tflite: the classic TensorFlow Lite library takes strings."
	cut := tflitemodel.Join()
	for name, tc := range map[string]struct {
		data       []byte
		kind       fault.Kind
		text, hint string
	}{
		"empty": {nil, fault.Corrupt, "model m@1: the file is empty", ""},
		"cut":   {cut[:len(cut)/2], fault.Corrupt, "model m@1: the library says invalid flatbuffer", ""},
		"unknown operator": {
			tflitemodel.Unknown(), fault.Unsupported, unresolved("Levitate"),
			"Convert the model again with built-in operators only: this one is part of the program that the model was made for.",
		},
		"an operator of Vela": {
			custom("ethos-u"), fault.Unsupported, unresolved("ethos-u"),
			"The model was compiled by Vela for an Arm Ethos-U: give the file that Vela was given.",
		},
		"an operator of TensorFlow": {
			custom("FlexErf"), fault.Unsupported,
			"model m@1: " + flexMissing + "; Node number 0 (FlexErf) failed to prepare",
			"Convert the model again without operators of TensorFlow (SELECT_TF_OPS).",
		},
		"strings": {
			tflitemodel.Identity(tensor.Bytes, -1), fault.Unsupported,
			`model m@1: input "x" has element type string, which LiteRT's interface cannot carry`, strings,
		},
		"strings and an unknown operator": {
			customOf("Levitate", tensor.Bytes), fault.Unsupported,
			`model m@1: input "x" has element type string, which LiteRT's interface cannot carry`,
			"The model needs the operator Levitate as well. Convert the model again with built-in operators only: this one is part of the program that the model was made for.",
		},
		"complex numbers": {
			complexInput(), fault.Unsupported,
			`model m@1: input "x" has element type complex64, which LiteRT's interface cannot carry`, "Export the model with inputs and outputs of numbers.",
		},
		"a version of an operator that is to come": {
			future(), fault.Unsupported, futureReason, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t).Load(t.Context(), inference.Model{Name: "m@1", Data: tc.data, FD: -1}, inference.Options{})
			check(t, err, tc.kind, tc.text, tc.hint)
		})
	}
}

// future is a model with a version of an operator that is to come; the library says on
// the standard error only why it does not load it: futureReason.
func future() []byte {
	return operator(tflitemodel.Operator{Op: tflitemodel.ReLU, Version: 99, Inputs: []int{0}, Outputs: []int{1}})
}

const futureReason = "model m@1: Didn't find op for builtin opcode 'RELU' version '99'. An older version of this builtin might be supported. " +
	"Are you using an old TFLite binary with a newer model?; Registration failed"

// flexMissing is what the libraries say of TensorFlow's own operators.
const flexMissing = "Select TensorFlow op(s), included in the given model, is(are) not supported by this interpreter. " +
	"Make sure you apply/link the Flex delegate before inference. " +
	`For the Android, it can be resolved by adding "org.tensorflow:tensorflow-lite-select-tf-ops" dependency`

// operator returns a model of one operator from x FP32[1] to y FP32[1].
func operator(o tflitemodel.Operator) []byte {
	value := func(name string) tflitemodel.Tensor {
		return tflitemodel.Tensor{Name: name, DType: tensor.FP32, Shape: []int{1}}
	}
	return tflitemodel.Model{Graphs: []tflitemodel.Graph{{
		Tensors: []tflitemodel.Tensor{value("x"), value("y")}, Operators: []tflitemodel.Operator{o}, Inputs: []int{0}, Outputs: []int{1},
	}}}.Encode()
}

func TestRunsThatFailSayWhy(t *testing.T) {
	for name, tc := range map[string]struct {
		model      []byte
		inputs     []tensor.Tensor
		kind       fault.Kind
		text, hint string
	}{
		"an index out of range": {
			tflitemodel.Lookup(),
			[]tensor.Tensor{onnxmodel.Ints("x", []int64{1}, 7)},
			fault.Invalid,
			"model m@1: gather index out of bounds; Node number 0 (GATHER) failed to invoke", "",
		},
		"shapes that do not match": {
			tflitemodel.Join(),
			[]tensor.Tensor{onnxmodel.Floats("a", []int64{2, 2}, 1, 2, 3, 4), onnxmodel.Floats("b", []int64{1, 3}, 1, 2, 3)},
			fault.Invalid,
			"model m@1: XNNPack delegate failed to reshape runtime; Node number 2 (TfLiteXNNPackDelegate) failed to prepare", "",
		},
		"no elements": {
			tflitemodel.Lookup(),
			[]tensor.Tensor{onnxmodel.Ints("x", []int64{0})},
			fault.Invalid,
			`model m@1: input "x" has shape [0] without elements, which LiteRT does not take`,
			"Leave the request out, or run the model in another runtime (deployment.runtime).",
		},
		"a shape that an operator makes from values": {
			tflitemodel.Tiled(),
			[]tensor.Tensor{onnxmodel.Floats("x", []int64{1}, 3), onnxmodel.Ints("times", []int64{1}, 2)},
			fault.Unsupported,
			"model m@1: an output takes its shape from values, right where an operator makes it, which LiteRT's interface cannot give",
			"Run the model in another runtime (deployment.runtime: openvino or tflite).",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(t, load(t, tc.model, inference.Options{OptimizationLevel: 1}), tc.inputs...)
			check(t, err, tc.kind, tc.text, tc.hint)
		})
	}
}

func TestDevicesAndProvidersAreRefusedOrFallBackByName(t *testing.T) {
	rt := open(t)
	has := "LiteRT " + rt.Info().Version + " has XNNPACK, Builtin, Reference here"
	provider := func(names ...string) (list []inference.Provider) {
		for _, name := range names {
			list = append(list, inference.Provider{Name: name})
		}
		return list
	}
	const edge = "device tpu: an Edge TPU needs libedgetpu and the classic TensorFlow Lite library (deployment.runtime: tflite)"
	for name, tc := range map[string]struct {
		options    inference.Options
		kind       fault.Kind
		text, hint string     // the refusal
		want       [][]string // or what was requested, what is in effect, and fallbacks
	}{
		"the cpu":          {options: inference.Options{OptimizationLevel: 1}, want: [][]string{{"XNNPACK"}, {"XNNPACK"}, nil}},
		"no optimisation":  {options: inference.Options{Device: "embedded"}, want: [][]string{{"Builtin"}, {"Builtin"}, nil}},
		"a named provider": {options: inference.Options{Providers: provider("Reference")}, want: [][]string{{"Reference"}, {"Reference"}, nil}},
		"a gpu": {
			options: inference.Options{Device: "gpu"}, kind: fault.Unsupported, text: "model m@1: device gpu: " + has,
			hint: "Set deployment.device_type to cpu, or deployment.fallback to cpu.",
		},
		"a gpu with fallback": {
			options: inference.Options{Device: "gpu", Fallback: "cpu", OptimizationLevel: 1},
			want:    [][]string{{"GPU"}, {"XNNPACK"}, {"device gpu: " + has + "; the CPU is used"}},
		},
		"a tpu": {
			options: inference.Options{Device: "tpu"}, kind: fault.Unsupported, text: "model m@1: " + edge,
			hint: "Set deployment.device_type to cpu, or deployment.fallback to cpu.",
		},
		"a provider that is not there": {
			options: inference.Options{Providers: provider("GPU", "Builtin")},
			want:    [][]string{{"GPU", "Builtin"}, {"Builtin"}, {"provider GPU: " + has + "; the next one is used"}},
		},
		"the same without fallback": {
			options: inference.Options{Providers: provider("GPU"), Fallback: "none"}, kind: fault.Unsupported,
			text: "model m@1: provider GPU: " + has, hint: "Set deployment.fallback to cpu, or name one of these.",
		},
		"options": {
			options: inference.Options{Providers: []inference.Provider{{Name: "XNNPACK", Options: map[string]string{"x": "y"}}}},
			kind:    fault.Invalid, text: "model m@1: provider XNNPACK takes no options",
		},
		"negative threads": {options: inference.Options{Threads: -5}, kind: fault.Invalid, text: "model m@1: -5 threads and 0 parallel runs, want 0 or more of each"},
	} {
		t.Run(name, func(t *testing.T) {
			session, err := rt.Load(t.Context(), inference.Model{Name: "m@1", Data: tflitemodel.Join(), FD: -1}, tc.options)
			if tc.text != "" {
				check(t, err, tc.kind, tc.text, tc.hint)
				return
			}
			if err != nil {
				t.Fatalf("Load = %v, want a session", err)
			}
			defer session.Close()
			info := session.Info()
			if diff := cmp.Diff(tc.want, [][]string{info.ProvidersRequested, info.Providers, info.Fallbacks}); diff != "" {
				t.Errorf("placement differs (-want +got):\n%s", diff)
			}
			in := []tensor.Tensor{onnxmodel.Floats("a", []int64{1, 2}, 1, 2), onnxmodel.Floats("b", []int64{1, 3}, 3, 4, 5)}
			if got, err := ask(t, session, in...); err != nil || !bytes.Equal(got[0].Data, onnxmodel.Floats("", nil, 1, 2, 3, 4, 5).Data) {
				t.Errorf("Run = %v, %v; want 1 to 5", got, err)
			}
		})
	}
}

func TestLiteRTHasOperatorsOfItsOwn(t *testing.T) {
	for _, name := range []string{"Convolution2DTransposeBias", "MaxPoolingWithArgmax2D", "MaxUnpooling2D"} {
		load(t, custom(name), inference.Options{}) // it has no operand that one could run it with
	}
}

func TestSignatureTellsWhatIntegersStandFor(t *testing.T) {
	quantised := tflitemodel.Model{Graphs: []tflitemodel.Graph{{
		Tensors: []tflitemodel.Tensor{
			{Name: "x", DType: tensor.Uint8, Shape: []int{-1}, Scales: []float32{0.5}, ZeroPoints: []int64{128}},
			{Name: "y", DType: tensor.FP32, Shape: []int{-1}},
		},
		Operators: []tflitemodel.Operator{{Op: tflitemodel.Dequantize, Version: 2, Inputs: []int{0}, Outputs: []int{1}}},
		Inputs:    []int{0}, Outputs: []int{1},
	}}}
	session := load(t, quantised.Encode(), inference.Options{})
	want := inference.Signature{
		Inputs:  []inference.Spec{{Name: "x", DType: tensor.Uint8, Shape: []int64{-1}, Quantization: &inference.Quantization{Scales: []float32{0.5}, ZeroPoints: []int64{128}}}},
		Outputs: []inference.Spec{{Name: "y", DType: tensor.FP32, Shape: []int64{-1}}},
	}
	if diff := cmp.Diff(want, session.Signature()); diff != "" {
		t.Errorf("signature differs (-want +got):\n%s", diff)
	}
	got, err := ask(t, session, tensor.Tensor{Name: "x", DType: tensor.Uint8, Shape: []int64{3}, Data: []byte{128, 130, 0}})
	if out := onnxmodel.Floats("y", nil, 0, 1, -64); err != nil || !bytes.Equal(got[0].Data, out.Data) {
		t.Errorf("Run = %v, %v; want 0, 1, -64", got, err)
	}
}

func TestASignaturesNamesAreServed(t *testing.T) {
	model := tflitemodel.Model{
		Graphs: []tflitemodel.Graph{{
			Tensors: []tflitemodel.Tensor{
				{Name: "serving_default_b:0", DType: tensor.FP32, Shape: []int{1}},
				{Name: "serving_default_a:0", DType: tensor.FP32, Shape: []int{1}},
				{Name: "StatefulPartitionedCall:0", DType: tensor.FP32, Shape: []int{1}},
			},
			Operators: []tflitemodel.Operator{{Op: tflitemodel.Sub, Inputs: []int{1, 0}, Outputs: []int{2}, Options: tflitemodel.Options{Table: 28}}},
			Inputs:    []int{0, 1}, Outputs: []int{2},
		}},
		Signatures: []tflitemodel.Signature{{Key: "serving_default", Inputs: []tflitemodel.Name{{Name: "a", Tensor: 1}, {Name: "b", Tensor: 0}}, Outputs: []tflitemodel.Name{{Name: "a_less_b", Tensor: 2}}}},
	}
	session := load(t, model.Encode(), inference.Options{})
	got, err := ask(t, session, onnxmodel.Floats("a", []int64{1}, 5), onnxmodel.Floats("b", []int64{1}, 3))
	if want := onnxmodel.Floats("a_less_b", nil, 2); err != nil || got[0].Name != want.Name || !bytes.Equal(got[0].Data, want.Data) {
		t.Errorf("Run = %v, %v; want a_less_b 2", got, err)
	}
}

func TestNamesThatTheFileDoesNotTellApartAreMadeUp(t *testing.T) {
	model := tflitemodel.Model{Graphs: []tflitemodel.Graph{{
		Tensors: []tflitemodel.Tensor{
			{DType: tensor.FP32, Shape: []int{1}},
			{Name: "x", DType: tensor.FP32, Shape: []int{1}},
			{Name: "x", DType: tensor.FP32, Shape: []int{1}},
			{DType: tensor.FP32, Shape: []int{3}},
		},
		Operators: []tflitemodel.Operator{{Op: tflitemodel.Concatenation, Inputs: []int{0, 1, 2}, Outputs: []int{3}, Options: tflitemodel.Options{Table: 10}}},
		Inputs:    []int{0, 1, 2}, Outputs: []int{3},
	}}}
	session := load(t, model.Encode(), inference.Options{})
	var names []string
	for _, spec := range append(session.Signature().Inputs, session.Signature().Outputs...) {
		names = append(names, spec.Name)
	}
	if want := []string{"input_0", "x", "x:1", "output_0"}; !cmp.Equal(want, names) {
		t.Fatalf("names = %q, want %q", names, want)
	}
	got, err := ask(t, session, onnxmodel.Floats("x:1", []int64{1}, 3), onnxmodel.Floats("input_0", []int64{1}, 1), onnxmodel.Floats("x", []int64{1}, 2))
	if want := onnxmodel.Floats("", nil, 1, 2, 3); err != nil || !bytes.Equal(got[0].Data, want.Data) {
		t.Errorf("Run = %v, %v; want 1, 2, 3", got, err)
	}
}

func TestAModelThatWasRefusedShapesWorksOn(t *testing.T) {
	refusedAndTaken(t, load(t, tflitemodel.Join(), inference.Options{OptimizationLevel: 1}))
}

// refusedAndTaken has a session of Join refuse shapes and take others, in turn.
func refusedAndTaken(t *testing.T, session inference.Session) {
	t.Helper()
	memory := arena.New("test", 1<<20, 1<<20)
	defer memory.Close()
	slot, err := session.NewSlot(memory)
	if err != nil {
		t.Fatal(err)
	}
	a := func(n int) tensor.Tensor { return onnxmodel.Floats("a", []int64{int64(n), 2}, make([]float32, 2*n)...) }
	b := func(n int) tensor.Tensor { return onnxmodel.Floats("b", []int64{int64(n), 3}, make([]float32, 3*n)...) }
	for range 3 {
		for n := 1; n < 4; n++ {
			if _, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{a(n), b(n + 1)}); fault.KindOf(err) != fault.Invalid {
				t.Fatalf("Run of %d and %d rows = %v, want it refused", n, n+1, err)
			}
			_, err := slot.Run(t.Context())
			check(t, err, fault.Invalid, "model m@1: the inputs were not laid out", "")
			if got, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{a(n), b(n)}); err != nil || got[0].Shape[0] != int64(n) {
				t.Fatalf("Run of %d rows = %v, %v; want as many", n, got, err)
			}
		}
	}
}

func TestFilesThatAreNotTheLibraryAreRefused(t *testing.T) {
	library, err := filepath.Glob("/lib/*-linux-gnu/libm.so.6")
	if err != nil || len(library) == 0 {
		t.Skip("needs the mathematics library of glibc")
	}
	_, err = litert.Open(library[0], nil)
	if err == nil || fault.KindOf(err) != fault.Unsupported || fault.HintOf(err) != "Name the file libLiteRt.so, or the classic libtensorflowlite_c.so." {
		t.Errorf("Open = %v, hint %q; want it refused as another library", err, fault.HintOf(err))
	}
}

func TestALibraryWithoutAFunctionIsRefusedByItsName(t *testing.T) {
	path := inferencetest.Compile(t, "libLiteRt.so.9.9.9", "int LiteRtCreateEnvironment(void) { return 0; }\n")
	_, err := litert.Open(path, nil)
	check(t, err, fault.Unsupported, path+": this LiteRT has no function LiteRtGetNumAccelerators",
		"Install a version that this build knows with `verge runtime install litert`.")
}

func TestRunAllocatesNothingWhenShapesStay(t *testing.T) {
	session := load(t, tflitemodel.Identity(tensor.FP32, -1), inference.Options{OptimizationLevel: 1})
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

func TestVersionIsTheFilesOwn(t *testing.T) {
	info := open(t).Info()
	if !strings.HasSuffix(info.Library, ".so."+info.Version) || info.Version == "" {
		t.Errorf("version %q of %s, want the one in its name", info.Version, info.Library)
	}
}

func TestProfileIsWrittenAtClose(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "profile")
	session := load(t, tflitemodel.Join(), inference.Options{Profile: prefix})
	if got := session.Info().Profile; got != prefix {
		t.Errorf("Profile = %q, want %q", got, prefix)
	}
	inputs := []tensor.Tensor{onnxmodel.Floats("a", []int64{2, 2}, 1, 2, 3, 4), onnxmodel.Floats("b", []int64{2, 3}, 1, 2, 3, 4, 5, 6)}
	memory := arena.New("test", 1<<20, 1<<20)
	defer memory.Close()
	slot, err := session.NewSlot(memory)
	if err != nil {
		t.Fatal(err)
	}
	for range 120 {
		if _, err = inference.Run(t.Context(), session.Signature(), slot, inputs); err != nil {
			t.Fatal(err)
		}
	}
	if err = session.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(prefix + "_*.txt")
	if err != nil || len(files) != 1 {
		t.Fatalf("profiles = %q, %v; want one file", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"100 runs on Builtin\n", "CONCATENATION", "[times called]"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("the profile has no %q:\n%s", want, text)
		}
	}
}

func TestAProfileIsOfTheLastOfManyRunners(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "profile")
	session := load(t, tflitemodel.Lookup(), inference.Options{Profile: prefix})
	const slots, most = 20, 16
	for range slots { // all at the same time: one that is closed leaves its runner to the next
		if _, err := inference.Run(t.Context(), session.Signature(), newSlot(t, session), []tensor.Tensor{onnxmodel.Ints("x", []int64{1}, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := session.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(prefix + "_*.txt")
	if err != nil || len(files) != 1 {
		t.Fatalf("profiles = %q, %v; want one file", files, err)
	}
	text, err := os.ReadFile(files[0])
	if got := bytes.Count(text, []byte("1 runs on ")); err != nil || got != most {
		t.Errorf("the profile is of %d runners, %v; want %d", got, err, most)
	}
}

func TestProfilesThatCannotBeWrittenAreToldAtClose(t *testing.T) {
	session := load(t, tflitemodel.Lookup(), inference.Options{Profile: "/nowhere/profile"})
	if _, err := ask(t, session, onnxmodel.Ints("x", []int64{1}, 1)); err != nil {
		t.Fatal(err)
	}
	err := session.Close()
	if got := regexp.MustCompile(`_\d+`).ReplaceAllString(fault.Message(err), "_N"); got != "model m@1: profile: open /nowhere/profile_N.txt: no such file or directory" {
		t.Errorf("Close = %q", got)
	}
}
