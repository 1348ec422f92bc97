package litert

import (
	"fmt"
	"strings"

	"verge/internal/fault"
	"verge/internal/inference"
)

// Names of what a model can run on, as providers. With the classic library, the path
// of an external delegate is one too.
const (
	providerXNNPACK   = "XNNPACK"
	providerBuiltin   = "Builtin"
	providerReference = "Reference"
	providerGPU       = "GPU"
	providerNPU       = "NPU"
	providerEdgeTPU   = "EdgeTPU"
)

// place is where a model may run.
type place struct {
	name        string // of its provider
	device      string
	accelerator bool // it is more than the CPU
	fragile     bool // it may fail for a model that the CPU's own operators run
	single      bool // it takes one run at a time

	mask    int32                                  // LiteRT: of accelerators
	kernels string                                 // LiteRT: for operators that stay on the CPU
	make    func(threads int) (delegate, *failure) // classic: makes the delegate; nil for none
}

// offer is what a library can run models on here.
type offer struct {
	library string // with its version: "LiteRT 2.3.0"
	places  []place
	// other finds a place that is none of these, or says why it is not there, as
	// "libedgetpu finds no device"; "" where there is no such thing.
	other func(p inference.Provider, device string) (place, string)
}

// names are the providers that are there without looking for more.
func (of offer) names() []string {
	var names []string
	for _, p := range of.places {
		names = append(names, p.name)
	}
	return names
}

// find returns the place of a provider, or says why it is not there.
func (of offer) find(p inference.Provider, device string) (place, string, *fault.Error) {
	for _, known := range of.places {
		if known.name != p.Name {
			continue
		}
		if len(p.Options) > 0 {
			return place{}, "", fault.New(fault.Invalid, "litert.load", "provider %s takes no options", p.Name)
		}
		return known, "", nil
	}
	found, why := of.other(p, device)
	if why == "" && found.name == "" {
		why = fmt.Sprintf("%s has %s here", of.library, strings.Join(of.names(), ", "))
	}
	return found, why, nil
}

// cpu is where a model runs on the CPU, in order: without optimisation, each operator
// is run as it stands in the file.
func (of offer) cpu(o inference.Options) []place {
	var try []place
	for _, p := range of.places {
		switch {
		case p.name == providerXNNPACK && o.OptimizationLevel > 0:
			try = append(try, p)
		case p.name == providerBuiltin && (len(try) == 0 || try[0].fragile):
			try = append(try, p)
		}
	}
	return try
}

// choice is where to try to run a model, in order, and what was asked for.
type choice struct {
	try                  []place
	requested, fallbacks []string
}

// choose decides where to run a model, and says what was asked for and is not there.
// A device that the library has no accelerator for is refused unless
// Options.Fallback is "cpu", a provider unless it is other than "none".
func (of offer) choose(o inference.Options) (c choice, err *fault.Error) {
	const op = "litert.load"
	cpu := of.cpu(o)
	wanted, known := map[string]string{"gpu": providerGPU, "npu": providerNPU, "tpu": providerEdgeTPU}[o.Device]
	switch {
	case inference.OnCPU(o.Device):
		c.requested, c.try = []string{cpu[0].name}, cpu
	case !known:
		return c, fault.New(fault.Invalid, op, "device %q, want cpu, gpu, npu, tpu, mobile or embedded", o.Device)
	}
	switch {
	case len(o.Providers) > 0:
		return of.named(o)
	case c.try != nil:
		return c, nil
	}
	c.requested = []string{wanted}
	p, why, _ := of.find(inference.Provider{Name: wanted}, o.Device) // without options, it does not fail
	switch {
	case why == "":
		if c.try = []place{p}; o.Fallback != "none" {
			c.try = append(c.try, cpu...)
		}
		return c, nil
	case o.Fallback != "cpu":
		return c, fault.New(fault.Unsupported, op, "device %s: %s", o.Device, why).
			WithHint("Set deployment.device_type to cpu, or deployment.fallback to cpu.")
	}
	c.try, c.fallbacks = cpu, []string{fmt.Sprintf("device %s: %s; the CPU is used", o.Device, why)}
	return c, nil
}

// named is choose where providers were named.
func (of offer) named(o inference.Options) (c choice, err *fault.Error) {
	for _, provider := range o.Providers {
		c.requested = append(c.requested, provider.Name)
		p, why, err := of.find(provider, o.Device)
		switch {
		case err != nil:
			return c, err
		case why == "":
			c.try = append(c.try, p)
			continue
		case o.Fallback == "none":
			return c, fault.New(fault.Unsupported, "litert.load", "provider %s: %s", provider.Name, why).
				WithHint("Set deployment.fallback to cpu, or name one of these.")
		}
		c.fallbacks = append(c.fallbacks, fmt.Sprintf("provider %s: %s; the next one is used", provider.Name, why))
	}
	if last := len(c.try) - 1; o.Fallback != "none" && (last < 0 || c.try[last].fragile) {
		for _, p := range of.cpu(o) {
			if last < 0 || p.name != c.try[last].name {
				c.try = append(c.try, p)
			}
		}
	}
	return c, nil
}
