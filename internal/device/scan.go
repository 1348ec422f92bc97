package device

import (
	"path"
	"slices"
	"strings"

	"verge/internal/device/pciids"
)

// scan collects accelerators. The kernel shows one device in several places (its
// bus, its class, /dev), which all lead to the same directory of /sys.
type scan struct {
	m     *Machine
	found []*Accelerator
	dirs  map[string]*Accelerator // by directory of /sys
	tegra bool                    // the board is a Jetson, or has its processor
}

// scan finds every accelerator: GPUs first, then by the other kinds, each kind in
// the order of the buses.
func (m *Machine) scan() []Accelerator {
	s := &scan{m: m, dirs: map[string]*Accelerator{}, tegra: isTegra(m.compatible())}
	s.pci()
	s.jetson()
	s.renderNodes()
	s.accelNodes()
	s.ownNodes()
	s.nvidia()
	s.usb()
	all := make([]Accelerator, 0, len(s.found))
	for _, kind := range append(Kinds(), Other) {
		for _, a := range s.found {
			if a.Kind == kind {
				s.judge(a)
				all = append(all, *a)
			}
		}
	}
	return all
}

// at returns the accelerator of a directory of /sys, which is made where it is new,
// with what every device tells. key stands for a directory that is not there.
func (s *scan) at(dir, key string) *Accelerator {
	if dir != "" && s.m.files.Exists(dir) {
		key = s.m.files.follow(dir)
	}
	if a := s.dirs[key]; a != nil {
		return a
	}
	a := &Accelerator{Nodes: []string{}, Candidates: []Candidate{}}
	s.found, s.dirs[key] = append(s.found, a), a
	if !strings.HasPrefix(key, "/sys/") {
		return a
	}
	f := s.m.files
	if bus := f.link(path.Join(key, "subsystem")); bus != "" {
		a.Bus, a.Address = bus, path.Base(key)
	}
	a.Driver = f.link(path.Join(key, "driver"))
	a.DriverVersion = s.moduleVersion(key, a.Driver)
	vendor, device := f.hex(path.Join(key, "vendor")), f.hex(path.Join(key, "device"))
	if vendor != "" && device != "" {
		known, _ := pciids.Find(vendor, device)
		a.ID, a.Name, a.Unified = vendor+":"+device, known.Name, known.Unified
	}
	a.Vendor = pciids.Vendor(vendor)
	s.treeNode(a, key)
	s.memory(a, key)
	if celsius, ok := s.monitor(key); ok {
		a.Celsius = &celsius
	}
	return a
}

// moduleVersion is the version that a driver's module tells; few of the kernel's
// own have one.
func (s *scan) moduleVersion(dir, driver string) string {
	if driver == "" {
		return ""
	}
	for _, name := range []string{path.Join(dir, "driver/module"), "/sys/module/" + strings.ReplaceAll(driver, "-", "_")} {
		if version := s.m.files.line(name + "/version"); version != "" {
			return version
		}
	}
	return ""
}

// memory reads a card's own memory where its driver tells: amdgpu's mem_info_vram
// files (Documentation/gpu/amdgpu) and xe's physical_vram_size_bytes of each tile.
// What a part of the processor calls its own is cut out of the machine's memory,
// and left out.
func (s *scan) memory(a *Accelerator, dir string) {
	if a.Unified {
		return
	}
	f := s.m.files
	if total, ok := f.number(path.Join(dir, "mem_info_vram_total")); ok && total > 0 {
		a.MemoryTotalBytes = total
		if used, ok := f.number(path.Join(dir, "mem_info_vram_used")); ok && used >= 0 {
			a.MemoryFreeBytes = max(0, total-used)
		}
		return
	}
	for _, tile := range f.Glob(path.Join(dir, "tile*/physical_vram_size_bytes")) {
		const most = 1 << 50 // bytes, so that no sum overflows
		if bytes, ok := f.number(tile); ok && bytes > 0 && bytes < most {
			a.MemoryTotalBytes += bytes
		}
	}
}

// monitor reads a device's first sensor.
func (s *scan) monitor(dir string) (float64, bool) {
	for _, input := range s.m.files.Glob(path.Join(dir, "hwmon/hwmon*/temp1_input")) {
		if celsius, ok := s.m.celsius(input); ok {
			return celsius, true
		}
	}
	return 0, false
}

