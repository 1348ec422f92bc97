package vendorprobe_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/device"
	"verge/internal/device/vendorprobe"
)

// brief is what a person would want to know of an accelerator, on one line.
func brief(a device.Accelerator) string {
	text := fmt.Sprintf("%s %s|%s|%s %s|%s %s|%s|%s", a.Kind, a.Vendor, a.Name, a.Driver, a.DriverVersion, a.Bus, a.Address, strings.Join(a.Nodes, " "), a.State)
	if a.Unified {
		text += "|unified"
	}
	if a.MemoryTotalBytes > 0 {
		text += fmt.Sprintf("|%d of %d MiB free", a.MemoryFreeBytes>>20, a.MemoryTotalBytes>>20)
	}
	if a.Celsius != nil {
		text += fmt.Sprintf("|%g °C", *a.Celsius)
	}
	if a.Watts != nil {
		text += fmt.Sprintf("|%g W", *a.Watts)
	}
	if a.BusyPercent != nil {
		text += fmt.Sprintf("|%g %%", *a.BusyPercent)
	}
	for _, more := range []string{a.UUID, a.Capability, a.Problem} {
		if more != "" {
			text += "|" + more
		}
	}
	return text
}

// merged returns the accelerators of a machine of package device's tests, with what
// libraries say of them.
func merged(name string, answers ...vendorprobe.Answer) []string {
	facts := device.At(filepath.Join("../testdata", name), "").Facts("")
	vendorprobe.Merge(&facts, answers)
	texts := []string{}
	for _, a := range facts.Accelerators {
		texts = append(texts, brief(a))
	}
	return texts
}

const gib = int64(1 << 30)

