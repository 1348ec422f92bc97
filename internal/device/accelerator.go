package device

import (
	"path"
	"slices"
	"strings"
)

// Accelerator is a kind of device that models can run on.
type Accelerator struct {
	Kind      string   `json:"kind"`       // of Kinds
	Found     []string `json:"found"`      // device nodes
	LookedFor []string `json:"looked_for"` // patterns of device nodes
}

// The kinds of accelerators.
const (
	GPU = "gpu"
	NPU = "npu" // a neural processing unit
	TPU = "tpu" // an Edge TPU
)

// Kinds returns every kind of accelerator that is looked for.
func Kinds() []string { return []string{GPU, NPU, TPU} }

const (
	renderNodes = "/dev/dri/renderD*"
	accelNodes  = "/dev/accel/accel*"
	usbDevices  = "/sys/bus/usb/devices/*"
	rockchipNPU = "RKNPU" // the vendor kernel's driver, which calls itself a graphics device
)

// Accelerators returns the device nodes of a kind that are there, and the patterns
// that were looked for. That a node is there says that a driver is, not that a
// library can use it. An unknown kind has neither.
func (m *Machine) Accelerators(kind string) (found, lookedFor []string) {
	found = []string{}
	switch kind {
	case GPU:
		// NVIDIA's driver; its Jetson boards' two; ARM's and Qualcomm's; and all that the kernel has.
		lookedFor = []string{"/dev/nvidia[0-9]*", "/dev/nvhost-gpu", "/dev/nvgpu/igpu*", "/dev/mali[0-9]*", "/dev/kgsl-3d[0-9]*", renderNodes}
		found = m.nodes(found, lookedFor, func(driver string) bool {
			return driver != rockchipNPU && driver != "vgem" // the latter is memory without a device
		})
	case NPU:
		lookedFor = []string{accelNodes, "/dev/hailo[0-9]*", "/dev/fastrpc-cdsp*", "/dev/ethosu[0-9]*", renderNodes + " (driver " + rockchipNPU + ")"}
		found = m.nodes(found, lookedFor[:len(lookedFor)-1], func(string) bool { return true })
		found = m.nodes(found, []string{renderNodes}, func(driver string) bool { return driver == rockchipNPU })
	case TPU:
		lookedFor = []string{"/dev/apex_[0-9]*", usbDevices + " (1a6e:089a, 18d1:9302)"}
		found = append(m.nodes(found, lookedFor[:1], func(string) bool { return true }), m.usbTPUs()...)
	}
	return found, lookedFor
}

// nodes appends the device nodes that match one of the patterns. A render node
// counts where its driver is wanted.
func (m *Machine) nodes(found, patterns []string, wanted func(driver string) bool) []string {
	for _, pattern := range patterns {
		for _, node := range m.files.glob(pattern) {
			if pattern == renderNodes && !wanted(m.files.driver("/sys/class/drm/"+path.Base(node)+"/device")) {
				continue
			}
			found = append(found, node)
		}
	}
	return found
}

// usbTPUs finds Edge TPUs on USB: one changes its name at first use, when it gets
// its firmware.
func (m *Machine) usbTPUs() []string {
	var found []string
	for _, device := range m.files.glob(usbDevices) {
		id := m.files.line(path.Join(device, "idVendor")) + ":" + m.files.line(path.Join(device, "idProduct"))
		if !slices.Contains([]string{"1a6e:089a", "18d1:9302"}, id) {
			continue
		}
		bus, device3 := m.files.line(path.Join(device, "busnum")), m.files.line(path.Join(device, "devnum"))
		if node := path.Join("/dev/bus/usb", pad3(bus), pad3(device3)); bus != "" && device3 != "" && m.files.exists(node) {
			device = node
		}
		found = append(found, device)
	}
	return found
}

// pad3 is how the names of USB nodes are written.
func pad3(number string) string { return strings.Repeat("0", max(0, 3-len(number))) + number }
