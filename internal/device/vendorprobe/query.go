package vendorprobe

import (
	"slices"

	"verge/internal/device"
)

// Query is a library to ask.
type Query struct {
	Name  string   // NVML, CUDA, EdgeTPU or OpenVINO
	Paths []string // absolute, of files that may be it; none: it is missed
}

// files are the names of the libraries' files that are in the system's folders.
var files = []struct{ name, file string }{ //nolint:gochecknoglobals // a constant table
	{NVML, "libnvidia-ml.so.1"}, {CUDA, "libcuda.so.1"}, {EdgeTPU, "libedgetpu.so.1"},
}

// Queries returns the libraries to ask on a machine with these accelerators: those
// that the system has, and OpenVINO's at that path where there is something of Intel's
// that it could know; "" where it is not installed. NVML is asked for as well where
// the driver that it comes with is there and it is not. The machine has to be the one
// that this process runs on.
func Queries(m *device.Machine, accelerators []device.Accelerator, openvino string) []Query {
	var queries []Query
	libraries := m.Libraries()
	for _, known := range files {
		paths := libraries.Find(known.file)
		missed := known.name == NVML && slices.ContainsFunc(accelerators, func(a device.Accelerator) bool { return a.Driver == "nvidia" })
		if len(paths) > 0 || missed {
			queries = append(queries, Query{known.name, paths})
		}
	}
	intel := func(a device.Accelerator) bool {
		return a.Vendor == "Intel" && (a.Kind == device.GPU || a.Kind == device.NPU)
	}
	if openvino != "" && slices.ContainsFunc(accelerators, intel) {
		queries = append(queries, Query{OpenVINO, []string{openvino}})
	}
	return queries
}
