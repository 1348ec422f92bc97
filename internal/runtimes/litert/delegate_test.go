package litert_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/native"
	"verge/internal/runtimes/litert"
	"verge/internal/tensor"
)

// levitate compiles the delegate of testdata, with definitions before it.
func levitate(tb testing.TB, file, define string) string {
	tb.Helper()
	source, err := os.ReadFile("testdata/levitate.c")
	if err != nil {
		tb.Fatal(err)
	}
	return inferencetest.Compile(tb, file, define+"\n"+string(source))
}

// counts returns how many delegates a library has made and freed, and how many of
// their kernels were freed too late.
func counts(tb testing.TB, path string) [3]int {
	tb.Helper()
	var all [3]int
	for i, name := range []string{"delegates_made", "delegates_freed", "kernels_left"} {
		all[i] = int(int32(native.Call(symbol(tb, path, name))))
	}
	return all
}

func symbol(tb testing.TB, path, name string) uintptr {
	tb.Helper()
	library, err := native.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	address, err := library.Symbol(name)
	if err != nil {
		tb.Fatal(err)
	}
	return address
}

// custom returns a model of one custom operator from x FP32[?] to y FP32[?].
func custom(name string) []byte { return customOf(name, tensor.FP32) }

func customOf(name string, d tensor.DType) []byte { return tflitemodel.CustomOperator(name, d, -1) }

// lifts checks that a session adds 1, in one slot and then in another, for several shapes.
func lifts(tb testing.TB, session inference.Session) {
	tb.Helper()
	for range 2 {
		for _, n := range []int64{1, 5, 2} {
			got, err := ask(tb, session, onnxmodel.Floats("x", []int64{n}, make([]float32, n)...))
			ones := bytes.Repeat(onnxmodel.Floats("", nil, 1).Data, int(n))
			if err != nil || !bytes.Equal(got[0].Data, ones) {
				tb.Fatalf("Run of %d zeroes = %v, %v; want ones", n, got, err)
			}
		}
	}
}

// loadIn loads a model in a runtime.
func loadIn(tb testing.TB, rt inference.Runtime, data []byte, o inference.Options) (inference.Session, error) {
	tb.Helper()
	return rt.Load(tb.Context(), inference.Model{Name: "m@1", Data: data, FD: -1}, o)
}

func TestAnExternalDelegateTakesOverItsOperator(t *testing.T) {
	rt, path := openClassic(t), levitate(t, "liblevitate.so", "")
	session, err := loadIn(t, rt, custom("Levitate"), inference.Options{Device: "npu", Providers: []inference.Provider{{Name: path, Options: map[string]string{"height": "3", "depth": "3"}}}})
	if err != nil {
		t.Fatalf("Load = %v, want a session", err)
	}
	info := session.Info()
	if diff := cmp.Diff([][]string{{path}, {path, "Builtin"}, nil, {"npu"}}, [][]string{info.ProvidersRequested, info.Providers, info.Fallbacks, {info.Device}}); diff != "" {
		t.Errorf("placement differs (-want +got):\n%s", diff)
	}
	lifts(t, session)
	if got := counts(t, path); got[0] < 2 || got[1] == got[0] {
		t.Errorf("%d delegates were made and %d freed while slots are open, want one for each slot", got[0], got[1])
	}
	if err := session.Close(); err != nil {
		t.Errorf("Close = %v, want no error", err)
	}
	if got := counts(t, path); got[0] != got[1] || got[2] != 0 {
		t.Errorf("%d delegates were made and %d freed, %d kernels after them; want all freed, each after its interpreter", got[0], got[1], got[2])
	}
}

