package tensorrt

import (
	"fmt"

	"verge/internal/fault"
	"verge/internal/inference"
)

// provider is the one place that an engine can run at.
const provider = "TensorRT"

// place says what was asked for, and why it is not used where it is not the GPU. An
// engine runs on the GPU or not at all, so a fallback goes there too: from a device
// where Options.Fallback is "cpu", from a provider where it is other than "none". A CPU
// is refused.
func (r *trtRuntime) place(o inference.Options) (requested, fallbacks []string, failure *fault.Error) {
	const op = "tensorrt.load"
	const gpuHint = "Set deployment.device_type to gpu, or serve the model that the engine was built from in another runtime."
	requested = []string{provider}
	switch o.Device {
	case "", "gpu":
	case "cpu", "mobile", "embedded":
		return nil, nil, fault.New(fault.Unsupported, op, "device %s: a TensorRT engine runs on an NVIDIA GPU only", o.Device).WithHint(gpuHint)
	case "npu", "tpu":
		reason := fmt.Sprintf("device %s: a TensorRT engine runs on an NVIDIA GPU only", o.Device)
		if o.Fallback != "cpu" {
			return nil, nil, fault.New(fault.Unsupported, op, "%s", reason).WithHint(gpuHint)
		}
		fallbacks = append(fallbacks, reason+"; that is used")
	default:
		return nil, nil, fault.New(fault.Invalid, op, "device %q, want gpu", o.Device)
	}
	if len(o.Providers) == 0 {
		return requested, fallbacks, nil
	}
	requested = nil
	for _, p := range o.Providers {
		requested = append(requested, p.Name)
		if p.Name == provider {
			if len(p.Options) > 0 {
				return nil, nil, fault.New(fault.Invalid, op, "provider %s takes no options", p.Name)
			}
			return requested, fallbacks, nil
		}
		reason := fmt.Sprintf("provider %s: TensorRT %s has %s only", p.Name, r.library.version, provider)
		if o.Fallback == "none" {
			return nil, nil, fault.New(fault.Unsupported, op, "%s", reason).WithHint("Leave the provider out.")
		}
		fallbacks = append(fallbacks, reason+"; that is used")
	}
	return requested, fallbacks, nil
}
