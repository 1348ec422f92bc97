package vendorprobe

import (
	"path"
	"strings"

	"verge/internal/device"
	"verge/internal/native"
)

// edgeTPU is struct edgetpu_device of edgetpu_c.h.
type edgeTPU struct {
	kind int32   // 0 on PCI, 1 on USB
	path uintptr // to a C string: "/dev/apex_0", "/sys/bus/usb/devices/2-1"
}

// askEdgeTPU asks libedgetpu. The devices are listed, and none is opened.
func askEdgeTPU(open *native.Library) (a Answer, err error) {
	l, err := bind(open, []string{"edgetpu_list_devices"}, []string{"edgetpu_version", "edgetpu_free_devices"})
	if err != nil {
		return a, err
	}
	if l.has("edgetpu_version") {
		a.Version = native.String(native.Call(l.functions["edgetpu_version"]), maxName)
	}
	count := l.box(8)
	list := native.Call(l.functions["edgetpu_list_devices"], count.address())
	for _, listed := range native.Array[edgeTPU](list, int(min(count.long(0), maxDevices))) {
		where := native.String(listed.path, maxName)
		d := Device{Kind: device.TPU, Name: "Edge TPU"}
		switch {
		case listed.kind == 1:
			d.Bus, d.Address = "usb", path.Base(where)
		case strings.HasPrefix(where, "/dev/"):
			d.Node = where
		}
		a.Devices = append(a.Devices, d)
	}
	if list != 0 && l.has("edgetpu_free_devices") {
		native.Call(l.functions["edgetpu_free_devices"], list)
	}
	return a, nil
}
