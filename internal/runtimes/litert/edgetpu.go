package litert

import (
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"verge/internal/native"
)

// edgeTPUOperator is the custom operator that the Edge TPU's compiler puts in the
// place of those that it compiled.
const edgeTPUOperator = "edgetpu-custom-op"

// Values of enum edgetpu_device_type.
const (
	edgeTPUOnPCI = 0
	edgeTPUOnUSB = 1
)

// edgeTPUDevice is a struct edgetpu_device of libedgetpu's edgetpu_c.h.
type edgeTPUDevice struct {
	kind int32
	_    int32
	path uintptr
}

// edgeTPUOption is a struct edgetpu_option.
type edgeTPUOption struct {
	name, value uintptr
}

// edgeTPULibraries are the paths where libedgetpu may lie, the first to be tried
// first: beside the library, and where the system's packages put it.
func edgeTPULibraries(library string) []string {
	const file = "libedgetpu.so.1"
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	return []string{
		filepath.Join(filepath.Dir(library), file), filepath.Join("/usr/local/lib", file),
		filepath.Join("/usr/lib", triplet, file), filepath.Join("/lib", triplet, file), filepath.Join("/usr/lib64", file), filepath.Join("/usr/lib", file),
	}
}

// edgeTPU is libedgetpu, of which one device is used.
type edgeTPU struct {
	create, free uintptr
	kind         int32
	path         string // of the device, as the library calls it
	options      map[string]string
}

// findEdgeTPU is the place of an Edge TPU, by libedgetpu at the first of the paths
// that is there. The option "device" chooses among several, as PyCoral does: ":1" is
// the second of all, "usb" the first on USB, "pci:1" the second on PCIe. The other
// options are libedgetpu's. The second result says why there is none.
func findEdgeTPU(paths []string, options map[string]string) (place, string) {
	at := slices.IndexFunc(paths, exists)
	if at < 0 {
		return place{}, "libedgetpu.so.1 is not installed"
	}
	library, err := native.Open(paths[at])
	if err != nil {
		return place{}, paths[at] + ": " + unsubject(err)
	}
	var list, freeList, create, free uintptr
	for name, to := range map[string]*uintptr{
		"edgetpu_list_devices": &list, "edgetpu_free_devices": &freeList, "edgetpu_create_delegate": &create, "edgetpu_free_delegate": &free,
	} {
		if *to, err = library.Symbol(name); err != nil {
			return place{}, paths[at] + ": it has no function " + name
		}
	}
	tpu := &edgeTPU{create: create, free: free, options: maps.Clone(options)}
	wanted := options["device"]
	delete(tpu.options, "device")
	if why := tpu.choose(list, freeList, wanted); why != "" {
		return place{}, why
	}
	return place{name: providerEdgeTPU, device: "tpu", accelerator: true, fragile: true, single: true, make: tpu.delegate}, ""
}

// choose takes the device that is wanted from the library's list.
func (e *edgeTPU) choose(list, freeList uintptr, wanted string) (why string) {
	kind, index, ok := parseEdgeTPU(wanted)
	if !ok {
		return fmt.Sprintf("the option device is %q, want :N, usb, usb:N, pci or pci:N", wanted)
	}
	var count uintptr
	devices := native.Call(list, uintptr(unsafe.Pointer(&count)))
	if devices == 0 {
		count = 0
	} else {
		defer native.Call(freeList, devices)
	}
	const most = 256
	for _, d := range native.Array[edgeTPUDevice](devices, int(min(count, most))) {
		if kind >= 0 && d.kind != kind {
			continue
		}
		if index == 0 {
			e.kind, e.path = d.kind, native.String(d.path, maxText)
			return ""
		}
		index--
	}
	if count == 0 {
		return "libedgetpu finds no Edge TPU on USB or PCIe"
	}
	return fmt.Sprintf("libedgetpu finds %d of them, none is %q", count, wanted)
}

// parseEdgeTPU reads the option device. A kind of -1 is either.
func parseEdgeTPU(wanted string) (kind int32, index int, ok bool) {
	bus, number, numbered := strings.Cut(wanted, ":")
	kind, ok = map[string]int32{"": -1, "pci": edgeTPUOnPCI, "usb": edgeTPUOnUSB}[bus]
	if ok && numbered {
		var err error
		index, err = strconv.Atoi(number)
		ok = err == nil && index >= 0
	}
	return kind, index, ok
}

// delegate makes a delegate for the device.
func (e *edgeTPU) delegate(int) (delegate, *failure) {
	var pins runtime.Pinner
	defer pins.Unpin()
	path, f := pinText(&pins, e.path)
	if f != nil {
		return delegate{}, f
	}
	options := make([]edgeTPUOption, 0, len(e.options)+1)
	keys, values, f := texts(&pins, e.options)
	if f != nil {
		return delegate{}, f
	}
	for i := range keys {
		options = append(options, edgeTPUOption{keys[i], values[i]})
	}
	d := delegate{free: e.free}
	d.handle = native.Call(e.create, uintptr(e.kind), path, uintptr(unsafe.Pointer(unsafe.SliceData(options))), uintptr(len(options))) //nolint:gosec // 0 or 1
	if d.handle == 0 {
		return delegate{}, &failure{status: statusNoLibrary, text: "libedgetpu could not use the device " + e.path + "; it may be in use, or this user may not open it"}
	}
	return d, nil
}
