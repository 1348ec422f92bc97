package tensorrt

import (
	"context"
	"runtime"
	"slices"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
	"verge/internal/tensor"
)

// slot is one request at a time over the memory of an arena, in an execution of its own.
type slot struct {
	session   *session
	arena     inference.Arena
	execution *execution // nil after Close
	messages  *journal

	request []inference.Input // what the inputs are laid out for
	laid    bool              // Inputs succeeded
	known   bool              // the shapes of the outputs follow from request
	placed  bool              // there is room for the outputs, which are known
	views   [][]byte          // of the inputs, in the arena
	outputs []tensor.Tensor
	sizes   []int // of the outputs, bytes

	in, out [][]uintptr // arguments of the calls that copy, by tensor; nil for one in host memory
}

func newSlot(s *session, arena inference.Arena, x *execution) *slot {
	inputs, outputs := s.engine.signature.Inputs, s.engine.signature.Outputs
	n := &slot{
		session: s, arena: arena, execution: x, messages: &journal{log: s.log, level: s.level, run: true},
		request: make([]inference.Input, len(inputs)), views: make([][]byte, len(inputs)),
		outputs: make([]tensor.Tensor, len(outputs)), sizes: make([]int, len(outputs)),
		in: make([][]uintptr, len(inputs)), out: make([][]uintptr, len(outputs)),
	}
	for i, spec := range outputs {
		n.outputs[i] = tensor.Tensor{Name: spec.Name, DType: spec.DType}
	}
	return n
}

// release takes the execution from the slot.
func (n *slot) release() *execution {
	x := n.execution
	n.execution, n.laid = nil, false
	return x
}

// Close implements inference.Slot.
func (n *slot) Close() error {
	n.session.use.RLock()
	defer n.session.use.RUnlock()
	if n.session.drop(n) {
		n.session.giveBack(n.release())
	}
	return nil
}

// begin is session.begin, and refuses a closed slot.
func (n *slot) begin(op string) error {
	if err := n.session.begin(op); err != nil {
		return err
	}
	if n.execution == nil {
		n.session.use.RUnlock()
		return fault.New(fault.Unavailable, op, "the slot is closed").On(n.session.subject)
	}
	return nil
}

// enter makes the device's context current and listens to the library. Where it
// succeeds, the caller calls leave.
func (n *slot) enter(op string) *fault.Error {
	if f := n.session.device.enter(); f != nil {
		return f.fault(op)
	}
	n.messages.errors = n.messages.errors[:0]
	n.session.env.logger.listen(n.messages)
	return nil
}

func (n *slot) leave() {
	n.session.env.logger.listen(nil)
	n.session.device.leave()
}

// Inputs implements inference.Slot.
func (n *slot) Inputs(in []inference.Input) ([][]byte, error) {
	const op = "tensorrt.inputs"
	if err := n.begin(op); err != nil {
		return nil, err
	}
	defer n.session.use.RUnlock()
	s := n.session
	if err := s.engine.signature.CheckInputs(in); err != nil {
		n.laid = false
		return nil, &fault.Error{Kind: fault.Invalid, Op: op, Subject: s.subject, Err: err}
	}
	if n.laid && slices.EqualFunc(in, n.request, equalInput) {
		return n.views, nil // same shapes, and nobody but this slot calls the arena
	}
	n.laid, n.known, n.placed = false, false, false
	profile, err := s.engine.profileFor(in, max(n.execution.profile, 0))
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "%w", err).On(s.subject).
			WithHint("Ask for such shapes, or build the engine with a profile for others.")
	}
	if err := n.view(in); err != nil {
		return nil, err
	}
	if err := n.enter(op); err != nil {
		return nil, err.On(s.subject)
	}
	defer n.leave()
	if err := n.lay(profile); err != nil {
		return nil, err.On(s.subject)
	}
	n.laid = true
	return n.views, nil
}

func equalInput(a, b inference.Input) bool {
	return a.Bytes == b.Bytes && slices.Equal(a.Shape, b.Shape)
}

// view remembers the request and lays its inputs out in the arena.
func (n *slot) view(in []inference.Input) error {
	sizes := make([]int, len(in))
	for i := range in {
		n.request[i].Shape = append(n.request[i].Shape[:0], in[i].Shape...)
		n.request[i].Bytes, sizes[i] = in[i].Bytes, in[i].Bytes
	}
	offsets, total, err := inference.Layout(sizes)
	if err != nil {
		return fault.New(fault.TooLarge, "tensorrt.inputs", "%w", err).On(n.session.subject)
	}
	memory, err := n.arena.Input(max(total, inference.Align)) // a model may have no inputs
	if err != nil {
		return err
	}
	for i, offset := range offsets {
		n.views[i] = memory.Data[offset : offset+sizes[i] : offset+sizes[i]]
	}
	return nil
}

// lay makes room for the inputs on the device and sets their shapes.
func (n *slot) lay(profile int) *fault.Error {
	const op = "tensorrt.inputs"
	x, e := n.execution, n.session.engine
	if err := x.use(profile); err != nil {
		return err
	}
	for i, p := range e.inputs {
		spec, r := &e.signature.Inputs[i], &x.inputs[i]
		if err := x.place(p, r, "input "+spec.Name, n.request[i].Bytes); err != nil {
			return err
		}
		if !spec.Fixed() && !x.shape(p, n.request[i].Shape) {
			return fault.New(fault.Invalid, op, "input %q of shape %s: %s", spec.Name, inference.FormatShape(n.request[i].Shape), n.messages.said())
		}
		if !p.host {
			n.in[i] = []uintptr{r.device.address, native.Address(n.views[i]), uintptr(len(n.views[i])), x.stream}
		}
	}
	if e.shapesFromHost {
		return nil // values are missing yet
	}
	return n.infer(op)
}

