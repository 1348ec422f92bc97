package onnxruntime

import (
	"context"
	"runtime"
	"slices"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// slot is one request at a time over the memory of an arena.
type slot struct {
	session *session
	arena   inference.Arena
	tag     string   // of its runs, in the library's log
	log     *journal // what the library says in its runs
	options uintptr  // OrtRunOptions: holds the tag, and the flag that ends a run

	// arguments of the native call, which never change: what they point to does.
	arguments [8]uintptr

	in, out    values
	request    []inference.Input // what in is laid out for
	laid       bool              // Inputs succeeded
	views      [][]byte
	resolved   bool // all shapes of out follow from the inputs; else the library makes the outputs
	text       bool // an input is of strings
	terminated chan struct{}
}

func newSlot(s *session, arena inference.Arena) *slot {
	n := &slot{
		session: s, arena: arena, log: &journal{log: s.log, level: s.level, run: true},
		in: newValues(s.signature.Inputs), out: newValues(s.signature.Outputs),
		request: make([]inference.Input, len(s.signature.Inputs)), views: make([][]byte, len(s.signature.Inputs)),
		terminated: make(chan struct{}, 1),
	}
	n.text = slices.ContainsFunc(s.signature.Inputs, func(spec inference.Spec) bool { return spec.DType == tensor.Bytes })
	return n
}

// open makes the native objects that do not depend on a request.
func (n *slot) open() *statusError {
	a := n.session.api
	n.tag = n.session.env.open(n.session.id, n.log)
	if status := a.call(createRunOptions, uintptr(unsafe.Pointer(&n.options))); status != nil {
		return status
	}
	s := n.session
	n.arguments = [...]uintptr{
		s.handle, n.options, first(s.inputNames), first(n.in.handles), uintptr(len(n.in.handles)),
		first(s.outputNames), uintptr(len(n.out.handles)), first(n.out.handles),
	}
	tag := append([]byte(n.tag), 0)
	return a.call(runOptionsSetRunTag, n.options, uintptr(unsafe.Pointer(&tag[0])))
}

// free frees all native objects of the slot.
func (n *slot) free() {
	a := n.session.api
	n.in.free(a)
	n.out.free(a)
	a.release(releaseRunOptions, n.options)
	n.options = 0
	n.laid = false
	n.session.env.close(n.session.id, n.tag)
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
	if n.options == 0 {
		n.session.use.RUnlock()
		return fault.New(fault.Unavailable, op, "the slot is closed").On(n.session.subject)
	}
	return nil
}

// Inputs implements inference.Slot.
func (n *slot) Inputs(in []inference.Input) ([][]byte, error) {
	const op = "onnxruntime.inputs"
	if err := n.begin(op); err != nil {
		return nil, err
	}
	defer n.session.use.RUnlock()
	if err := n.session.signature.CheckInputs(in); err != nil {
		n.laid = false
		return nil, &fault.Error{Kind: fault.Invalid, Op: op, Subject: n.session.subject, Err: err}
	}
	if n.laid && slices.EqualFunc(in, n.request, equalInput) {
		return n.views, nil // same shapes, and nobody but this slot calls the arena
	}
	n.laid = false
	for i := range in {
		n.request[i].Shape = append(n.request[i].Shape[:0], in[i].Shape...)
		n.request[i].Bytes = in[i].Bytes
		n.in.tensors[i].Shape, n.in.sizes[i] = n.request[i].Shape, in[i].Bytes
	}
	offsets, total, err := inference.Layout(n.in.sizes)
	if err != nil {
		return nil, fault.New(fault.TooLarge, op, "%w", err).On(n.session.subject)
	}
	memory, err := n.arena.Input(max(total, 1)) // a tensor without elements needs an address too
	if err != nil {
		return nil, err
	}
	if status := n.in.over(n.session.api, memory.Data, offsets); status != nil {
		return nil, status.fault(fault.Exhausted, op).On(n.session.subject)
	}
	for i := range n.views {
		n.views[i] = n.in.tensors[i].Data
	}
	n.out.free(n.session.api)
	n.resolve()
	n.laid = true
	return n.views, nil
}

func equalInput(a, b inference.Input) bool {
	return a.Bytes == b.Bytes && slices.Equal(a.Shape, b.Shape)
}

// resolve works out the shapes of the outputs, as far as they follow from the
// inputs. Strings never do.
func (n *slot) resolve() {
	n.resolved = !n.session.misdeclared.Load()
	for i, shape := range n.session.signature.ResolveOutputs(n.request) {
		t := &n.out.tensors[i]
		t.Shape = shape
		size, err := tensor.ByteSize(t.DType, shape)
		if err != nil || n.session.signature.Outputs[i].Shape == nil {
			n.resolved = false
			continue
		}
		n.out.sizes[i] = size
	}
}

// Run implements inference.Slot.
func (n *slot) Run(ctx context.Context) ([]tensor.Tensor, error) {
	const op = "onnxruntime.run"
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
	if n.text {
		for i := range n.in.tensors {
			if n.in.tensors[i].DType == tensor.Bytes {
				if err := n.in.fillStrings(n.session.api, i); err != nil {
					return nil, err
				}
			}
		}
	}
	if n.resolved && !n.out.made {
		if err := n.placeOutputs(); err != nil {
			return nil, err
		}
	}
	status := n.call(ctx)
	if status != nil && n.resolved && status.misdeclaredShape() && ctx.Err() == nil {
		// The model declares another shape than it has: the library decides from now on.
		n.session.misdeclared.Store(true)
		n.out.free(n.session.api)
		n.resolved = false
		status = n.call(ctx)
	}
	if status != nil {
		n.dropOutputs()
		if ctx.Err() != nil {
			return nil, ended(ctx, op).On(n.session.subject)
		}
		return nil, n.log.explain(status.fault(status.runKind(), op)).On(n.session.subject)
	}
	if !n.resolved {
		defer n.dropOutputs()
		if err := n.fetchOutputs(); err != nil {
			return nil, err
		}
	}
	return n.out.tensors, n.passThrough()
}

// passThrough fills outputs that are inputs: the library leaves memory that it is handed for
// those as it was.
func (n *slot) passThrough() error {
	for _, p := range n.session.passed {
		from, to := n.views[p.input], n.out.tensors[p.output].Data
		if len(from) != len(to) {
			return fault.New(fault.Internal, "onnxruntime.run", "output %q, which is an input, has %d bytes, want %d", n.session.signature.Outputs[p.output].Name, len(to), len(from)).
				On(n.session.subject)
		}
		copy(to, from)
	}
	return nil
}

// outputMemory gets the arena's memory for outputs of the sizes that are known, and
// returns where in it each of them lies.
func (n *slot) outputMemory() (memory inference.Memory, offsets []int, err error) {
	offsets, total, err := inference.Layout(n.out.sizes)
	if err != nil {
		return inference.Memory{}, nil, fault.New(fault.TooLarge, "onnxruntime.run", "%w", err).On(n.session.subject)
	}
	memory, err = n.arena.Output(max(total, 1))
	return memory, offsets, err
}

// placeOutputs makes the values of outputs whose shapes are known, in the arena.
func (n *slot) placeOutputs() error {
	const op = "onnxruntime.run"
	memory, offsets, err := n.outputMemory()
	if err != nil {
		return err
	}
	if status := n.out.over(n.session.api, memory.Data, offsets); status != nil {
		return status.fault(fault.Exhausted, op).On(n.session.subject)
	}
	return nil
}

// call runs the model once. When ctx ends, the run is terminated between two nodes
// of the graph; call returns when the library has.
func (n *slot) call(ctx context.Context) *statusError {
	n.log.forget()
	var stop func() bool
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, n.terminate)
	}
	s := n.session
	status := s.api.call(runSession, n.arguments[:]...)
	runtime.KeepAlive(n) // and with it the arrays
	if stop != nil && !stop() {
		<-n.terminated                                  // or it would end a later run
		s.api.call(runOptionsUnsetTerminate, n.options) //nolint:errcheck // the function cannot fail
	}
	return status
}

