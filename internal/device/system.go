package device

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
)

// Board returns what the firmware calls the machine: "Raspberry Pi 5 Model B Rev
// 1.0", or maker and product of a PC. It is "" where the firmware tells none.
func (m *Machine) Board() string {
	for _, name := range []string{"/proc/device-tree/model", "/sys/firmware/devicetree/base/model"} {
		if model := m.files.line(name); model != "" {
			return model
		}
	}
	const dmi = "/sys/class/dmi/id/"
	for _, pair := range [][2]string{{"sys_vendor", "product_name"}, {"board_vendor", "board_name"}} {
		maker, product := dmiText(m.files.line(dmi+pair[0])), dmiText(m.files.line(dmi+pair[1]))
		if product == "" {
			continue
		}
		if strings.HasPrefix(product, maker) {
			return product
		}
		return maker + " " + product
	}
	return ""
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
	if len(m.files.glob("/lib/ld-musl-*.so.1")) > 0 {
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
	file, err := os.Open(m.files.path(name))
	if err != nil {
		return "", false
	}
	defer file.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(file, mostBytes))
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