// infer works out the shapes of the outputs. Values in host memory are there already,
// where they matter.
func (n *slot) infer(op string) *fault.Error {
	x, e := n.execution, n.session.engine
	if !x.infer() {
		return fault.New(fault.Invalid, op, "the shapes of the inputs do not go together: %s", n.messages.said())
	}
	for i, p := range e.outputs {
		t := &n.outputs[i]
		d := n.session.library.dims(x.context, getContextShape, p.name, 0, 0)
		if d.rank < 0 || d.rank > maxRank || slices.Contains(d.d[:d.rank], -1) {
			return fault.New(fault.Unsupported, op, "output %q takes its shape from values that the engine computes, which this adapter does not take", t.Name)
		}
		t.Shape = append(t.Shape[:0], d.d[:d.rank]...)
		size, err := tensor.ByteSize(t.DType, t.Shape)
		if err != nil {
			return fault.New(fault.Invalid, op, "output %q: %w", t.Name, err)
		}
		n.sizes[i] = size
	}
	n.known, n.placed = true, false
	return nil
}

// place makes room for the outputs, in the arena and on the device.
func (n *slot) place() error {
	const op = "tensorrt.run"
	x, e := n.execution, n.session.engine
	offsets, total, err := inference.Layout(n.sizes)
	if err != nil {
		return fault.New(fault.TooLarge, op, "%w", err).On(n.session.subject)
	}
	memory, err := n.arena.Output(max(total, inference.Align))
	if err != nil {
		return err
	}
	for i, p := range e.outputs {
		t, r := &n.outputs[i], &x.outputs[i]
		t.Data = memory.Data[offsets[i] : offsets[i]+n.sizes[i] : offsets[i]+n.sizes[i]]
		if err := x.place(p, r, "output "+t.Name, n.sizes[i]); err != nil {
			return err.On(n.session.subject)
		}
		if !p.host {
			n.out[i] = []uintptr{native.Address(t.Data), r.device.address, uintptr(len(t.Data)), x.stream}
		}
	}
	n.placed = true
	return nil
}

// Run implements inference.Slot.
func (n *slot) Run(ctx context.Context) ([]tensor.Tensor, error) {
	const op = "tensorrt.run"
	if err := n.begin(op); err != nil {
		return nil, err
	}
	defer n.session.use.RUnlock()
	s := n.session
	switch {
	case !n.laid:
		return nil, fault.New(fault.Invalid, op, "the inputs were not laid out").On(s.subject)
	case ctx.Err() != nil:
		return nil, ended(ctx, op).On(s.subject)
	}
	if err := n.enter(op); err != nil {
		return nil, err.On(s.subject)
	}
	defer n.leave()
	if err := n.prepare(op); err != nil {
		return nil, err
	}
	if err := n.run(op); err != nil {
		return nil, err.On(s.subject)
	}
	if ctx.Err() != nil {
		return nil, ended(ctx, op).On(s.subject)
	}
	return n.outputs, nil
}

// prepare does what the values of the inputs have to be there for.
func (n *slot) prepare(op string) error {
	if n.session.engine.shapesFromHost {
		for i, p := range n.session.engine.inputs {
			if p.host {
				copy(n.execution.inputs[i].host, n.views[i])
			}
		}
		if err := n.infer(op); err != nil {
			return err.On(n.session.subject)
		}
	}
	if n.placed {
		return nil
	}
	return n.place()
}

// run copies the inputs, computes, copies the outputs and waits. It waits even where
// something fails, so that nothing is on the stream after it.
func (n *slot) run(op string) *fault.Error {
	x, d := n.execution, n.session.device
	failed := n.copy(cuMemcpyHtoDAsync, n.in)
	started := failed == 0 && x.start()
	if started {
		failed = n.copy(cuMemcpyDtoHAsync, n.out)
	}
	waited := x.wait()
	runtime.KeepAlive(n) // and with it the memory
	switch {
	case failed != 0:
		return d.explain(failed).fault(op)
	case !started:
		said := n.messages.said()
		kind := fault.Internal
		if outOfMemory(said) {
			kind = fault.Exhausted
		} else if n.session.engine.shapesFromHost {
			kind = fault.Invalid // values in host memory are checked here
		}
		return fault.New(kind, op, "the library does not start: %s", said)
	case waited != nil:
		return waited.fault(op)
	}
	for i, p := range n.session.engine.outputs {
		if p.host {
			copy(n.outputs[i].Data, x.outputs[i].host)
		}
	}
	return nil
}

// copy puts copies on the stream; it returns the CUresult of the one that fails, or 0.
func (n *slot) copy(f driverFunction, all [][]uintptr) int32 {
	const bytes = 2 // the argument
	for _, args := range all {
		if args == nil || args[bytes] == 0 {
			continue
		}
		if code := int32(native.Call(n.session.device.functions[f], args...)); code != 0 { //nolint:gosec // the function returns an int
			return code
		}
	}
	return 0
}
