package serve_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/serve"
	"verge/internal/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// session is a session whose model answers each input byte plus add. Its fields
// are set before it is used.
type session struct {
	add      byte
	parallel int
	stateful bool
	run      func(ctx context.Context, slot int) error // called in every Run; nil returns nil
	newSlot  func(slot int) error                      // called in every NewSlot; nil returns nil

	mu        sync.Mutex // guards what follows
	slots     int
	closed    bool
	condition [2]string // state and reason; state "" means ready
	restartIn time.Duration
}

func (s *session) Signature() inference.Signature {
	return inference.Signature{
		Inputs:  []inference.Spec{{Name: "x", DType: tensor.Uint8, Shape: []int64{-1}}},
		Outputs: []inference.Spec{{Name: "y", DType: tensor.Uint8, Shape: []int64{-1}}},
	}
}

func (s *session) Info() inference.SessionInfo {
	return inference.SessionInfo{Runtime: "fake", Parallel: s.parallel, Stateful: s.stateful}
}

func (s *session) NewSlot(arena inference.Arena) (inference.Slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fault.New(fault.Unavailable, "fake.slot", "the session is closed")
	}
	if s.newSlot != nil {
		if err := s.newSlot(s.slots); err != nil {
			return nil, err
		}
	}
	s.slots++
	return &slot{session: s, number: s.slots - 1, arena: arena}, nil
}

func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *session) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *session) made() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slots
}

// away makes a session that is away for a while, as one in a worker process.
type away struct{ *session }

func (s away) Condition() (state, reason string, restartIn time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.condition[0] == "" {
		return serve.StateReady, "", 0
	}
	return s.condition[0], s.condition[1], s.restartIn
}

func (s away) set(state, reason string, restartIn time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.condition, s.restartIn = [2]string{state, reason}, restartIn
}

// idle makes a session whose runs compute nothing and allocate nothing.
type idle struct{ *session }

func (s idle) NewSlot(arena inference.Arena) (inference.Slot, error) {
	return &idleSlot{arena: arena}, nil
}

type idleSlot struct {
	arena inference.Arena
	views [1][]byte
}

func (s *idleSlot) Inputs(in []inference.Input) ([][]byte, error) {
	memory, err := s.arena.Input(int(in[0].Shape[0]))
	s.views[0] = memory.Data
	return s.views[:], err
}

func (s *idleSlot) Run(context.Context) ([]tensor.Tensor, error) { return nil, nil }

func (s *idleSlot) Close() error { return nil }

type slot struct {
	session *session
	number  int
	arena   inference.Arena
	input   []byte
	outputs [1]tensor.Tensor
	views   [1][]byte
	shape   [1]int64
	closed  bool
}

func (s *slot) Inputs(in []inference.Input) ([][]byte, error) {
	if err := s.session.Signature().CheckInputs(in); err != nil {
		return nil, fault.New(fault.Invalid, "fake.inputs", "%w", err)
	}
	memory, err := s.arena.Input(in[0].Bytes)
	if err != nil {
		return nil, err
	}
	s.input = memory.Data[:in[0].Bytes]
	s.views[0] = s.input
	return s.views[:], nil
}

func (s *slot) Run(ctx context.Context) ([]tensor.Tensor, error) {
	if s.session.run != nil {
		if err := s.session.run(ctx, s.number); err != nil {
			return nil, err
		}
	}
	if s.session.isClosed() {
		return nil, fault.New(fault.Unavailable, "fake.run", "the session is closed")
	}
	memory, err := s.arena.Output(len(s.input))
	if err != nil {
		return nil, err
	}
	for i, b := range s.input {
		memory.Data[i] = b + s.session.add
	}
	s.shape[0] = int64(len(s.input))
	s.outputs[0] = tensor.Tensor{Name: "y", DType: tensor.Uint8, Shape: s.shape[:], Data: memory.Data[:len(s.input)]}
	return s.outputs[:], nil
}

func (s *slot) Close() error {
	s.closed = true
	return nil
}

// untilEnd is a run that goes on until its context ends.
func untilEnd(ctx context.Context, _ int) error {
	<-ctx.Done()
	return fault.New(fault.KindOf(ctx.Err()), "fake.run", "%w", ctx.Err())
}

// recorder keeps what it is told.
type recorder struct {
	mu      sync.Mutex
	took    []time.Duration
	results []string // the kind, or "ok"
}

func (r *recorder) Record(latency time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = fault.KindOf(err).String()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took = append(r.took, latency)
	r.results = append(r.results, result)
}

// want compares what was recorded; latencies are not looked at where took is empty.
func (r *recorder) want(tb testing.TB, results []string, took ...time.Duration) {
	tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.results, results) {
		tb.Errorf("recorded %v, want %v", r.results, results)
	}
	if len(took) > 0 && !slices.Equal(r.took, took) {
		tb.Errorf("recorded latencies %v, want %v", r.took, took)
	}
}

// small is a configuration with one slot and a queue of two.
func small() serve.Config {
	cfg := serve.Default()
	cfg.SlotsPerThread, cfg.QueueSize = 1, 2
	cfg.DefaultTimeout, cfg.MaxTimeout = 10*time.Second, time.Minute
	return cfg
}

// add adds version n of model m to a new or given server.
func add(tb testing.TB, s *serve.Server, model string, n int, sess inference.Session, rec serve.Recorder) *serve.Version {
	tb.Helper()
	v, err := s.Add(serve.Spec{Model: model, Version: n, Session: sess, Recorder: rec})
	if err != nil {
		tb.Fatalf("Add(%s@%d): %v", model, n, err)
	}
	return v
}

func newServer(cfg serve.Config) *serve.Server { return serve.New(cfg, slog.New(slog.DiscardHandler)) }

// begin begins a request with the default timeout, and ends the test where that fails.
func begin(tb testing.TB, v *serve.Version) *serve.Call {
	tb.Helper()
	call, err := v.Begin(tb.Context(), 0)
	if err != nil {
		tb.Fatalf("Begin on %v: %v", v, err)
	}
	return call
}

// ask fills the input of a begun call with one byte, runs it, and ends it.
func ask(call *serve.Call, x byte) (y byte, err error) {
	defer func() { call.End(err) }()
	views, err := call.Inputs([]inference.Input{{Shape: []int64{1}}})
	if err != nil {
		return 0, err
	}
	views[0][0] = x
	outputs, err := call.Run()
	if err != nil {
		return 0, err
	}
	return outputs[0].Data[0], nil
}

// check compares an error's kind and text with what is wanted; want "" means no error.
func check(tb testing.TB, what string, err error, kind fault.Kind, want string) {
	tb.Helper()
	switch {
	case want == "" && err != nil:
		tb.Errorf("%s = %v, want no error", what, err)
	case want == "":
	case err == nil:
		tb.Errorf("%s succeeded, want %q", what, want)
	case fault.Message(err) != want || fault.KindOf(err) != kind:
		tb.Errorf("%s = %v %q, want %v %q", what, fault.KindOf(err), fault.Message(err), kind, want)
	}
}
