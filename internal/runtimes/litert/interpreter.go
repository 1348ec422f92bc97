package litert

import (
	"context"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
	"verge/internal/tensor"
)

// interpreter is a TfLiteInterpreter: the runner of the classic library. Its memory
// for tensors is its own: inputs are copied in before a run, outputs out behind it.
type interpreter struct {
	library   *classic
	handle    uintptr
	delegates []delegate // freed after the interpreter
	place     place

	journal *journal
	report  uintptr // what the library hands to the reporter for it

	shapes  shapes
	cancels bool // the library can give up a run
	in      *region
	text    []byte // an input of strings, as the library wants it
}

// compile implements model.
func (m *classicModel) compile(p place, threads int) (runner, *failure) {
	var all []delegate
	if p.make != nil {
		d, f := p.make(threads)
		if f != nil {
			return nil, f
		}
		all = append(all, d)
	}
	i, f := m.interpret(all, threads)
	if f != nil {
		return nil, f
	}
	i.place = p
	return i, nil
}

// interpret makes an interpreter, which takes the delegates over.
func (m *classicModel) interpret(delegates []delegate, threads int) (*interpreter, *failure) {
	c := m.library
	i := &interpreter{library: c, delegates: delegates, journal: &journal{}, shapes: shapes{inputs: make([][]int64, len(m.signature.Inputs))}}
	options := c.call(optionsCreate)
	defer c.call(optionsDelete, options)
	function, id := reports.open(c.vsnprintf, i.journal)
	i.report = id
	c.call(setErrorReporter, options, function, id)
	c.call(setNumThreads, options, uintptr(threads))
	for _, d := range delegates {
		c.call(addDelegate, options, d.handle)
	}
	if c.has(enableCancellation, cancelInterpreter) {
		i.cancels = c.number(enableCancellation, options, 1) == classicOK
	}
	i.handle = c.call(interpreterCreate, m.handle, options)
	if i.handle == 0 {
		f := &failure{status: statusRuntime, text: i.journal.take()}
		if f.text == "" && len(delegates) > 0 {
			f.text = "the library does not take the delegate for this model, and does not say why"
		}
		i.close()
		return nil, f
	}
	return i, nil
}

// close implements runner.
func (i *interpreter) close() {
	if i.handle != 0 {
		i.library.call(interpreterDelete, i.handle)
	}
	for _, d := range i.delegates {
		d.close()
	}
	i.handle, i.delegates, i.in = 0, nil, nil
	reports.close(i.report)
}

// forget implements runner.
func (i *interpreter) forget() { i.in = nil }

// feed implements runner.
func (i *interpreter) feed(in *region) *failure {
	i.in = in
	return nil
}

// interruptible implements runner.
func (i *interpreter) interruptible() bool { return i.cancels }

// giveUp implements runner. The library takes it back by itself when the next run
// begins.
func (i *interpreter) giveUp(now bool) {
	if now {
		i.library.call(cancelInterpreter, i.handle)
	}
}

// complete implements runner.
func (i *interpreter) complete() *failure {
	if f := i.allocate(); f != nil && f.loadKind() == fault.Unsupported {
		return f
	}
	return nil
}

// providers implements runner. The library does not tell how much of the graph a
// delegate has taken.
func (i *interpreter) providers() []string {
	if i.place.accelerator {
		return []string{i.place.name, providerBuiltin}
	}
	return []string{i.place.name}
}

// reshape implements runner.
func (i *interpreter) reshape(specs []inference.Spec, in []inference.Input) (f *failure, broken bool) {
	return i.shapes.change(i, specs, in)
}

// resize implements shaper.
func (i *interpreter) resize(input int, shape []int64) *failure {
	var room [tensor.MaxRank]int32
	dimensions := appendDimensions(room[:0], shape)
	return i.journal.failed(i.library.number(resizeInputTensor, i.handle, uintptr(input), uintptr(unsafe.Pointer(&room[0])), uintptr(len(dimensions)))) // not negative
}

// allocate implements shaper.
func (i *interpreter) allocate() *failure {
	return i.journal.failed(i.library.number(allocateTensors, i.handle))
}

// invoke implements runner.
func (i *interpreter) invoke() *failure {
	return i.journal.failed(i.library.number(invokeInterpreter, i.handle))
}

// run implements runner. Where allocate has failed, writing to a tensor would end the
// process; the slot runs nothing then, since feed comes after reshape only.
func (i *interpreter) run(ctx context.Context, n *slot) error {
	const op = "litert.run"
	for k := range i.in.tensors {
		if err := i.write(k); err != nil {
			return err.On(n.session.subject)
		}
	}
	f := n.call(ctx)
	switch {
	case ctx.Err() != nil:
		return ended(ctx, op).On(n.session.subject)
	case f != nil:
		return f.fault(f.runKind(), op).On(n.session.subject)
	}
	if err := i.expect(&n.out); err != nil {
		return err.On(n.session.subject)
	}
	if err := n.place(); err != nil {
		return err
	}
	for k := range n.out.tensors {
		i.copyOut(k, &n.out.tensors[k])
	}
	return nil
}

// write copies an input to the library.
func (i *interpreter) write(k int) *fault.Error {
	const op = "litert.run"
	t := &i.in.tensors[k]
	handle, data := i.library.call(getInputTensor, i.handle, uintptr(k)), t.Data // not negative
	if t.DType == tensor.Bytes {
		if !i.library.has(tensorRealloc) {
			return fault.New(fault.Unsupported, op, "this TensorFlow Lite has no function %s, which input %q of strings needs", classicSymbols[tensorRealloc], t.Name)
		}
		n, _ := tensor.Elements(t.Shape) // CheckInputs has counted them
		var err error
		if i.text, err = appendStringBuffer(i.text[:0], data, n); err != nil {
			return fault.New(fault.Invalid, op, "input %q: %w", t.Name, err)
		}
		data = i.text
		i.library.call(tensorRealloc, uintptr(len(data)), handle) // not negative
	}
	if len(data) == 0 {
		return nil
	}
	if i.library.number(copyFromBuffer, handle, native.Address(data), uintptr(len(data))) != classicOK { // not negative
		return fault.New(fault.Internal, op, "input %q has %d bytes, the library has room for %d", t.Name, len(data), i.library.call(tensorByteSize, handle))
	}
	return nil
}

// expect sets the shapes and sizes of the outputs to what a run has left.
func (i *interpreter) expect(out *region) *fault.Error {
	for k := range out.tensors {
		t := &out.tensors[k]
		handle := i.output(k)
		t.Shape = i.library.appendShape(t.Shape[:0], handle)
		size, err := i.outputSize(t, handle)
		if err != nil {
			return fault.New(fault.Internal, "litert.run", "output %q: %w", t.Name, err)
		}
		out.sizes[k] = size
	}
	return nil
}

func (i *interpreter) output(k int) uintptr {
	return i.library.call(getOutputTensor, i.handle, uintptr(k)) // not negative
}

// copyOut copies an output, whose size expect has checked, from the library.
func (i *interpreter) copyOut(k int, t *tensor.Tensor) {
	content := i.library.content(i.output(k))
	if t.DType == tensor.Bytes {
		copyStringBuffer(t.Data, content)
		return
	}
	copy(t.Data, content)
}
