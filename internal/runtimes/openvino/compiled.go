package openvino

import (
	"context"
	"runtime"
	"sync/atomic"

	"verge/internal/fault"
	"verge/internal/inference"
)

// compiled is an ov_compiled_model, which the requests of several slots may use.
type compiled struct {
	handle uintptr
	users  int // slots; guarded by session.mu
	// spoiled says that it computes no more. A run that fails leaves shapes behind, in
	// those nodes that were told the new ones and did not run. They take them for
	// right when the next run has the shapes of the last one that succeeded: that run
	// fails for no reason of its own, or gives a wrong answer. The library keeps them
	// with what was compiled, where a new request finds them too.
	spoiled atomic.Bool
}

// source is what a model is compiled from again.
type source struct {
	env     *environment
	model   inference.Model
	options inference.Options
	target  target
}

// acquire returns what a slot's requests are made of: one for all slots, but for
// models that keep values one for each, since those are lost when it is spoiled.
func (s *session) acquire() (*compiled, *fault.Error) {
	if c := s.shared(); c != nil {
		return c, nil
	}
	s.again.Lock()
	defer s.again.Unlock()
	if c := s.shared(); c != nil { // another slot was here first
		return c, nil
	}
	c, failure := s.recompile()
	if failure != nil {
		return nil, failure
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.users = 1
	s.times++
	if s.compiled == nil {
		s.compiled = c
	}
	return c, nil
}

// shared returns the current one for one more slot, or nil where it cannot be used.
// One that is spoiled is given up.
func (s *session) shared() *compiled {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.compiled
	if c != nil && c.spoiled.Load() {
		s.compiled = nil
		if c.users == 0 {
			s.api.release(compiledModelFree, c.handle)
		}
		return nil
	}
	if c == nil || s.info.Stateful && c.users > 0 {
		return nil
	}
	c.users++
	return c
}

// leave says that a slot uses c no more.
func (s *session) leave(c *compiled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.users--; c.users == 0 && c != s.compiled {
		s.api.release(compiledModelFree, c.handle)
	}
}

// recompile compiles the model once more, as it was compiled first.
func (s *session) recompile() (*compiled, *fault.Error) {
	messages := &journal{log: s.source.options.Log, level: s.source.options.LogLevel}
	runtime.LockOSThread() // the library logs on the thread that loads
	defer runtime.UnlockOSThread()
	defer s.source.env.onThread(messages)()

	model, failure := s.read(s.source.env.core, s.source.model)
	if failure == nil {
		defer s.api.release(modelFree, model)
		handle, err := s.compile(context.Background(), s.source.env, model, s.source.model, s.source.options, s.source.target)
		if err == nil {
			return &compiled{handle: handle}, nil
		}
		failure = refusal(err, "openvino.compile")
	}
	if failure.Kind != fault.Exhausted {
		failure.Kind = fault.Internal // it worked before
	}
	return nil, messages.explain(failure)
}

// spoil says that a run over c has failed, and reports whether that is news: else the
// failure may be another run's, as an answer may be. The shapes of other models never
// change.
func (s *session) spoil(c *compiled) bool {
	return !s.fluid || c.spoiled.CompareAndSwap(false, true)
}
