package provider

import "verge/internal/device"

// entry is one provider of a runtime, the accelerators that it is made for, and
// what it needs.
type entry struct {
	runtime, provider string
	adapter           bool // this version has an adapter that can ask for it

	kind    string
	vendors []string // any of them; none: every vendor
	only    string   // the one driver whose devices it is made for; "": any
	memory  memory
	arch    string // the one architecture that the runtime has it for; "": all

	drivers   []string // one of them must have the device; none: any
	libraries []library
	glibc     map[string]string // lowest version, by architecture
}

// library is one that the system must have, under any of the names.
type library struct {
	names  []string
	others string // pattern of other versions, which are named where none of names is there
}

// memory says which devices a provider is made for: those with their own, or those
// that share the machine's.
type memory int

const (
	anyMemory memory = iota
	unified
	own
)

func lib(names ...string) library { return library{names: names} }

// The lowest versions of glibc, as the packages' files refer to them: ONNX Runtime
// 1.30, LiteRT 2.3, OpenVINO 2026.4.
var (
	glibcORT      = map[string]string{"amd64": "2.28", "arm64": "2.28"} //nolint:gochecknoglobals // a constant table
	glibcLiteRT   = map[string]string{"amd64": "2.27", "arm64": "2.34"} //nolint:gochecknoglobals // a constant table
	glibcOpenVINO = map[string]string{"amd64": "2.27", "arm64": "2.34"} //nolint:gochecknoglobals // a constant table
)

// table is every provider, the one that its device is best served by first.
//
// The names of libraries are those that the runtimes open: for TensorRT the majors
// whose layout is known (8 has another), for ONNX Runtime those that its page of
// each execution provider asks for, for OpenVINO those of its page on GPU and NPU
// drivers, for the rest those of the vendors' packages.
var table = []entry{ //nolint:gochecknoglobals // a constant table
	{
		runtime: "tensorrt", provider: "TensorRT", adapter: true, kind: device.GPU, vendors: []string{"NVIDIA"}, drivers: []string{"nvidia", "gk20a", "nvgpu"},
		libraries: []library{lib("libcuda.so.1"), {[]string{"libnvinfer.so.11", "libnvinfer.so.10"}, "libnvinfer.so.*"}},
	},
	{
		runtime: "onnxruntime", provider: "TensorrtExecutionProvider", adapter: true, kind: device.GPU, vendors: []string{"NVIDIA"}, drivers: []string{"nvidia", "gk20a", "nvgpu"},
		libraries: []library{lib("libcuda.so.1"), lib("libonnxruntime_providers_tensorrt.so"), {[]string{"libnvinfer.so.10"}, "libnvinfer.so.*"}},
		glibc:     glibcORT,
	},
	{
		runtime: "onnxruntime", provider: "CUDAExecutionProvider", adapter: true, kind: device.GPU, vendors: []string{"NVIDIA"}, drivers: []string{"nvidia", "gk20a", "nvgpu"},
		libraries: []library{lib("libcuda.so.1"), lib("libonnxruntime_providers_cuda.so"), {[]string{"libcudnn.so.9"}, "libcudnn.so.*"}},
		glibc:     glibcORT,
	},
	{
		runtime: "openvino", provider: "GPU", adapter: true, kind: device.GPU, vendors: []string{"Intel"}, arch: "amd64", drivers: []string{"i915", "xe"},
		libraries: []library{lib("libOpenCL.so.1"), lib("libigdrcl.so")}, glibc: glibcOpenVINO,
	},
	{
		runtime: "openvino", provider: "NPU", adapter: true, kind: device.NPU, vendors: []string{"Intel"}, arch: "amd64", drivers: []string{"intel_vpu"},
		libraries: []library{lib("libze_loader.so.1"), lib("libze_intel_npu.so.1", "libze_intel_vpu.so.1")}, glibc: glibcOpenVINO,
	},
	{
		runtime: "onnxruntime", provider: "MIGraphXExecutionProvider", adapter: true, kind: device.GPU, vendors: []string{"AMD"}, arch: "amd64", drivers: []string{"amdgpu"},
		libraries: []library{lib("libamdhip64.so.*"), lib("libmigraphx_c.so.*"), lib("libonnxruntime_providers_migraphx.so")}, glibc: glibcORT,
	},
	{
		runtime: "onnxruntime", provider: "VitisAIExecutionProvider", adapter: true, kind: device.NPU, vendors: []string{"AMD"}, arch: "amd64", drivers: []string{"amdxdna"},
		libraries: []library{lib("libxrt_coreutil.so.2"), lib("libonnxruntime_providers_vitisai.so")}, glibc: glibcORT,
	},
	{
		runtime: "onnxruntime", provider: "QNNExecutionProvider", adapter: true, kind: device.NPU, vendors: []string{"Qualcomm"}, memory: unified, arch: "arm64",
		libraries: []library{lib("libQnnHtp.so"), lib("libcdsprpc.so", "libcdsprpc.so.*")}, glibc: glibcORT,
	},
	{
		runtime: "litert", provider: "GPU", adapter: true, kind: device.GPU, vendors: []string{"Arm", "Qualcomm", "Intel", "AMD", "NVIDIA", "Imagination"},
		libraries: []library{lib("libLiteRtWebGpuAccelerator.so", "libLiteRtOpenClAccelerator.so"), lib("libvulkan.so.1", "libOpenCL.so.1", "libOpenCL.so", "libmali.so.1", "libmali.so")},
		glibc:     glibcLiteRT,
	},
	{
		runtime: "onnxruntime", provider: "WebGpuExecutionProvider", adapter: true, kind: device.GPU,
		libraries: []library{lib("libonnxruntime_providers_webgpu.so"), lib("libvulkan.so.1")}, glibc: glibcORT,
	},
	{
		runtime: "tflite", provider: "EdgeTPU", adapter: true, kind: device.TPU,
		libraries: []library{lib("libedgetpu.so.1")}, glibc: glibcLiteRT,
	},
	{
		runtime: "tflite", provider: "Teflon delegate", kind: device.NPU, vendors: []string{"Rockchip", "Arm"}, only: "rocket",
		libraries: []library{lib("libteflon.so")}, glibc: glibcLiteRT,
	},
	{
		runtime: "tflite", provider: "Ethos-U delegate", kind: device.NPU, vendors: []string{"Arm"}, only: "ethosu",
		libraries: []library{lib("libethosu_delegate.so")}, glibc: glibcLiteRT,
	},
	{runtime: "rknn", provider: "RKNPU", kind: device.NPU, vendors: []string{"Rockchip"}, only: "RKNPU", libraries: []library{lib("librknnrt.so")}},
	{runtime: "hailort", provider: "Hailo", kind: device.NPU, vendors: []string{"Hailo"}, libraries: []library{lib("libhailort.so", "libhailort.so.*")}},
	{runtime: "qaic", provider: "Cloud AI", kind: device.NPU, vendors: []string{"Qualcomm"}, memory: own, drivers: []string{"qaic"}, libraries: []library{lib("libQAic.so", "libQAic.so.*")}},
}
