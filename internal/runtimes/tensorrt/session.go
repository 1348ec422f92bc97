package tensorrt

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// session is an engine with an execution context at least.
type session struct {
	library *library
	device  *device
	env     *environment
	subject string // for messages
	log     *slog.Logger
	level   slog.Level
	budget  *budget
	info    inference.SessionInfo

	closed  atomic.Bool
	freed   bool         // by Close; guarded by use
	use     sync.RWMutex // held for reading while a native object of the session is in use
	engine  *engine      // its object is guarded by use; nil before load, the rest never changes
	charged int64        // of the budget, for the file

	create sync.Mutex // held while the engine makes an execution context

	mu    sync.Mutex // guards what follows; taken after use
	slots map[*slot]struct{}
	spare []*execution // that no slot has
}

// load reads an engine. The caller closes the session where it fails.
func (s *session) load(data []byte) *fault.Error {
	const op = "tensorrt.load"
	h, err := readHeader(data)
	if err != nil {
		return err
	}
	if err = s.budget.take("the engine", int64(len(h.engine))); err != nil {
		return err
	}
	s.charged = int64(len(h.engine))
	if f := s.device.enter(); f != nil {
		return f.fault(op)
	}
	defer s.device.leave()
	messages := &journal{log: s.log, level: s.level}
	s.env.logger.listen(messages)
	defer s.env.logger.listen(nil)

	s.env.mu.Lock()
	address := s.library.call(s.env.runtime, deserializeEngine, native.Address(h.engine), uintptr(len(h.engine)))
	s.env.mu.Unlock()
	if address == 0 {
		return s.refusal(h, messages)
	}
	if s.engine, err = s.library.newEngine(address); err != nil {
		return err
	}
	x, err := s.newExecution(messages)
	if err != nil {
		return err
	}
	s.spare = append(s.spare, x)
	if err = s.checkOutputs(x, messages); err != nil {
		return err
	}
	s.info.Metadata = s.metadata(h)
	return nil
}

// checkOutputs refuses an engine with an output whose shape follows from values that
// it computes: the library hands those to an allocator only. Where values of a request
// decide about shapes, that shows when they are there.
func (s *session) checkOutputs(x *execution, messages *journal) *fault.Error {
	if s.engine.shapesFromHost {
		return nil
	}
	if err := x.use(max(x.profile, 0)); err != nil {
		return err
	}
	for i, p := range s.engine.inputs {
		if p.ranges != nil && !s.engine.signature.Inputs[i].Fixed() && !x.shape(p, p.ranges[x.profile].best) {
			return fault.New(fault.Internal, "tensorrt.load", "the library does not take the shapes of its own profile: %s", messages.said())
		}
	}
	for i, p := range s.engine.outputs {
		d := s.library.dims(x.context, getContextShape, p.name, 0, 0)
		if shape, ok := d.shape(); ok && slices.Contains(shape, -1) {
			return fault.New(fault.Unsupported, "tensorrt.load", "output %q takes its shape %s from values that the engine computes, which this adapter does not take",
				s.engine.signature.Outputs[i].Name, inference.FormatShape(shape)).
				WithHint("Build the engine so that the shapes of its outputs follow from those of its inputs.")
		}
	}
	return nil
}

// Signature implements inference.Session.
func (s *session) Signature() inference.Signature { return s.engine.signature }

// Info implements inference.Session.
func (s *session) Info() inference.SessionInfo {
	info := s.info
	info.ProvidersRequested = slices.Clone(info.ProvidersRequested)
	info.Providers = slices.Clone(info.Providers)
	info.Fallbacks = slices.Clone(info.Fallbacks)
	info.Metadata = maps.Clone(info.Metadata)
	return info
}

// begin holds the native objects of the session in place until s.use.RUnlock. It
// fails with fault.Unavailable after Close.
func (s *session) begin(op string) error {
	if !s.closed.Load() {
		s.use.RLock()
		if !s.closed.Load() {
			return nil
		}
		s.use.RUnlock()
	}
	return fault.New(fault.Unavailable, op, "the session is closed").On(s.subject)
}

// NewSlot implements inference.Session.
func (s *session) NewSlot(arena inference.Arena) (inference.Slot, error) {
	const op = "tensorrt.slot"
	if err := s.begin(op); err != nil {
		return nil, err
	}
	defer s.use.RUnlock()
	x := s.take()
	if x == nil {
		if f := s.device.enter(); f != nil {
			return nil, f.fault(op).On(s.subject)
		}
		defer s.device.leave()
		messages := &journal{log: s.log, level: s.level}
		s.env.logger.listen(messages)
		defer s.env.logger.listen(nil)
		var err *fault.Error
		if x, err = s.newExecution(messages); err != nil {
			return nil, err.On(s.subject)
		}
	}
	n := newSlot(s, arena, x)
	s.mu.Lock()
	s.slots[n] = struct{}{}
	s.mu.Unlock()
	return n, nil
}

// take returns an execution that no slot has, or nil.
func (s *session) take() *execution {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.spare) - 1
	if last < 0 {
		return nil
	}
	x := s.spare[last]
	s.spare = s.spare[:last]
	return x
}

// giveBack keeps an execution for the next slot, where there are not as many already
// as run at a time.
func (s *session) giveBack(x *execution) {
	s.mu.Lock()
	keep := len(s.spare) < s.info.Parallel
	if keep {
		s.spare = append(s.spare, x)
	}
	s.mu.Unlock()
	if !keep {
		if s.device.enter() == nil {
			defer s.device.leave()
		}
		x.free()
	}
}

// drop forgets a slot that frees itself; false when Close has freed it.
func (s *session) drop(n *slot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.slots[n]
	delete(s.slots, n)
	return ok
}

// Close implements inference.Session.
func (s *session) Close() error {
	s.closed.Store(true)
	s.use.Lock()
	defer s.use.Unlock()
	if s.freed {
		return nil
	}
	s.freed = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.device.enter() == nil {
		defer s.device.leave()
	}
	for n := range s.slots {
		n.release().free()
	}
	clear(s.slots)
	for _, x := range s.spare {
		x.free()
	}
	s.spare = nil
	if s.engine != nil {
		s.library.free(s.engine.object)
		s.engine.object = object{}
	}
	s.budget.give(s.charged)
	s.charged = 0
	native.TrimHeap() // the file's copy is back with the system, not only with malloc
	return nil
}
