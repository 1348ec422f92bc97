package onnxruntime_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/runtimes/onnxruntime"
)

// installed returns the path of a file below the directory of runtimes, or skips the
// test where there is none.
func installed(tb testing.TB, name, pattern string) string {
	tb.Helper()
	directory := os.Getenv(inferencetest.DirectoryVariable)
	if directory != "" && !filepath.IsAbs(directory) {
		directory = filepath.Join(inferencetest.Root(tb), directory)
	}
	found, err := filepath.Glob(filepath.Join(directory, name, "*", pattern))
	if err != nil {
		tb.Fatal(err)
	}
	if directory == "" || len(found) == 0 {
		tb.Skipf("needs %s: put the files of its package below %s/%s/VERSION", name, inferencetest.DirectoryVariable, name)
	}
	return found[len(found)-1]
}

// placed loads a model with two inputs, runs it, and returns what became of the options.
func placed(t *testing.T, rt inference.Runtime, o inference.Options) inference.SessionInfo {
	t.Helper()
	session, err := rt.Load(t.Context(), inference.Model{Name: "m@1", Data: onnxmodel.Join(), FD: -1}, o)
	if err != nil {
		t.Fatalf("Load = %v, want a session", err)
	}
	defer session.Close()
	got, err := ask(t, session, &plain{}, onnxmodel.Floats("a", []int64{1, 2}, 1, 2), onnxmodel.Floats("b", []int64{1, 3}, 3, 4, 5))
	if err != nil {
		t.Fatalf("Run = %v, want outputs", err)
	}
	if want := onnxmodel.Floats("joined", []int64{1, 5}, 1, 2, 3, 4, 5); !bytes.Equal(got[0].Data, want.Data) {
		t.Errorf("Run = %v, want %v", got[0], want)
	}
	return session.Info()
}

func TestProofModelIsAModelThatTheCPURuns(t *testing.T) {
	got, err := ask(t, load(t, onnxruntime.ProofModel(), inference.Options{}), &plain{}, onnxmodel.Floats("x", []int64{1, 2}, 10, 20))
	if err != nil {
		t.Fatalf("Run = %v, want outputs", err)
	}
	if want := onnxmodel.Floats("y", []int64{1, 2}, 70, 100); !bytes.Equal(got[0].Data, want.Data) {
		t.Errorf("Run = %v, want %v", got[0], want)
	}
}

func TestAProviderIsProvedOnceForEachSetOfOptions(t *testing.T) {
	rt := open(t)
	azure := func(options map[string]string) inference.Options {
		return inference.Options{Providers: []inference.Provider{{Name: "Azure", Options: options}}}
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { placed(t, rt, azure(nil)) })
	}
	group.Wait()
	placed(t, rt, azure(map[string]string{"x": "y"}))
	if got := onnxruntime.Proofs(rt); got != 2 {
		t.Errorf("%d proofs, want 2", got)
	}
	onnxruntime.SpoilProofs(rt)
	if diff := cmp.Diff([]string{"provider AzureExecutionProvider: spoiled; the CPU is used"}, placed(t, rt, azure(nil)).Fallbacks); diff != "" {
		t.Errorf("fallbacks differ from what the kept proof says (-want +got):\n%s", diff)
	}
}