func TestDelegatesThatCannotBeHadFallBackByName(t *testing.T) {
	rt, path := openClassic(t), levitate(t, "liblevitate.so", "")
	other := inferencetest.Compile(t, "libother.so", "int other(void) { return 0; }\n")
	high := map[string]string{"height": "10"}
	for name, tc := range map[string]struct {
		provider inference.Provider
		why      string // without fallback
		fallback string
	}{
		"no file": {
			inference.Provider{Name: path + ".gone"},
			"provider " + path + ".gone: no such file",
			"provider " + path + ".gone: no such file; the next one is used",
		},
		"another library": {
			inference.Provider{Name: other},
			"provider " + other + ": no delegate of TensorFlow Lite: it has no function tflite_plugin_create_delegate",
			"provider " + other + ": no delegate of TensorFlow Lite: it has no function tflite_plugin_create_delegate; the next one is used",
		},
		"one that declines": {inference.Provider{Name: path, Options: high}, "height is over 9", path + ": height is over 9; Builtin is used"},
		"an option that C cannot take": {
			inference.Provider{Name: path, Options: map[string]string{"a\x00": ""}},
			`options: "a\x00" has a zero byte at 1, which a C library cannot take`,
			path + `: options: "a\x00" has a zero byte at 1, which a C library cannot take; Builtin is used`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadIn(t, rt, tflitemodel.Join(), inference.Options{Fallback: "none", Providers: []inference.Provider{tc.provider}})
			if err == nil || fault.Message(err) != "model m@1: "+tc.why {
				t.Errorf("Load without fallback = %v, want %q", err, tc.why)
			}
			session, err := loadIn(t, rt, tflitemodel.Join(), inference.Options{Providers: []inference.Provider{tc.provider}})
			if err != nil {
				t.Fatalf("Load = %v, want a session", err)
			}
			defer session.Close()
			if info := session.Info(); !cmp.Equal([]string{tc.fallback}, info.Fallbacks) || !cmp.Equal([]string{"Builtin"}, info.Providers) || info.Device != "cpu" {
				t.Errorf("runs on %s with %q, fell back %q; want the CPU and %q", info.Device, info.Providers, info.Fallbacks, tc.fallback)
			}
		})
	}
	if got := counts(t, path); got[0] != got[1] {
		t.Errorf("%d delegates were made and %d freed, want all", got[0], got[1])
	}
}

// withEdgeTPU opens the classic library with a stand-in for libedgetpu that finds
// that many devices.
func withEdgeTPU(tb testing.TB, devices string) (inference.Runtime, string) {
	tb.Helper()
	library := inferencetest.Library(tb, litert.ClassicName)
	path := levitate(tb, "libedgetpu.so.1", "#define EDGETPU "+devices+"\n#define OPERATOR \"edgetpu-custom-op\"")
	rt, err := litert.OpenWithEdgeTPU(library, path)
	if err != nil {
		tb.Fatal(err)
	}
	return rt, path
}

func TestAnEdgeTPUTakesOverWhatWasCompiledForIt(t *testing.T) {
	rt, path := withEdgeTPU(t, "3")
	if got := rt.Info().Providers; !cmp.Equal([]string{"XNNPACK", "Builtin", "EdgeTPU"}, got) {
		t.Errorf("providers = %q, want the Edge TPU among them", got)
	}
	session, err := loadIn(t, rt, custom("edgetpu-custom-op"), inference.Options{Device: "tpu", Parallel: 4})
	if err != nil {
		t.Fatalf("Load = %v, want a session", err)
	}
	info := session.Info()
	if diff := cmp.Diff([][]string{{"EdgeTPU"}, {"EdgeTPU", "Builtin"}, {"4 parallel runs: EdgeTPU takes one at a time; 1 is used"}, {"tpu"}},
		[][]string{info.ProvidersRequested, info.Providers, info.Fallbacks, {info.Device}}); diff != "" || info.Parallel != 1 {
		t.Errorf("%d parallel runs, want 1; placement differs (-want +got):\n%s", info.Parallel, diff)
	}
	lifts(t, session)
	session.Close()
	if got := counts(t, path); got[0] != got[1] || got[0] == 0 || got[2] != 0 {
		t.Errorf("%d delegates were made and %d freed, %d kernels after them; want all freed, each after its interpreter", got[0], got[1], got[2])
	}
}

func TestTheOptionDeviceChoosesAnEdgeTPU(t *testing.T) {
	rt, path := withEdgeTPU(t, "3") // USB, PCIe, USB
	const usb, pci = "1 /sys/bus/usb/devices/2-1", "0 /dev/apex_0"
	for device, want := range map[string]string{
		"": usb, ":0": usb, ":1": pci, "pci": pci, "pci:0": pci, "usb:1": usb,
		":3": `libedgetpu finds 3 of them, none is ":3"`, "pci:1": `libedgetpu finds 3 of them, none is "pci:1"`,
		"isa": `the option device is "isa", want :N, usb, usb:N, pci or pci:N`, "usb:x": `the option device is "usb:x", want :N, usb, usb:N, pci or pci:N`,
		":-1": `the option device is ":-1", want :N, usb, usb:N, pci or pci:N`,
	} {
		options := map[string]string{"device": device, "Performance": "Max"}
		session, err := loadIn(t, rt, custom("edgetpu-custom-op"), inference.Options{Fallback: "none", Providers: []inference.Provider{{Name: "EdgeTPU", Options: options}}})
		if err != nil {
			check(t, err, fault.Unsupported, "model m@1: provider EdgeTPU: "+want, "Set deployment.fallback to cpu, or name one of these.")
			continue
		}
		session.Close()
		if got := native.String(native.Call(symbol(t, path, "last_asked")), 256); got != want+" Performance=Max" {
			t.Errorf("device %q: the library was asked for %q, want %q", device, got, want+" Performance=Max")
		}
	}
}

