package tensorrt_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/trtstub"
	"verge/internal/runtimes/tensorrt"
	"verge/internal/tensor"
)

const (
	noDriver = "Install NVIDIA's driver; a container has to be given the GPU (docker run --gpus all)."
	known    = "10.3 to 10.16 or 11.0 to 11.1"
	unknown  = "Install a version of TensorRT that this build knows: " + known + "."
)

func TestOpenTellsWhatTheLibraryAndTheGPUAre(t *testing.T) {
	each(t, func(t *testing.T, rt inference.Runtime, major int) {
		t.Helper()
		info := rt.Info()
		want := inference.RuntimeInfo{
			Name: "tensorrt", Version: map[int]string{10: "10.16.0", 11: "11.1.0"}[major], Library: info.Library,
			Providers: []string{"TensorRT"}, Build: "CUDA 12.8, Stand-in GPU, compute capability 8.6",
		}
		if diff := cmp.Diff(want, info); diff != "" || !strings.HasSuffix(info.Library, fmt.Sprintf(".so.%d", major)) {
			t.Errorf("Info differs (-want +got):\n%s", diff)
		}
	})
}

func TestWithoutADriverOrAGPUNothingIsOpened(t *testing.T) {
	stub := build(t, 10)
	_, err := tensorrt.OpenWith(stub.TensorRT, "/none/libcuda.so.1", nil)
	check(t, err, fault.Unsupported, "no NVIDIA driver: libcuda.so.1 is not on this system", noDriver)
	_, err = tensorrt.OpenWith(stub.TensorRT, libm(t), nil)
	check(t, err, fault.Unsupported, "the NVIDIA driver has no function cuInit", "Install a newer driver.")

	for option, tc := range map[string]struct {
		value      int
		text, hint string
	}{
		"init":      {100, "the NVIDIA driver does not start: no CUDA-capable device is detected (CUDA_ERROR_NO_DEVICE)", noDriver},
		"no_device": {1, "the NVIDIA driver finds no GPU", "Look at CUDA_VISIBLE_DEVICES and nvidia-smi; a container has to be given the GPU."},
	} {
		t.Run(option, func(t *testing.T) {
			stub.Set(t, option, tc.value)
			_, err := tensorrt.OpenWith(stub.TensorRT, stub.CUDA, nil)
			check(t, err, fault.Unsupported, tc.text, tc.hint)
		})
	}
}

// libm returns the path of a library that is neither TensorRT nor a driver.
func libm(tb testing.TB) string {
	tb.Helper()
	found, err := filepath.Glob("/lib/*-linux-gnu/libm.so.6")
	if err != nil || len(found) == 0 {
		tb.Skip("needs the mathematics library of glibc")
	}
	return found[0]
}

func TestOnlyVersionsWhoseLayoutIsKnownAreOpened(t *testing.T) {
	stub := build(t, 10)
	for version, reason := range map[int]string{
		8601:   "TensorRT 8.6 is too old",
		100200: "TensorRT 10.2 is too old",
		101700: "TensorRT 10.17 is not known to this build",
		110200: "TensorRT 11.2 is newer than this build knows",
		120000: "TensorRT 12.0 is newer than this build knows",
		0:      "TensorRT 0.0 is too old",
		-1:     "TensorRT 0.0 is too old",
	} {
		t.Run(reason, func(t *testing.T) {
			path := inferencetest.Compile(t, "libnvinfer.so.10", fmt.Sprintf("int getInferLibVersion(void) { return %d; }\n", version))
			_, err := tensorrt.OpenWith(path, stub.CUDA, nil)
			check(t, err, fault.Unsupported, path+": "+reason+", want "+known, "Install a version that this build knows, and build the engine with it.")
		})
	}
	_, err := tensorrt.OpenWith(libm(t), stub.CUDA, nil)
	if err == nil || fault.KindOf(err) != fault.Unsupported || fault.HintOf(err) != "Name the file libnvinfer.so.10, libnvinfer_lean.so.10, or the like of version 11." {
		t.Errorf("Open of another library = %v, hint %q; want it refused", err, fault.HintOf(err))
	}
}

func TestNumbersOfVersionsAreTakenApart(t *testing.T) {
	for number, want := range map[int][3]int{101601: {10, 16, 1}, 110100: {11, 1, 0}, 100300: {10, 3, 0}, 8601: {8, 6, 1}, 7203: {7, 2, 3}} {
		if a, b, c := tensorrt.Split(number); [3]int{a, b, c} != want {
			t.Errorf("Split(%d) = %d.%d.%d, want %v", number, a, b, c, want)
		}
	}
}

func TestALibraryThatLogsAnErrorAtTheStartIsNotUsed(t *testing.T) {
	stub := trtstub.Build(t, folder, trtstub.Variant{Major: 10, Version: 100300})
	stub.Set(t, "fail_create", 1)
	_, err := tensorrt.OpenWith(stub.TensorRT, stub.CUDA, nil)
	check(t, err, fault.Unsupported,
		stub.TensorRT+": TensorRT does not start: CUDA initialization failure with error: 35. Please check your CUDA installation: http://docs.nvidia.com/cuda/cuda-installation-guide-linux/index.html",
		"Look whether the driver (CUDA 12.8) is new enough for this version of TensorRT.")
	rt, err := tensorrt.OpenWith(stub.TensorRT, stub.CUDA, nil)
	if err != nil || rt.Info().Version != "10.3.0" {
		t.Errorf("Open after it = %v, want a runtime of version 10.3.0", err)
	}
}

