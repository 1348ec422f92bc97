package vendorprobe

import (
	"errors"
	"fmt"

	"verge/internal/device"
	"verge/internal/native"
)

// Of nvml.h of CUDA 12: the sizes of texts, and nvmlPciInfo_t, which is
// {char legacy[16]; unsigned domain, bus, device, pciDeviceId, pciSubSystemId; char busId[32]}.
const (
	nvmlText       = 96
	nvmlPCISize    = 68
	nvmlPCIDomain  = 16
	nvmlPCIBus     = 20
	nvmlPCIDevice  = 24
	nvmlMemorySize = 24 // nvmlMemory_t: {unsigned long long total, free, used}, in bytes
)

// askNVML asks NVIDIA's management library. A figure for which it answers that it is
// not supported (status 3), or anything but success, is absent.
func askNVML(open *native.Library) (a Answer, err error) {
	l, err := bind(open,
		[]string{"nvmlInit_v2", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2"},
		[]string{
			"nvmlErrorString", "nvmlSystemGetDriverVersion", "nvmlDeviceGetName", "nvmlDeviceGetUUID", "nvmlDeviceGetMemoryInfo",
			"nvmlDeviceGetUtilizationRates", "nvmlDeviceGetTemperature", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetMinorNumber",
		})
	if err != nil {
		return a, err
	}
	n := nvml{l}
	if err = n.check("nvmlInit_v2"); err != nil {
		return a, err
	}
	if version := l.box(nvmlText); n.tells("nvmlSystemGetDriverVersion", version.address(), version.size()) {
		a.Version = version.string()
	}
	count := l.box(4)
	if err = n.check("nvmlDeviceGetCount_v2", count.address()); err != nil {
		return a, err
	}
	for i := range min(count.word(0), maxDevices) {
		handle := l.box(8)
		if failed := n.check("nvmlDeviceGetHandleByIndex_v2", uintptr(i), handle.address()); failed != nil {
			err = errors.Join(err, fmt.Errorf("device %d: %w", i, failed))
			continue
		}
		a.Devices = append(a.Devices, n.device(handle.pointer()))
	}
	return a, err
}

// nvml is the open library.
type nvml struct{ *library }

// check calls a function, and returns what it says where it fails.
func (n nvml) check(name string, args ...uintptr) error {
	status := n.call(name, args...)
	if status == 0 {
		return nil
	}
	text := "the library gives no reason"
	if n.has("nvmlErrorString") {
		text = native.String(native.Call(n.functions["nvmlErrorString"], uintptr(uint32(status))), maxName) //nolint:gosec // passed on as it is
	}
	return fmt.Errorf("%s: %s (status %d)", name, text, status)
}

// tells calls a function that may be missing, and says whether it has answered.
func (n nvml) tells(name string, args ...uintptr) bool {
	return n.has(name) && n.call(name, args...) == 0
}

// device asks for all of one device.
func (n nvml) device(handle uintptr) Device {
	d := Device{Kind: device.GPU}
	if text := n.box(nvmlText); n.tells("nvmlDeviceGetName", handle, text.address(), text.size()) {
		d.Name = text.string()
	}
	if text := n.box(nvmlText); n.tells("nvmlDeviceGetUUID", handle, text.address(), text.size()) {
		d.UUID = text.string()
	}
	if at := n.box(nvmlPCISize); n.tells("nvmlDeviceGetPciInfo_v3", handle, at.address()) {
		d.Bus, d.Address = "pci", pciAddress(at.word(nvmlPCIDomain), at.word(nvmlPCIBus), at.word(nvmlPCIDevice), 0)
	}
	if minor := n.box(4); n.tells("nvmlDeviceGetMinorNumber", handle, minor.address()) {
		d.Node = fmt.Sprintf("/dev/nvidia%d", minor.word(0))
	}
	if memory := n.box(nvmlMemorySize); n.tells("nvmlDeviceGetMemoryInfo", handle, memory.address()) {
		d.MemoryTotalBytes, d.MemoryFreeBytes = memory.bytes(0), memory.bytes(8)
	}
	if busy := n.box(8); n.tells("nvmlDeviceGetUtilizationRates", handle, busy.address()) { // {unsigned gpu, memory}, in percent
		d.BusyPercent = new(float64(busy.word(0)))
	}
	const sensor = 0 // NVML_TEMPERATURE_GPU
	if celsius := n.box(4); n.tells("nvmlDeviceGetTemperature", handle, sensor, celsius.address()) {
		d.Celsius = new(float64(celsius.word(0)))
	}
	if milliwatts := n.box(4); n.tells("nvmlDeviceGetPowerUsage", handle, milliwatts.address()) {
		d.Watts = new(float64(milliwatts.word(0)) / 1000)
	}
	return d
}

// pciAddress writes an address as the kernel does.
func pciAddress(domain, bus, slot, function uint32) string {
	return fmt.Sprintf("%04x:%02x:%02x.%x", domain, bus, slot, function)
}