func TestWithoutAnEdgeTPUTheDeviceIsRefusedOrTheCPUUsed(t *testing.T) {
	for name, tc := range map[string]struct {
		open func(t *testing.T) inference.Runtime
		why  string
	}{
		"no device": {func(t *testing.T) inference.Runtime { t.Helper(); rt, _ := withEdgeTPU(t, "0"); return rt }, "libedgetpu finds no Edge TPU on USB or PCIe"},
		"no library": {func(t *testing.T) inference.Runtime {
			t.Helper()
			rt, err := litert.OpenWithEdgeTPU(inferencetest.Library(t, litert.ClassicName), "/nowhere/libedgetpu.so.1")
			if err != nil {
				t.Fatal(err)
			}
			return rt
		}, "libedgetpu.so.1 is not installed"},
	} {
		t.Run(name, func(t *testing.T) {
			rt := tc.open(t)
			for _, fallback := range []string{"", "none"} {
				_, err := loadIn(t, rt, tflitemodel.Join(), inference.Options{Device: "tpu", Fallback: fallback})
				check(t, err, fault.Unsupported, "model m@1: device tpu: "+tc.why, "Set deployment.device_type to cpu, or deployment.fallback to cpu.")
			}
			session, err := loadIn(t, rt, tflitemodel.Join(), inference.Options{Device: "tpu", Fallback: "cpu"})
			if err != nil {
				t.Fatalf("Load = %v, want a session", err)
			}
			defer session.Close()
			want := "device tpu: " + tc.why + "; the CPU is used"
			if info := session.Info(); !cmp.Equal([]string{want}, info.Fallbacks) || info.Device != "cpu" {
				t.Errorf("runs on %s, fell back %q; want the CPU and %q", info.Device, info.Fallbacks, want)
			}
			_, err = loadIn(t, rt, custom("edgetpu-custom-op"), inference.Options{Device: "tpu", Fallback: "cpu"})
			check(t, err, fault.Unsupported, unresolved("edgetpu-custom-op"), "The model was compiled for an Edge TPU and runs nowhere else; "+want+".")
		})
	}
}

// unresolved is what the libraries say about a custom operator that they lack.
func unresolved(operator string) string {
	return strings.ReplaceAll("model m@1: Encountered unresolved custom op: OP; Node number 0 (OP) failed to prepare", "OP", operator)
}

func TestAModelForTheEdgeTPUIsRefusedElsewhereWithAHint(t *testing.T) {
	for _, open := range []func(testing.TB) inference.Runtime{open, openClassic} {
		for level := range 2 {
			_, err := loadIn(t, open(t), custom("edgetpu-custom-op"), inference.Options{OptimizationLevel: level})
			check(t, err, fault.Unsupported, unresolved("edgetpu-custom-op"),
				"Set deployment.device_type to tpu: the model was compiled for an Edge TPU, which needs the runtime tflite and libedgetpu.")
		}
	}
}

func TestABusyEdgeTPUFallsBackByName(t *testing.T) {
	rt, _ := withEdgeTPU(t, "1")
	busy := []inference.Provider{{Name: "EdgeTPU", Options: map[string]string{"busy": "yes"}}}
	const why = "libedgetpu could not use the device /sys/bus/usb/devices/2-1; it may be in use, or this user may not open it"
	_, err := loadIn(t, rt, tflitemodel.Join(), inference.Options{Providers: busy, Fallback: "none"})
	check(t, err, fault.Unsupported, "model m@1: "+why, "")
	session, err := loadIn(t, rt, tflitemodel.Join(), inference.Options{Providers: busy})
	if err != nil {
		t.Fatalf("Load = %v, want a session", err)
	}
	defer session.Close()
	if want := []string{"EdgeTPU: " + why + "; Builtin is used"}; !cmp.Equal(want, session.Info().Fallbacks) {
		t.Errorf("fell back %q, want %q", session.Info().Fallbacks, want)
	}
}
