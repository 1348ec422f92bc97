package litert

import (
	"slices"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// compiled is a LiteRtCompiledModel: a model with memory for one run at a time.
type compiled struct {
	api    *api
	handle uintptr
	flag   uintptr // text in memory of the C allocator; not empty while runs are to give up

	shapes  [][]int64 // of the inputs, as last set; nil for one that was never set
	outputs []layout  // of the outputs, as the library last told
	set     bool      // shapes and outputs belong together

	ask []uintptr // arguments of the call that reads outputs; the last one is set each time
}

// compile makes a compiled model of m.
func (a *api) compile(env uintptr, m *model, s settings) (*compiled, *failure) {
	options, f := a.newOptions(s)
	if f != nil {
		return nil, f
	}
	defer a.destroy(destroyOptions, options)
	c := &compiled{api: a, shapes: make([][]int64, len(m.signature.Inputs)), outputs: make([]layout, len(m.signature.Outputs))}
	if f := fail(a.call(createCompiledModel, env, m.handle, options, uintptr(unsafe.Pointer(&c.handle)))); f != nil {
		return nil, f
	}
	c.ask = []uintptr{c.handle, served, uintptr(len(c.outputs)), uintptr(unsafe.Pointer(unsafe.SliceData(c.outputs))), 0}
	c.flag = a.text(" ")
	if c.flag == 0 {
		c.close()
		return nil, &failure{status: statusAllocation}
	}
	c.giveUp(false)
	if f := fail(a.call(setCancellation, c.handle, c.flag, a.strlen)); f != nil {
		c.close()
		return nil, f
	}
	return c, nil
}

// close frees it.
func (c *compiled) close() {
	c.api.destroy(destroyCompiledModel, c.handle)
	if c.flag != 0 {
		native.Call(c.api.free, c.flag)
	}
	c.handle, c.flag = 0, 0
}

// giveUp tells a run in progress, and those that follow, to end before the next
// operator, or takes that back. It may be called while a run goes on.
func (c *compiled) giveUp(now bool) {
	text := native.View(c.flag, 1)
	text[0] = 0
	if now {
		text[0] = '!'
	}
}

// complete says whether an operator is missing. The library compiles a model without
// it and complains when it first makes room for the values. Other complaints depend
// on the shapes, of which nobody has asked yet.
func (c *compiled) complete() *failure {
	if f := c.layouts(true); f != nil && f.loadKind() == fault.Unsupported {
		return f
	}
	return nil
}

// accelerated reports whether the whole graph runs on an accelerator.
func (c *compiled) accelerated() bool {
	var all uintptr
	return c.api.call(isFullyAccelerated, c.handle, uintptr(unsafe.Pointer(&all))) == statusOK && byte(all) != 0
}

// shape sets the shapes of the inputs, of which those of fixed shape are not looked
// at, and learns the shapes of the outputs. A failure leaves the shapes that it had
// before; broken says that even those are gone, and with them the object's use.
func (c *compiled) shape(specs []inference.Spec, in []inference.Input) (f *failure, broken bool) {
	before := slices.Clone(c.shapes)
	if f = c.reshape(specs, func(i int) []int64 { return in[i].Shape }); f == nil {
		c.set = true
		return nil, false
	}
	had := c.set
	c.set = false
	if !had {
		return f, true
	}
	if c.reshape(specs, func(i int) []int64 { return before[i] }) != nil {
		return f, true
	}
	c.set = true
	return f, false
}

// reshape sets those shapes that differ.
func (c *compiled) reshape(specs []inference.Spec, want func(i int) []int64) *failure {
	for i, spec := range specs {
		shape := want(i)
		if c.set && slices.Equal(c.shapes[i], shape) {
			continue
		}
		if !spec.Fixed() {
			var dimensions [maxRank]int32
			for k, n := range shape {
				dimensions[k] = int32(n) //nolint:gosec // checked by checkDimensions
			}
			s := c.api.call(resizeInput, c.handle, served, uintptr(i), uintptr(unsafe.Pointer(&dimensions[0])), uintptr(len(shape)))
			if s != statusOK {
				return c.api.explain(c.handle, s)
			}
		}
		c.shapes[i] = append(c.shapes[i][:0:0], shape...)
	}
	return c.layouts(true)
}

// layouts reads the shapes of the outputs: after making room for every value, or as
// the last run has left them.
func (c *compiled) layouts(allocate bool) *failure {
	if len(c.outputs) == 0 {
		return nil
	}
	last := len(c.ask) - 1
	c.ask[last] = 0
	if allocate {
		c.ask[last] = 1
	}
	if s := c.api.call(getOutputLayouts, c.ask...); s != statusOK {
		return c.api.explain(c.handle, s)
	}
	return nil
}

// run runs the model once, with the buffers of all inputs and outputs.
func (c *compiled) run(arguments []uintptr) *failure {
	if s := c.api.call(runCompiledModel, arguments...); s != statusOK {
		return c.api.explain(c.handle, s)
	}
	return nil
}

// checkDimensions refuses shapes that the library cannot take: it counts in 32 bits,
// and takes no tensor without elements.
func checkDimensions(specs []inference.Spec, in []inference.Input) *fault.Error {
	const most = 1<<31 - 1
	for i, t := range in {
		for _, n := range t.Shape {
			switch {
			case n == 0:
				return fault.New(fault.Invalid, "litert.inputs", "input %q has shape %s without elements, which LiteRT does not take",
					specs[i].Name, inference.FormatShape(t.Shape)).WithHint("Leave the request out, or run the model in another runtime (deployment.runtime).")
			case n > most:
				return fault.New(fault.TooLarge, "litert.inputs", "input %q has shape %s, LiteRT takes dimensions up to %d",
					specs[i].Name, inference.FormatShape(t.Shape), most)
			}
		}
	}
	return nil
}
