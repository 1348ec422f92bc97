package device

import "cmp"

// Accelerator is one device that models can run on.
type Accelerator struct {
	Kind             string      `json:"kind"` // of Kinds, or Other
	Name             string      `json:"name,omitempty"`
	Vendor           string      `json:"vendor,omitempty"`
	ID               string      `json:"id,omitempty"`      // "8086:7d1d", on PCI and USB
	Bus              string      `json:"bus,omitempty"`     // "pci", "usb", "platform"
	Address          string      `json:"address,omitempty"` // on the bus: "0000:00:0b.0"
	Driver           string      `json:"driver,omitempty"`
	DriverVersion    string      `json:"driver_version,omitempty"`
	FirmwareVersion  string      `json:"firmware_version,omitempty"`
	Nodes            []string    `json:"nodes"` // in /dev, the one that libraries open first
	State            string      `json:"state"`
	Problem          string      `json:"problem,omitempty"` // why State is not ready, and what to do
	Unified          bool        `json:"unified"`           // shares the machine's memory, which Memory counts
	MemoryTotalBytes int64       `json:"memory_total_bytes,omitempty"`
	MemoryFreeBytes  int64       `json:"memory_free_bytes,omitempty"`
	Celsius          *float64    `json:"celsius,omitempty"`
	Candidates       []Candidate `json:"candidates"` // package provider fills them in

	// What only a vendor's library tells; package vendorprobe fills it in.
	UUID        string   `json:"uuid,omitempty"`
	Capability  string   `json:"compute_capability,omitempty"` // of CUDA: "8.7"
	BusyPercent *float64 `json:"busy_percent,omitempty"`       // of the last second or less, as the library counts it
	Watts       *float64 `json:"watts,omitempty"`
}

// Probe is a vendor's library that was asked about accelerators.
type Probe struct {
	Name    string `json:"name"`              // "nvml", "cuda", "edgetpu", "openvino"
	Library string `json:"library,omitempty"` // path of its file
	Version string `json:"version,omitempty"` // of NVIDIA's driver (nvml), of CUDA, or the library's own
	Error   string `json:"error,omitempty"`   // what went wrong
}

// Candidate is a runtime, with one of its providers, that is made for an accelerator.
type Candidate struct {
	Runtime  string   `json:"runtime"`
	Provider string   `json:"provider"`
	Missing  []string `json:"missing"` // why it cannot be used here; empty: it can
}

// The kinds of accelerators.
const (
	GPU = "gpu"
	NPU = "npu" // a neural processing unit, or a signal processor that serves as one
	TPU = "tpu" // an Edge TPU

	// Other is a device of the kernel's accel class that no deployment can ask for:
	// a card for training (Gaudi), or one whose driver this version does not know.
	Other = "other"
)

// The states of accelerators.
const (
	Ready      = "ready"
	NoFirmware = "no firmware yet" // an Edge TPU gets it at first use
	NoDriver   = "no driver"
	NoNode     = "no node" // a driver, but nothing in /dev: as in a container
	NoAccess   = "no access"
)

// Kinds returns every kind of accelerator that is looked for.
func Kinds() []string { return []string{GPU, NPU, TPU} }

const (
	renderNodes = "/dev/dri/renderD*"
	accelNodes  = "/dev/accel/accel*"
	pciDevices  = "/sys/bus/pci/devices/*"
	usbDevices  = "/sys/bus/usb/devices/*"
)

// Label is what people are told of the device: its name, else where it is.
func (a Accelerator) Label() string {
	switch {
	case a.Name != "":
		return a.Name
	case len(a.Nodes) > 0:
		return a.Nodes[0]
	}
	return cmp.Or(a.Address, a.Kind)
}

// LookedFor returns, for each of Kinds, the patterns that say where it would be.
func LookedFor() map[string][]string {
	return map[string][]string{
		// NVIDIA's driver; its Jetson boards' two; ARM's and Qualcomm's; and all that the kernel has.
		GPU: {
			"/dev/nvidia[0-9]*", "/dev/nvhost-gpu", "/dev/nvgpu/igpu*/ctrl", "/dev/mali[0-9]*", "/dev/kgsl-3d[0-9]*", renderNodes,
			pciDevices + " (class 03 of AMD, Intel, NVIDIA)",
		},
		NPU: {
			accelNodes + " (drivers amdxdna, ethosu, intel_vpu, qaic, rocket)", "/dev/hailo[0-9]*", "/dev/fastrpc-cdsp*", "/dev/ethosu[0-9]*", "/dev/rknpu",
			renderNodes + " (driver RKNPU)", pciDevices + " (known ids)",
		},
		TPU: {"/dev/apex_[0-9]*", pciDevices + " (1ac1:089a)", usbDevices + " (1a6e:089a, 18d1:9302)"},
	}
}

// Accelerators returns the device nodes of a kind, one for each device that has
// one, and where the kind was looked for. That a node is there says that a driver
// is, not that a library can use it. An unknown kind has neither.
func (m *Machine) Accelerators(kind string) (found, lookedFor []string) {
	found, lookedFor = []string{}, LookedFor()[kind]
	for _, a := range m.scan() {
		if a.Kind == kind && lookedFor != nil && len(a.Nodes) > 0 {
			found = append(found, a.Nodes[0])
		}
	}
	return found, lookedFor
}
