package serve

import (
	"slices"

	"verge/internal/tensor"
)

// Tap sees requests that are answered. The goroutine of the request calls it while it holds
// its slot, before the answer goes out: it must be quick, and copy what it keeps, since the
// tensors are valid until it returns only.
type Tap func(inputs, outputs []tensor.Tensor)

// Tap shows t every request that is answered, until stop is called; it may be called once
// more after that, by a request that was being answered. What Warm asks is not shown.
func (v *Version) Tap(t Tap) (stop func()) {
	own := &t
	v.changeTaps(func(all []*Tap) []*Tap { return append(slices.Clone(all), own) })
	return func() {
		v.changeTaps(func(all []*Tap) []*Tap {
			return slices.DeleteFunc(slices.Clone(all), func(other *Tap) bool { return other == own })
		})
	}
}

// changeTaps replaces the taps by others, which are not changed any more.
func (v *Version) changeTaps(change func([]*Tap) []*Tap) {
	for {
		old := v.taps.Load()
		var all []*Tap
		if old != nil {
			all = *old
		}
		fresh := change(all)
		if v.taps.CompareAndSwap(old, &fresh) {
			return
		}
	}
}

// show tells the taps of an answer. c.mu is held.
func (c *Call) show(outputs []tensor.Tensor) {
	taps := c.v.taps.Load()
	if taps == nil || len(*taps) == 0 || len(c.views) != len(c.v.signature.Inputs) {
		return
	}
	inputs := make([]tensor.Tensor, len(c.views))
	for i, spec := range c.v.signature.Inputs {
		inputs[i] = tensor.Tensor{Name: spec.Name, DType: spec.DType, Shape: c.in[i].Shape, Data: c.views[i]}
	}
	for _, tap := range *taps {
		(*tap)(inputs, outputs)
	}
}
