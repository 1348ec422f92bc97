package litert

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// session is a model that has compiled once at least.
type session struct {
	subject string // for messages
	library string // for messages: "LiteRT"
	empty   bool   // the library takes tensors without elements

	signature inference.Signature
	info      inference.SessionInfo
	place     place // where it runs

	closed atomic.Bool
	freed  bool         // by Close; guarded by use
	use    sync.RWMutex // held for reading while a native object of the session is in use
	model  model        // guarded by use

	mu    sync.Mutex // guards what follows; taken after use
	slots map[*slot]struct{}
	spare []runner // that no slot has
}

// Signature implements inference.Session.
func (s *session) Signature() inference.Signature { return s.signature }

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

// compile makes one more runner.
func (s *session) compile() (runner, *failure) { return s.model.compile(s.place, s.info.Threads) }

// NewSlot implements inference.Session.
func (s *session) NewSlot(arena inference.Arena) (inference.Slot, error) {
	const op = "litert.slot"
	if err := s.begin(op); err != nil {
		return nil, err
	}
	defer s.use.RUnlock()
	r := s.take()
	if r == nil {
		var f *failure
		if r, f = s.compile(); f != nil {
			return nil, f.fault(fault.Exhausted, op).On(s.subject)
		}
	}
	n := newSlot(s, arena, r)
	s.mu.Lock()
	s.slots[n] = struct{}{}
	s.mu.Unlock()
	return n, nil
}

// take returns a runner that no slot has, or nil.
func (s *session) take() runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.spare) - 1
	if last < 0 {
		return nil
	}
	r := s.spare[last]
	s.spare = s.spare[:last]
	return r
}

// giveBack keeps a runner for the next slot, where there are not as many already as
// run at a time, and where no run has left values in it.
func (s *session) giveBack(r runner) {
	s.mu.Lock()
	keep := !s.info.Stateful && len(s.spare) < s.info.Parallel
	if keep {
		s.spare = append(s.spare, r)
	}
	s.mu.Unlock()
	if !keep {
		r.close()
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
	for n := range s.slots {
		n.free().close()
	}
	clear(s.slots)
	for _, r := range s.spare {
		r.close()
	}
	s.spare = nil
	err := s.model.close()
	native.TrimHeap() // the weights are back with the system, not only with malloc
	if err != nil {
		return &fault.Error{Kind: fault.Internal, Op: "litert.close", Subject: s.subject, Err: err}
	}
	return nil
}
