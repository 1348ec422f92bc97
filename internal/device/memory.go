package device

import (
	"math"
	"strconv"
	"strings"

	"verge/internal/fault"
)

// Memory is the machine's main memory, as far as this process may use it.
type Memory struct {
	TotalBytes     int64 `json:"total_bytes"`
	AvailableBytes int64 `json:"available_bytes"`       // without swapping, and within LimitBytes
	LimitBytes     int64 `json:"limit_bytes,omitempty"` // of the control group; 0 for none
	SwapTotalBytes int64 `json:"swap_total_bytes"`
	SwapFreeBytes  int64 `json:"swap_free_bytes"`
}

// UsagePercent is how much of the memory that this process may use is in use, from
// 0 to 100.
func (m Memory) UsagePercent() float64 {
	total := m.TotalBytes
	if m.LimitBytes > 0 {
		total = min(total, m.LimitBytes)
	}
	if total <= 0 {
		return math.NaN()
	}
	return 100 * float64(total-min(total, m.AvailableBytes)) / float64(total)
}

// AvailableMemory returns how many bytes a new process could take without swapping
// and within this one's control group.
func (m *Machine) AvailableMemory() (int64, error) {
	memory, err := m.Memory()
	return memory.AvailableBytes, err
}

// Memory reads the memory. It fails with fault.Unsupported where the kernel does
// not tell.
func (m *Machine) Memory() (Memory, error) {
	const file = "/proc/meminfo"
	text, ok := m.files.read(file)
	kib := map[string]int64{}
	fields(text, func(key, value string) {
		n, err := strconv.ParseInt(strings.TrimSuffix(value, " kB"), 10, 64)
		if err == nil && n >= 0 && n < math.MaxInt64>>10 {
			kib[key] = n
		}
	})
	available, told := kib["MemAvailable"]
	if !told { // kernels before 3.14
		available = kib["MemFree"] + kib["Buffers"] + kib["Cached"]
	}
	if !ok || kib["MemTotal"] == 0 {
		return Memory{}, fault.New(fault.Unsupported, "device.memory", "it does not say how much memory there is").On(file)
	}
	memory := Memory{
		TotalBytes: kib["MemTotal"] << 10, AvailableBytes: available << 10,
		SwapTotalBytes: kib["SwapTotal"] << 10, SwapFreeBytes: kib["SwapFree"] << 10,
	}
	limit, free := m.memoryBound(memory.TotalBytes)
	if limit > 0 {
		memory.LimitBytes, memory.AvailableBytes = limit, min(memory.AvailableBytes, free)
	}
	return memory, nil
}
