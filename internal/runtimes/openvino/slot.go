package openvino

import (
	"context"
	"runtime"
	"slices"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// slot is an ov_infer_request over the memory of an arena.
type slot struct {
	session   *session
	arena     inference.Arena
	compiled  *compiled  // what request is made of; nil for none
	request   uintptr    // 0 for none, as after a run that failed
	arguments [1]uintptr // of the native call
	closed    bool

	in, out tensors
	asked   []inference.Input // what in is laid out for
	laid    bool              // Inputs succeeded
	views   [][]byte
	placed  bool // the outputs' shapes are known, so that they can lie in the arena

	canceled chan struct{} // told that cancel is over
}

func newSlot(s *session, arena inference.Arena) *slot {
	n := &slot{
		session: s, arena: arena, in: newTensors(s.signature.Inputs), out: newTensors(s.signature.Outputs),
		asked: make([]inference.Input, len(s.signature.Inputs)), views: make([][]byte, len(s.signature.Inputs)),
		canceled: make(chan struct{}, 1), placed: s.resolved,
	}
	for i := range n.out.list {
		n.out.list[i].Shape = slices.Clone(s.signature.Outputs[i].Shape)
		if s.resolved {
			n.out.sizes[i], _ = tensor.ByteSize(n.out.list[i].DType, n.out.list[i].Shape) // resolved says that it has a size
		}
	}
	return n
}

// renew gives the slot a new request with the same inputs. What the model kept from
// earlier runs is gone.
func (n *slot) renew(op string) error {
	n.discard()
	if n.compiled != nil && n.compiled.spoiled.Load() {
		n.leave()
	}
	if n.compiled == nil {
		c, failure := n.session.acquire()
		if failure != nil {
			return failure.On(n.session.subject)
		}
		n.compiled = c
	}
	a := n.session.api
	if status := a.call(compiledModelCreateInferRequest, n.compiled.handle, uintptr(unsafe.Pointer(&n.request))); status != nil {
		n.request = 0
		return status.fault(fault.Exhausted, op).On(n.session.subject)
	}
	n.arguments[0] = n.request
	if !n.in.made {
		return nil
	}
	for i, h := range n.in.handles {
		if status := a.call(setInputTensorByIndex, n.request, uintptr(i), h); status != nil { // not negative
			n.discard()
			return status.fault(fault.Internal, op).On(n.session.subject)
		}
	}
	return nil
}

// discard frees the request, and the outputs that it has.
func (n *slot) discard() {
	n.session.api.release(requestFree, n.request) // first: it holds the tensors
	n.request = 0
	n.out.free(n.session.api)
}

// leave lets go of what the slot's requests were made of.
func (n *slot) leave() {
	if n.compiled != nil {
		n.session.leave(n.compiled)
		n.compiled = nil
	}
}

// free frees all native objects of the slot. Its profile goes to the session's.
func (n *slot) free() {
	a := n.session.api
	if n.request != 0 && n.session.profile != nil {
		n.session.profile.add(a, n.request)
	}
	n.discard()
	n.in.free(a)
	n.leave()
	n.laid, n.closed = false, true
}

// Close implements inference.Slot.
func (n *slot) Close() error {
	n.session.use.RLock()
	defer n.session.use.RUnlock()
	if n.session.drop(n) {
		n.free()
	}
	return nil
}

// begin is session.begin, and refuses a closed slot.
func (n *slot) begin(op string) error {
	if err := n.session.begin(op); err != nil {
		return err
	}
	if n.closed {
		n.session.use.RUnlock()
		return fault.New(fault.Unavailable, op, "the slot is closed").On(n.session.subject)
	}
	return nil
}

// ready gives the slot a new request where it needs one.
func (n *slot) ready(op string) error {
	if n.request != 0 && !n.compiled.spoiled.Load() {
		return nil
	}
	return n.renew(op)
}

// Inputs implements inference.Slot.
func (n *slot) Inputs(in []inference.Input) ([][]byte, error) {
	const op = "openvino.inputs"
	if err := n.begin(op); err != nil {
		return nil, err
	}
	defer n.session.use.RUnlock()
	if err := n.session.signature.CheckInputs(in); err != nil {
		n.laid = false
		return nil, &fault.Error{Kind: fault.Invalid, Op: op, Subject: n.session.subject, Err: err}
	}
	if n.laid && slices.EqualFunc(in, n.asked, equalInput) {
		return n.views, nil // same shapes, and nobody but this slot calls the arena
	}
	n.laid = false
	for i := range in {
		n.asked[i].Shape = append(n.asked[i].Shape[:0], in[i].Shape...)
		n.asked[i].Bytes = in[i].Bytes
		n.in.list[i].Shape, n.in.sizes[i] = n.asked[i].Shape, in[i].Bytes
	}
	offsets, total, err := inference.Layout(n.in.sizes)
	if err != nil {
		return nil, fault.New(fault.TooLarge, op, "%w", err).On(n.session.subject)
	}
	n.in.free(n.session.api) // a new request has no use for them
	if err = n.ready(op); err != nil {
		return nil, err
	}
	memory, err := n.arena.Input(max(total, 1)) // a tensor without elements needs an address too
	if err != nil {
		return nil, err
	}
	if status := n.in.over(n.session.api, n.request, setInputTensorByIndex, memory.Data, offsets); status != nil {
		return nil, status.fault(status.runKind(), op).On(n.session.subject) // bounds of a dimension that only the library knows
	}
	for i := range n.views {
		n.views[i] = n.in.list[i].Data
	}
	n.laid = true
	return n.views, nil
}

func equalInput(a, b inference.Input) bool {
	return a.Bytes == b.Bytes && slices.Equal(a.Shape, b.Shape)
}

// Run implements inference.Slot.
func (n *slot) Run(ctx context.Context) ([]tensor.Tensor, error) {
	const op = "openvino.run"
	if err := n.begin(op); err != nil {
		return nil, err
	}
	defer n.session.use.RUnlock()
	if !n.laid {
		return nil, fault.New(fault.Invalid, op, "the inputs were not laid out").On(n.session.subject)
	}
	if n.session.wide {
		for _, t := range n.in.list {
			if err := checkRange(t); err != nil {
				return nil, fault.New(fault.Invalid, op, "input %q %w", t.Name, err).On(n.session.subject)
			}
		}
	}
	for ctx.Err() == nil {
		if err := n.ready(op); err != nil {
			return nil, err
		}
		if ctx.Err() != nil { // that took too long: a run that begins only to be canceled spoils it again
			break
		}
		if outputs, again, err := n.try(ctx); !again {
			return outputs, err
		}
	}
	return nil, ended(ctx, op).On(n.session.subject)
}

// try runs the model once. It is to be done again where another slot's run has failed
// meanwhile, which may be why this one failed, or what it answered.
func (n *slot) try(ctx context.Context) (outputs []tensor.Tensor, again bool, err error) {
	const op = "openvino.run"
	if n.placed && !n.out.made {
		if err = n.placeOutputs(); err != nil {
			return nil, false, err
		}
	}
	if status := n.call(ctx); status != nil {
		own := n.session.spoil(n.compiled)
		n.discard()
		switch {
		case ctx.Err() != nil:
			return nil, false, ended(ctx, op).On(n.session.subject)
		case !own:
			return nil, true, nil
		}
		return nil, false, status.fault(status.runKind(), op).On(n.session.subject)
	}
	if !n.placed {
		err = n.fetchOutputs()
	}
	switch {
	case n.compiled.spoiled.Load():
		return nil, true, nil
	case err != nil:
		return nil, false, err
	}
	return n.out.list, false, nil
}

// placeOutputs makes the tensors of outputs whose shapes are known, in the arena.
func (n *slot) placeOutputs() error {
	const op = "openvino.run"
	memory, offsets, err := n.outputMemory()
	if err != nil {
		return err
	}
	a := n.session.api
	if status := n.out.over(a, n.request, setOutputTensorByIndex, memory.Data, offsets); status != nil {
		return status.fault(fault.Internal, op).On(n.session.subject)
	}
	if !n.in.holds(a, n.request, getInputTensorByIndex) || !n.out.holds(a, n.request, getOutputTensorByIndex) {
		return n.leaveOutputs()
	}
	return nil
}

// leaveOutputs leaves the outputs to the library from now on: in a new request, since
// none can be taken out of one.
func (n *slot) leaveOutputs() error {
	n.placed = false
	return n.renew("openvino.run")
}

// outputMemory gets the arena's memory for outputs of the sizes that are known, and
// returns where in it each of them lies.
func (n *slot) outputMemory() (memory inference.Memory, offsets []int, err error) {
	offsets, total, err := inference.Layout(n.out.sizes)
	if err != nil {
		return inference.Memory{}, nil, fault.New(fault.TooLarge, "openvino.run", "%w", err).On(n.session.subject)
	}
	memory, err = n.arena.Output(max(total, 1))
	return memory, offsets, err
}

// call runs the model once, on a thread of the library's. When ctx ends, the run is
// canceled between two nodes of the graph; call returns when the library has. The
// library has a function that does the same on the calling thread, but it reports
// success when a node has failed, and it cannot be canceled (found with 2026.4.1).
func (n *slot) call(ctx context.Context) *statusError {
	a := n.session.api
	if status := a.call(requestStartAsync, n.arguments[:]...); status != nil {
		return status
	}
	var stop func() bool
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, n.cancel) // the run has begun: what cancels it is not lost
	}
	status := a.call(requestWait, n.arguments[:]...)
	if stop != nil && !stop() {
		<-n.canceled // or it would end a later run
	}
	runtime.KeepAlive(n)
	return status
}

// cancel ends the run in progress, if any.
func (n *slot) cancel() {
	n.session.api.call(requestCancel, n.request) //nolint:errcheck // then the run goes on to its end
	n.canceled <- struct{}{}
}

// fetchOutputs copies outputs that the library made into the arena: all of them,
// since the arena's earlier memory may be gone when it has to grow.
func (n *slot) fetchOutputs() error {
	const op = "openvino.run"
	a := n.session.api
	made := make([]madeOutput, len(n.out.list))
	defer func() {
		for _, m := range made {
			a.release(tensorFree, m.handle)
		}
	}()
	for i := range made {
		var err error
		if made[i], err = a.fetch(n.request, i, n.session.signature.Outputs[i]); err != nil {
			return fault.New(fault.Internal, op, "output %q: %w", n.out.list[i].Name, err).On(n.session.subject)
		}
		n.out.sizes[i] = len(made[i].data)
	}
	memory, offsets, err := n.outputMemory()
	if err != nil {
		return err
	}
	for i, m := range made {
		t := &n.out.list[i]
		t.Shape = m.shape
		t.Data = memory.Data[offsets[i] : offsets[i]+len(m.data) : offsets[i]+len(m.data)]
		copy(t.Data, m.data)
	}
	return nil
}
