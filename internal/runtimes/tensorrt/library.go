package tensorrt

import (
	"fmt"
	"strings"

	"verge/internal/fault"
	"verge/internal/native"
)

// maxText is the longest text of the library that is read, in bytes.
const maxText = 16 << 10

// library is an open libnvinfer.so or libnvinfer_lean.so. It never changes.
type library struct {
	path    string
	version string // "10.16.0"
	number  uintptr
	layout  *layout
	create  uintptr // createInferRuntime_INTERNAL(logger, version) → runtime
	tables  tables
}

// bind finds the functions of an open library, and refuses one whose layout is not
// known.
func bind(open *native.Library) (*library, error) {
	const op = "tensorrt.open"
	getVersion, err := open.Symbol("getInferLibVersion")
	if err != nil {
		return nil, fault.New(fault.Unsupported, op, "not TensorRT: it has no function getInferLibVersion").On(open.Path()).
			WithHint("Name the file libnvinfer.so.10, libnvinfer_lean.so.10, or the like of version 11.")
	}
	number := int(int32(native.Call(getVersion))) //nolint:gosec // the function returns an int32_t
	l := &library{path: open.Path(), number: uintptr(number)}
	l.tables.good = map[[2]uintptr]bool{}
	l.tables.dims = map[uintptr]func(this, name, profile, selector uintptr) dims{}
	major, minor, patch := split(number)
	l.version = fmt.Sprintf("%d.%d.%d", major, minor, patch)
	if l.layout = find(major, minor); l.layout == nil {
		age := "not known to this build"
		if major < layouts[0].major || major == layouts[0].major && minor < layouts[0].firstMinor {
			age = "too old"
		} else if newest := layouts[len(layouts)-1]; major > newest.major || major == newest.major && minor > newest.minor {
			age = "newer than this build knows"
		}
		return nil, fault.New(fault.Unsupported, op, "TensorRT %d.%d is %s, want %s", major, minor, age, known()).On(open.Path()).
			WithHint("Install a version that this build knows, and build the engine with it.")
	}
	if l.create, err = open.Symbol("createInferRuntime_INTERNAL"); err != nil {
		return nil, err
	}
	return l, nil
}

// split takes the number of a version apart: 101600 is 10.16.0. Before version 10, it
// had less digits: 8601 is 8.6.1 (NvInferRuntimeBase.h, NV_TENSORRT_VERSION_INT).
func split(number int) (major, minor, patch int) {
	if number < 10_00_00 {
		return number / 1000, number / 100 % 10, number % 100
	}
	return number / 10_000, number / 100 % 100, number % 100
}

// find returns the layout of a version, or nil.
func find(major, minor int) *layout {
	for i := range layouts {
		if l := &layouts[i]; l.major == major && minor >= l.firstMinor && minor <= l.minor {
			return l
		}
	}
	return nil
}

// known names the versions whose layout is known.
func known() string {
	var all []string
	for _, l := range layouts {
		all = append(all, fmt.Sprintf("%d.%d to %d.%d", l.major, l.firstMinor, l.major, l.minor))
	}
	return strings.Join(all, " or ")
}
