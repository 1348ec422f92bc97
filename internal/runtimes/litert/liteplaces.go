package litert

import (
	"verge/internal/fault"
	"verge/internal/inference"
)

// liteLibrary is LiteRT.
type liteLibrary struct {
	api *api
	env *environment
}

// liteName is what people call it.
const liteName = "LiteRT"

func (l *liteLibrary) name() (text string, empty bool) { return liteName, false }

func (l *liteLibrary) read(data []byte) (model, *fault.Error) {
	m, err := l.api.newModel(l.env, data)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// offer implements library: an accelerator counts where the library has found it.
func (l *liteLibrary) offer() offer {
	of := offer{library: "LiteRT " + l.api.version, other: func(p inference.Provider, _ string) (place, string) {
		if p.Name == providerEdgeTPU {
			return place{}, "an Edge TPU needs libedgetpu and the classic TensorFlow Lite library (deployment.runtime: tflite)"
		}
		return place{}, ""
	}}
	for _, p := range []place{
		{name: providerXNNPACK, device: "cpu", mask: onCPU, kernels: kernelsXNNPACK},
		{name: providerBuiltin, device: "cpu", mask: onCPU, kernels: kernelsBuiltin},
		{name: providerReference, device: "cpu", mask: onCPU, kernels: kernelsReference},
		{name: providerGPU, device: "gpu", accelerator: true, fragile: true, mask: onGPU | onCPU, kernels: kernelsXNNPACK},
		{name: providerNPU, device: "npu", accelerator: true, fragile: true, mask: onNPU | onCPU, kernels: kernelsXNNPACK},
	} {
		if !p.accelerator || l.env.has(p.mask&^onCPU) {
			of.places = append(of.places, p)
		}
	}
	return of
}

// settings are those of a place.
func (p place) settings(threads int) settings {
	return settings{accelerators: p.mask, kernels: p.kernels, threads: threads, reports: reportToBuffer}
}
