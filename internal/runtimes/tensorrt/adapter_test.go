package tensorrt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/trtstub"
	"verge/internal/tensor"
)

const rebuild = "Build the engine again, from the model that it was made of, on this device and with this version (trtexec --onnx=FILE --saveEngine=FILE)."

// load loads an engine, or ends the test.
func load(tb testing.TB, rt inference.Runtime, data []byte, o inference.Options) inference.Session {
	tb.Helper()
	session, err := rt.Load(tb.Context(), inference.Model{Name: "m@1", Data: data, FD: -1}, o)
	if err != nil {
		tb.Fatalf("Load = %v, want a session", err)
	}
	tb.Cleanup(func() { session.Close() })
	return session
}

// slotOf makes a slot over an arena of its own.
func slotOf(tb testing.TB, session inference.Session) inference.Slot {
	tb.Helper()
	memory := arena.New("test", 1<<20, 1<<20)
	tb.Cleanup(func() { memory.Close() })
	slot, err := session.NewSlot(memory)
	if err != nil {
		tb.Fatalf("NewSlot = %v, want a slot", err)
	}
	return slot
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

// each runs a test with a runtime of each major version.
func each(t *testing.T, test func(t *testing.T, rt inference.Runtime, major int)) {
	t.Helper()
	for _, major := range majors {
		t.Run(fmt.Sprintf("TensorRT %d", major), func(t *testing.T) {
			rt, _ := open(t, major)
			test(t, rt, major)
		})
	}
}

// edited returns the file of an engine after a change.
func edited(e trtstub.Engine, edit func(*trtstub.Engine)) []byte {
	e.Ports = slices.Clone(e.Ports)
	edit(&e)
	return e.Encode()
}

func TestEnginesThatDoNotLoadSayWhy(t *testing.T) {
	const numbers = "Build the engine with inputs and outputs of plain numbers, in linear format."
	identity := trtstub.Identity(10, tensor.FP32, -1)
	for name, tc := range map[string]struct {
		data       []byte
		kind       fault.Kind
		text, hint string
	}{
		"empty":        {nil, fault.Corrupt, "model m@1: the file is empty", ""},
		"short":        {[]byte("ftrt"), fault.Corrupt, "model m@1: a TensorRT engine of 4 bytes, want 28 or more", ""},
		"another file": {[]byte("\x89PNG\r\n\x1a\n, which is no engine at all"), fault.Corrupt, "model m@1: not a TensorRT engine: it begins with 89 50 4e 47, want ftrt", ""},
		"an old one":   {append([]byte("ptrt"), make([]byte, 30)...), fault.Unsupported, "model m@1: the engine was built with a TensorRT that is too old (it begins with ptrt)", rebuild},
		"cut":          {identity.Encode()[:60], fault.Corrupt, "model m@1: Serialization assertion size >= bufferSize failed", ""},
		"another version": {
			edited(identity, func(e *trtstub.Engine) { e.Tag, e.Version = 239, [4]byte{10, 3, 0, 26} }), fault.Unsupported,
			"model m@1: the engine was built with TensorRT 10.3.0.26, this is TensorRT 10.16.0: Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed.Version tag does not match. Note: Current Version: 237, Serialized Engine Version: 239",
			rebuild,
		},
		"another GPU": {
			edited(identity, func(e *trtstub.Engine) { e.Capability = 705 }), fault.Unsupported,
			"model m@1: the engine was built for a GPU of compute capability 7.5, this one (Stand-in GPU) has 8.6", rebuild,
		},
		"a plugin": {
			edited(identity, func(e *trtstub.Engine) { e.Plugin = "Levitate" }), fault.Unsupported,
			"model m@1: Cannot find plugin: Levitate, version: 1, namespace:", "Build the engine without plugins of your own: none is loaded.",
		},
		"an element type": {
			edited(identity, func(e *trtstub.Engine) { e.Ports[0].Type = 6 }), fault.Unsupported,
			`model m@1: input "x" has element type FP8, which no request can carry`, numbers,
		},
		"an element type that is to come": {
			edited(identity, func(e *trtstub.Engine) { e.Ports[1].Type = 77 }), fault.Unsupported,
			`model m@1: output "y" has element type number 77, which no request can carry`, numbers,
		},
		"vectors": {
			edited(identity, func(e *trtstub.Engine) { e.Ports[0].Format = 4 }), fault.Unsupported,
			`model m@1: input "x" has format 4, want 0 (linear)`, numbers,
		},
		"shapes from values": {
			edited(identity, func(e *trtstub.Engine) { e.Operation = trtstub.Positions }), fault.Unsupported,
			`model m@1: output "y" takes its shape [-1] from values that the engine computes, which this adapter does not take`,
			"Build the engine so that the shapes of its outputs follow from those of its inputs.",
		},
		"too much memory": {
			edited(identity, func(e *trtstub.Engine) { e.Memory = 1 << 40 }), fault.Exhausted,
			"model m@1: out of memory", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			rt, _ := open(t, 10)
			_, err := rt.Load(t.Context(), inference.Model{Name: "m@1", Data: tc.data, FD: -1}, inference.Options{})
			check(t, err, tc.kind, tc.text, tc.hint)
		})
	}
}

