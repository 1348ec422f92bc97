package litert

import (
	"fmt"
	"strings"

	"verge/internal/fault"
	"verge/internal/inference"
)

// Names of what a model can run on, as providers.
const (
	providerXNNPACK   = "XNNPACK"
	providerBuiltin   = "Builtin"
	providerReference = "Reference"
	providerGPU       = "GPU"
	providerNPU       = "NPU"
)

// place is where a model may run.
type place struct {
	name    string // of its provider
	device  string
	mask    int32
	kernels string // for operators that stay on the CPU
}

// allPlaces are the places, by provider.
func allPlaces() []place {
	return []place{
		{providerXNNPACK, "cpu", onCPU, kernelsXNNPACK},
		{providerBuiltin, "cpu", onCPU, kernelsBuiltin},
		{providerReference, "cpu", onCPU, kernelsReference},
		{providerGPU, "gpu", onGPU | onCPU, kernelsXNNPACK},
		{providerNPU, "npu", onNPU | onCPU, kernelsXNNPACK},
	}
}

// providers names what runs the model: the accelerator, and the CPU for what it left.
func (p place) providers(c *compiled) []string {
	if p.device == "cpu" || c.accelerated() {
		return []string{p.name}
	}
	return []string{p.name, providerXNNPACK}
}

// providerNames are the providers that this library has.
func providerNames(env *environment) []string {
	var names []string
	for _, p := range allPlaces() {
		if p.device == "cpu" || env.has(p.mask&^onCPU) {
			names = append(names, p.name)
		}
	}
	return names
}

// cpuPlace is where a model runs on the CPU: without optimisation, each operator is
// run as it stands in the file.
func cpuPlace(o inference.Options) place {
	if o.OptimizationLevel <= 0 {
		return allPlaces()[1]
	}
	return allPlaces()[0]
}

// places decides where to try to run a model, in order, and says what was asked for
// and is not there. A device that the library has no accelerator for is refused
// unless Options.Fallback is "cpu", a provider unless it is other than "none".
func (e *environment) places(version string, o inference.Options) (try []place, requested, fallbacks []string, failure *fault.Error) {
	const op = "litert.load"
	has := fmt.Sprintf("LiteRT %s has %s here", version, strings.Join(providerNames(e), ", "))
	cpu := cpuPlace(o)
	wanted, known := map[string]string{"gpu": providerGPU, "npu": providerNPU, "tpu": "EdgeTPU"}[o.Device]
	switch {
	case inference.OnCPU(o.Device):
		wanted = cpu.name
	case !known:
		return nil, nil, nil, fault.New(fault.Invalid, op, "device %q, want cpu, gpu, npu, tpu, mobile or embedded", o.Device)
	}
	if len(o.Providers) > 0 {
		return e.named(has, o)
	}
	requested = []string{wanted}
	if p, ok := e.find(wanted); ok {
		if try = []place{p}; p.device != "cpu" && o.Fallback != "none" {
			try = append(try, cpu)
		}
		return try, requested, nil, nil
	}
	reason := fmt.Sprintf("device %s: %s", o.Device, has)
	if o.Device == "tpu" {
		reason = "device tpu: an Edge TPU needs libedgetpu and the classic TensorFlow Lite library, which this adapter does not drive"
	}
	if o.Fallback != "cpu" {
		return nil, nil, nil, fault.New(fault.Unsupported, op, "%s", reason).
			WithHint("Set deployment.device_type to cpu, or deployment.fallback to cpu.")
	}
	return []place{cpu}, requested, []string{reason + "; the CPU is used"}, nil
}

// find returns a place that the library has.
func (e *environment) find(name string) (place, bool) {
	for _, p := range allPlaces() {
		if p.name == name && (p.device == "cpu" || e.has(p.mask&^onCPU)) {
			return p, true
		}
	}
	return place{}, false
}

// named is places where providers were named.
func (e *environment) named(has string, o inference.Options) (try []place, requested, fallbacks []string, failure *fault.Error) {
	const op = "litert.load"
	for _, provider := range o.Providers {
		requested = append(requested, provider.Name)
		if len(provider.Options) > 0 {
			return nil, nil, nil, fault.New(fault.Invalid, op, "provider %s takes no options", provider.Name)
		}
		if p, ok := e.find(provider.Name); ok {
			try = append(try, p)
			continue
		}
		reason := fmt.Sprintf("provider %s: %s", provider.Name, has)
		if o.Fallback == "none" {
			return nil, nil, nil, fault.New(fault.Unsupported, op, "%s", reason).
				WithHint("Set deployment.fallback to cpu, or name one of these.")
		}
		fallbacks = append(fallbacks, reason+"; the next one is used")
	}
	cpu := cpuPlace(o)
	if o.Fallback != "none" && (len(try) == 0 || try[len(try)-1].device != "cpu") {
		try = append(try, cpu)
	}
	return try, requested, fallbacks, nil
}
