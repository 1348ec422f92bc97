package device

import (
	"path"
	"strings"
)

// Temperature is one sensor.
type Temperature struct {
	Sensor  string  `json:"sensor"` // "x86_pkg_temp", "coretemp Package id 0"
	Celsius float64 `json:"celsius"`
	CPU     bool    `json:"cpu"` // measures the processor
}

// Temperatures reads every sensor that answers: the thermal zones, then the
// hardware monitors that are not thermal zones under another name.
func (m *Machine) Temperatures() []Temperature {
	all := []Temperature{}
	zones := map[string]bool{}
	for _, zone := range m.files.Glob("/sys/class/thermal/thermal_zone*") {
		kind := m.files.line(path.Join(zone, "type"))
		zones[monitorName(kind)] = true
		if celsius, ok := m.celsius(path.Join(zone, "temp")); ok {
			all = append(all, Temperature{Sensor: kind, Celsius: celsius, CPU: isCPUSensor(kind)})
		}
	}
	for _, monitor := range m.files.Glob("/sys/class/hwmon/hwmon*") {
		name := m.files.line(path.Join(monitor, "name"))
		if zones[monitorName(name)] {
			continue
		}
		for _, input := range m.files.Glob(path.Join(monitor, "temp*_input")) {
			label := m.files.line(strings.TrimSuffix(input, "_input") + "_label")
			if celsius, ok := m.celsius(input); ok {
				all = append(all, Temperature{Sensor: strings.TrimSpace(name + " " + label), Celsius: celsius, CPU: isCPUSensor(name)})
			}
		}
	}
	return all
}

// CPUTemperature returns the hottest of the processor's sensors in degrees Celsius,
// and whether there is one.
func (m *Machine) CPUTemperature() (celsius float64, ok bool) {
	for _, t := range m.Temperatures() {
		if t.CPU && (!ok || t.Celsius > celsius) {
			celsius, ok = t.Celsius, true
		}
	}
	return celsius, ok
}

// celsius reads thousandths of a degree. A sensor that is off says so with an
// error, or with a temperature that nothing on a device has.
func (m *Machine) celsius(name string) (float64, bool) {
	const coldest, hottest = -60_000, 200_000
	milli, ok := m.files.number(name)
	if !ok || milli < coldest || milli > hottest {
		return 0, false
	}
	return float64(milli) / 1000, true
}

// monitorName is the name of the hardware monitor that the kernel makes for a
// thermal zone.
func monitorName(zone string) string { return strings.ReplaceAll(zone, "-", "_") }

// isCPUSensor knows the names of the processors' sensors: Intel's and AMD's
// drivers, and what boards' device trees call them.
func isCPUSensor(name string) bool {
	name = strings.ToLower(monitorName(name))
	switch name {
	case "x86_pkg_temp", "coretemp", "k10temp", "k8temp", "zenpower", "soc_thermal", "package_thermal", "bigcore_thermal", "littlecore_thermal", "center_thermal":
		return true
	}
	for _, start := range []string{"cpu", "bigcore", "littlecore"} {
		if strings.HasPrefix(name, start) {
			return true
		}
	}
	return false
}