func TestAnEngineTellsAboutItselfAndItsPlace(t *testing.T) {
	each(t, func(t *testing.T, rt inference.Runtime, major int) {
		t.Helper()
		join := trtstub.Join(major, 1, 8)
		join.Profiles = append(join.Profiles, trtstub.Rows(16, 64))
		info := load(t, rt, join.Encode(), inference.Options{}).Info()
		want := map[string]string{
			"num_bindings": "4", "max_batch_size": "8", "optimization_profiles": "2", "layers": "2", "context_memory_bytes": "4096",
			"device": "Stand-in GPU", "compute_capability": "8.6", "engine_name": "join",
			"engine_version": map[int]string{10: "10.16.0.72", 11: "11.1.0.106"}[major], "layer_names": "layer 0\nlayer 1",
			"profile_0.a": "[1,2] to [8,2], best [8,2]", "profile_0.b": "[1,3] to [8,3], best [8,3]",
			"profile_1.a": "[16,2] to [64,2], best [64,2]", "profile_1.b": "[16,3] to [64,3], best [64,3]",
		}
		if diff := cmp.Diff(want, info.Metadata); diff != "" || info.Device != "gpu" {
			t.Errorf("runs on %q, metadata differ (-want +got):\n%s", info.Device, diff)
		}
	})
}

func TestTheLargestBatchOfAFixedEngineIsItsOwn(t *testing.T) {
	rt, _ := open(t, 10)
	for want, shape := range map[string][]int64{"3": {3, 2}, "1": {}} {
		if got := load(t, rt, trtstub.Identity(10, tensor.FP32, shape...).Encode(), inference.Options{}).Info().Metadata["max_batch_size"]; got != want {
			t.Errorf("max_batch_size of %v = %q, want %q", shape, got, want)
		}
	}
}

// rows are the inputs of a Join engine with n and m rows of ones.
func rows(n, m int64) []tensor.Tensor {
	ones := func(k int64) []float32 { return slicesOf(int(k), 1) }
	return []tensor.Tensor{onnxmodel.Floats("a", []int64{n, 2}, ones(2*n)...), onnxmodel.Floats("b", []int64{m, 3}, ones(3*m)...)}
}

func slicesOf(n int, v float32) []float32 {
	all := make([]float32, n)
	for i := range all {
		all[i] = v
	}
	return all
}