func TestPluginLibrariesThatCannotBeUsedAreRefusedInTheirOwnWords(t *testing.T) {
	rt, dir := open(t), t.TempDir()
	text := filepath.Join(dir, "libtext.so")
	if err := os.WriteFile(text, []byte("plain text"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none.so")
	hint := "Set deployment.fallback to cpu, or name CPUExecutionProvider."
	for name, tc := range map[string]struct {
		provider inference.Provider
		text     string
	}{
		"no file":            {inference.Provider{Name: none}, "provider " + none + ": no such file"},
		"no file, by option": {inference.Provider{Name: "QNN", Options: map[string]string{"library": none}}, "provider QNNExecutionProvider: " + none + ": no such file"},
		"no library":         {inference.Provider{Name: text}, "provider " + text + ": not an ELF file, or not a whole one: EOF"},
		"a directory":        {inference.Provider{Name: dir}, "provider " + dir + ": not a file but a directory"},
		"the library itself": {inference.Provider{Name: rt.Info().Library}, "provider " + rt.Info().Library + ": not a library of execution providers: it has no function CreateEpFactories"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rt.Load(t.Context(), inference.Model{Name: "m@1", Data: onnxmodel.Join(), FD: -1},
				inference.Options{Providers: []inference.Provider{tc.provider}, Fallback: "none"})
			check(t, err, fault.Unsupported, "model m@1: "+tc.text, hint)
			info := placed(t, rt, inference.Options{Providers: []inference.Provider{tc.provider}})
			if diff := cmp.Diff([]string{tc.text + "; the CPU is used"}, info.Fallbacks); diff != "" {
				t.Errorf("fallbacks differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPluginBesideTheLibraryIsTriedForItsDevice(t *testing.T) {
	dir := t.TempDir()
	library, plugin := filepath.Join(dir, "libonnxruntime.so"), filepath.Join(dir, "libonnxruntime_providers_qnn.so")
	if err := os.Symlink(open(t).Info().Library, library); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plugin, []byte("plain text"), 0o600); err != nil {
		t.Fatal(err)
	}
	rt, err := onnxruntime.Open(library, nil)
	if err != nil {
		t.Fatal(err)
	}
	for device, text := range map[string]string{
		"npu": "provider QNNExecutionProvider: " + plugin + ": not an ELF file, or not a whole one: EOF",
		"gpu": "looked for TensorrtExecutionProvider, CUDAExecutionProvider, MIGraphXExecutionProvider, OpenVINOExecutionProvider, WebGpuExecutionProvider; ONNX Runtime " +
			rt.Info().Version + " has " + strings.Join(rt.Info().Providers, ", "),
	} {
		_, err = rt.Load(t.Context(), inference.Model{Name: "m@1", Data: onnxmodel.Join(), FD: -1}, inference.Options{Device: device})
		check(t, err, fault.Unsupported, "model m@1: device "+device+": "+text, "Set deployment.device_type to cpu, or deployment.fallback to cpu.")
	}
}

func TestProvidersGetTheOptionsThatFollowFromTheSessionsAndNeverLoseTheirOwn(t *testing.T) {
	type options = map[string]string
	for name, tc := range map[string]struct {
		provider inference.Provider
		session  inference.Options
		want     options
		device   string
	}{
		"OpenVINO on the CPU has as many threads":  {inference.Provider{Name: "OpenVINO"}, inference.Options{Threads: 3}, options{"num_of_threads": "3"}, "cpu"},
		"OpenVINO on the device that is asked for": {inference.Provider{Name: "openvinoexecutionprovider"}, inference.Options{Device: "npu"}, options{"device_type": "NPU"}, "npu"},
		"OpenVINO with options, on the device that is asked for": {
			inference.Provider{Name: "OpenVINO", Options: options{"cache_dir": "/c"}},
			inference.Options{Device: "gpu"},
			options{"device_type": "GPU", "cache_dir": "/c"},
			"gpu",
		},
		"OpenVINO on the device that it names": {
			inference.Provider{Name: "OpenVINO", Options: options{"device_type": "HETERO:GPU.1,CPU"}},
			inference.Options{Device: "npu"},
			options{"device_type": "HETERO:GPU.1,CPU"},
			"gpu",
		},
		"XNNPACK has as many threads": {inference.Provider{Name: "XNNPACK"}, inference.Options{}, options{"intra_op_num_threads": "1"}, "cpu"},
		"XNNPACK has its own threads": {inference.Provider{Name: "XNNPACK", Options: options{"intra_op_num_threads": "4"}}, inference.Options{}, options{"intra_op_num_threads": "4"}, "cpu"},
		"CUDA grows by need":          {inference.Provider{Name: "CUDA", Options: options{"device_id": "9999"}}, inference.Options{GPUMemoryFraction: 0.5}, options{"device_id": "9999", "arena_extend_strategy": "kSameAsRequested"}, "gpu"},
		"CUDA grows as it is told": {
			inference.Provider{Name: "CUDA", Options: options{"arena_extend_strategy": "kNextPowerOfTwo", "gpu_mem_limit": "1000"}},
			inference.Options{GPUMemoryFraction: 0.5},
			options{"arena_extend_strategy": "kNextPowerOfTwo", "gpu_mem_limit": "1000"},
			"gpu",
		},
		"TensorRT":             {inference.Provider{Name: "TensorRT"}, inference.Options{}, options{}, "gpu"},
		"QNN":                  {inference.Provider{Name: "QNN"}, inference.Options{}, options{}, "npu"},
		"QNN on the GPU":       {inference.Provider{Name: "QNN", Options: options{"backend_path": "/opt/libQnnGpu.so"}}, inference.Options{}, options{"backend_path": "/opt/libQnnGpu.so"}, "gpu"},
		"QNN on the CPU":       {inference.Provider{Name: "QNN", Options: options{"backend_type": "cpu"}}, inference.Options{}, options{"backend_type": "cpu"}, "cpu"},
		"QNN on a tensor core": {inference.Provider{Name: "QNN", Options: options{"backend_type": "htp"}}, inference.Options{}, options{"backend_type": "htp"}, "npu"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, onnxruntime.Settings(tc.provider, tc.session)); diff != "" {
				t.Errorf("settings differ (-want +got):\n%s", diff)
			}
			if got := onnxruntime.DeviceOf(tc.provider, tc.session); got != tc.device {
				t.Errorf("device %q, want %q", got, tc.device)
			}
		})
	}
}

func TestOpenVINOProviderRunsOnTheCPUAndSaysWhichDevicesAreNotThere(t *testing.T) {
	rt, err := onnxruntime.Open(installed(t, "onnxruntime-openvino", "libonnxruntime.so.*"), nil)
	if err != nil {
		t.Fatal(err)
	}
	const name = "OpenVINOExecutionProvider"
	provider := func(options map[string]string) []inference.Provider {
		return []inference.Provider{{Name: "OpenVINO", Options: options}}
	}
	for title, o := range map[string]inference.Options{
		"by name":              {Providers: provider(nil), Threads: 2},
		"with its device":      {Providers: provider(map[string]string{"device_type": "CPU"})},
		"without the CPU's":    {Providers: provider(nil), Fallback: "none"},
		"behind another":       {Providers: append([]inference.Provider{{Name: "CUDA"}}, provider(nil)...)},
		"in front of the CPU":  {Providers: append(provider(nil), inference.Provider{Name: "CPU"})},
		"with no optimisation": {Providers: provider(nil), OptimizationLevel: 0},
	} {
		t.Run(title, func(t *testing.T) {
			info := placed(t, rt, o)
			if info.Device != "cpu" || info.Providers[0] != name || len(info.Fallbacks) != len(o.Providers)-1 && title == "behind another" {
				t.Errorf("runs on %q with %q, fell back %q; want the cpu with %s", info.Device, info.Providers, info.Fallbacks, name)
			}
		})
	}
	missing := func(device string) string {
		return "provider " + name + ": does not work here: Failed to load provider OpenVINO (library's log: [ERROR] [OpenVINO] Device " + device + " is not available)"
	}
	device := "Set deployment.device_type to cpu, or deployment.fallback to cpu."
	for title, tc := range map[string]struct {
		options    inference.Options
		text, hint string
	}{
		"a gpu":  {inference.Options{Device: "gpu"}, "device gpu: " + missing("GPU"), device},
		"an npu": {inference.Options{Device: "npu", Fallback: "none"}, "device npu: " + missing("NPU"), device},
		"an option that there is not": {
			inference.Options{Providers: provider(map[string]string{"nonsense": "1"}), Fallback: "none"},
			"provider " + name + ": does not work here: Failed to load provider OpenVINO (library's log: Invalid provider_option key: nonsense)",
			"Set deployment.fallback to cpu, or name CPUExecutionProvider.",
		},
	} {
		t.Run(title, func(t *testing.T) {
			_, err := rt.Load(t.Context(), inference.Model{Name: "m@1", Data: onnxmodel.Join(), FD: -1}, tc.options)
			check(t, err, fault.Unsupported, "model m@1: "+tc.text, tc.hint)
			tc.options.Fallback = "cpu"
			info := placed(t, rt, tc.options)
			if want := strings.TrimPrefix(strings.TrimPrefix(tc.text, "device gpu: "), "device npu: ") + "; the CPU is used"; len(info.Fallbacks) != 1 || info.Fallbacks[0] != want {
				t.Errorf("fallbacks = %q, want %q", info.Fallbacks, want)
			}
		})
	}
}

func TestAPluginRunsAModel(t *testing.T) {
	rt, library := open(t), installed(t, "onnxruntime-plugin", "libonnxruntime_*.so")
	info := placed(t, rt, inference.Options{Providers: []inference.Provider{{Name: library}}, Fallback: "none"})
	if info.Providers[0] == "CPUExecutionProvider" || len(info.Fallbacks) != 0 {
		t.Errorf("runs with %q, fell back %q; want the plug-in's provider", info.Providers, info.Fallbacks)
	}
	if again := placed(t, rt, inference.Options{Providers: []inference.Provider{{Name: "Other", Options: map[string]string{"library": library}}}}); again.Providers[0] != info.Providers[0] {
		t.Errorf("runs with %q, by another name with %q", info.Providers, again.Providers)
	}
}

func TestTextsOfTheLibraryLoseWhatSpeaksToItsProgrammers(t *testing.T) {
	for text, want := range map[string]string{
		"OrtSessionOptionsAppendExecutionProvider_TensorRT: Failed to load shared library":                                                  "Failed to load shared library",
		"/src/provider.cc:97 void onnxruntime::ep::Parse(const Options&, Info&)::<lambda()> [ERROR] [OpenVINO] Device GPU is not available": "[ERROR] [OpenVINO] Device GPU is not available",
		"[with ERRTYPE = cudaError; bool THRW = true; std::conditional_t<THRW, void, common::Status> = void] CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1 ; hostname=vm ; file=/src/cuda_execution_provider.cc ; line=355 ; expr=cudaSetDevice(info_.device_id); ": "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version",
	} {
		if got := onnxruntime.Clean(text); got != want {
			t.Errorf("Clean(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestAThreadKeepsTheStackOfItsSignals(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := onnxruntime.SignalStack()
	restore := onnxruntime.KeepSignalStack()
	onnxruntime.DropSignalStack()
	restore()
	if after := onnxruntime.SignalStack(); after != before || before == 0 {
		t.Errorf("the stack lies at %#x, before that at %#x", after, before)
	}
}
