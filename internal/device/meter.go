package device

import (
	"strconv"
	"strings"
	"sync"

	"verge/internal/fault"
)

// CPUMeter measures how busy the processors are from one reading to the next. Each
// reader needs one of its own. It is safe for concurrent use.
type CPUMeter struct {
	machine *Machine

	mu      sync.Mutex // guards all below
	last    cpuTicks
	percent float64 // of the last reading that had something to measure
	read    bool    // percent was measured
}

// cpuTicks is the kernel's count of processor time since the start of the machine.
type cpuTicks struct{ busy, total uint64 }

// NewCPUMeter returns a meter that measures from now on.
func (m *Machine) NewCPUMeter() *CPUMeter {
	c := &CPUMeter{machine: m}
	c.last, _ = m.cpuTicks() // where it cannot be read, the first reading fails
	return c
}

// Percent returns how much of all processors' time was in use since the call before,
// or since the meter was made, from 0 to 100. Where the kernel's clock has not
// ticked in between, that is the figure of the call before; the first call fails
// with fault.Unavailable then. Time that a hypervisor took counts as in use.
func (c *CPUMeter) Percent() (float64, error) {
	now, err := c.machine.cpuTicks()
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.total > c.last.total {
		total := now.total - c.last.total
		busy := min(total, now.busy-min(now.busy, c.last.busy)) // iowait, part of the rest, may run backwards
		c.percent, c.read, c.last = 100*float64(busy)/float64(total), true, now
	}
	if !c.read {
		return 0, fault.New(fault.Unavailable, "device.cpu", "no time has passed to measure").On("processor time")
	}
	return c.percent, nil
}

// cpuTicks reads the first line of /proc/stat, whose columns are in proc_stat(5):
// user nice system idle iowait irq softirq steal, and guest times that user and
// nice hold already.
func (m *Machine) cpuTicks() (cpuTicks, error) {
	const file, idle, iowait, columns = "/proc/stat", 3, 4, 8
	text, _ := m.files.read(file)
	first, _, _ := strings.Cut(text, "\n")
	words := strings.Fields(first)
	if len(words) < 1+idle+1 || words[0] != "cpu" {
		return cpuTicks{}, fault.New(fault.Unsupported, "device.cpu", "it does not tell the processors' time").On(file)
	}
	var ticks cpuTicks
	for i, word := range words[1:min(len(words), 1+columns)] {
		n, err := strconv.ParseUint(word, 10, 63)
		if err != nil {
			return cpuTicks{}, fault.New(fault.Corrupt, "device.cpu", "column %d is %.20q, want a number", i+1, word).On(file)
		}
		ticks.total += n
		if i != idle && i != iowait {
			ticks.busy += n
		}
	}
	return ticks, nil
}