func TestShapesGoToTheProfileThatTakesThem(t *testing.T) {
	rt, _ := open(t, 10)
	join := trtstub.Join(10, 1, 8)
	join.Profiles = append(join.Profiles, trtstub.Rows(16, 64))
	session := load(t, rt, join.Encode(), inference.Options{})
	slot := slotOf(t, session)
	for _, n := range []int64{1, 16, 64, 8, 20} {
		got, err := inference.Run(t.Context(), session.Signature(), slot, rows(n, n))
		if err != nil || !bytes.Equal(got[0].Data, onnxmodel.Floats("", nil, slicesOf(int(5*n), 1)...).Data) || !cmp.Equal(got[0].Shape, []int64{n, 5}) {
			t.Errorf("Run of %d rows = %v, %v; want as many of ones", n, got, err)
		}
	}
	const hint = "Ask for such shapes, or build the engine with a profile for others."
	for text, in := range map[string][]tensor.Tensor{
		`model m@1: input "a" has shape [9,2], the engine takes [1,2] to [8,2] or [16,2] to [64,2]`:  rows(9, 9),
		`model m@1: input "b" has shape [65,3], the engine takes [1,3] to [8,3] or [16,3] to [64,3]`: rows(64, 65),
		`model m@1: input "a" has shape [0,2], the engine takes [1,2] to [8,2] or [16,2] to [64,2]`:  rows(0, 0),
		"model m@1: none of the engine's 2 profiles takes the shapes of all inputs together":         rows(8, 16),
	} {
		_, err := inference.Run(t.Context(), session.Signature(), slot, in)
		check(t, err, fault.Invalid, text, hint)
	}
	_, err := inference.Run(t.Context(), session.Signature(), slot, rows(2, 3))
	check(t, err, fault.Invalid, "model m@1: the shapes of the inputs do not go together: IConcatenationLayer join: dimensions not compatible for concatenation", "")
}

func TestShapeTensorsGoThroughHostMemory(t *testing.T) {
	each(t, func(t *testing.T, rt inference.Runtime, major int) {
		t.Helper()
		shape := trtstub.Identity(major, tensor.FP32, -1, 3)
		shape.Operation = trtstub.ShapeOf
		shape.Ports[1] = trtstub.Port{Name: "y", Output: true, Type: 8, Host: true, Shape: []int64{2}}
		session := load(t, rt, shape.Encode(), inference.Options{})
		got, err := inference.Run(t.Context(), session.Signature(), slotOf(t, session), []tensor.Tensor{onnxmodel.Floats("x", []int64{2, 3}, 1, 2, 3, 4, 5, 6)})
		if want := onnxmodel.Ints("y", []int64{2}, 2, 3); err != nil || !bytes.Equal(got[0].Data, want.Data) {
			t.Errorf("Run = %v, %v; want 2, 3", got, err)
		}
		repeat := load(t, rt, trtstub.Repeat(major).Encode(), inference.Options{})
		_, err = inference.Run(t.Context(), repeat.Signature(), slotOf(t, repeat), []tensor.Tensor{onnxmodel.Floats("x", []int64{1}, 3), onnxmodel.Ints("times", []int64{1}, -2)})
		check(t, err, fault.Invalid, "model m@1: the shapes of the inputs do not go together: IConcatenationLayer join: dimensions not compatible for concatenation", "")
	})
}

func TestRunsThatFailSayWhyAndTheirSlotWorksOn(t *testing.T) {
	rt, stub := open(t, 10)
	session := load(t, rt, trtstub.Identity(10, tensor.FP32, -1).Encode(), inference.Options{})
	slot := slotOf(t, session)
	in := []tensor.Tensor{onnxmodel.Floats("x", []int64{2}, 1, 2)}
	for option, text := range map[string]string{
		"fail_enqueue":    "model m@1: the library does not start: invalid resource handle",
		"illegal_address": "model m@1: the GPU: an illegal memory access was encountered (CUDA_ERROR_ILLEGAL_ADDRESS)",
	} {
		stub.Set(t, option, 1)
		_, err := inference.Run(t.Context(), session.Signature(), slot, in)
		check(t, err, fault.Internal, text, "")
		if got, err := inference.Run(t.Context(), session.Signature(), slot, in); err != nil || !bytes.Equal(got[0].Data, in[0].Data) {
			t.Errorf("Run after it = %v, %v; want the input", got, err)
		}
	}
}

func TestARunThatHasBegunIsWaitedForWhenItsContextEnds(t *testing.T) {
	rt, stub := open(t, 10)
	wait := trtstub.Identity(10, tensor.FP32, -1)
	wait.Operation = trtstub.WaitThen
	session := load(t, rt, wait.Encode(), inference.Options{})
	slot := slotOf(t, session)
	in := []tensor.Tensor{onnxmodel.Floats("x", []int64{2}, 1, 2)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := inference.Run(ctx, session.Signature(), slot, in)
		done <- err
	}()
	stub.Await(t)
	cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := session.Close(); err != nil { // waits for the run too
			t.Errorf("Close = %v, want no error", err)
		}
	})
	select {
	case err := <-done:
		t.Errorf("Run = %v before the GPU had finished", err)
	default:
	}
	stub.Release(t)
	check(t, <-done, fault.Canceled, "model m@1: canceled before the library had finished: context canceled", "")
	wg.Wait()
}

