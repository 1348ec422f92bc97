package vendorprobe

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"unicode"

	"verge/internal/device"
	"verge/internal/fault"
)

// The names of the libraries that are known.
const (
	NVML     = "nvml"
	CUDA     = "cuda"
	EdgeTPU  = "edgetpu"
	OpenVINO = "openvino"
)

// Answer is what one library says. In JSON it is what the process of Main writes.
type Answer struct {
	Name    string   `json:"name"`
	Library string   `json:"library,omitempty"` // path of the file that was opened
	Version string   `json:"version,omitempty"` // of the driver (NVML), of CUDA, or the library's own
	Devices []Device `json:"devices"`
	Error   string   `json:"error,omitempty"` // why there is no answer, or none of some device; names the library
}

// Device is one accelerator as a library sees it. What it does not tell is absent,
// which is not 0.
type Device struct {
	Kind             string   `json:"kind"` // of device.Kinds
	Name             string   `json:"name,omitempty"`
	UUID             string   `json:"uuid,omitempty"`
	Bus              string   `json:"bus,omitempty"`     // "pci", "usb"
	Address          string   `json:"address,omitempty"` // as /sys has it: "0000:01:00.0", "2-1"
	Node             string   `json:"node,omitempty"`    // in /dev
	Capability       string   `json:"compute_capability,omitempty"`
	Unified          bool     `json:"unified,omitempty"` // it shares the machine's memory
	MemoryTotalBytes *int64   `json:"memory_total_bytes,omitempty"`
	MemoryFreeBytes  *int64   `json:"memory_free_bytes,omitempty"`
	BusyPercent      *float64 `json:"busy_percent,omitempty"`
	Celsius          *float64 `json:"celsius,omitempty"`
	Watts            *float64 `json:"watts,omitempty"`
}

// What an answer may have.
const (
	maxDevices = 64
	maxName    = 256 // bytes of a text
	maxError   = 1024
)

// parse reads an answer. It fails with fault.Corrupt where data is not one. Figures
// that no device has are left out, and texts cut and cleaned.
func parse(data []byte) (Answer, error) {
	const op = "vendorprobe.parse"
	var a Answer
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a); err != nil {
		return Answer{}, fault.New(fault.Corrupt, op, "its answer cannot be read: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return Answer{}, fault.New(fault.Corrupt, op, "its answer goes on behind its end")
	}
	if len(a.Devices) > maxDevices {
		return Answer{}, fault.New(fault.Corrupt, op, "its answer has %d devices, at most %d are read", len(a.Devices), maxDevices)
	}
	if a.Devices == nil {
		a.Devices = []Device{}
	}
	a.Version, a.Error = clean(a.Version, maxName), clean(a.Error, maxError)
	for i := range a.Devices {
		d := &a.Devices[i]
		if !slices.Contains(device.Kinds(), d.Kind) {
			return Answer{}, fault.New(fault.Corrupt, op, "its answer has a device of kind %s, want one of %s", fault.Quote(d.Kind), strings.Join(device.Kinds(), ", "))
		}
		d.sanitise()
	}
	return a, nil
}

// sanitise takes out what cannot be.
func (d *Device) sanitise() {
	for _, text := range []*string{&d.Name, &d.UUID, &d.Bus, &d.Address, &d.Node, &d.Capability} {
		*text = clean(*text, maxName)
	}
	const mostBytes = 1 << 50
	d.MemoryTotalBytes = within(d.MemoryTotalBytes, 1, mostBytes)
	if d.MemoryFreeBytes = within(d.MemoryFreeBytes, 0, mostBytes); d.MemoryTotalBytes != nil {
		d.MemoryFreeBytes = within(d.MemoryFreeBytes, 0, *d.MemoryTotalBytes)
	}
	const mostWatts = 10_000
	d.BusyPercent = within(d.BusyPercent, 0, 100)
	d.Celsius = within(d.Celsius, -60, 200)
	d.Watts = within(d.Watts, 0, mostWatts)
}

// within returns the figure, or nil where it is out of range.
func within[T int64 | float64](figure *T, least, most T) *T {
	if figure == nil || *figure < least || *figure > most {
		return nil
	}
	return figure
}

// clean returns a text of a library fit to be shown, on one line and of at most that
// many bytes.
func clean(text string, most int) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, ""), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if len(text) > most {
		text = strings.TrimSpace(strings.ToValidUTF8(text[:most], ""))
	}
	return text
}
