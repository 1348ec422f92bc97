package serve

import (
	"verge/internal/tensor"
)

// Tap sees requests that are answered. The goroutine of the request calls it while it holds
// its slot, before the answer goes out: it must be quick, and copy what it keeps, since the
// tensors are valid until it returns only.
type Tap func(inputs, outputs []tensor.Tensor)

// Tap shows t every request that is answered from now on; nil ends that. A version has one
// tap at a time. What Warm asks is not shown.
func (v *Version) Tap(t Tap) {
	if t == nil {
		v.tap.Store(nil)
		return
	}
	v.tap.Store(&t)
}

// show tells the tap, where there is one, of an answer. c.mu is held.
func (c *Call) show(outputs []tensor.Tensor) {
	tap := c.v.tap.Load()
	if tap == nil || len(c.views) != len(c.v.signature.Inputs) {
		return
	}
	inputs := make([]tensor.Tensor, len(c.views))
	for i, spec := range c.v.signature.Inputs {
		inputs[i] = tensor.Tensor{Name: spec.Name, DType: spec.DType, Shape: c.in[i].Shape, Data: c.views[i]}
	}
	(*tap)(inputs, outputs)
}