func TestGPUMemoryIsBoundedByItsFraction(t *testing.T) {
	const hint = "Raise deployment.gpu_memory_fraction, ask for less at a time, or build the engine for smaller shapes."
	rt, stub := open(t, 10)
	identity := trtstub.Identity(10, tensor.FP32, -1)
	identity.Memory = 1 << 20
	file := identity.Encode()
	half := func() float64 { return float64(1<<20+len(file)+4096) / (1 << 30) } // for one context and 4096 bytes
	session := load(t, rt, file, inference.Options{GPUMemoryFraction: half()})
	slot := slotOf(t, session)
	small := []tensor.Tensor{onnxmodel.Floats("x", []int64{512}, slicesOf(512, 1)...)}
	for range 3 {
		if _, err := inference.Run(t.Context(), session.Signature(), slot, small); err != nil {
			t.Fatalf("Run within the limit = %v, want outputs", err)
		}
	}
	if used, want := stub.Used(t), 1<<20+4096; used != want {
		t.Errorf("%d bytes are taken, want %d", used, want)
	}
	_, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{onnxmodel.Floats("x", []int64{1024}, slicesOf(1024, 1)...)})
	if err == nil || fault.KindOf(err) != fault.Exhausted || fault.HintOf(err) != hint || !strings.HasPrefix(fault.Message(err), "model m@1: input x needs 4096 bytes of GPU memory, ") {
		t.Errorf("Run over the limit = %v, want it refused", err)
	}
	if _, err = inference.Run(t.Context(), session.Signature(), slot, small); err != nil {
		t.Errorf("Run within the limit after it = %v, want outputs", err)
	}
	memory := arena.New("test", 1<<20, 1<<20)
	defer memory.Close()
	if _, err = session.NewSlot(memory); err == nil || fault.KindOf(err) != fault.Exhausted || !strings.HasPrefix(fault.Message(err), "model m@1: an execution context needs 1048576 bytes of GPU memory, ") {
		t.Errorf("NewSlot over the limit = %v, want it refused", err)
	}
	_, err = rt.Load(t.Context(), inference.Model{Name: "m@1", Data: file, FD: -1}, inference.Options{GPUMemoryFraction: 1e-7})
	check(t, err, fault.Exhausted, "model m@1: the engine needs 147 bytes of GPU memory, 0 of the model's 107 are in use (1e-07 of the GPU's 1073741824)", hint)
	_, err = rt.Load(t.Context(), inference.Model{Name: "m@1", Data: file, FD: -1}, inference.Options{GPUMemoryFraction: 1e-12})
	check(t, err, fault.Exhausted, "model m@1: the engine needs 147 bytes of GPU memory, 0 of the model's 1 are in use (1e-12 of the GPU's 1073741824)", hint)
	_, err = rt.Load(t.Context(), inference.Model{Name: "m@1", Data: file, FD: -1}, inference.Options{GPUMemoryFraction: 1.5})
	check(t, err, fault.Invalid, "model m@1: 1.5 of the GPU's memory, want 0 to 1", "")
}

func TestMemoryThatTheGPULacksIsTold(t *testing.T) {
	rt, stub := open(t, 10)
	session := load(t, rt, trtstub.Identity(10, tensor.FP32, -1).Encode(), inference.Options{})
	slot := slotOf(t, session)
	stub.Set(t, "total", 1000)
	_, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{onnxmodel.Floats("x", []int64{512}, slicesOf(512, 1)...)})
	check(t, err, fault.Exhausted, "model m@1: input x needs 2048 bytes: out of memory (CUDA_ERROR_OUT_OF_MEMORY)", "")
}

