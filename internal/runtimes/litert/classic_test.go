package litert_test

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/native"
	"verge/internal/runtimes/litert"
	"verge/internal/tensor"
)

// openClassic opens the classic library, or skips the test where there is none.
func openClassic(tb testing.TB) inference.Runtime {
	tb.Helper()
	rt, err := litert.Open(inferencetest.Library(tb, litert.ClassicName), nil)
	if err != nil {
		tb.Fatalf("Open = %v, want a runtime", err)
	}
	return rt
}

func TestContractOfTheClassicLibrary(t *testing.T) {
	suite := inferencetest.TFLite(t)
	suite.Open = openClassic
	suite.Identity[tensor.Bytes] = tflitemodel.Identity(tensor.Bytes, -1)
	suite.NoEmpty = false
	delete(suite.Identity, tensor.BF16) // this and what follows is more than version 2.9 can do
	suite.Loop = nil
	suite.Lookup = nil // it does not look whether an index is in range
	inferencetest.Run(t, suite)
}

func TestTheClassicLibraryIsToldByItsFunctions(t *testing.T) {
	info := openClassic(t).Info()
	if info.Name != "tflite" || info.Version != "2.9.0" || !cmp.Equal([]string{"XNNPACK", "Builtin"}, info.Providers) {
		t.Errorf("Info = %+v, want tflite 2.9.0 with XNNPACK and Builtin", info)
	}
}

func TestAClassicLibraryWithoutAFunctionIsRefusedByItsName(t *testing.T) {
	path := inferencetest.Compile(t, "libtensorflowlite_c.so", "int TfLiteInterpreterCreate(void) { return 0; }\n")
	_, err := litert.Open(path, nil)
	check(t, err, fault.Unsupported, path+": this TensorFlow Lite has no function TfLiteVersion",
		"Install a version that this build knows with `verge runtime install tflite`.")
}

func TestTheClassicLibrarySaysWhyModelsDoNotLoad(t *testing.T) {
	const export = "Export the model with inputs and outputs of numbers or strings."
	cut := tflitemodel.Join()
	for name, tc := range map[string]struct {
		data       []byte
		kind       fault.Kind
		text, hint string
	}{
		"cut": {cut[:len(cut)/2], fault.Corrupt, "model m@1: the library says invalid flatbuffer", ""},
		"unknown operator": {
			tflitemodel.Unknown(), fault.Unsupported, unresolved("Levitate"),
			"Convert the model again with built-in operators only: this one is part of the program that the model was made for.",
		},
		"an operator of LiteRT": {
			custom("MaxUnpooling2D"), fault.Unsupported, unresolved("MaxUnpooling2D"), "Set deployment.runtime to litert, which has this operator.",
		},
		"a type of the next": {tflitemodel.Identity(tensor.BF16, -1), fault.Unsupported, "model m@1: Unsupported data type 18 in tensor", ""},
		"a version of an operator that is to come": {
			operator(tflitemodel.Operator{Op: tflitemodel.ReLU, Version: 99, Inputs: []int{0}, Outputs: []int{1}}), fault.Unsupported,
			"model m@1: Didn't find op for builtin opcode 'RELU' version '99'. An older version of this builtin might be supported. Are you using an old TFLite binary with a newer model?; Registration failed", "",
		},
		"complex numbers": {
			complexInput(), fault.Unsupported, `model m@1: input "x" has element type complex64, which TensorFlow Lite's interface cannot carry`, export,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadIn(t, openClassic(t), tc.data, inference.Options{})
			check(t, err, tc.kind, tc.text, tc.hint)
		})
	}
}

// complexInput returns a model of one type, which is one that tests' models cannot name.
func complexInput() []byte {
	const short, complexes = 7, 8 // in the schema
	data := tflitemodel.Identity(tensor.Int16, -1)
	data[bytes.LastIndexByte(data, short)] = complexes
	return data
}

