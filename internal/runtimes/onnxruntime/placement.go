package onnxruntime

import (
	"fmt"
	"slices"
	"strings"

	"verge/internal/fault"
	"verge/internal/inference"
)

// cpuProvider is the library's name of the execution provider for CPUs.
const cpuProvider = "CPUExecutionProvider"

// placement says where a session runs, and what was asked for.
type placement struct {
	requested []string // providers, in order of preference
	fallbacks []string // why something else was used
}

// deviceProviders are the library's providers for each kind of device, in order of
// preference.
var deviceProviders = map[string][]string{ //nolint:gochecknoglobals // a constant table
	"gpu": {"TensorrtExecutionProvider", "CUDAExecutionProvider", "MIGraphXExecutionProvider", "OpenVINOExecutionProvider", "WebGpuExecutionProvider"},
	"npu": {"QNNExecutionProvider", "VitisAIExecutionProvider", "OpenVINOExecutionProvider"},
	"tpu": {},
}

// place decides where a model runs. This adapter drives the CPU: another device is
// refused unless Options.Fallback is "cpu", another provider unless it is other
// than "none".
func place(info inference.RuntimeInfo, o inference.Options) (placement, *fault.Error) {
	const op = "onnxruntime.load"
	has := fmt.Sprintf("ONNX Runtime %s has %s", info.Version, strings.Join(info.Providers, ", "))
	var p placement
	if !inference.OnCPU(o.Device) {
		wanted, known := deviceProviders[o.Device]
		if !known {
			return p, fault.New(fault.Invalid, op, "device %q, want cpu, gpu, npu, tpu, mobile or embedded", o.Device)
		}
		p.requested = wanted
		reason := fmt.Sprintf("device %s: looked for %s; %s, and this adapter drives the CPU only", o.Device, strings.Join(wanted, ", "), has)
		if len(wanted) == 0 {
			reason = fmt.Sprintf("device %s: ONNX Runtime has no provider for it", o.Device)
		}
		if o.Fallback != "cpu" {
			return p, fault.New(fault.Unsupported, op, "%s", reason).
				WithHint("Set deployment.device_type to cpu, or deployment.fallback to cpu.")
		}
		p.fallbacks = append(p.fallbacks, reason+"; the CPU is used")
	}
	if len(o.Providers) > 0 {
		p.requested = nil
	}
	for _, provider := range o.Providers {
		p.requested = append(p.requested, provider.Name)
	}
	for _, provider := range o.Providers {
		if provider.Name == cpuProvider {
			if len(provider.Options) > 0 {
				return p, fault.New(fault.Invalid, op, "provider %s takes no options", cpuProvider)
			}
			break // what stands behind it is never reached
		}
		reason := fmt.Sprintf("provider %s: %s", provider.Name, has)
		if slices.Contains(info.Providers, provider.Name) {
			reason = fmt.Sprintf("provider %s: this adapter drives the CPU only", provider.Name)
		}
		if o.Fallback == "none" {
			return p, fault.New(fault.Unsupported, op, "%s", reason).
				WithHint("Set deployment.fallback to cpu, or name %s.", cpuProvider)
		}
		p.fallbacks = append(p.fallbacks, reason+"; the CPU is used")
	}
	if len(p.requested) == 0 {
		p.requested = []string{cpuProvider}
	}
	return p, nil
}
