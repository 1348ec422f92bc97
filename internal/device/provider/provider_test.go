package provider_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/device"
	"verge/internal/device/provider"
)

func machine(name string) *device.Machine { return device.At(filepath.Join("../testdata", name), "") }

// candidates are those of one accelerator, one a line.
func candidates(t *testing.T, name string, index int, installed ...provider.Installed) []string {
	t.Helper()
	m := machine(name)
	facts := m.Facts("")
	provider.AddWithAdapters(m, &facts, installed)
	if index >= len(facts.Accelerators) {
		t.Fatalf("%s has %d accelerators", name, len(facts.Accelerators))
	}
	lines := []string{}
	for _, c := range facts.Accelerators[index].Candidates {
		lines = append(lines, c.Runtime+" "+c.Provider+": "+strings.Join(c.Missing, "; "))
	}
	return lines
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	all := []provider.Installed{{Runtime: "tensorrt"}, {Runtime: "onnxruntime"}, {Runtime: "openvino"}, {Runtime: "litert"}, {Runtime: "tflite"}, {Runtime: "rknn"}}
	const accelerator = "libLiteRtWebGpuAccelerator.so or libLiteRtOpenClAccelerator.so not found"
	for name, tt := range map[string]struct {
		fixture string
		index   int
		want    []string
	}{
		"everything is there on a Jetson for TensorRT": {"jetsonorin", 0, []string{
			"tensorrt TensorRT: ",
			"onnxruntime TensorrtExecutionProvider: libonnxruntime_providers_tensorrt.so not found",
			"onnxruntime CUDAExecutionProvider: libonnxruntime_providers_cuda.so not found",
			"litert GPU: " + accelerator + "; libvulkan.so.1 or libOpenCL.so.1 or libOpenCL.so or libmali.so.1 or libmali.so not found",
			"onnxruntime WebGpuExecutionProvider: libonnxruntime_providers_webgpu.so not found; libvulkan.so.1 not found",
		}},
		"TensorRT 8 is not TensorRT 10": {"nvidiapc", 0, []string{
			"tensorrt TensorRT: libnvinfer.so.11 or libnvinfer.so.10 not found (this system has libnvinfer.so.8)",
			"onnxruntime TensorrtExecutionProvider: libonnxruntime_providers_tensorrt.so not found; libnvinfer.so.10 not found (this system has libnvinfer.so.8)",
			"onnxruntime CUDAExecutionProvider: libonnxruntime_providers_cuda.so not found; libcudnn.so.9 not found",
			"litert GPU: " + accelerator,
			"onnxruntime WebGpuExecutionProvider: libonnxruntime_providers_webgpu.so not found",
		}},
		"a device that cannot be reached": {"nvidiapc", 1, []string{
			"onnxruntime MIGraphXExecutionProvider: no node; libamdhip64.so.* not found; libmigraphx_c.so.* not found; libonnxruntime_providers_migraphx.so not found",
			"litert GPU: no node; " + accelerator,
			"onnxruntime WebGpuExecutionProvider: no node; libonnxruntime_providers_webgpu.so not found",
		}},
		"a C library that is too old": {"rk3588", 0, []string{
			"litert GPU: glibc 2.34 or newer is needed, this system has 2.31; " + accelerator,
			"onnxruntime WebGpuExecutionProvider: libonnxruntime_providers_webgpu.so not found; libvulkan.so.1 not found",
		}},
		"an NPU of the vendor's kernel": {"rk3588", 1, []string{"rknn RKNPU: "}},
		"an NPU with its libraries":     {"intelnpu", 1, []string{"openvino NPU: "}},
		"an Edge TPU":                   {"coralusb", 1, []string{"tflite EdgeTPU: "}},
		"a card without a driver":       {"coralpcie", 1, []string{"tflite EdgeTPU: no driver; libedgetpu.so.1 not found"}},
	} {
		if diff := cmp.Diff(tt.want, candidates(t, tt.fixture, tt.index, all...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestARuntimeThatIsNotInstalledIsMissing(t *testing.T) {
	for _, tt := range []struct {
		installed []provider.Installed
		want      string
	}{
		{nil, "openvino NPU: openvino is not installed"},
		{[]provider.Installed{{Runtime: "litert"}}, "openvino NPU: openvino is not installed"},
		{[]provider.Installed{{Runtime: "openvino", Problem: "it is for arm64"}}, "openvino NPU: openvino: it is for arm64"},
		{[]provider.Installed{{Runtime: "openvino", Problem: "it is for arm64"}, {Runtime: "openvino"}}, "openvino NPU: "},
	} {
		if diff := cmp.Diff([]string{tt.want}, candidates(t, "intelnpu", 1, tt.installed...)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestAProviderMayLieBesideItsRuntime(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "libonnxruntime_providers_cuda.so"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := candidates(t, "jetsonorin", 0, provider.Installed{Runtime: "onnxruntime", Path: filepath.Join(dir, "libonnxruntime.so.1")})
	if want := "onnxruntime CUDAExecutionProvider: "; got[2] != want {
		t.Errorf("got %q, want %q", got[2], want)
	}
}

func TestAProviderNeedsItsDriverAndItsCLibrary(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"lib/ld-musl-x86_64.so.1": "", "dev/dri/renderD128": "", "sys/class/drm/renderD128/device/vendor": "0x10de\n", "proc/cpuinfo": "flags: avx\n",
	} {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../../bus/pci/drivers/nouveau", filepath.Join(root, "sys/class/drm/renderD128/device/driver")); err != nil {
		t.Fatal(err)
	}
	m := device.At(root, "")
	facts := m.Facts("")
	provider.Add(m, &facts, nil)
	want := device.Candidate{Runtime: "tensorrt", Provider: "TensorRT", Missing: []string{
		"driver nvidia or gk20a or nvgpu is needed, nouveau has it", "tensorrt is not installed", "glibc is needed, this system has musl",
		"libcuda.so.1 not found", "libnvinfer.so.11 or libnvinfer.so.10 not found",
	}}
	if diff := cmp.Diff(want, facts.Accelerators[0].Candidates[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProvidersWithoutAnAdapterSaySo(t *testing.T) {
	drives := func(c device.Candidate) bool { // ONNX Runtime's by name, whatever the library has
		return slices.Contains([]string{"onnxruntime", "openvino", "tensorrt"}, c.Runtime) || c.Runtime == "litert" && c.Provider == "GPU" || c.Provider == "EdgeTPU"
	}
	for _, name := range []string{"jetsonorin", "rk3588", "intelnpu", "nvidiapc", "coralusb", "coralpcie"} {
		m := machine(name)
		facts := m.Facts("")
		provider.Add(m, &facts, []provider.Installed{{Runtime: "onnxruntime"}, {Runtime: "litert"}, {Runtime: "openvino"}})
		for _, a := range facts.Accelerators {
			if len(a.Candidates) == 0 {
				t.Errorf("%s: nothing is made for %s %s", name, a.Kind, a.Name)
			}
			for _, c := range a.Candidates {
				if has := drives(c); slices.Contains(c.Missing, "no adapter in this version") == has {
					t.Errorf("%s: %s %s: %q, has an adapter: %v", name, c.Runtime, c.Provider, c.Missing, has)
				}
			}
		}
	}
}
