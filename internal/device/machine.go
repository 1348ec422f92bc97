package device

import (
	"cmp"
	"path/filepath"
	"runtime"
	"strings"

	"verge/internal/sysroot"
)

// Machine is what the files below one directory describe.
type Machine struct {
	files  files
	arch   string                 // Go's name
	access func(name string) bool // whether a node may be opened; replaced in tests
}

// New returns the machine that this process runs on.
func New() *Machine { return At("/", runtime.GOARCH) }

// At returns the machine whose /proc, /sys, /dev, /etc and libraries are the ones
// below root. arch is Go's name of its architecture; "" leaves that to the files.
func At(root, arch string) *Machine {
	m := &Machine{files: files{sysroot.Root(filepath.Clean(root))}, arch: arch, access: mayOpen}
	if arch == "" {
		m.arch = m.architecture()
	}
	return m
}

// Arch is Go's name of the machine's architecture.
func (m *Machine) Arch() string { return m.arch }

// architecture tells from the form of /proc/cpuinfo, else from the name of the
// dynamic loader, what the machine is. Without both it is this program's.
func (m *Machine) architecture() string {
	text, _ := m.files.read("/proc/cpuinfo")
	arch := ""
	fields(text, func(key, value string) {
		switch {
		case key == "vendor_id" || key == "flags":
			arch = "amd64"
		case key == "CPU implementer" && arch == "":
			arch = "arm64"
		case key == "Features" && !strings.Contains(" "+value+" ", " asimd "):
			arch = "arm" // a 64-bit kernel has asimd in each line of features
		}
	})
	for _, loader := range [][2]string{{"lib64/ld-linux-x86-64.so.2", "amd64"}, {"lib/ld-linux-aarch64.so.1", "arm64"}, {"lib/ld-linux-armhf.so.3", "arm"}} {
		if arch == "" && (m.files.Exists("/"+loader[0]) || m.files.Exists("/usr/"+loader[0])) {
			arch = loader[1]
		}
	}
	return cmp.Or(arch, runtime.GOARCH)
}

// Facts is a machine at one moment. In JSON it is the body of the management API's
// /v1/device.
type Facts struct {
	Board        Board               `json:"board"`
	OS           string              `json:"os"`
	Kernel       string              `json:"kernel,omitempty"`
	Libc         string              `json:"libc,omitempty"`
	CPU          CPU                 `json:"cpu"`
	Memory       Memory              `json:"memory"`
	Disk         *Disk               `json:"disk,omitempty"`
	LoadAverage  []float64           `json:"load_average"`
	Temperatures []Temperature       `json:"temperatures"`
	Frequencies  []Frequency         `json:"frequencies"`
	Throttling   Throttling          `json:"throttling"`
	Accelerators []Accelerator       `json:"accelerators"`
	LookedFor    map[string][]string `json:"looked_for"`       // where an accelerator of each kind would be
	Probes       []Probe             `json:"probes,omitempty"` // the vendors' libraries that package vendorprobe asked
}

// Facts reads everything but the candidates of accelerators, and what only vendors'
// libraries tell. disk is a path on the file system to tell about; "" leaves it out.
func (m *Machine) Facts(disk string) Facts {
	facts := Facts{
		Board: m.Board(), OS: runtime.GOOS, Kernel: m.Kernel(), Libc: m.Libc(),
		CPU: m.CPU(), LoadAverage: m.LoadAverage(), Temperatures: m.Temperatures(),
		Frequencies: m.Frequencies(), Throttling: m.Throttling(),
		Accelerators: m.scan(), LookedFor: LookedFor(),
	}
	if memory, err := m.Memory(); err == nil {
		facts.Memory = memory
	}
	if disk != "" {
		if d, err := m.Disk(disk); err == nil {
			facts.Disk = &d
		}
	}
	return facts
}
