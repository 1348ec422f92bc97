package onnxruntime

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"verge/internal/fault"
	"verge/internal/inference"
)

// deviceProviders are the library's providers for each kind of device, in order of
// preference.
var deviceProviders = map[string][]string{ //nolint:gochecknoglobals // a constant table
	"gpu": {tensorRTProvider, cudaProvider, "MIGraphXExecutionProvider", openVINOProvider, "WebGpuExecutionProvider"},
	"npu": {qnnProvider, "VitisAIExecutionProvider", openVINOProvider},
	"tpu": {},
}

// plan says where to try to run a model.
type plan struct {
	requested []string    // providers, in order of preference
	try       []candidate // in order; the CPU stands behind them
	named     bool        // they are Options.Providers; else those of the device that are there
	endsOnCPU bool        // the CPU was named
	device    string      // that was asked for, if it is none of the CPU's
	missing   string      // why there is nothing to try for the device
}

// newPlan reads what the options ask for. It does not try anything.
func newPlan(info inference.RuntimeInfo, o inference.Options) (plan, *fault.Error) {
	const op = "onnxruntime.load"
	var p plan
	wanted, known := deviceProviders[o.Device]
	switch {
	case inference.OnCPU(o.Device):
	case !known:
		return p, fault.New(fault.Invalid, op, "device %q, want cpu, gpu, npu, tpu, mobile or embedded", o.Device)
	default:
		p.device = o.Device
	}
	switch {
	case len(o.Providers) > 0:
		return p.addNamed(info, o)
	case p.device == "":
		p.requested = []string{cpuProvider}
		return p, nil
	}
	p.requested = slices.Clone(wanted)
	for _, name := range wanted {
		if c := newCandidate(info, inference.Provider{Name: name}, p.device); c.refusal == "" {
			p.try = append(p.try, c)
		}
	}
	p.missing = fmt.Sprintf("looked for %s; %s", strings.Join(wanted, ", "), has(info))
	if len(wanted) == 0 {
		p.missing = "ONNX Runtime has no provider for it"
	}
	return p, nil
}

// addNamed adds the providers that were named, up to the CPU.
func (p plan) addNamed(info inference.RuntimeInfo, o inference.Options) (plan, *fault.Error) {
	p.named = true
	for _, provider := range o.Providers {
		if sameProvider(cpuProvider, provider.Name) {
			if len(provider.Options) > 0 && !p.endsOnCPU {
				return p, fault.New(fault.Invalid, "onnxruntime.load", "provider %s takes no options", cpuProvider)
			}
			p.requested = append(p.requested, cpuProvider)
			p.endsOnCPU = true // what stands behind it is never reached
			continue
		}
		c := newCandidate(info, provider, p.device)
		p.requested = append(p.requested, c.name)
		if !p.endsOnCPU {
			p.try = append(p.try, c)
		}
	}
	return p, nil
}

// newCandidate finds out what a provider is: one of the build, or a plug-in, that was
// named or lies beside the library. device is the kind that was asked for, "" for the CPU.
func newCandidate(info inference.RuntimeInfo, provider inference.Provider, device string) candidate {
	c := candidate{name: provider.Name, options: maps.Clone(provider.Options), device: device}
	if c.device == "" {
		c.device = "cpu"
	}
	c.library = c.options[libraryOption]
	delete(c.options, libraryOption)
	c.builtin = findBuiltin(provider.Name)
	if c.builtin != nil {
		c.name = c.builtin.name
	}
	if isLibrary(provider.Name) {
		c.library = provider.Name
	}
	switch {
	case c.library != "":
	case !slices.ContainsFunc(info.Providers, func(long string) bool { return sameProvider(long, c.name) }):
		if c.builtin != nil {
			c.library = pluginBeside(info.Library, c.builtin)
		}
		if c.library == "" {
			c.refusal = has(info)
		}
	case c.builtin == nil:
		c.refusal = "this adapter cannot add it to a session"
	default:
		if _, set := c.options["device_type"]; c.name == openVINOProvider && !set && device != "" {
			c.options = map[string]string{"device_type": strings.ToUpper(device)}
			maps.Copy(c.options, provider.Options)
		}
		c.device = c.builtin.deviceOf(c.options)
	}
	return c
}

func has(info inference.RuntimeInfo) string {
	return fmt.Sprintf("ONNX Runtime %s has %s", info.Version, strings.Join(info.Providers, ", "))
}

// refuse says that the model may not run on the CPU after all else has failed, or
// returns nil. found says whether a device of the kind that was asked for is there, and
// reasons why it is not used, one for each provider that was tried. kind is that of the
// latest.
func (p plan) refuse(fallback string, found bool, kind fault.Kind, reasons []string) *fault.Error {
	if p.device == "" || p.endsOnCPU || fallback == "cpu" || found && fallback == "" {
		return nil
	}
	why := strings.Join(reasons, "; ")
	if why == "" {
		why = p.missing
	}
	return fault.New(kind, "onnxruntime.load", "device %s: %s", p.device, why).
		WithHint("Set deployment.device_type to cpu, or deployment.fallback to cpu.")
}

// fallbacks are sentences that say why something else is used than what was asked for.
func (p plan) fallbacks(reasons []string, used string) []string {
	end := "; the CPU is used"
	if used != cpuProvider {
		end = "; " + used + " is used"
	} else if len(reasons) == 0 && p.device != "" && !p.endsOnCPU {
		reasons = []string{fmt.Sprintf("device %s: %s", p.device, p.missing)}
	}
	var sentences []string
	for _, reason := range reasons {
		sentences = append(sentences, reason+end)
	}
	return sentences
}
