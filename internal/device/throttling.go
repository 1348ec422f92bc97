package device

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Frequency is the clock of processors that share one: all of a small board, or one
// cluster of big and little cores.
type Frequency struct {
	CPUs       []int  `json:"cpus"`
	Governor   string `json:"governor,omitempty"` // "performance", "schedutil"
	CurrentMHz int    `json:"current_mhz,omitempty"`
	LimitMHz   int    `json:"limit_mhz,omitempty"` // that the system allows, by its settings or its power mode
	MaxMHz     int    `json:"max_mhz,omitempty"`   // of the hardware
}

// Throttling is what slows the machine down because of heat or a weak supply.
type Throttling struct {
	Active []string `json:"active"` // now
	Past   []string `json:"past"`   // since the start of the machine; only a Raspberry Pi tells
	// Count is how often processors were slowed since the start, over all logical
	// processors;
	// nil where the kernel does not count (it does for Intel's).
	Count *int64 `json:"count,omitempty"`
}

// Frequencies reads the clocks of the processors, by
// Documentation/admin-guide/pm/cpufreq.rst of the kernel.
func (m *Machine) Frequencies() []Frequency {
	all := []Frequency{}
	for _, policy := range m.files.Glob("/sys/devices/system/cpu/cpufreq/policy*") {
		f := Frequency{
			CPUs: []int{}, Governor: m.files.line(policy + "/scaling_governor"),
			CurrentMHz: m.megahertz(policy + "/scaling_cur_freq"), LimitMHz: m.megahertz(policy + "/scaling_max_freq"), MaxMHz: m.megahertz(policy + "/cpuinfo_max_freq"),
		}
		for word := range strings.FieldsSeq(m.files.line(policy + "/related_cpus")) {
			if cpu, err := strconv.Atoi(word); err == nil {
				f.CPUs = append(f.CPUs, cpu)
			}
		}
		all = append(all, f)
	}
	return all
}

// megahertz reads a number of kilohertz, or 0.
func (m *Machine) megahertz(name string) int {
	const most = 1 << 30 // kHz
	if khz, ok := m.files.number(name); ok && khz > 0 && khz < most {
		return int(khz / 1000)
	}
	return 0
}

// Throttling reads what slows the machine down.
func (m *Machine) Throttling() Throttling {
	t := Throttling{Active: []string{}, Past: []string{}}
	m.piThrottling(&t)
	m.cooling(&t)
	for _, file := range m.files.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count") {
		const most = 1 << 48 // so that no sum overflows
		if count, ok := m.files.number(file); ok && count >= 0 && count < most {
			if t.Count == nil {
				t.Count = new(int64)
			}
			*t.Count += count
		}
	}
	return t
}

// piThrottling reads what the firmware of a Raspberry Pi tells: the bits of its
// get_throttled, in hexadecimal (drivers/firmware/raspberrypi.c of the Raspberry
// Pi's kernel), or of the kernel's own driver the alarm of the supply's voltage
// (Documentation/hwmon/raspberrypi-hwmon.rst).
func (m *Machine) piThrottling(t *Throttling) {
	const since = 16 // bits from here on: since the start
	for _, name := range m.files.Glob("/sys/devices/platform/soc*/*firmware/get_throttled") {
		bits, err := strconv.ParseUint(strings.TrimPrefix(m.files.line(name), "0x"), 16, 32)
		if err != nil {
			continue
		}
		for bit, what := range []string{"under-voltage", "frequency capped", "throttled", "soft temperature limit"} {
			if bits&(1<<bit) != 0 {
				t.Active = append(t.Active, what)
			}
			if bits&(1<<(since+bit)) != 0 {
				t.Past = append(t.Past, what)
			}
		}
	}
	for _, monitor := range m.files.Glob("/sys/class/hwmon/hwmon*") {
		alarm, _ := m.files.number(monitor + "/in0_lcrit_alarm")
		if m.files.line(monitor+"/name") == "rpi_volt" && alarm == 1 && !slices.Contains(t.Active, "under-voltage") {
			t.Active = append(t.Active, "under-voltage")
		}
	}
}

// cooling tells which of the kernel's means against heat are at work, fans and
// displays aside, and which zones are as hot as their passive trip point: by
// Documentation/driver-api/thermal/sysfs-api.rst.
func (m *Machine) cooling(t *Throttling) {
	slowed := false
	for _, device := range m.files.Glob("/sys/class/thermal/cooling_device*") {
		kind := m.files.line(device + "/type")
		state, ok := m.files.number(device + "/cur_state")
		if !ok || state <= 0 || !slows(kind) {
			continue
		}
		slowed = true
		text := fmt.Sprintf("%s at %d", kind, state)
		if most, ok := m.files.number(device + "/max_state"); ok {
			text += fmt.Sprintf(" of %d", most)
		}
		t.Active = append(t.Active, text)
	}
	if !slowed {
		return
	}
	for _, zone := range m.files.Glob("/sys/class/thermal/thermal_zone*") {
		celsius, ok := m.celsius(zone + "/temp")
		for _, trip := range m.files.Glob(zone + "/trip_point_*_type") {
			at, known := m.celsius(strings.TrimSuffix(trip, "type") + "temp")
			if ok && known && celsius >= at && m.files.line(trip) == "passive" {
				t.Active = append(t.Active, fmt.Sprintf("%s at %.1f °C, passive from %.1f °C", m.files.line(path.Join(zone, "type")), celsius, at))
				break
			}
		}
	}
}

// slows says whether a cooling device cools by making a processor slower: ACPI's
// and Intel's, and those that the kernel makes for cpufreq and devfreq.
func slows(kind string) bool {
	if kind == "Processor" || kind == "intel_powerclamp" {
		return true
	}
	return slices.ContainsFunc([]string{"cpufreq-", "thermal-cpufreq-", "devfreq-", "thermal-devfreq-"}, func(start string) bool {
		return strings.HasPrefix(kind, start)
	})
}
