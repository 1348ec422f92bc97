package device

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// CPU describes the processors.
type CPU struct {
	Model        string   `json:"model"`
	Vendor       string   `json:"vendor,omitempty"`
	Architecture string   `json:"architecture"` // Go's name
	Features     []string `json:"features"`     // those that matter to inference, by the kernel's names
	Logical      int      `json:"logical"`      // online in the machine
	Allowed      int      `json:"allowed"`      // that this process may run on
	Quota        float64  `json:"quota,omitempty"`
	Usable       int      `json:"usable"`
}

// CPUs returns how many threads it makes sense to run: as many as there are
// processors that this process may run on, within its control group's quota. A
// quota of 1.5 processors is one thread: a second would stop every thread for a
// quarter of the time.
func (m *Machine) CPUs() int {
	usable := m.allowed()
	if quota := m.cpuQuota(); quota > 0 {
		usable = min(usable, int(quota))
	}
	return max(1, usable)
}

// CPU describes the processors.
func (m *Machine) CPU() CPU {
	c := CPU{
		Architecture: m.arch, Features: []string{},
		Logical: m.logical(), Allowed: m.allowed(), Quota: m.cpuQuota(), Usable: m.CPUs(),
	}
	text, _ := m.files.read("/proc/cpuinfo")
	var has []string
	var cores []armCore
	fields(text, func(key, value string) {
		switch key {
		case "model name":
			c.Model = value
		case "vendor_id":
			c.Vendor = value
		case "flags", "Features":
			if has == nil {
				has = strings.Fields(value)
			}
		case "CPU implementer":
			cores = append(cores, armCore{implementer: value})
		case "CPU part":
			if len(cores) > 0 {
				cores[len(cores)-1].part = value
			}
		}
	})
	if len(cores) > 0 { // "model name" of a 64-bit ARM processor tells only its architecture
		c.Model, c.Vendor = describeCores(cores)
	}
	for _, feature := range inferenceFeatures() {
		if slices.Contains(has, feature) {
			c.Features = append(c.Features, feature)
		}
	}
	return c
}

// inferenceFeatures are the instruction sets that inference libraries have kernels
// for, by the names of /proc/cpuinfo.
func inferenceFeatures() []string {
	return []string{
		"avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16",
		"amx_tile", "amx_int8", "amx_bf16", "amx_fp16",
		"neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme",
	}
}

// logical is how many processors are online; 0 where the files of another machine than
// this one do not tell.
func (m *Machine) logical() int {
	if n := countList(m.files.line("/sys/devices/system/cpu/online")); n > 0 {
		return n
	}
	text, _ := m.files.read("/proc/cpuinfo")
	n := 0
	fields(text, func(key, _ string) {
		if key == "processor" {
			n++
		}
	})
	if n == 0 && m.files.Root == "/" {
		return runtime.NumCPU()
	}
	return n
}

// allowed is how many processors this process may run on.
func (m *Machine) allowed() int {
	text, _ := m.files.read("/proc/self/status")
	n := 0
	fields(text, func(key, value string) {
		if key == "Cpus_allowed_list" {
			n = countList(value)
		}
	})
	if online := m.logical(); n == 0 || n > online {
		return online
	}
	return n
}

// armCore is what an ARM processor says of one of its cores.
type armCore struct{ implementer, part string }

func (c armCore) vendor() string {
	switch c.implementer {
	case "0x41":
		return "ARM"
	case "0x42":
		return "Broadcom"
	case "0x43":
		return "Cavium"
	case "0x46":
		return "Fujitsu"
	case "0x48":
		return "HiSilicon"
	case "0x4e":
		return "NVIDIA"
	case "0x51":
		return "Qualcomm"
	case "0x61":
		return "Apple"
	case "0xc0":
		return "Ampere"
	}
	return "implementer " + c.implementer
}

// name is the core's, by the numbers of the Linux kernel's
// arch/arm64/include/asm/cputype.h.
func (c armCore) name() string {
	names := map[armCore]string{
		{"0x41", "0xc07"}: "Cortex-A7", {"0x41", "0xc08"}: "Cortex-A8", {"0x41", "0xc09"}: "Cortex-A9", {"0x41", "0xc0f"}: "Cortex-A15",
		{"0x41", "0xd03"}: "Cortex-A53", {"0x41", "0xd04"}: "Cortex-A35", {"0x41", "0xd05"}: "Cortex-A55",
		{"0x41", "0xd07"}: "Cortex-A57", {"0x41", "0xd08"}: "Cortex-A72", {"0x41", "0xd09"}: "Cortex-A73",
		{"0x41", "0xd0a"}: "Cortex-A75", {"0x41", "0xd0b"}: "Cortex-A76", {"0x41", "0xd0c"}: "Neoverse-N1",
		{"0x41", "0xd0d"}: "Cortex-A77", {"0x41", "0xd0e"}: "Cortex-A76AE", {"0x41", "0xd40"}: "Neoverse-V1",
		{"0x41", "0xd41"}: "Cortex-A78", {"0x41", "0xd42"}: "Cortex-A78AE", {"0x41", "0xd44"}: "Cortex-X1",
		{"0x41", "0xd46"}: "Cortex-A510", {"0x41", "0xd47"}: "Cortex-A710", {"0x41", "0xd48"}: "Cortex-X2",
		{"0x41", "0xd49"}: "Neoverse-N2", {"0x41", "0xd4b"}: "Cortex-A78C", {"0x41", "0xd4d"}: "Cortex-A715",
		{"0x41", "0xd4e"}: "Cortex-X3", {"0x41", "0xd4f"}: "Neoverse-V2", {"0x41", "0xd80"}: "Cortex-A520",
		{"0x41", "0xd81"}: "Cortex-A720", {"0x41", "0xd82"}: "Cortex-X4",
		{"0x4e", "0x003"}: "Denver 2", {"0x4e", "0x004"}: "Carmel",
		{"0xc0", "0xac3"}: "Ampere-1",
	}
	if name, ok := names[c]; ok {
		return name
	}
	return "part " + c.part
}

// describeCores names the kinds of cores in their order, with their counts where
// there are several kinds.
func describeCores(cores []armCore) (model, vendor string) {
	var kinds []armCore
	counts := map[armCore]int{}
	for _, core := range cores {
		if counts[core]++; counts[core] == 1 {
			kinds = append(kinds, core)
		}
	}
	if len(kinds) == 1 {
		return kinds[0].name(), kinds[0].vendor()
	}
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = fmt.Sprintf("%d × %s", counts[kind], kind.name())
	}
	return strings.Join(names, " + "), kinds[0].vendor()
}
