package device

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// treeNames are what devices are called that the device tree describes, by their
// "compatible" strings: Documentation/devicetree/bindings of the kernel, and for
// NVIDIA's and Rockchip's own drivers the tables in those (nvgpu, rknpu).
var treeNames = map[string]struct{ vendor, name string }{ //nolint:gochecknoglobals // a constant table
	"nvidia,gm20b":          {"NVIDIA", "Tegra X1 GPU (Maxwell GM20B)"},
	"nvidia,gp10b":          {"NVIDIA", "Tegra X2 GPU (Pascal GP10B)"},
	"nvidia,gv11b":          {"NVIDIA", "Xavier GPU (Volta GV11B)"},
	"nvidia,ga10b":          {"NVIDIA", "Orin GPU (Ampere GA10B)"},
	"brcm,2711-v3d":         {"Broadcom", "VideoCore VI"},
	"brcm,2712-v3d":         {"Broadcom", "VideoCore VII"},
	"arm,mali-bifrost":      {"Arm", "Mali (Bifrost)"},
	"arm,mali-midgard":      {"Arm", "Mali (Midgard)"},
	"arm,mali-valhall-jm":   {"Arm", "Mali (Valhall)"},
	"arm,mali-valhall-csf":  {"Arm", "Mali (Valhall)"},
	"rockchip,rk3568-rknpu": {"Rockchip", "RK3568 NPU"},
	"rockchip,rk3576-rknpu": {"Rockchip", "RK3576 NPU"},
	"rockchip,rk3588-rknpu": {"Rockchip", "RK3588 NPU"},
	"qcom,adreno":           {"Qualcomm", "Adreno"},
	"vivante,gc":            {"VeriSilicon", "Vivante GC"},
	"arm,ethos-u65":         {"Arm", "Ethos-U65"},
	"arm,ethos-u85":         {"Arm", "Ethos-U85"},
	"qcom,fastrpc":          {"Qualcomm", "Hexagon DSP"},
	"apple,agx-g13g":        {"Apple", "AGX G13G"},
	"img,img-rogue":         {"Imagination", "PowerVR Rogue"},
}

// treeNode names a device by its node of the device tree, of which the kernel tells
// the "compatible" strings in uevent. Such a device is part of the processor.
func (s *scan) treeNode(a *Accelerator, dir string) {
	text, _ := s.m.files.read(path.Join(dir, "uevent"))
	first := ""
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if !strings.HasPrefix(key, "OF_COMPATIBLE_") || key == "OF_COMPATIBLE_N" {
			continue
		}
		if known, ok := treeNames[value]; ok && a.Name == "" {
			a.Vendor, a.Name = known.vendor, known.name
		}
		if first == "" {
			first = value
		}
	}
	if first == "" || a.ID != "" { // a card may have a node as well
		return
	}
	if a.Name == "" {
		a.Name = first
	}
	a.Unified = true
}

// ownNodes finds the devices whose drivers have nodes of their own kind.
func (s *scan) ownNodes() {
	for _, own := range []struct{ node, class, kind, vendor, driver, name string }{
		{"/dev/mali[0-9]*", "/sys/class/misc/", GPU, "Arm", "mali", "Mali"},
		{"/dev/kgsl-3d[0-9]*", "/sys/class/kgsl/", GPU, "Qualcomm", "kgsl", "Adreno"},
		{"/dev/hailo[0-9]*", "/sys/class/hailo_chardev/", NPU, "Hailo", "hailo", "Hailo"},
		{"/dev/fastrpc-cdsp*", "/sys/class/misc/", NPU, "Qualcomm", "fastrpc", "Hexagon compute DSP"},
		{"/dev/rknpu", "/sys/class/misc/", NPU, "Rockchip", "RKNPU", "Rockchip NPU"}, // of a kernel without DRM_GEM for it
		{"/dev/ethosu[0-9]*", "/sys/class/ethosu/", NPU, "Arm", "ethosu", "Ethos-U"},
		{"/dev/apex_[0-9]*", "/sys/class/apex/", TPU, "Google", "apex", "Coral Edge TPU"},
	} {
		for _, node := range s.m.files.Glob(own.node) {
			class := own.class + path.Base(node)
			key := strings.TrimSuffix(node, "-secure") // Qualcomm's second door to the same processor
			a := s.at(class+"/device", key)
			a.Kind = own.kind
			a.Vendor, a.Driver = cmp.Or(a.Vendor, own.vendor), cmp.Or(a.Driver, own.driver)
			if slices.Contains([]string{"Arm", "Qualcomm", "Rockchip"}, own.vendor) {
				a.Unified = true
			}
			for _, told := range []string{class + "/device/gpuinfo", class + "/gpu_model"} { // ARM's driver, Qualcomm's
				if name := s.m.files.line(told); name != "" && own.kind == GPU {
					a.Name = name
				}
			}
			a.Name = cmp.Or(a.Name, own.name)
			s.node(a, node)
			if own.kind == TPU {
				s.apex(a, class)
			}
		}
	}
}

// apex reads what the driver of PCIe Edge TPUs tells: drivers/staging/gasket of
// Linux 5.8, and google/gasket-driver.
func (s *scan) apex(a *Accelerator, class string) {
	a.DriverVersion = cmp.Or(s.m.files.line(class+"/driver_version"), a.DriverVersion)
	if celsius, ok := s.m.celsius(class + "/temp"); ok {
		a.Celsius = &celsius
	}
	if status := s.m.files.line(class + "/status"); status != "" && status != "ALIVE" {
		a.Problem = "its driver says " + status
	}
}

