package client

// Device is what a node runs on.
type Device struct {
	Board        Board         `json:"board"`
	OS           string        `json:"os"` // "linux"
	Kernel       string        `json:"kernel,omitempty"`
	Libc         string        `json:"libc,omitempty"` // "glibc 2.36", "musl", or "" where it could not be told
	CPU          CPU           `json:"cpu"`
	Memory       Memory        `json:"memory"`
	Disk         *Disk         `json:"disk,omitempty"` // the file system of the state directory
	LoadAverage  []float64     `json:"load_average"`   // over 1, 5 and 15 minutes; empty where it is not known
	Temperatures []Temperature `json:"temperatures"`
	Frequencies  []Frequency   `json:"frequencies"` // of processors that share a clock
	Throttling   Throttling    `json:"throttling"`
	Accelerators []Accelerator `json:"accelerators"`

	// LookedFor says for each kind ("gpu", "npu", "tpu") where one would be.
	LookedFor map[string][]string `json:"looked_for"`

	// Probes are the vendors' libraries that were asked, at most once a minute; none
	// where there is no such library.
	Probes []Probe `json:"probes,omitempty"`
}

// Board is the machine as its firmware describes it. All of it is empty where the
// firmware tells nothing, as in a container.
type Board struct {
	Model      string   `json:"model,omitempty"` // "Raspberry Pi 5 Model B Rev 1.0", or maker and product of a PC
	Vendor     string   `json:"vendor,omitempty"`
	Compatible []string `json:"compatible,omitempty"` // of the device tree: the board first, its processor last
	Release    string   `json:"release,omitempty"`    // "L4T 36.4.3", of a Jetson's system
	PowerMode  string   `json:"power_mode,omitempty"` // of a Jetson: "15W"
}

// CPU describes the processors.
type CPU struct {
	Model        string   `json:"model"`
	Vendor       string   `json:"vendor,omitempty"`
	Architecture string   `json:"architecture"` // Go's name: "amd64", "arm64"
	Features     []string `json:"features"`     // those that matter to inference, by the kernel's names
	Logical      int      `json:"logical"`      // online in the machine
	Allowed      int      `json:"allowed"`      // that this process may run on (its affinity)
	Quota        float64  `json:"quota,omitempty"`
	Usable       int      `json:"usable"` // threads that it makes sense to run: Allowed, bounded by Quota
}

// Memory is the device's main memory, as far as this process may use it.
type Memory struct {
	TotalBytes     int64 `json:"total_bytes"`
	AvailableBytes int64 `json:"available_bytes"`       // without swapping, and within LimitBytes
	LimitBytes     int64 `json:"limit_bytes,omitempty"` // of the control group; 0 for none
	SwapTotalBytes int64 `json:"swap_total_bytes"`
	SwapFreeBytes  int64 `json:"swap_free_bytes"`
}

// Disk is one file system.
type Disk struct {
	Path           string  `json:"path"` // that was asked about
	TotalBytes     int64   `json:"total_bytes"`
	AvailableBytes int64   `json:"available_bytes"` // to this user
	UsagePercent   float64 `json:"usage_percent"`   // as df computes it
}

// Temperature is one sensor.
type Temperature struct {
	Sensor  string  `json:"sensor"` // "x86_pkg_temp", "coretemp Package id 0"
	Celsius float64 `json:"celsius"`
	CPU     bool    `json:"cpu"` // measures the processor
}

// Frequency is the clock of processors that share one. A figure is 0 where the
// kernel does not tell.
type Frequency struct {
	CPUs       []int  `json:"cpus"`
	Governor   string `json:"governor,omitempty"` // "performance", "schedutil"
	CurrentMHz int    `json:"current_mhz,omitempty"`
	LimitMHz   int    `json:"limit_mhz,omitempty"` // that the system allows, by its settings or its power mode
	MaxMHz     int    `json:"max_mhz,omitempty"`   // of the hardware
}

// Throttling is what slows the machine down because of heat or a weak supply.
type Throttling struct {
	Active []string `json:"active"`          // now: "under-voltage", "Processor at 2 of 10"
	Past   []string `json:"past"`            // since the start of the machine; only a Raspberry Pi tells
	Count  *int64   `json:"count,omitempty"` // how often since the start, over all logical processors; nil where the kernel does not count
}

// Accelerator is one device that models can run on.
type Accelerator struct {
	Kind             string      `json:"kind"` // "gpu", "npu", "tpu", or "other" for what no deployment can ask for
	Name             string      `json:"name,omitempty"`
	Vendor           string      `json:"vendor,omitempty"`
	ID               string      `json:"id,omitempty"`      // "8086:7d1d", on PCI and USB
	Bus              string      `json:"bus,omitempty"`     // "pci", "usb", "platform"
	Address          string      `json:"address,omitempty"` // on the bus: "0000:00:0b.0"
	Driver           string      `json:"driver,omitempty"`
	DriverVersion    string      `json:"driver_version,omitempty"`
	FirmwareVersion  string      `json:"firmware_version,omitempty"`
	Nodes            []string    `json:"nodes"`             // in /dev, the one that libraries open first
	State            string      `json:"state"`             // "ready", "no firmware yet", "no driver", "no node", "no access"
	Problem          string      `json:"problem,omitempty"` // why State is not ready, or what its driver says
	Unified          bool        `json:"unified"`           // shares the machine's memory, which Memory counts
	MemoryTotalBytes int64       `json:"memory_total_bytes,omitempty"`
	MemoryFreeBytes  int64       `json:"memory_free_bytes,omitempty"`
	Celsius          *float64    `json:"celsius,omitempty"`
	Candidates       []Candidate `json:"candidates"`

	// What only a vendor's library tells.
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