func TestObjectsWhoseFunctionsAreElsewhereAreRefused(t *testing.T) {
	for major, shifts := range map[int][]string{
		10: {"EXTRA_RUNTIME", "LESS_RUNTIME", "EXTRA_ENGINE", "LESS_ENGINE", "EXTRA_CONTEXT", "LESS_CONTEXT"},
		11: {"EXTRA_RUNTIME", "EXTRA_ENGINE", "EXTRA_CONTEXT"},
	} {
		for _, shift := range shifts {
			t.Run(fmt.Sprintf("TensorRT %d, %s", major, shift), func(t *testing.T) {
				stub := trtstub.Build(t, folder, trtstub.Variant{Major: major, Shift: shift})
				defer stub.Broken(t) // the wrong functions were called
				rt, err := tensorrt.OpenWith(stub.TensorRT, stub.CUDA, nil)
				if err == nil {
					_, err = rt.Load(t.Context(), inference.Model{Name: "m@1", Data: trtstub.Identity(major, tensor.FP32, -1).Encode(), FD: -1}, inference.Options{})
				}
				what := map[string]string{"RUNTIME": "runtime", "ENGINE": "engine", "CONTEXT": "execution context"}[shift[strings.Index(shift, "_")+1:]]
				want := fmt.Sprintf("the %s is not laid out as in the headers of TensorRT %d: ", what, major)
				if err == nil || fault.KindOf(err) != fault.Unsupported || !strings.Contains(err.Error(), want) || fault.HintOf(err) != unknown {
					t.Errorf("error is %v, hint %q; want one with %q", err, fault.HintOf(err), want)
				}
			})
		}
	}
}

func TestAddressesOfNothingAreNotFollowed(t *testing.T) {
	rt, _ := open(t, 10)
	table := make([]uintptr, 64)
	for i := range table {
		table[i] = 0x228
	}
	where := uintptr(unsafe.Pointer(unsafe.SliceData(table)))
	for name, tc := range map[string]struct {
		words, implementation []uintptr
		want                  string
	}{
		"no implementation":   {[]uintptr{0, 0}, nil, "it has no implementation"},
		"an odd one":          {[]uintptr{0, where + 1}, nil, "it has no implementation"},
		"no tables":           {[]uintptr{0, 0}, []uintptr{0}, "its table of functions has others than functions"},
		"tables of no code":   {[]uintptr{where, 0}, []uintptr{where}, "its table of functions has others than functions"},
		"tables of data":      {[]uintptr{where + 8, 0}, []uintptr{where + 8}, "its table of functions has others than functions"},
		"a table that is odd": {[]uintptr{where + 4, 0}, []uintptr{where + 4}, "its table of functions has others than functions"},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, tensorrt.Adopt(rt, tc.words, tc.implementation), fault.Unsupported,
				rt.Info().Library+": the runtime is not laid out as in the headers of TensorRT 10: "+tc.want, unknown)
		})
	}
}

func TestTextsOfTheLibraryAreShortened(t *testing.T) {
	for text, want := range map[string]string{
		"1: [stdArchiveReader.cpp::StdArchiveReader::40] Error Code 1: Serialization (Serialization assertion stdVersionRead == serializationVersion failed.Version tag does not match. Note: Current Version: 213, Serialized Engine Version: 205)": "Serialization assertion stdVersionRead == serializationVersion failed.Version tag does not match. Note: Current Version: 213, Serialized Engine Version: 205",
		"4: [runtime.cpp::deserializeCudaEngine::50] Error Code 4: Internal Error (Engine deserialization failed.)":                                                                                                                                  "Engine deserialization failed",
		"6: The engine plan file is generated on an incompatible device, expecting compute 7.5 got compute 6.1, please rebuild.":                                                                                                                     "The engine plan file is generated on an incompatible device, expecting compute 7.5 got compute 6.1, please rebuild",
		"IExecutionContext::setInputShape: Error Code 3: API Usage Error (Parameter check failed,\n condition: a == b. )":                                                                                                                            "Parameter check failed, condition: a == b",
		"createInferRuntime: Error Code 6: API Usage Error (CUDA initialization failure with error: 36 In checkCudaInstallation at /_src/runtime/dispatch/runtime.cpp:811)":                                                                          "CUDA initialization failure with error: 36",
		"In catchCudaError at /_src/common/dispatch/checkMacros.cpp:229":                                                                                                                                                                             "",
		strings.Repeat("x", 2000): strings.Repeat("x", 1000) + "…",
	} {
		if got := tensorrt.Clean(text); got != want {
			t.Errorf("Clean(%q)\n = %q\nwant %q", text, got, want)
		}
	}
}
