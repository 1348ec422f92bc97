package litert

import (
	"context"
	"runtime"
	"slices"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// slot is one request at a time over the memory of an arena, on a compiled model of
// its own.
type slot struct {
	session  *session
	arena    inference.Arena
	compiled *compiled // nil after Close

	arguments []uintptr // of the native call, which never change: what they point to does

	in, out    buffers
	request    []inference.Input // what in is laid out for
	laid       bool              // Inputs succeeded
	told       []layout          // of the outputs, before any run with these inputs
	views      [][]byte
	terminated chan struct{}
}

func newSlot(s *session, arena inference.Arena, c *compiled) *slot {
	n := &slot{
		session: s, arena: arena,
		in: newBuffers(s.signature.Inputs), out: newBuffers(s.signature.Outputs),
		request: make([]inference.Input, len(s.signature.Inputs)), views: make([][]byte, len(s.signature.Inputs)),
		terminated: make(chan struct{}, 1),
	}
	n.use(c)
	return n
}

// use gives the slot another compiled model.
func (n *slot) use(c *compiled) {
	n.compiled = c
	n.arguments = []uintptr{c.handle, served, uintptr(len(n.in.handles)), first(n.in.handles), uintptr(len(n.out.handles)), first(n.out.handles)}
}

// first returns the address of an array that its holder keeps on the heap and alive.
func first(words []uintptr) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(words))) }

// free destroys the native objects of the slot, and returns its compiled model.
func (n *slot) free() *compiled {
	n.in.free(n.session.api)
	n.out.free(n.session.api)
	n.laid = false
	c := n.compiled
	n.compiled = nil
	return c
}

// Close implements inference.Slot.
func (n *slot) Close() error {
	n.session.use.RLock()
	defer n.session.use.RUnlock()
	if n.session.drop(n) {
		n.session.giveBack(n.free())
	}
	return nil
}

// begin is session.begin, and refuses a closed slot.
func (n *slot) begin(op string) error {
	if err := n.session.begin(op); err != nil {
		return err
	}
	if n.compiled == nil {
		n.session.use.RUnlock()
		return fault.New(fault.Unavailable, op, "the slot is closed").On(n.session.subject)
	}
	return nil
}

// Inputs implements inference.Slot.
func (n *slot) Inputs(in []inference.Input) ([][]byte, error) {
	const op = "litert.inputs"
	if err := n.begin(op); err != nil {
		return nil, err
	}
	defer n.session.use.RUnlock()
	specs := n.session.signature.Inputs
	if err := n.session.signature.CheckInputs(in); err != nil {
		n.laid = false
		return nil, &fault.Error{Kind: fault.Invalid, Op: op, Subject: n.session.subject, Err: err}
	}
	if n.laid && slices.EqualFunc(in, n.request, equalInput) {
		return n.views, nil // same shapes, and nobody but this slot calls the arena
	}
	n.laid = false
	if err := checkDimensions(specs, in); err != nil {
		return nil, err.On(n.session.subject)
	}
	for i := range in {
		n.request[i].Shape = append(n.request[i].Shape[:0], in[i].Shape...)
		n.request[i].Bytes = in[i].Bytes
		n.in.tensors[i].Shape, n.in.sizes[i] = n.request[i].Shape, in[i].Bytes
	}
	total, err := n.in.reserve()
	if err != nil {
		return nil, fault.New(fault.TooLarge, op, "%w", err).On(n.session.subject)
	}
	memory, err := n.arena.Input(max(total, inference.Align)) // a model may have no inputs
	if err != nil {
		return nil, err
	}
	if err := n.shape(); err != nil {
		return nil, err
	}
	if f := n.in.over(n.session.api, memory.Data); f != nil {
		return nil, f.fault(fault.Exhausted, op).On(n.session.subject)
	}
	for i := range n.views {
		n.views[i] = n.in.tensors[i].Data
	}
	n.laid = true
	return n.views, nil
}

func equalInput(a, b inference.Input) bool {
	return a.Bytes == b.Bytes && slices.Equal(a.Shape, b.Shape)
}

// shape sets the shapes of the request. Shapes that the model does not take leave a
// compiled model that works; a new one is made where they do not.
func (n *slot) shape() error {
	specs := n.session.signature.Inputs
	f, broken := n.compiled.shape(specs, n.request)
	if broken {
		if err := n.renew(); err != nil {
			return err
		}
		f, _ = n.compiled.shape(specs, n.request)
	}
	n.out.free(n.session.api)
	if f != nil {
		return f.fault(f.runKind(), "litert.inputs").On(n.session.subject)
	}
	n.told = append(n.told[:0], n.compiled.outputs...)
	return n.expect(n.told)
}

// renew replaces the compiled model.
func (n *slot) renew() error {
	c, f := n.session.compile()
	if f != nil {
		return f.fault(fault.Exhausted, "litert.compile").On(n.session.subject)
	}
	n.out.free(n.session.api)
	n.compiled.close()
	n.use(c)
	return nil
}

