package client

// Device is what a node runs on.
type Device struct {
	Board        string        `json:"board,omitempty"` // "Raspberry Pi 4 Model B Rev 1.4", or maker and product; "" where the firmware tells none
	OS           string        `json:"os"`              // "linux"
	Kernel       string        `json:"kernel,omitempty"`
	Libc         string        `json:"libc,omitempty"` // "glibc 2.36", "musl", or "" where it could not be told
	CPU          CPU           `json:"cpu"`
	Memory       Memory        `json:"memory"`
	Disk         *Disk         `json:"disk,omitempty"` // the file system of the state directory
	LoadAverage  []float64     `json:"load_average"`   // over 1, 5 and 15 minutes; empty where it is not known
	Temperatures []Temperature `json:"temperatures"`
	Accelerators []Accelerator `json:"accelerators"` // one for each kind that is looked for, found or not
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

// Accelerator is a kind of device that models can run on.
type Accelerator struct {
	Kind      string   `json:"kind"`       // "gpu", "npu", "tpu"
	Found     []string `json:"found"`      // device nodes
	LookedFor []string `json:"looked_for"` // patterns of device nodes
}