// terminate ends the run in progress, or the next one.
func (n *slot) terminate() {
	n.session.api.call(runOptionsSetTerminate, n.options) //nolint:errcheck // the function cannot fail
	n.terminated <- struct{}{}
}

// first returns the address of an array that its holder keeps on the heap and alive.
func first(words []uintptr) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(words))) }

// dropOutputs releases outputs that the library made.
func (n *slot) dropOutputs() {
	if !n.resolved {
		n.out.free(n.session.api)
	}
}

// fetchOutputs copies outputs that the library made into the arena: all of them,
// since the arena's earlier memory may be gone when it has to grow.
func (n *slot) fetchOutputs() error {
	const op = "onnxruntime.run"
	a := n.session.api
	made := make([]madeOutput, len(n.out.handles))
	for i, h := range n.out.handles {
		var err error
		if made[i], err = a.look(h, n.session.signature.Outputs[i]); err != nil {
			return fault.New(fault.Internal, op, "output %q: %w", n.out.tensors[i].Name, err).On(n.session.subject)
		}
		n.out.sizes[i] = made[i].size
	}
	memory, offsets, err := n.outputMemory()
	if err != nil {
		return err
	}
	for i, h := range n.out.handles {
		t := &n.out.tensors[i]
		t.Shape = made[i].shape
		t.Data = memory.Data[offsets[i] : offsets[i]+made[i].size : offsets[i]+made[i].size]
		if err := a.copyOut(h, made[i], t.Data); err != nil {
			return fault.New(fault.Internal, op, "output %q: %w", t.Name, err).On(n.session.subject)
		}
	}
	return nil
}
