package device

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Board is the machine as its firmware describes it. All of it is empty where the
// firmware tells nothing, as in a container.
type Board struct {
	Model      string   `json:"model,omitempty"` // "Raspberry Pi 5 Model B Rev 1.0", or maker and product of a PC
	Vendor     string   `json:"vendor,omitempty"`
	Compatible []string `json:"compatible,omitempty"` // of the device tree: the board first, its processor last
	Release    string   `json:"release,omitempty"`    // "L4T 36.4.3", of a Jetson's system
	PowerMode  string   `json:"power_mode,omitempty"` // of a Jetson: "15W"
}

// Board reads what the firmware calls the machine.
func (m *Machine) Board() Board {
	b := Board{Compatible: m.compatible()}
	for _, name := range []string{"/proc/device-tree/model", "/sys/firmware/devicetree/base/model"} {
		b.Model = cmp.Or(b.Model, m.files.line(name))
	}
	if b.Model == "" {
		b.Model, b.Vendor = m.dmi()
	} else if len(b.Compatible) > 0 {
		b.Vendor, _, _ = strings.Cut(b.Compatible[0], ",")
	}
	if isTegra(b.Compatible) {
		b.Release, b.PowerMode = m.l4t(), m.powerMode()
	}
	return b
}

// compatible returns the strings of the device tree's root: NUL-terminated, by the
// Devicetree Specification, section 2.3.1.
func (m *Machine) compatible() []string {
	for _, name := range []string{"/proc/device-tree/compatible", "/sys/firmware/devicetree/base/compatible"} {
		if text := m.files.line(name); text != "" {
			return strings.Split(text, "\x00")
		}
	}
	return nil
}

// isTegra says whether a board has one of NVIDIA's own processors, as Jetsons have.
func isTegra(compatible []string) bool {
	return slices.ContainsFunc(compatible, func(name string) bool { return strings.HasPrefix(name, "nvidia,tegra") })
}

// l4t returns the release of NVIDIA's system for Jetsons, of a line such as "# R36
// (release), REVISION: 4.3, GCID: …", or "".
func (m *Machine) l4t() string {
	line := regexp.MustCompile(`^# R([0-9]{1,3}) \(release\), REVISION: ([0-9]{1,3}(?:\.[0-9]{1,3}){0,2}),`)
	if found := line.FindStringSubmatch(m.files.line("/etc/nv_tegra_release")); found != nil {
		return "L4T " + found[1] + "." + found[2]
	}
	return ""
}

// powerMode returns the mode that nvpmodel set last ("pmode:0002"), by the name that
// its configuration gives the number ("< POWER_MODEL ID=2 NAME=MAXN_SUPER >"). It is
// "mode 2" where that has none, and "" where none was ever set.
func (m *Machine) powerMode() string {
	digits, ok := strings.CutPrefix(m.files.line("/var/lib/nvpmodel/status"), "pmode:")
	mode, err := strconv.ParseUint(digits, 10, 16)
	if !ok || err != nil {
		return ""
	}
	number := strconv.FormatUint(mode, 10)
	text, _ := m.files.read("/etc/nvpmodel.conf")
	name := regexp.MustCompile(`(?m)^\s*<\s*POWER_MODEL\s+ID=` + number + `\s+NAME=(\S{1,64})\s*>`)
	if found := name.FindStringSubmatch(text); found != nil {
		return found[1]
	}
	return "mode " + number
}

// dmi returns what a PC's firmware tells: maker and product, or those of its board.
func (m *Machine) dmi() (model, vendor string) {
	const dmi = "/sys/class/dmi/id/"
	for _, pair := range [][2]string{{"sys_vendor", "product_name"}, {"board_vendor", "board_name"}} {
		maker, product := dmiText(m.files.line(dmi+pair[0])), dmiText(m.files.line(dmi+pair[1]))
		if product == "" {
			continue
		}
		if strings.HasPrefix(product, maker) {
			return product, maker
		}
		return maker + " " + product, maker
	}
	return "", ""
}

// dmiText leaves out what makers leave in when they tell nothing.
func dmiText(text string) string {
	switch strings.ToLower(strings.TrimSuffix(text, ".")) {
	case "to be filled by o.e.m", "system manufacturer", "system product name", "default string", "not specified", "not applicable", "none", "unknown":
		return ""
	}
	return text
}

// Kernel returns the kernel's release, such as "6.1.0-26-amd64", or "".
func (m *Machine) Kernel() string { return m.files.line("/proc/sys/kernel/osrelease") }

// Libc returns the C library that native libraries would be linked to: "glibc
// 2.36", "musl", or "" where there is none.
func (m *Machine) Libc() string {
	multiarch := m.multiarch()
	for _, name := range []string{
		"/lib/" + multiarch + "/libc.so.6", "/usr/lib/" + multiarch + "/libc.so.6",
		"/lib64/libc.so.6", "/usr/lib64/libc.so.6", "/lib/libc.so.6", "/usr/lib/libc.so.6",
	} {
		if version, ok := m.glibcVersion(name); ok {
			return strings.TrimSpace("glibc " + version)
		}
	}
	if len(m.files.Glob("/lib/ld-musl-*.so.1")) > 0 {
		return "musl"
	}
	return ""
}

// multiarch is the name that Debian gives the architecture's directories.
func (m *Machine) multiarch() string {
	switch m.arch {
	case "amd64":
		return "x86_64-linux-gnu"
	case "arm64":
		return "aarch64-linux-gnu"
	case "arm":
		return "arm-linux-gnueabihf"
	}
	return m.arch + "-linux-gnu"
}

// glibcVersion finds the version in the sentence that the library prints when it
// is started as a program. It is "" where the file has no such sentence.
func (m *Machine) glibcVersion(name string) (version string, ok bool) {
	const sentence, mostBytes = "release version ", 16 << 20
	data, err := m.files.Read(name, mostBytes)
	if err != nil {
		return "", false
	}
	_, rest, _ := bytes.Cut(data, []byte(sentence))
	end := bytes.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 || end > 16 {
		return "", true
	}
	return strings.TrimRight(string(rest[:end]), "."), true
}

// LoadAverage returns how many threads were running or waiting over the last 1, 5
// and 15 minutes. It is empty where the kernel does not tell.
func (m *Machine) LoadAverage() []float64 {
	const count = 3
	words := strings.Fields(m.files.line("/proc/loadavg"))
	if len(words) < count {
		return []float64{}
	}
	averages := make([]float64, count)
	for i := range averages {
		average, err := strconv.ParseFloat(words[i], 64)
		if err != nil {
			return []float64{}
		}
		averages[i] = average
	}
	return averages
}