// pci finds cards, and what looks like one inside processors, with and without a
// driver. A display controller of another maker counts by its render node only:
// those of servers' management and of virtual machines compute nothing.
func (s *scan) pci() {
	const displayClass = "0x03"
	f := s.m.files
	for _, dir := range f.Glob(pciDevices) {
		vendor := f.hex(path.Join(dir, "vendor"))
		known, _ := pciids.Find(vendor, f.hex(path.Join(dir, "device")))
		kind := known.Kind
		if kind == "" && strings.HasPrefix(f.line(path.Join(dir, "class")), displayClass) && slices.Contains([]string{"1002", "10de", "8086"}, vendor) {
			kind = GPU
		}
		if kind == "" {
			continue
		}
		a := s.at(dir, dir)
		a.Kind = kind
		if kind == GPU && vendor == "8086" && strings.HasPrefix(a.Address, "0000:00:") {
			a.Unified = true // Intel's graphics on bus 0 are part of the processor
		}
		if a.Driver == "amdxdna" {
			a.FirmwareVersion = f.line(path.Join(dir, "fw_version"))
		}
	}
}

// renderNodes finds what the kernel's own graphics drivers drive.
func (s *scan) renderNodes() {
	const class = "/sys/class/drm/"
	for _, name := range s.names(class+"renderD*", renderNodes) {
		dir := class + name + "/device"
		driver := s.m.files.link(dir + "/driver")
		switch {
		case driver == "vgem" || driver == "vkms" || driver == "rockchip-drm": // memory or a display, without a processor
			continue
		case s.tegra && driver != "nouveau" && s.dirs[s.m.files.follow(dir)] == nil: // the display's and the video engines'
			continue
		}
		a := s.at(dir, "/dev/dri/"+name)
		switch {
		case a.Kind != "":
		case driver == "RKNPU": // the vendor kernel's driver, which calls itself a graphics device
			a.Kind, a.Vendor, a.Unified = NPU, "Rockchip", true
		default:
			a.Kind = GPU
		}
		s.node(a, "/dev/dri/"+name)
	}
}

// accelNodes finds what drives a device of the kernel's accel class. Only the
// driver tells what that is.
func (s *scan) accelNodes() {
	const class = "/sys/class/accel/"
	for _, name := range s.names(class+"accel[0-9]*", "/dev/accel/accel[0-9]*") {
		a := s.at(class+name+"/device", "/dev/accel/"+name)
		if a.Driver == "" && a.Address == "rknn" {
			a.Driver = "rocket" // which makes this device for itself: drivers/accel/rocket/rocket_drv.c
		}
		a.Kind = Other
		switch a.Driver {
		case "intel_vpu", "amdxdna":
			a.Kind, a.Unified = NPU, true
		case "rocket":
			a.Kind, a.Vendor, a.Unified = NPU, "Rockchip", true
		case "ethosu":
			a.Kind, a.Vendor, a.Unified = NPU, "Arm", true
		case "qaic":
			a.Kind = NPU
		case "habanalabs":
			a.Problem = "it is a card for training"
		default:
			a.Problem = "its driver is not known to be an NPU's"
		}
		s.node(a, "/dev/accel/"+name)
	}
}

// names returns the last elements of the names that match one of the patterns.
func (s *scan) names(patterns ...string) []string {
	var all []string
	for _, pattern := range patterns {
		for _, name := range s.m.files.Glob(pattern) {
			if name = path.Base(name); !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// node adds a device node, where it is in /dev.
func (s *scan) node(a *Accelerator, node string) {
	if s.m.files.Exists(node) && !slices.Contains(a.Nodes, node) {
		a.Nodes = append(a.Nodes, node)
	}
}

// usb finds Edge TPUs: one changes its numbers at first use, when it gets its
// firmware.
func (s *scan) usb() {
	f := s.m.files
	for _, dir := range f.Glob(usbDevices) {
		id := f.line(path.Join(dir, "idVendor")) + ":" + f.line(path.Join(dir, "idProduct"))
		if id != "1a6e:089a" && id != "18d1:9302" {
			continue
		}
		a := s.at(dir, dir)
		a.Kind, a.Name, a.Vendor, a.ID = TPU, "Coral USB Accelerator", "Google", id
		a.Bus, a.Address, a.Driver = "usb", path.Base(dir), "" // libraries drive it, and the kernel's driver is every USB device's
		if id == "1a6e:089a" {
			a.State = NoFirmware
			a.Problem = "it gets its firmware at first use, and is 18d1:9302 on the bus from then on"
		}
		bus, number := f.line(path.Join(dir, "busnum")), f.line(path.Join(dir, "devnum"))
		if bus != "" && number != "" {
			s.node(a, path.Join("/dev/bus/usb", pad3(bus), pad3(number)))
		}
	}
}

// pad3 is how the names of USB nodes are written.
func pad3(number string) string { return strings.Repeat("0", max(0, 3-len(number))) + number }
