package vendorprobe

import (
	"errors"
	"fmt"
	"strings"

	"verge/internal/device"
	"verge/internal/native"
)

// Of CUdevice_attribute in cuda.h.
const (
	cudaIntegrated      = 18 // the device shares the machine's memory
	cudaCapabilityMajor = 75
	cudaCapabilityMinor = 76
)

// askCUDA asks NVIDIA's CUDA driver. It makes no context, and so takes no memory of a
// device.
func askCUDA(open *native.Library) (a Answer, err error) {
	l, err := bind(open,
		[]string{"cuInit", "cuDeviceGetCount", "cuDeviceGet"},
		[]string{
			"cuDriverGetVersion", "cuDeviceGetName", "cuDeviceGetAttribute", "cuDeviceTotalMem_v2", "cuDeviceGetPCIBusId",
			"cuGetErrorName", "cuGetErrorString",
		})
	if err != nil {
		return a, err
	}
	c := cuda{l}
	if version := l.box(4); c.tells("cuDriverGetVersion", version.address()) { // 12080 is 12.8
		a.Version = fmt.Sprintf("%d.%d", version.word(0)/1000, version.word(0)/10%100)
	}
	if err = c.check("cuInit", 0); err != nil {
		return a, err
	}
	count := l.box(4)
	if err = c.check("cuDeviceGetCount", count.address()); err != nil {
		return a, err
	}
	for i := range min(count.word(0), maxDevices) {
		ordinal := l.box(4)
		if failed := c.check("cuDeviceGet", ordinal.address(), uintptr(i)); failed != nil {
			err = errors.Join(err, fmt.Errorf("device %d: %w", i, failed))
			continue
		}
		a.Devices = append(a.Devices, c.device(uintptr(ordinal.word(0))))
	}
	return a, err
}

// cuda is the open driver.
type cuda struct{ *library }

// check calls a function, and returns what the driver says where it fails.
func (c cuda) check(name string, args ...uintptr) error {
	result := c.call(name, args...)
	if result == 0 {
		return nil
	}
	code, text := "", "the driver gives no reason"
	for function, to := range map[string]*string{"cuGetErrorName": &code, "cuGetErrorString": &text} {
		if told := c.box(8); c.tells(function, uintptr(uint32(result)), told.address()) { //nolint:gosec // passed on as it is
			*to = native.String(told.pointer(), maxName)
		}
	}
	if code == "" {
		code = fmt.Sprintf("CUDA error %d", result)
	}
	return fmt.Errorf("%s: %s (%s)", name, text, code)
}

// tells calls a function that may be missing, and says whether it has answered.
func (c cuda) tells(name string, args ...uintptr) bool {
	return c.has(name) && c.call(name, args...) == 0
}

// device asks for all of one device.
func (c cuda) device(ordinal uintptr) Device {
	d := Device{Kind: device.GPU}
	if name := c.box(maxName); c.tells("cuDeviceGetName", name.address(), name.size(), ordinal) {
		d.Name = name.string()
	}
	major, majorOK := c.attribute(cudaCapabilityMajor, ordinal)
	minor, minorOK := c.attribute(cudaCapabilityMinor, ordinal)
	if majorOK && minorOK {
		d.Capability = fmt.Sprintf("%d.%d", major, minor)
	}
	integrated, ok := c.attribute(cudaIntegrated, ordinal)
	d.Unified = ok && integrated != 0
	if total := c.box(8); c.tells("cuDeviceTotalMem_v2", total.address(), ordinal) {
		d.MemoryTotalBytes = total.bytes(0)
	}
	const busID = 32
	if at := c.box(busID); c.tells("cuDeviceGetPCIBusId", at.address(), at.size(), ordinal) {
		var domain, bus, slot, function uint32 // "0000:01:00.0", in hexadecimal of any case
		if n, err := fmt.Sscanf(strings.ToLower(at.string()), "%x:%x:%x.%x", &domain, &bus, &slot, &function); err == nil && n == 4 {
			d.Bus, d.Address = "pci", pciAddress(domain, bus, slot, function)
		}
	}
	return d
}

func (c cuda) attribute(attribute, ordinal uintptr) (uint32, bool) {
	value := c.box(4)
	ok := c.tells("cuDeviceGetAttribute", value.address(), attribute, ordinal)
	return value.word(0), ok
}
