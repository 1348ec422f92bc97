package onnxruntime

import (
	"verge/internal/fault"
	"verge/internal/inference"
)

// ProofModel is the model with which a provider is proved.
func ProofModel() []byte { return proofModel() }

// Settings are the options with which a provider of the build is added.
func Settings(p inference.Provider, o inference.Options) map[string]string {
	return candidateOf(p, o).settings(o)
}

// DeviceOf is the kind of device that a provider of the build drives.
func DeviceOf(p inference.Provider, o inference.Options) string { return candidateOf(p, o).device }

func candidateOf(p inference.Provider, o inference.Options) candidate {
	var every inference.RuntimeInfo
	for _, b := range builtins {
		every.Providers = append(every.Providers, b.name)
	}
	plan, failure := newPlan(every, inference.Options{Device: o.Device, Providers: []inference.Provider{p}})
	if failure != nil {
		panic(failure)
	}
	return plan.try[0]
}

// Proofs is the number of providers that were proved, or found not to work.
func Proofs(rt inference.Runtime) int {
	r := rt.(*ortRuntime)
	r.proving.Lock()
	defer r.proving.Unlock()
	return len(r.proofs)
}

// SpoilProofs makes all kept proofs say that the provider is spoiled.
func SpoilProofs(rt inference.Runtime) {
	r := rt.(*ortRuntime)
	r.proving.Lock()
	defer r.proving.Unlock()
	for key := range r.proofs {
		r.proofs[key] = fault.New(fault.Unsupported, "onnxruntime.load", "spoiled")
	}
}

// Clean shortens a text of the library.
func Clean(text string) string { return clean(text) }

// AlignWeights lays out the weights of the prepared model in a folder again.
func AlignWeights(folder string) error { return alignWeights(folder) }

// SignalStack returns where the thread's signal stack lies.
func SignalStack() uintptr { return swapSignalStack(nil).base }

// KeepSignalStack is keepSignalStack.
func KeepSignalStack() (restore func()) { return keepSignalStack() }

// DropSignalStack takes the thread's signal stack away.
func DropSignalStack() {
	const disable = 2 // SS_DISABLE
	swapSignalStack(&signalStack{flags: disable})
}
