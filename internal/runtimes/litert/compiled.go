package litert

import (
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// compiled is a LiteRtCompiledModel: the runner of LiteRT.
type compiled struct {
	api    *api
	handle uintptr
	flag   uintptr // text in memory of the C allocator; not empty while runs are to give up
	place  place

	shapes  shapes
	outputs []layout // of the outputs, as the library last told
	proved  bool     // the library writes outputs where it is told to

	profiler *profiler // nil for none

	in, out   buffers
	arguments []uintptr // of the call that runs, which never change: what they point to does
	ask       []uintptr // of the call that reads outputs; the last one is set each time
}

// compile implements model.
func (m *liteModel) compile(p place, threads int) (runner, *failure) {
	s := p.settings(threads)
	s.cache, s.profile = m.weights(p), m.profile != nil
	c, f := m.compileWith(m.env.handle, s)
	if f != nil && s.cache != "" {
		s.cache = ""
		c, f = m.compileWith(m.env.handle, s)
	}
	if f != nil {
		return nil, f
	}
	c.place = p
	if m.profile != nil {
		c.profiler = m.profile.start(c)
	}
	return c, nil
}

// compileWith makes a compiled model in an environment.
func (m *liteModel) compileWith(env uintptr, s settings) (*compiled, *failure) {
	a, in, out := m.api, len(m.signature.Inputs), len(m.signature.Outputs)
	options, f := a.newOptions(s)
	if f != nil {
		return nil, f
	}
	defer a.destroy(destroyOptions, options)
	c := &compiled{
		api: a, shapes: shapes{inputs: make([][]int64, in)}, outputs: make([]layout, out),
		in: buffers{handles: make([]uintptr, in)}, out: buffers{handles: make([]uintptr, out)},
	}
	if f := fail(a.call(createCompiledModel, env, m.handle, options, uintptr(unsafe.Pointer(&c.handle)))); f != nil {
		return nil, f
	}
	c.arguments = []uintptr{c.handle, served, uintptr(in), first(c.in.handles), uintptr(out), first(c.out.handles)} // not negative
	c.ask = []uintptr{c.handle, served, uintptr(out), uintptr(unsafe.Pointer(unsafe.SliceData(c.outputs))), 0}      // not negative
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

// first returns the address of an array that its holder keeps on the heap and alive.
func first(words []uintptr) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(words))) }

// forget implements runner.
func (c *compiled) forget() {
	c.in.free(c.api)
	c.out.free(c.api)
}

// close implements runner.
func (c *compiled) close() {
	c.forget()
	c.profiler.end()
	c.api.destroy(destroyCompiledModel, c.handle)
	if c.flag != 0 {
		native.Call(c.api.free, c.flag)
	}
	c.handle, c.flag = 0, 0
}

// interruptible implements runner.
func (c *compiled) interruptible() bool { return true }

// giveUp implements runner. A run ends before its next operator.
func (c *compiled) giveUp(now bool) {
	text := native.View(c.flag, 1)
	text[0] = 0
	if now {
		text[0] = '!'
	}
}

// complete implements runner. The library compiles a model without the operator and
// complains when it first makes room for the values.
func (c *compiled) complete() *failure {
	if f := c.layouts(true); f != nil && f.loadKind() == fault.Unsupported {
		return f
	}
	return nil
}

// providers implements runner: the accelerator, and the CPU for what it left.
func (c *compiled) providers() []string {
	if c.place.accelerator && !c.accelerated() {
		return []string{c.place.name, providerXNNPACK}
	}
	return []string{c.place.name}
}

// accelerated reports whether the whole graph runs on an accelerator.
func (c *compiled) accelerated() bool {
	var all uintptr
	return c.api.call(isFullyAccelerated, c.handle, uintptr(unsafe.Pointer(&all))) == statusOK && byte(all) != 0
}

// reshape implements runner. It learns the shapes of the outputs.
func (c *compiled) reshape(specs []inference.Spec, in []inference.Input) (f *failure, broken bool) {
	c.out.free(c.api)
	c.proved = false
	return c.shapes.change(c, specs, in)
}

// resize implements shaper.
func (c *compiled) resize(input int, shape []int64) *failure {
	var room [maxRank]int32
	dimensions := appendDimensions(room[:0], shape)
	s := c.api.call(resizeInput, c.handle, served, uintptr(input), uintptr(unsafe.Pointer(&room[0])), uintptr(len(dimensions))) // not negative
	return c.api.explain(c.handle, s)
}

// allocate implements shaper.
func (c *compiled) allocate() *failure { return c.layouts(true) }

// feed implements runner.
func (c *compiled) feed(in *region) *failure { return c.in.over(c.api, in) }

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

// invoke implements runner.
func (c *compiled) invoke() *failure {
	if s := c.api.call(runCompiledModel, c.arguments...); s != statusOK {
		return c.api.explain(c.handle, s)
	}
	c.profiler.ran()
	return nil
}
