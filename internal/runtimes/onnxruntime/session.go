package onnxruntime

import (
	"context"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
	"verge/internal/tensor"
)

// session is an OrtSession.
type session struct {
	api     *api
	env     *environment
	id      string // its log identifier
	subject string // for messages
	log     *slog.Logger
	level   slog.Level
	profile bool
	passed  []passed

	messages *journal // of the load
	assigned []string // providers that operators were given to; nil where only the CPU was asked

	signature               inference.Signature
	info                    inference.SessionInfo
	inputNames, outputNames []uintptr // C strings of the default allocator

	// misdeclared is set when an output came out in another shape than the model
	// declares: from then on, the library decides all shapes.
	misdeclared atomic.Bool

	closed atomic.Bool
	freed  bool         // by Close; guarded by use
	use    sync.RWMutex // held for reading while a native object of the session is in use
	handle uintptr      // guarded by use

	mu    sync.Mutex // guards slots; taken after use
	slots map[*slot]struct{}
}

// newSession compiles a model with a provider and the CPU behind it, or with the CPU
// alone. What was asked for before is for the caller to add to its info.
func (r *ortRuntime) newSession(ctx context.Context, m inference.Model, o inference.Options, c candidate) (_ *session, failure *fault.Error) {
	const op = "onnxruntime.load"
	s := &session{
		api: r.api, env: r.env, subject: "model " + m.Name, log: o.Log, level: o.LogLevel, profile: o.Profile != "",
		messages: &journal{log: o.Log, level: o.LogLevel, loading: true}, slots: map[*slot]struct{}{},
	}
	s.id = r.env.open("", s.messages)
	defer s.messages.loaded()
	defer func() {
		if failure != nil {
			failure = s.messages.explain(failure)
			s.free() //nolint:errcheck,gosec // the first error counts
		}
	}()
	options, err := s.api.newOptions(o, s.id, c)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Op: op, Err: err}
	}
	defer s.api.release(releaseSessionOptions, options)
	if s.usePrepared(ctx, m, o, c) {
		return s, r.finish(ctx, s, m, o, c)
	}
	if failure := s.compile(ctx, m.Data, options, o, c); failure != nil {
		if ctx.Err() != nil {
			return nil, ended(ctx, op)
		}
		return nil, failure
	}
	return s, r.finish(ctx, s, m, o, c)
}

// finish reads what the library says of a compiled model.
func (r *ortRuntime) finish(ctx context.Context, s *session, m inference.Model, o inference.Options, c candidate) *fault.Error {
	const op = "onnxruntime.load"
	if ctx.Err() != nil {
		return ended(ctx, op)
	}
	if failure := s.describe(); failure != nil {
		return failure
	}
	s.info = inference.SessionInfo{
		Runtime: Name, RuntimeVersion: r.api.version, Device: "cpu", Providers: []string{cpuProvider},
		Threads: max(o.Threads, 1), Parallel: max(o.Parallel, 1),
		ModelBytes: int64(len(m.Data)), Profile: o.Profile,
	}
	metadata, status := s.api.metadata(s.handle)
	if status != nil {
		return status.fault(fault.Internal, op)
	}
	s.info.Metadata = metadata
	if c.cpu() {
		return nil
	}
	if s.assigned, status = s.api.assigned(s.handle); status != nil {
		return status.fault(fault.Internal, op)
	}
	s.info.Device, s.info.Providers = c.device, []string{c.name}
	for _, name := range s.assigned {
		if name != c.name {
			s.info.Providers = append(s.info.Providers, name)
		}
	}
	return nil
}

// compile makes the native session. When ctx ends, the library is told to stop.
func (s *session) compile(ctx context.Context, data []byte, options uintptr, o inference.Options, c candidate) *fault.Error {
	const op = "onnxruntime.load"
	defer keepSignalStack()() // the library logs on the thread that loads
	defer s.env.onThread(s.messages)()

	if !c.cpu() {
		if err := c.addTo(s.api, s.env, options, o); err != nil {
			failure := asFault(err, op)
			failure.Kind = fault.Unsupported
			return failure
		}
	}
	status := s.create(ctx, options, createSessionFromArray, uintptr(unsafe.Pointer(unsafe.SliceData(data))), uintptr(len(data)))
	switch {
	case status == nil:
		return nil
	case c.cpu():
		return status.fault(status.loadKind(), op).WithHint("%s", status.loadHint())
	}
	return status.fault(status.providerKind(), op)
}

// create calls a function that makes a session of the model that the arguments say.
//
//go:uintptrescapes
func (s *session) create(ctx context.Context, options uintptr, e entry, model ...uintptr) *statusError {
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		s.api.call(setLoadCancellationFlag, options, 1) //nolint:errcheck // then the load is not cut short
	})
	arguments := append(append([]uintptr{s.env.handle}, model...), options, uintptr(unsafe.Pointer(&s.handle))) // s does not move
	status := s.api.call(e, arguments...)
	runtime.KeepAlive(s)
	if !stop() {
		<-told
	}
	return status
}

// describe reads the signature.
func (s *session) describe() *fault.Error {
	var err error
	if s.signature.Inputs, s.inputNames, err = s.api.specs(s.handle, inputSide); err == nil {
		s.signature.Outputs, s.outputNames, err = s.api.specs(s.handle, outputSide)
	}
	if err != nil {
		return &fault.Error{Kind: fault.KindOf(err), Op: "onnxruntime.load", Err: err}
	}
	for _, spec := range s.signature.Inputs {
		if spec.Shape == nil {
			return fault.New(fault.Unsupported, "onnxruntime.load", "input %q has no declared number of dimensions", spec.Name).
				WithHint("Declare its shape in the model; dimensions may be dynamic.")
		}
	}
	for i, spec := range s.signature.Outputs {
		if j := inference.Index(s.signature.Inputs, spec.Name); j >= 0 && spec.DType != tensor.Bytes { // strings are fetched
			s.passed = append(s.passed, passed{input: j, output: i})
		}
	}
	return nil
}

// passed is an output that is an input.
type passed struct{ input, output int }

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

// NewSlot implements inference.Session.
func (s *session) NewSlot(arena inference.Arena) (inference.Slot, error) {
	const op = "onnxruntime.slot"
	if err := s.begin(op); err != nil {
		return nil, err
	}
	defer s.use.RUnlock()
	n := newSlot(s, arena)
	if err := n.open(); err != nil {
		n.free()
		return nil, err.fault(fault.Exhausted, op).On(s.subject)
	}
	s.mu.Lock()
	s.slots[n] = struct{}{}
	s.mu.Unlock()
	return n, nil
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
		n.free()
	}
	clear(s.slots)
	return s.free()
}

// free frees the native session and all that belongs to it.
func (s *session) free() (err error) {
	defer keepSignalStack()()
	if s.profile && s.handle != 0 {
		var file uintptr
		if status := s.api.call(sessionEndProfiling, s.handle, s.api.allocator, uintptr(unsafe.Pointer(&file))); status != nil {
			err = status.fault(fault.Internal, "onnxruntime.close").On(s.subject)
		}
		s.api.free(file)
	}
	s.api.release(releaseSession, s.handle)
	s.handle = 0
	for _, name := range slices.Concat(s.inputNames, s.outputNames) {
		s.api.free(name)
	}
	s.inputNames, s.outputNames = nil, nil
	s.env.close("", s.id)
	native.TrimHeap() // the weights are back with the system, not only with malloc
	return err
}
