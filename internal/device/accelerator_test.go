package device_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/device"
)

// brief is what a person would want to know of an accelerator, on one line.
func brief(a device.Accelerator) string {
	text := fmt.Sprintf("%s %s|%s|%s %s|%s %s|%s|%s", a.Kind, a.Vendor, a.Name, a.Driver, a.DriverVersion, a.Bus, a.Address, strings.Join(a.Nodes, " "), a.State)
	if a.Unified {
		text += "|unified"
	}
	if a.MemoryTotalBytes > 0 {
		text += fmt.Sprintf("|%d of %d free", a.MemoryFreeBytes, a.MemoryTotalBytes)
	}
	if a.Celsius != nil {
		text += fmt.Sprintf("|%g °C", *a.Celsius)
	}
	return text
}

func briefs(all []device.Accelerator) []string {
	texts := []string{}
	for _, a := range all {
		texts = append(texts, brief(a))
	}
	return texts
}

func TestAcceleratorsAreFoundOnceEach(t *testing.T) {
	for name, want := range map[string][]string{
		"pc": {
			"gpu Intel||xe | |/dev/dri/renderD128|ready",
			"npu Intel||intel_vpu | |/dev/accel/accel0|ready|unified",
			"tpu Google|Coral USB Accelerator| |usb 3-1|/dev/bus/usb/003/004|no firmware yet",
		},
		"raspberrypi5": {
			"gpu Broadcom|VideoCore VII|v3d | |/dev/dri/renderD128|ready|unified",
			"npu Hailo|Hailo|hailo | |/dev/hailo0|ready",
			"tpu Google|Coral Edge TPU|apex | |/dev/apex_0|ready",
		},
		"container": {},
		// Neither the display's node nor the video engines' is a second GPU.
		"jetsonorin": {"gpu NVIDIA|Orin GPU (Ampere GA10B)|gk20a |platform 17000000.gpu|/dev/nvhost-gpu /dev/nvgpu/igpu0/ctrl|ready|unified|50.968 °C"},
		"rk3588": {
			"gpu Arm|Mali-LODX 4 cores r0p0 0xA867|mali |platform fb000000.gpu|/dev/mali0|ready|unified|83.1 °C",
			"npu Rockchip|RK3588 NPU|RKNPU 0.9.8|platform fdab0000.npu|/dev/dri/renderD129|ready|unified|82.2 °C",
		},
		"intelnpu": {
			"gpu Intel|Meteor Lake Arc Graphics|i915 |pci 0000:00:02.0|/dev/dri/renderD128|ready|unified",
			"npu Intel|Meteor Lake NPU|intel_vpu |pci 0000:00:0b.0|/dev/accel/accel0|ready|unified",
		},
		"nvidiapc": { // the memory that the processor's graphics calls its own is the machine's
			"gpu NVIDIA|NVIDIA GeForce RTX 3090|nvidia 590.48.01|pci 0000:01:00.0|/dev/nvidia0 /dev/dri/renderD128|ready",
			"gpu AMD|Radeon RX 7600|amdgpu |pci 0000:05:00.0||no node|8510046208 of 8573157376 free",
			"gpu AMD|Raphael Radeon Graphics|amdgpu |pci 0000:0e:00.0|/dev/dri/renderD129|ready|unified|44 °C",
		},
		"coralusb": {
			"gpu Broadcom|VideoCore VI|v3d |platform fec00000.v3d|/dev/dri/renderD128|ready|unified",
			"tpu Google|Coral USB Accelerator| |usb 2-1|/dev/bus/usb/002/003|ready",
		},
		"coralpcie": {
			"tpu Google|Coral Edge TPU|apex 1.2|pci 0000:02:00.0|/dev/apex_0|ready|46.55 °C",
			"tpu Google|Coral Edge TPU| |pci 0000:03:00.0||no driver",
		},
	} {
		if diff := cmp.Diff(want, briefs(machine(name, "").Facts("").Accelerators)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestADeploymentGetsTheFirstNodeOfEachDevice(t *testing.T) {
	m := machine("nvidiapc", "")
	found, lookedFor := m.Accelerators("gpu")
	if diff := cmp.Diff([]string{"/dev/nvidia0", "/dev/dri/renderD129"}, found); diff != "" || len(lookedFor) == 0 {
		t.Errorf("looked for %v (-want +got):\n%s", lookedFor, diff)
	}
}

// link makes a symbolic link, as the kernel has them in /sys.
func link(t *testing.T, root, name, target string) {
	t.Helper()
	name = filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyTheDriverMakesAnNPU(t *testing.T) {
	for driver, want := range map[string]string{
		"intel_vpu":  "npu ||intel_vpu |pci 0|/dev/accel/accel0|ready|unified",
		"amdxdna":    "npu ||amdxdna |pci 0|/dev/accel/accel0|ready|unified",
		"ethosu":     "npu Arm||ethosu |pci 0|/dev/accel/accel0|ready|unified",
		"qaic":       "npu ||qaic |pci 0|/dev/accel/accel0|ready",
		"habanalabs": "other ||habanalabs |pci 0|/dev/accel/accel0|ready: it is a card for training",
		"newdriver":  "other ||newdriver |pci 0|/dev/accel/accel0|ready: its driver is not known to be an NPU's",
	} {
		root := t.TempDir()
		write(t, root, "dev/accel/accel0", "")
		link(t, root, "sys/devices/0/driver", "../../bus/pci/drivers/"+driver)
		link(t, root, "sys/devices/0/subsystem", "../../bus/pci")
		link(t, root, "sys/devices/0/accel/accel0/device", "../../../0")
		link(t, root, "sys/class/accel/accel0", "../../devices/0/accel/accel0")
		all := device.At(root, "amd64").Facts("").Accelerators
		if len(all) != 1 {
			t.Fatalf("%s: %v", driver, briefs(all))
		}
		got := brief(all[0])
		if all[0].Problem != "" {
			got += ": " + all[0].Problem
		}
		if got != want {
			t.Errorf("%s: %s, want %s", driver, got, want)
		}
		if found, _ := device.At(root, "amd64").Accelerators("npu"); len(found) > 0 != strings.HasPrefix(want, "npu") {
			t.Errorf("%s: Accelerators(npu) = %v", driver, found)
		}
	}
}

func TestTheKernelsOwnRockchipDriverHasADeviceWithoutADriver(t *testing.T) {
	root := t.TempDir()
	write(t, root, "dev/accel/accel0", "")
	link(t, root, "sys/devices/platform/rknn/subsystem", "../../../bus/platform")
	link(t, root, "sys/class/accel/accel0/device", "../../../devices/platform/rknn")
	want := []string{"npu Rockchip||rocket |platform rknn|/dev/accel/accel0|ready|unified"}
	if diff := cmp.Diff(want, briefs(device.At(root, "arm64").Facts("").Accelerators)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestACardWithAClassOfItsOwnIsOneDevice(t *testing.T) {
	root := t.TempDir()
	const card = "sys/devices/pci0/0001:01:00.0/"
	write(t, root, card+"class", "0x120000\n")
	write(t, root, card+"vendor", "0x1e60\n")
	write(t, root, card+"device", "0x2864\n")
	link(t, root, card+"driver", "../../../bus/pci/drivers/hailo")
	link(t, root, card+"subsystem", "../../../bus/pci")
	link(t, root, "sys/bus/pci/devices/0001:01:00.0", "../../../devices/pci0/0001:01:00.0")
	link(t, root, "sys/class/hailo_chardev/hailo0/device", "../../../devices/pci0/0001:01:00.0")
	write(t, root, "dev/hailo0", "")
	write(t, root, "sys/module/hailo/version", "4.20.0\n")
	want := []string{"npu Hailo|Hailo-8|hailo 4.20.0|pci 0001:01:00.0|/dev/hailo0|ready"}
	if diff := cmp.Diff(want, briefs(device.At(root, "arm64").Facts("").Accelerators)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARockchipNPUWithoutARenderNodeCounts(t *testing.T) {
	root := t.TempDir()
	write(t, root, "dev/rknpu", "")
	want := []string{"npu Rockchip|Rockchip NPU|RKNPU | |/dev/rknpu|ready|unified"}
	if diff := cmp.Diff(want, briefs(device.At(root, "arm64").Facts("").Accelerators)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTwoDoorsToOneProcessorAreOneDevice(t *testing.T) {
	root := t.TempDir()
	write(t, root, "dev/fastrpc-cdsp", "")
	write(t, root, "dev/fastrpc-cdsp-secure", "")
	want := []string{"npu Qualcomm|Hexagon compute DSP|fastrpc | |/dev/fastrpc-cdsp /dev/fastrpc-cdsp-secure|ready|unified"}
	if diff := cmp.Diff(want, briefs(device.At(root, "arm64").Facts("").Accelerators)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestANodeOfNVIDIAsWithoutItsCardCounts(t *testing.T) {
	root := t.TempDir()
	write(t, root, "dev/nvidia3", "")
	want := []string{"gpu NVIDIA||nvidia | |/dev/nvidia3|ready"}
	if diff := cmp.Diff(want, briefs(device.At(root, "amd64").Facts("").Accelerators)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	write(t, root, "dev/nvgpu/igpu0/ctrl", "") // a Jetson without /sys
	write(t, root, "proc/device-tree/compatible", "nvidia,p3737\x00nvidia,tegra234\x00")
	want = []string{"gpu NVIDIA|Tegra GPU|nvgpu | |/dev/nvgpu/igpu0/ctrl|ready|unified"}
	if diff := cmp.Diff(want, briefs(device.At(root, "arm64").Facts("").Accelerators)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestANodeThatThisUserMayNotOpenIsNamedWithItsGroup(t *testing.T) {
	m := machine("intelnpu", "").WithAccess(func(name string) bool { return filepath.Base(name) != "accel0" })
	all := m.Facts("").Accelerators
	if len(all) != 2 || all[0].State != device.Ready || all[1].State != device.NoAccess {
		t.Fatalf("accelerators: %v", briefs(all))
	}
	root := t.TempDir()
	write(t, root, "dev/accel/accel0", "")
	write(t, root, "etc/group", fmt.Sprintf("other:x:%d1:\nrender:x:%d:a,b\n", os.Getgid(), os.Getgid()))
	nobody := func(string) bool { return false }
	for _, want := range []string{
		"this user may not read and write /dev/accel/accel0; its group is render",
		fmt.Sprintf("this user may not read and write /dev/accel/accel0; its group is number %d", os.Getgid()),
	} {
		if got := device.At(root, "amd64").WithAccess(nobody).Facts("").Accelerators[0].Problem; got != want {
			t.Errorf("problem = %q, want %q", got, want)
		}
		write(t, root, "etc/group", "")
	}
	if !device.MayOpen("/dev/null") || device.MayOpen(filepath.Join(root, "none")) {
		t.Error("MayOpen: /dev/null is not, or nothing is")
	}
}

func TestLinksDoNotLeadOutOfTheRoot(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	write(t, outside, "model", "the host's")
	write(t, root, "inside/model", "its own")
	link(t, root, "proc/device-tree", "/inside")
	link(t, root, "sys/class/dmi/id/sys_vendor", filepath.Join(outside, "model"))
	link(t, root, "loop", "/loop")
	link(t, root, "etc/group", "../../../../loop")
	board := device.At(root, "amd64").Board()
	if board.Model != "its own" {
		t.Errorf("model = %q, want its own", board.Model)
	}
	if err := os.RemoveAll(filepath.Join(root, "inside")); err != nil {
		t.Fatal(err)
	}
	write(t, root, "sys/class/dmi/id/product_name", "p")
	if board = device.At(root, "amd64").Board(); strings.Contains(board.Model, "host") {
		t.Errorf("model = %q is the host's", board.Model)
	}
}