// jetson finds the GPU of a Jetson board, by the nodes of NVIDIA's driver for it.
func (s *scan) jetson() {
	nodes := append(s.m.files.Glob("/dev/nvhost-gpu"), s.m.files.Glob("/dev/nvgpu/igpu*/ctrl")...)
	if len(nodes) == 0 {
		return
	}
	dir := ""
	for _, at := range s.m.files.Glob("/sys/bus/platform/devices/*.g*") {
		if driver := s.m.files.link(at + "/driver"); driver == "gk20a" || driver == "nvgpu" {
			dir = at
		}
	}
	a := s.at(dir, nodes[0])
	a.Kind, a.Vendor, a.Unified = GPU, "NVIDIA", true
	a.Name, a.Driver = cmp.Or(a.Name, "Tegra GPU"), cmp.Or(a.Driver, "nvgpu")
	for _, node := range nodes {
		s.node(a, node)
	}
}

// nvidia reads what NVIDIA's driver for cards tells below /proc/driver/nvidia
// (chapter "Using the /proc File System Interface" of its README), and gives the
// nodes /dev/nvidiaN to the cards.
func (s *scan) nvidia() {
	f := s.m.files
	version := nvidiaVersion(f.line("/proc/driver/nvidia/version"))
	var cards []*Accelerator
	for _, a := range s.found {
		if a.Driver != "nvidia" {
			continue
		}
		cards = append(cards, a)
		a.DriverVersion = cmp.Or(version, a.DriverVersion)
		text, _ := f.read("/proc/driver/nvidia/gpus/" + a.Address + "/information")
		fields(text, func(key, value string) {
			switch key {
			case "Model":
				a.Name = value
			case "GPU Firmware":
				a.FirmwareVersion = value
			case "Device Minor":
				if node := "/dev/nvidia" + value; f.Exists(node) {
					a.Nodes = append([]string{node}, a.Nodes...)
				}
			}
		})
	}
	for _, node := range f.Glob("/dev/nvidia[0-9]*") {
		if !slices.ContainsFunc(s.found, func(a *Accelerator) bool { return slices.Contains(a.Nodes, node) }) {
			s.strayNode(node, version, cards)
		}
	}
}

// strayNode finds the card of a node that no card names. A Jetson's driver for the
// display makes one, which is no further GPU.
func (s *scan) strayNode(node, version string, cards []*Accelerator) {
	for _, a := range cards {
		if !slices.ContainsFunc(a.Nodes, func(has string) bool { return strings.HasPrefix(has, "/dev/nvidia") }) {
			a.Nodes = append([]string{node}, a.Nodes...)
			return
		}
	}
	if s.tegra && len(cards) == 0 && slices.ContainsFunc(s.found, func(a *Accelerator) bool { return a.Vendor == "NVIDIA" }) {
		return
	}
	a := s.at("", node)
	a.Kind, a.Vendor, a.Driver, a.DriverVersion, a.Unified = GPU, "NVIDIA", "nvidia", version, s.tegra
	s.node(a, node)
}

// nvidiaVersion finds the driver's version in a line such as "NVRM version: NVIDIA
// UNIX x86_64 Kernel Module  535.216.03  Thu Apr 3 …".
func nvidiaVersion(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return regexp.MustCompile(`\b[0-9]{2,4}\.[0-9]+(\.[0-9]+)?\b`).FindString(line)
}

// judge says whether an accelerator can be reached.
func (s *scan) judge(a *Accelerator) {
	if a.Celsius == nil && a.Unified {
		a.Celsius = s.zone(a.Kind)
	}
	switch {
	case len(a.Nodes) == 0 && a.Bus == "usb":
		a.State, a.Problem = NoNode, "it is on the bus, but no node of it is in /dev/bus/usb"
	case len(a.Nodes) == 0 && a.Driver == "":
		a.State, a.Problem = NoDriver, "no driver has taken it"
	case len(a.Nodes) == 0:
		a.State, a.Problem = NoNode, "driver "+a.Driver+" has it, but no node of it is in /dev"
	case !s.m.mayOpen(a.Nodes[0]):
		a.State = NoAccess
		a.Problem = "this user may not read and write " + a.Nodes[0]
		if group := s.m.groupOf(a.Nodes[0]); group != "" {
			a.Problem += "; its group is " + group
		}
	case a.State == "":
		a.State = Ready
	}
}

// zone reads the thermal zone of a part of the processor: "gpu-thermal" on most
// boards, "GPU-therm" on older Jetsons.
func (s *scan) zone(kind string) *float64 {
	for _, zone := range s.m.files.Glob("/sys/class/thermal/thermal_zone*") {
		if strings.HasPrefix(strings.ToLower(s.m.files.line(zone+"/type")), kind) {
			if celsius, ok := s.m.celsius(zone + "/temp"); ok {
				return &celsius
			}
		}
	}
	return nil
}

// mayOpen says whether this process may read and write a device node. A file that
// stands for one, below a root of a test, may be opened.
func mayOpen(name string) bool {
	info, err := os.Stat(name)
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return err == nil
	}
	return unix.Faccessat(unix.AT_FDCWD, name, unix.R_OK|unix.W_OK, unix.AT_EACCESS) == nil
}

func (m *Machine) mayOpen(node string) bool {
	at, err := m.files.Path(node)
	return err == nil && m.access(at)
}

// groupOf returns the name of the group of a file, or its number, or "".
func (m *Machine) groupOf(name string) string {
	info, err := m.files.Stat(name)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	id := strconv.FormatUint(uint64(stat.Gid), 10)
	text, _ := m.files.read("/etc/group")
	for line := range strings.Lines(text) { // group(5): name, password, number, members
		if words := strings.Split(line, ":"); len(words) > 2 && words[2] == id {
			return words[0]
		}
	}
	return fmt.Sprintf("number %s", id)
}
