package device

import (
	"runtime"
)

// Machine is what the files below one directory describe.
type Machine struct {
	files files
	arch  string // Go's name
}

// New returns the machine that this process runs on.
func New() *Machine { return At("/", runtime.GOARCH) }

// At returns the machine of an architecture, by Go's name, whose /proc, /sys, /dev,
// /etc and /lib are the ones below root.
func At(root, arch string) *Machine { return &Machine{files: files(root), arch: arch} }

// Facts is a machine at one moment. In JSON it is the body of the management API's
// /v1/device.
type Facts struct {
	Board        string        `json:"board,omitempty"`
	OS           string        `json:"os"`
	Kernel       string        `json:"kernel,omitempty"`
	Libc         string        `json:"libc,omitempty"`
	CPU          CPU           `json:"cpu"`
	Memory       Memory        `json:"memory"`
	Disk         *Disk         `json:"disk,omitempty"`
	LoadAverage  []float64     `json:"load_average"`
	Temperatures []Temperature `json:"temperatures"`
	Accelerators []Accelerator `json:"accelerators"`
}

// Facts reads everything. disk is a path on the file system to tell about; ""
// leaves it out.
func (m *Machine) Facts(disk string) Facts {
	facts := Facts{
		Board: m.Board(), OS: runtime.GOOS, Kernel: m.Kernel(), Libc: m.Libc(),
		CPU: m.CPU(), LoadAverage: m.LoadAverage(), Temperatures: m.Temperatures(),
		Accelerators: []Accelerator{},
	}
	if memory, err := m.Memory(); err == nil {
		facts.Memory = memory
	}
	if disk != "" {
		if d, err := m.Disk(disk); err == nil {
			facts.Disk = &d
		}
	}
	for _, kind := range Kinds() {
		found, lookedFor := m.Accelerators(kind)
		facts.Accelerators = append(facts.Accelerators, Accelerator{Kind: kind, Found: found, LookedFor: lookedFor})
	}
	return facts
}
