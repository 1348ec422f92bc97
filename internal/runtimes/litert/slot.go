package litert

import (
	"context"
	"runtime"
	"slices"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// slot is one request at a time over the memory of an arena, on a runner of its own.
type slot struct {
	session *session
	arena   inference.Arena
	runner  runner // nil after Close

	in, out    region
	request    []inference.Input // what in is laid out for
	laid       bool              // Inputs succeeded
	views      [][]byte
	terminated chan struct{}
}

func newSlot(s *session, arena inference.Arena, r runner) *slot {
	inputs := len(s.signature.Inputs)
	return &slot{
		session: s, arena: arena, runner: r, in: newRegion(s.signature.Inputs), out: newRegion(s.signature.Outputs),
		request: make([]inference.Input, inputs), views: make([][]byte, inputs), terminated: make(chan struct{}, 1),
	}
}

// free takes the runner from the slot, and the slot's memory from the runner.
func (n *slot) free() runner {
	r := n.runner
	r.forget()
	n.runner, n.laid = nil, false
	return r
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
	if n.runner == nil {
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
	if err := checkDimensions(n.session.library, n.session.empty, specs, in); err != nil {
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
	memory, err := n.arena.Input(total)
	if err != nil {
		return nil, err
	}
	if err := n.shape(); err != nil {
		return nil, err
	}
	n.in.showAll(memory.Data)
	if f := n.runner.feed(&n.in); f != nil {
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
// runner that works; a new one is made where they do not.
func (n *slot) shape() error {
	specs := n.session.signature.Inputs
	f, broken := n.runner.reshape(specs, n.request)
	if broken {
		if err := n.renew(); err != nil {
			return err
		}
		f, _ = n.runner.reshape(specs, n.request)
	}
	if f != nil {
		return f.fault(f.runKind(), "litert.inputs").On(n.session.subject)
	}
	return nil
}

// renew replaces the runner.
func (n *slot) renew() error {
	r, f := n.session.compile()
	if f != nil {
		return f.fault(fault.Exhausted, "litert.compile").On(n.session.subject)
	}
	n.runner.close()
	n.runner = r
	return nil
}

// place puts the outputs, whose shapes and sizes are set, into the arena.
func (n *slot) place() error {
	total, err := n.out.reserve()
	if err != nil {
		return fault.New(fault.TooLarge, "litert.run", "%w", err).On(n.session.subject)
	}
	memory, err := n.arena.Output(total)
	if err != nil {
		return err
	}
	n.out.showAll(memory.Data)
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
	if err := n.runner.run(ctx, n); err != nil {
		return nil, err
	}
	return n.out.tensors, nil
}

// call runs the model once. When ctx ends, the run is told to give up, where the
// library can; call returns when the library has.
func (n *slot) call(ctx context.Context) *failure {
	var stop func() bool
	if ctx.Done() != nil && n.runner.interruptible() {
		stop = context.AfterFunc(ctx, n.terminate)
	}
	f := n.runner.invoke()
	runtime.KeepAlive(n) // and with it the arrays
	if stop != nil && !stop() {
		<-n.terminated // or it would end a later run
		n.runner.giveUp(false)
	}
	return f
}

// terminate ends the run in progress.
func (n *slot) terminate() {
	n.runner.giveUp(true)
	n.terminated <- struct{}{}
}