func TestWhatLibrariesSayGoesToTheSameDevice(t *testing.T) {
	nvml := vendorprobe.Answer{Name: "nvml", Library: "/lib/libnvidia-ml.so.1", Version: "570.124.06", Devices: nvmlDevices()}
	cuda := vendorprobe.Answer{Name: "cuda", Library: "/lib/libcuda.so.1", Devices: []vendorprobe.Device{
		{Kind: "gpu", Name: "RTX 3090 of CUDA", Bus: "pci", Address: "0000:01:00.0", Capability: "8.6", MemoryTotalBytes: new(20 * gib)},
	}}
	orin := vendorprobe.Device{Kind: "gpu", Name: "Orin", Bus: "pci", Address: "0000:00:00.0", Capability: "8.7", Unified: true, MemoryTotalBytes: new(8 * gib)}
	const radeon = "gpu AMD|Radeon RX 7600|amdgpu |pci 0000:05:00.0||no node|8115 of 8176 MiB free|driver amdgpu has it, but no node of it is in /dev"
	const raphael = "gpu AMD|Raphael Radeon Graphics|amdgpu |pci 0000:0e:00.0|/dev/dri/renderD129|ready|unified|44 °C"
	const t400 = "gpu NVIDIA|NVIDIA T400 4GB|nvidia 570.124.06|pci 10000:41:00.0||ready|3072 of 4096 MiB free|41 °C|0 %|GPU-00000001|the kernel does not show it, libnvidia-ml.so.1 does"
	for name, tc := range map[string]struct {
		machine string
		answers []vendorprobe.Answer
		want    []string
	}{
		"by address": {"nvidiapc", []vendorprobe.Answer{nvml, cuda}, []string{
			"gpu NVIDIA|NVIDIA GeForce RTX 3090|nvidia 590.48.01|pci 0000:01:00.0|/dev/nvidia0 /dev/dri/renderD128|ready|23552 of 24576 MiB free|66 °C|215.5 W|37 %|GPU-00000000|8.6",
			radeon, raphael, t400,
		}},
		"CUDA's total memory, where NVML tells nothing": {"nvidiapc", []vendorprobe.Answer{cuda}, []string{
			"gpu NVIDIA|NVIDIA GeForce RTX 3090|nvidia 590.48.01|pci 0000:01:00.0|/dev/nvidia0 /dev/dri/renderD128|ready|0 of 20480 MiB free|8.6", radeon, raphael,
		}},
		"a library without an answer": {"nvidiapc", []vendorprobe.Answer{{Name: "nvml", Devices: []vendorprobe.Device{}, Error: "x"}}, []string{
			"gpu NVIDIA|NVIDIA GeForce RTX 3090|nvidia 590.48.01|pci 0000:01:00.0|/dev/nvidia0 /dev/dri/renderD128|ready", radeon, raphael,
		}},
		"memory of a processor's GPU is the machine's": {"jetsonorin", []vendorprobe.Answer{{Name: "cuda", Devices: []vendorprobe.Device{orin}}}, []string{
			"gpu NVIDIA|Orin GPU (Ampere GA10B)|gk20a |platform 17000000.gpu|/dev/nvhost-gpu /dev/nvgpu/igpu0/ctrl|ready|unified|50.968 °C|8.7",
		}},
		"an integrated GPU on a bus has none of its own either": {
			"nvidiapc", []vendorprobe.Answer{nvml, {Name: "cuda", Devices: []vendorprobe.Device{{Kind: "gpu", Bus: "pci", Address: "0000:01:00.0", Unified: true}}}}, []string{
				"gpu NVIDIA|NVIDIA GeForce RTX 3090|nvidia 590.48.01|pci 0000:01:00.0|/dev/nvidia0 /dev/dri/renderD128|ready|unified|66 °C|215.5 W|37 %|GPU-00000000",
				radeon, raphael, t400,
			},
		},
		"USB": {"coralusb", []vendorprobe.Answer{{Name: "edgetpu", Devices: []vendorprobe.Device{{Kind: "tpu", Bus: "usb", Address: "2-1"}}}}, []string{
			"gpu Broadcom|VideoCore VI|v3d |platform fec00000.v3d|/dev/dri/renderD128|ready|unified",
			"tpu Google|Coral USB Accelerator| |usb 2-1|/dev/bus/usb/002/003|ready",
		}},
		"a node": {"coralpcie", []vendorprobe.Answer{{Name: "edgetpu", Devices: []vendorprobe.Device{{Kind: "tpu", Node: "/dev/apex_0"}}}}, []string{
			"tpu Google|Coral Edge TPU|apex 1.2|pci 0000:02:00.0|/dev/apex_0|ready|46.55 °C",
			"tpu Google|Coral Edge TPU| |pci 0000:03:00.0||no driver|no driver has taken it",
		}},
		"a second one on USB": {"coralusb", []vendorprobe.Answer{{Name: "edgetpu", Library: "/lib/libedgetpu.so.1", Devices: []vendorprobe.Device{{Kind: "tpu", Name: "Edge TPU", Bus: "usb", Address: "4-1"}}}}, []string{
			"gpu Broadcom|VideoCore VI|v3d |platform fec00000.v3d|/dev/dri/renderD128|ready|unified",
			"tpu Google|Coral USB Accelerator| |usb 2-1|/dev/bus/usb/002/003|ready",
			"tpu Google|Edge TPU| |usb 4-1||ready|the kernel does not show it, libedgetpu.so.1 does",
		}},
		"the only one of its vendor's": {"pc", []vendorprobe.Answer{{Name: "openvino", Devices: []vendorprobe.Device{{Kind: "gpu", Name: "Arc"}, {Kind: "npu", Name: "Boost"}}}}, []string{
			"gpu Intel|Arc|xe | |/dev/dri/renderD128|ready",
			"npu Intel|Boost|intel_vpu | |/dev/accel/accel0|ready|unified",
			"tpu Google|Coral USB Accelerator| |usb 3-1|/dev/bus/usb/003/004|no firmware yet|it gets its firmware at first use, and is 18d1:9302 on the bus from then on",
		}},
		"neither of two that could be it": {"pc", []vendorprobe.Answer{{Name: "openvino", Devices: []vendorprobe.Device{{Kind: "gpu", Name: "Arc"}, {Kind: "gpu", Name: "Flex"}}}}, []string{
			"gpu Intel||xe | |/dev/dri/renderD128|ready",
			"npu Intel||intel_vpu | |/dev/accel/accel0|ready|unified",
			"tpu Google|Coral USB Accelerator| |usb 3-1|/dev/bus/usb/003/004|no firmware yet|it gets its firmware at first use, and is 18d1:9302 on the bus from then on",
		}},
		"one that two libraries see and the kernel does not": {"container", []vendorprobe.Answer{
			{Name: "nvml", Library: "/lib/libnvidia-ml.so.1", Version: "570.124.06", Devices: nvmlDevices()[1:]},
			{Name: "cuda", Library: "/lib/libcuda.so.1", Devices: []vendorprobe.Device{{Kind: "gpu", Bus: "pci", Address: "10000:41:00.0", Capability: "7.5"}}},
		}, []string{strings.Replace(t400, "|the kernel", "|7.5|the kernel", 1)}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, merged(tc.machine, tc.answers...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEachLibraryThatWasAskedIsTold(t *testing.T) {
	var facts device.Facts
	vendorprobe.Merge(&facts, []vendorprobe.Answer{
		{Name: "nvml", Library: "/lib/libnvidia-ml.so.1", Error: "libnvidia-ml.so.1: the probe died of SIGSEGV"},
		{Name: "cuda", Library: "/lib/libcuda.so.1", Version: "12.8"},
	})
	want := []device.Probe{
		{Name: "nvml", Library: "/lib/libnvidia-ml.so.1", Error: "libnvidia-ml.so.1: the probe died of SIGSEGV"},
		{Name: "cuda", Library: "/lib/libcuda.so.1", Version: "12.8"},
	}
	if diff := cmp.Diff(want, facts.Probes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOnlyWhatTheMachineHasIsAsked(t *testing.T) {
	root := t.TempDir()
	m := device.At(root, "arm64")
	if got := vendorprobe.Queries(m, nil, "/openvino"); len(got) != 0 {
		t.Errorf("a machine that has nothing is asked %v", got)
	}
	intel := []device.Accelerator{{Kind: device.GPU, Vendor: "Intel"}}
	want := []vendorprobe.Query{{Name: "openvino", Paths: []string{"/openvino"}}}
	if diff := cmp.Diff(want, vendorprobe.Queries(m, intel, "/openvino")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := vendorprobe.Queries(m, intel, ""); len(got) != 0 {
		t.Errorf("OpenVINO is asked, which is not installed: %v", got)
	}
	nvidia := []device.Accelerator{{Kind: device.GPU, Vendor: "NVIDIA", Driver: "nvidia"}}
	if diff := cmp.Diff([]vendorprobe.Query{{Name: "nvml"}}, vendorprobe.Queries(m, nvidia, "/openvino")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, name := range []string{"usr/lib/libnvidia-ml.so.1", "usr/lib64/libnvidia-ml.so.1", "usr/lib/aarch64-linux-gnu/libcuda.so.1", "usr/lib/libedgetpu.so.1", "usr/lib/libcuda.so"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want = []vendorprobe.Query{
		{Name: "nvml", Paths: []string{"/usr/lib/libnvidia-ml.so.1", "/usr/lib64/libnvidia-ml.so.1"}},
		{Name: "cuda", Paths: []string{"/usr/lib/aarch64-linux-gnu/libcuda.so.1"}},
		{Name: "edgetpu", Paths: []string{"/usr/lib/libedgetpu.so.1"}},
	}
	if diff := cmp.Diff(want, vendorprobe.Queries(m, nil, "")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
