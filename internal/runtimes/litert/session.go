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
	api     *api
	env     *environment
	subject string // for messages

	signature inference.Signature
	info      inference.SessionInfo
	settings  settings

	closed atomic.Bool
	use    sync.RWMutex // held for reading while a native object of the session is in use
	model  *model       // guarded by use

	mu    sync.Mutex // guards what follows; taken after use
	slots map[*slot]struct{}
	spare []*compiled // that no slot has
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

// compile makes one more compiled model.
func (s *session) compile() (*compiled, *failure) {
	return s.api.compile(s.env.handle, s.model, s.settings)
}

// NewSlot implements inference.Session.
func (s *session) NewSlot(arena inference.Arena) (inference.Slot, error) {
	const op = "litert.slot"
	if err := s.begin(op); err != nil {
		return nil, err
	}
	defer s.use.RUnlock()
	c := s.take()
	if c == nil {
		var f *failure
		if c, f = s.compile(); f != nil {
			return nil, f.fault(fault.Exhausted, op).On(s.subject)
		}
	}
	n := newSlot(s, arena, c)
	s.mu.Lock()
	s.slots[n] = struct{}{}
	s.mu.Unlock()
	return n, nil
}

// take returns a compiled model that no slot has, or nil.
func (s *session) take() *compiled {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.spare) - 1
	if last < 0 {
		return nil
	}
	c := s.spare[last]
	s.spare = s.spare[:last]
	return c
}

// giveBack keeps a compiled model for the next slot, where there are not as many
// already as run at a time.
func (s *session) giveBack(c *compiled) {
	s.mu.Lock()
	keep := len(s.spare) < s.info.Parallel
	if keep {
		s.spare = append(s.spare, c)
	}
	s.mu.Unlock()
	if !keep {
		c.close()
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
	if s.closed.Swap(true) {
		s.use.RLock()   // an earlier Close has finished then
		s.use.RUnlock() //nolint:staticcheck // nothing is left to do but to wait
		return nil
	}
	s.use.Lock()
	defer s.use.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.slots {
		n.free().close()
	}
	clear(s.slots)
	for _, c := range s.spare {
		c.close()
	}
	s.spare = nil
	s.api.destroy(destroyModel, s.model.handle)
	s.model = nil
	native.TrimHeap() // the weights are back with the system, not only with malloc
	return nil
}
