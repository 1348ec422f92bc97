package openvino

import (
	"fmt"
	"slices"
	"strings"

	"verge/internal/fault"
	"verge/internal/inference"
)

// cpuDevice is the library's name of the processor.
const cpuDevice = "CPU"

// target is a device that a model may be compiled for.
type target struct {
	device  string            // the library's name: "GPU.0", "AUTO:GPU,CPU"
	what    string            // how it was asked for, for messages: "device gpu", "provider GPU"
	options map[string]string // properties that the user set
	hint    string            // what to do when it does not work
}

// placement says where a session may run, and what was asked for.
type placement struct {
	requested []string // devices, in order of preference
	targets   []target // those that are there, in the order to try them
	reasons   []string // why others are not among them: "provider GPU: …"
	limits    []string // sentences on what else is not as it was asked for
	strict    bool     // the first target has to do
}

// deviceNames are the library's devices for each kind of device.
var deviceNames = map[string]string{ //nolint:gochecknoglobals // a constant table
	"gpu": "GPU", "npu": "NPU", "tpu": "",
}

// virtualDevices use other devices, which may stand behind a colon. Whether they can
// is found out by compiling.
var virtualDevices = []string{"AUTO", "BATCH", "HETERO", "MULTI"} //nolint:gochecknoglobals // a constant table

// Hints of a placement that does not work.
const (
	deviceHint   = "Set deployment.device_type to cpu, or deployment.fallback to cpu."
	providerHint = "Set deployment.fallback to cpu, or name CPU."
)

// place decides where a model may run. A kind of device that is not there is refused
// unless Options.Fallback is "cpu", a provider unless it is other than "none". The
// targets end with the processor, unless Options.Fallback is "none" and it was not
// asked for.
func place(info inference.RuntimeInfo, o inference.Options) (placement, *fault.Error) {
	const op = "openvino.load"
	has := fmt.Sprintf("OpenVINO %s has %s", info.Version, strings.Join(info.Providers, ", "))
	p := placement{strict: o.Fallback == "none"}
	if !inference.OnCPU(o.Device) {
		if err := p.kind(info, o, has); err != nil {
			return p, err
		}
	}
	if len(o.Providers) > 0 {
		p.requested, p.targets = nil, nil
	}
	for _, provider := range o.Providers {
		p.requested = append(p.requested, provider.Name)
		what := "provider " + provider.Name
		if !available(info.Providers, provider.Name) {
			reason := what + ": " + has
			if p.strict && len(p.targets) == 0 {
				return p, fault.New(fault.Unsupported, op, "%s", reason).WithHint(providerHint)
			}
			p.reasons = append(p.reasons, reason)
			continue
		}
		p.targets = append(p.targets, target{device: provider.Name, what: what, options: provider.Options, hint: providerHint})
		if provider.Name == cpuDevice {
			break // what stands behind it is never reached
		}
	}
	if len(p.requested) == 0 {
		p.requested = []string{cpuDevice}
	}
	if len(p.targets) == 0 || !p.strict && p.targets[len(p.targets)-1].device != cpuDevice {
		p.targets = append(p.targets, target{device: cpuDevice, what: "device cpu"})
	}
	return p, nil
}

// kind adds the device of the kind that was asked for.
func (p *placement) kind(info inference.RuntimeInfo, o inference.Options, has string) *fault.Error {
	const op = "openvino.load"
	device, known := deviceNames[o.Device]
	if !known {
		return fault.New(fault.Invalid, op, "device %q, want cpu, gpu, npu, tpu, mobile or embedded", o.Device)
	}
	what := "device " + o.Device
	reason := fmt.Sprintf("%s: looked for %s; %s", what, device, has)
	if device != "" {
		p.requested = []string{device}
	} else {
		reason = what + ": OpenVINO has no device for it"
	}
	switch {
	case device != "" && available(info.Providers, device):
		p.targets = []target{{device: device, what: what, hint: deviceHint}}
	case o.Fallback != "cpu":
		return fault.New(fault.Unsupported, op, "%s", reason).WithHint(deviceHint)
	default:
		p.reasons = append(p.reasons, reason)
	}
	return nil
}

// base returns the name of a device without its number and what it uses: "GPU" of
// "GPU.1", "AUTO" of "AUTO:GPU,CPU".
func base(device string) string {
	if i := strings.IndexAny(device, ".:("); i >= 0 {
		return device[:i]
	}
	return device
}

// available reports whether the library has a device: by its name, or as one of a
// number of its kind. A virtual device is taken to be there.
func available(devices []string, device string) bool {
	if slices.Contains(virtualDevices, base(device)) {
		return true
	}
	return slices.ContainsFunc(devices, func(d string) bool { return d == device || base(d) == device || d+".0" == device })
}

// fallbacks returns a sentence for each device that was asked for and is not used, and
// for what else is not.
func (p *placement) fallbacks(used string) []string {
	if used == cpuDevice {
		used = "the CPU"
	}
	var list []string
	for _, reason := range p.reasons {
		list = append(list, fmt.Sprintf("%s; %s is used", reason, used))
	}
	return append(list, p.limits...)
}
