package vendorprobe

import (
	"errors"
	"fmt"
	"strings"

	"verge/internal/device"
	"verge/internal/native"
)

// askOpenVINO asks OpenVINO for the devices that its plugins find, other than the
// processor (openvino/c/ov_core.h, ov_common.h).
func askOpenVINO(open *native.Library) (a Answer, err error) {
	l, err := bind(open,
		[]string{"ov_core_create", "ov_core_get_available_devices", "ov_core_get_property"},
		[]string{"ov_get_openvino_version", "ov_get_last_err_msg"})
	if err != nil {
		return a, err
	}
	o := openVINO{l}
	if version := l.box(16); l.has("ov_get_openvino_version") && o.call("ov_get_openvino_version", version.address()) == 0 { // ov_version_t: {char *buildNumber, *description}
		a.Version = native.String(version.pointer(), maxName)
	}
	core, list := l.box(8), l.box(16) // list is ov_available_devices_t: {char **devices; size_t size}
	if err = o.check("ov_core_create", core.address()); err != nil {
		return a, err
	}
	if err = o.check("ov_core_get_available_devices", core.pointer(), list.address()); err != nil {
		return a, err
	}
	for _, address := range native.Words(list.pointer(), int(min(list.long(8), maxDevices))) {
		name := native.String(address, maxName)
		family, _, _ := strings.Cut(name, ".") // "GPU.1" is the second of them
		kind := map[string]string{"GPU": device.GPU, "NPU": device.NPU}[family]
		if kind == "" {
			continue
		}
		d := Device{Kind: kind}
		var failed error
		if d.Name, failed = o.property(core.pointer(), name, "FULL_DEVICE_NAME"); failed != nil {
			err = errors.Join(err, fmt.Errorf("device %s: %w", name, failed))
			continue
		}
		if where, failed := o.property(core.pointer(), name, "DEVICE_PCI_INFO"); failed == nil {
			d.Bus, d.Address = pciInfo(where)
		}
		if form, failed := o.property(core.pointer(), name, "DEVICE_TYPE"); failed == nil {
			d.Unified = strings.EqualFold(form, "integrated")
		}
		a.Devices = append(a.Devices, d)
	}
	return a, err
}

// openVINO is the open library.
type openVINO struct{ *library }

// check calls a function, and returns what the library says where it fails.
func (o openVINO) check(name string, args ...uintptr) error {
	status := o.call(name, args...)
	if status == 0 {
		return nil
	}
	text := ""
	if o.has("ov_get_last_err_msg") {
		text = clean(native.String(native.Call(o.functions["ov_get_last_err_msg"]), maxError), maxError)
	}
	if text == "" {
		text = "the library gives no reason"
	}
	return fmt.Errorf("%s: %s (status %d)", name, text, status)
}

// property returns a property of a device, as text.
func (o openVINO) property(core uintptr, name, key string) (string, error) {
	value := o.box(8)
	if err := o.check("ov_core_get_property", core, o.text(name).address(), o.text(key).address(), value.address()); err != nil {
		return "", err
	}
	return native.String(value.pointer(), maxName), nil
}

// pciInfo reads the form of ov::device::PCIInfo (openvino/runtime/properties.hpp),
// whose numbers are decimal but for the third.
func pciInfo(text string) (bus, address string) {
	var domain, number, slot, function uint32
	if n, err := fmt.Sscanf(text, "{domain: %d bus: %d device: 0x%x function: %d}", &domain, &number, &slot, &function); err != nil || n != 4 {
		return "", ""
	}
	return "pci", pciAddress(domain, number, slot, function)
}