func TestDevicesAndProvidersAreTheGPUOrAreRefused(t *testing.T) {
	rt, _ := open(t, 10)
	const gpu = "Set deployment.device_type to gpu, or serve the model that the engine was built from in another runtime."
	provider := func(names ...string) (list []inference.Provider) {
		for _, name := range names {
			list = append(list, inference.Provider{Name: name})
		}
		return list
	}
	for name, tc := range map[string]struct {
		options    inference.Options
		kind       fault.Kind
		text, hint string
		want       [][]string
	}{
		"nothing":  {want: [][]string{{"TensorRT"}, {"TensorRT"}, nil}},
		"the gpu":  {options: inference.Options{Device: "gpu", Fallback: "none"}, want: [][]string{{"TensorRT"}, {"TensorRT"}, nil}},
		"the cpu":  {options: inference.Options{Device: "cpu"}, kind: fault.Unsupported, text: "model m@1: device cpu: a TensorRT engine runs on an NVIDIA GPU only", hint: gpu},
		"a mobile": {options: inference.Options{Device: "mobile", Fallback: "cpu"}, kind: fault.Unsupported, text: "model m@1: device mobile: a TensorRT engine runs on an NVIDIA GPU only", hint: gpu},
		"an npu":   {options: inference.Options{Device: "npu"}, kind: fault.Unsupported, text: "model m@1: device npu: a TensorRT engine runs on an NVIDIA GPU only", hint: gpu},
		"an npu with fallback": {
			options: inference.Options{Device: "npu", Fallback: "cpu"},
			want:    [][]string{{"TensorRT"}, {"TensorRT"}, {"device npu: a TensorRT engine runs on an NVIDIA GPU only; that is used"}},
		},
		"another": {options: inference.Options{Device: "abacus"}, kind: fault.Invalid, text: `model m@1: device "abacus", want gpu`},
		"providers": {
			options: inference.Options{Providers: provider("CUDA", "TensorRT")},
			want:    [][]string{{"CUDA", "TensorRT"}, {"TensorRT"}, {"provider CUDA: TensorRT 10.16.0 has TensorRT only; that is used"}},
		},
		"no fallback": {
			options: inference.Options{Providers: provider("CUDA"), Fallback: "none"}, kind: fault.Unsupported,
			text: "model m@1: provider CUDA: TensorRT 10.16.0 has TensorRT only", hint: "Leave the provider out.",
		},
		"options": {
			options: inference.Options{Providers: []inference.Provider{{Name: "TensorRT", Options: map[string]string{"x": "y"}}}},
			kind:    fault.Invalid, text: "model m@1: provider TensorRT takes no options",
		},
		"negative threads": {options: inference.Options{Threads: -5}, kind: fault.Invalid, text: "model m@1: -5 threads and 0 parallel runs, want 0 or more of each"},
	} {
		t.Run(name, func(t *testing.T) {
			session, err := rt.Load(t.Context(), inference.Model{Name: "m@1", Data: trtstub.Join(10, 0, 8).Encode(), FD: -1}, tc.options)
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
		})
	}
}

func TestWhatUltralyticsPutsBeforeAnEngineIsSkipped(t *testing.T) {
	rt, _ := open(t, 10)
	text := `{"description": "Ultralytics YOLO11n model"}`
	data := append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)
	session := load(t, rt, append(data, trtstub.Identity(10, tensor.FP32, -1).Encode()...), inference.Options{})
	if got := session.Info().Metadata["engine_name"]; got != "identity" {
		t.Errorf("engine_name = %q, want identity", got)
	}
}

func TestMessagesOfTheLibraryGoToTheModelsLog(t *testing.T) {
	rt, _ := open(t, 10)
	for level, want := range map[slog.Level]string{
		slog.LevelInfo: "level=INFO msg=\"library message\" runtime=tensorrt text=\"Loaded engine size: 0 MiB\"\n", slog.LevelWarn: "",
	} {
		var said bytes.Buffer
		log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		load(t, rt, trtstub.Identity(10, tensor.FP32, 1).Encode(), inference.Options{Log: log, LogLevel: level})
		if said.String() != want {
			t.Errorf("from %v on the log has %q, want %q", level, said.String(), want)
		}
	}
}

func TestRunAllocatesNothingWhenShapesStay(t *testing.T) {
	if raced() {
		t.Skip("the race detector drops what sync.Pool keeps")
	}
	rt, _ := open(t, 10)
	slot := slotOf(t, load(t, rt, trtstub.Identity(10, tensor.FP32, -1).Encode(), inference.Options{}))
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

// raced reports whether the tests were built with the race detector.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