func TestTheClassicLibrarySaysWhyARunFails(t *testing.T) {
	session, err := loadIn(t, openClassic(t), tflitemodel.Join(), inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	_, err = ask(t, session, onnxmodel.Floats("a", []int64{2, 2}, 1, 2, 3, 4), onnxmodel.Floats("b", []int64{1, 3}, 1, 2, 3))
	check(t, err, fault.Invalid, "model m@1: t->dims->data[d] != t0->dims->data[d] (1 != 2); Node number 0 (CONCATENATION) failed to prepare", "")
	_, err = ask(t, session, onnxmodel.Floats("a", []int64{1 << 31, 2}), onnxmodel.Floats("b", []int64{1, 3}, 1, 2, 3))
	if fault.KindOf(err) != fault.Invalid && fault.KindOf(err) != fault.TooLarge {
		t.Errorf("Run of 2^31 rows = %v, want it refused", err)
	}
}

func TestStringsGoThroughTheClassicLibrary(t *testing.T) {
	for _, level := range []int{0, 1} {
		session, err := loadIn(t, openClassic(t), tflitemodel.Identity(tensor.Bytes, -1, 2), inference.Options{OptimizationLevel: level})
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		in := onnxmodel.Strings("x", "", "größe", "a\x00b", string(bytes.Repeat([]byte("long"), 10_000)))
		in.Shape = []int64{2, 2}
		got, err := ask(t, session, in)
		if err != nil || got[0].DType != tensor.Bytes || !bytes.Equal(got[0].Data, in.Data) || !cmp.Equal(in.Shape, got[0].Shape) {
			t.Errorf("Run = %v, %v; want what went in", got, err)
		}
	}
}

func TestXNNPACKGivesWayToTheOperatorsOfTheClassicLibraryByName(t *testing.T) {
	for _, fallback := range []string{"", "none"} {
		session, err := loadIn(t, openClassic(t), tflitemodel.Tiled(), inference.Options{OptimizationLevel: 1, Fallback: fallback})
		if err != nil {
			t.Fatalf("Load = %v, want a session", err)
		}
		defer session.Close()
		want := []string{"XNNPACK: the library does not take the delegate for this model, and does not say why; Builtin is used"}
		if info := session.Info(); !cmp.Equal(want, info.Fallbacks) || !cmp.Equal([]string{"Builtin"}, info.Providers) {
			t.Errorf("runs on %q, fell back %q; want Builtin and %q", info.Providers, info.Fallbacks, want)
		}
		// LiteRT cannot give this output, whose shape an operator chooses.
		got, err := ask(t, session, onnxmodel.Floats("x", []int64{1}, 3), onnxmodel.Ints("times", []int64{1}, 2))
		if want := onnxmodel.Floats("y", nil, 3, 3); err != nil || !bytes.Equal(got[0].Data, want.Data) {
			t.Errorf("Run = %v, %v; want 3, 3", got, err)
		}
	}
	_, err := loadIn(t, openClassic(t), tflitemodel.Tiled(), inference.Options{Fallback: "none", Providers: []inference.Provider{{Name: "XNNPACK"}}})
	if err == nil || fault.Message(err) != "model m@1: the library does not take the delegate for this model, and does not say why" {
		t.Errorf("Load with XNNPACK only = %v, want it refused", err)
	}
}

func TestBothLibrariesDescribeAModelAlike(t *testing.T) {
	quantised := tflitemodel.Model{
		Graphs: []tflitemodel.Graph{{
			Tensors: []tflitemodel.Tensor{
				{Name: "serving_default_b:0", DType: tensor.Uint8, Shape: []int{-1}, Scales: []float32{0.5}, ZeroPoints: []int64{128}},
				{Name: "serving_default_a:0", DType: tensor.FP32, Shape: []int{-1, 2}},
				{Name: "StatefulPartitionedCall:0", DType: tensor.FP32, Shape: []int{-1}},
				{Name: "shape", DType: tensor.Int32, Shape: []int{2}},
			},
			Operators: []tflitemodel.Operator{
				{Op: tflitemodel.Dequantize, Version: 2, Inputs: []int{0}, Outputs: []int{2}},
				{Op: tflitemodel.Shape, Inputs: []int{1}, Outputs: []int{3}, Options: tflitemodel.Options{Table: 55, Fields: []any{int8(2)}}},
			},
			Inputs: []int{0, 1}, Outputs: []int{2, 3},
		}},
		Signatures: []tflitemodel.Signature{{
			Key: "serving_default", Inputs: []tflitemodel.Name{{Name: "a", Tensor: 1}, {Name: "b", Tensor: 0}},
			Outputs: []tflitemodel.Name{{Name: "size", Tensor: 3}, {Name: "real", Tensor: 2}},
		}},
	}.Encode()
	channels := tflitemodel.Model{Graphs: []tflitemodel.Graph{{
		Tensors: []tflitemodel.Tensor{
			{Name: "x", DType: tensor.Int8, Shape: []int{1, 3}, Scales: []float32{0.5, 2, 4}, ZeroPoints: []int64{0, 0, 0}, Axis: 1},
			{DType: tensor.FP32, Shape: []int{1, 3}},
		},
		Operators: []tflitemodel.Operator{{Op: tflitemodel.Dequantize, Version: 5, Inputs: []int{0}, Outputs: []int{1}}},
		Inputs:    []int{0}, Outputs: []int{1},
	}}}.Encode()
	for name, data := range map[string][]byte{"a signature": quantised, "channels": channels, "no signature": tflitemodel.Join()} {
		t.Run(name, func(t *testing.T) {
			classic, err := loadIn(t, openClassic(t), data, inference.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer classic.Close()
			if diff := cmp.Diff(load(t, data, inference.Options{}).Signature(), classic.Signature()); diff != "" {
				t.Errorf("signature differs (-LiteRT +classic):\n%s", diff)
			}
		})
	}
	session, err := loadIn(t, openClassic(t), quantised, inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	got, err := ask(t, session, onnxmodel.Floats("a", []int64{1, 2}, 5, 6), tensor.Tensor{Name: "b", DType: tensor.Uint8, Shape: []int64{1}, Data: []byte{130}})
	if err != nil || got[1].Name != "size" || !bytes.Equal(got[1].Data, []byte{1, 0, 0, 0, 2, 0, 0, 0}) || !bytes.Equal(got[0].Data, onnxmodel.Floats("", nil, 1).Data) {
		t.Errorf("Run = %v, %v; want size 1, 2 and real 1", got, err)
	}
}

func TestAClassicModelThatWasRefusedShapesWorksOn(t *testing.T) {
	for level := range 2 {
		session, err := loadIn(t, openClassic(t), tflitemodel.Join(), inference.Options{OptimizationLevel: level})
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		refusedAndTaken(t, session)
	}
}

func TestARunIsInterruptedWhereTheLibraryCanDoSo(t *testing.T) {
	source, err := os.ReadFile("testdata/endless.c")
	if err != nil {
		t.Fatal(err)
	}
	path := inferencetest.Compile(t, "libtensorflowlite_c.so", string(source))
	rt, err := litert.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	session, err := loadIn(t, rt, []byte("any"), inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	memory := arena.New("test", 1<<20, 1<<20)
	defer memory.Close()
	slot, err := session.NewSlot(memory)
	if err != nil {
		t.Fatal(err)
	}
	running := symbol(t, path, "is_running")
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for byte(native.Call(running)) == 0 && ctx.Err() == nil {
				runtime.Gosched()
			}
			cancel()
		}()
		_, err = inference.Run(ctx, session.Signature(), slot, []tensor.Tensor{onnxmodel.Floats("x", []int64{1}, 1)})
		cancel()
		check(t, err, fault.Canceled, "model m@1: canceled before the library had finished: context canceled", "")
		in := onnxmodel.Floats("x", []int64{1}, -1)
		if got, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{in}); err != nil || !bytes.Equal(got[0].Data, in.Data) {
			t.Errorf("Run after it = %v, %v; want -1", got, err)
		}
	}
}

func TestTheClassicLibrarySaysThatItWritesNoProfile(t *testing.T) {
	rt, err := litert.Open(inferencetest.Library(t, litert.ClassicName), nil)
	if err != nil {
		t.Fatal(err)
	}
	session, err := rt.Load(t.Context(), inference.Model{Name: "m@1", Data: tflitemodel.Join(), FD: -1}, inference.Options{Profile: "/nowhere/profile"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"profile: this library cannot measure operators; none is written"}
	if info := session.Info(); info.Profile != "" || !cmp.Equal(want, info.Fallbacks) {
		t.Errorf("profile %q, fallbacks %q; want none and %q", info.Profile, info.Fallbacks, want)
	}
	if err := session.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}