// expect sets the shapes of the outputs.
func (n *slot) expect(layouts []layout) error {
	for i := range n.out.tensors {
		t := &n.out.tensors[i]
		t.Shape = layouts[i].appendShape(t.Shape[:0])
		size, err := tensor.ByteSize(t.DType, t.Shape)
		if err != nil {
			return fault.New(fault.Internal, "litert.run", "output %q: %w", t.Name, err).On(n.session.subject)
		}
		n.out.sizes[i] = size
	}
	return nil
}

// Run implements inference.Slot.
func (n *slot) Run(ctx context.Context) ([]tensor.Tensor, error) {
	const op = "litert.run"
	if err := n.begin(op); err != nil {
		return nil, err
	}
	defer n.session.use.RUnlock()
	switch {
	case !n.laid:
		return nil, fault.New(fault.Invalid, op, "the inputs were not laid out").On(n.session.subject)
	case ctx.Err() != nil:
		return nil, ended(ctx, op).On(n.session.subject)
	}
	if !n.out.made {
		if err := n.place(); err != nil {
			return nil, err
		}
	}
	const attempts = 4 // after each, one more output may have told its shape
	for range attempts {
		f := n.call(ctx)
		switch {
		case f == nil:
			return n.answer()
		case f.canceled() && ctx.Err() != nil:
			return nil, ended(ctx, op).On(n.session.subject)
		case !f.tooSmall():
			return nil, n.refuse(f)
		}
		if err := n.grow(); err != nil {
			return nil, err
		}
	}
	return nil, fault.New(fault.Internal, op, "the shapes of the outputs changed %d times in one run", attempts).On(n.session.subject)
}

// refuse says why a run failed.
func (n *slot) refuse(f *failure) *fault.Error {
	if f.ownShape() {
		return fault.New(fault.Unsupported, "litert.run", "an output takes its shape from values, right where an operator makes it, which LiteRT's interface cannot give").
			On(n.session.subject).WithHint("Run the model in another runtime (deployment.runtime: openvino).")
	}
	return f.fault(f.runKind(), "litert.run").On(n.session.subject)
}

// place makes the buffers of the outputs, in the arena.
func (n *slot) place() error {
	const op = "litert.run"
	total, err := n.out.reserve()
	if err != nil {
		return fault.New(fault.TooLarge, op, "%w", err).On(n.session.subject)
	}
	memory, err := n.arena.Output(max(total, inference.Align))
	if err != nil {
		return err
	}
	if f := n.out.over(n.session.api, memory.Data); f != nil {
		return f.fault(fault.Exhausted, op).On(n.session.subject)
	}
	return nil
}

// grow learns the shapes of outputs that did not fit where they were to go, and
// makes room for them.
func (n *slot) grow() error {
	n.out.free(n.session.api)
	if f := n.compiled.layouts(false); f != nil {
		return f.fault(fault.Internal, "litert.run").On(n.session.subject)
	}
	if err := n.expect(n.compiled.outputs); err != nil {
		return err
	}
	if err := n.place(); err != nil {
		n.laid = false // the library would ask the next run for as much, until it is compiled anew
		if renewErr := n.renew(); renewErr != nil {
			return renewErr
		}
		return err
	}
	return nil
}

// answer returns the outputs of a run in the shapes that they came out in.
func (n *slot) answer() ([]tensor.Tensor, error) {
	const op = "litert.run"
	if f := n.compiled.layouts(false); f != nil {
		return nil, f.fault(fault.Internal, op).On(n.session.subject)
	}
	for i := range n.out.tensors {
		if n.compiled.outputs[i].equal(n.out.tensors[i].Shape) {
			continue
		}
		if err := n.expect(n.compiled.outputs); err != nil {
			return nil, err
		}
		for k := range n.out.tensors {
			if n.out.sizes[k] > n.out.room[k] {
				return nil, fault.New(fault.Internal, op, "output %q has %d bytes, its place has %d", n.out.tensors[k].Name, n.out.sizes[k], n.out.room[k]).
					On(n.session.subject)
			}
			n.out.show(k)
		}
		break
	}
	return n.out.tensors, nil
}

// call runs the model once. When ctx ends, the run is told to give up before the next
// operator; call returns when the library has.
func (n *slot) call(ctx context.Context) *failure {
	var stop func() bool
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, n.terminate)
	}
	f := n.compiled.run(n.arguments)
	runtime.KeepAlive(n) // and with it the arrays
	if stop != nil && !stop() {
		<-n.terminated // or it would end a later run
		n.compiled.giveUp(false)
	}
	return f
}

// terminate ends the run in progress.
func (n *slot) terminate() {
	n.compiled.giveUp(true)
	n.terminated <- struct{}{}
}
