package inferencetest

import (
	"bytes"
	"context"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
)

// begun is how long a run goes on before a test interrupts it. A run that has not
// begun by then has to end the same way.
const begun = 50 * time.Millisecond

// cancels checks that nothing begins or goes on under a context that has ended.
func cancels(t *testing.T, s Suite) {
	t.Helper()
	t.Run("a load is refused when its context has ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Open(t).Load(ctx, s.model(t, s.Join), inference.Options{})
		wantKind(t, "Load", err, fault.Canceled)
	})
	t.Run("a load that is not done by its deadline fails with it", func(t *testing.T) {
		if s.Weights == nil {
			t.Skip("the runtime has no such model")
		}
		rt, data := s.Open(t), s.model(t, s.Weights)
		for limit := time.Millisecond; limit < time.Second; limit *= 2 { // in the middle of it, wherever that is
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			session, err := rt.Load(ctx, data, inference.Options{})
			cancel()
			if err == nil {
				session.Close()
				continue
			}
			wantKind(t, "Load", err, fault.Deadline)
		}
	})
	t.Run("a run is refused when its context has ended, and the next one works", func(t *testing.T) {
		session := s.load(t, s.Join, inference.Options{})
		n := slot(t, session)
		in, out := join(2, 1)
		want(t, run(t, session, n, in...), out...)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := n.Run(ctx)
		wantKind(t, "Run", err, fault.Canceled)
		want(t, run(t, session, n, in...), out...)
	})
}

// interrupts checks that contexts end runs that would never end, and leave slots that
// work.
func interrupts(t *testing.T, s Suite) {
	t.Helper()
	for name, tc := range map[string]struct {
		end  func(context.Context) (context.Context, context.CancelFunc)
		kind fault.Kind
	}{
		"cancel": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			timer := time.AfterFunc(begun, cancel)
			return ctx, func() { timer.Stop(); cancel() }
		}, fault.Canceled},
		"a deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, begun)
		}, fault.Deadline},
	} {
		t.Run("an endless model ends by "+name+", and its slot works on", func(t *testing.T) {
			session := s.load(t, s.Loop, inference.Options{})
			n := slot(t, session)
			for range 3 {
				done := make(chan struct{})
				go func() {
					defer close(done)
					ctx, cancel := tc.end(context.WithoutCancel(t.Context()))
					defer cancel()
					_, err := inference.Run(ctx, session.Signature(), n, []tensor.Tensor{onnxmodel.Floats("x", []int64{1}, 1)})
					wantKind(t, "Run", err, tc.kind)
				}()
				within(t, "the run", done)
				in := onnxmodel.Floats("x", []int64{1}, -1)
				want(t, run(t, session, n, in), named("y", in))
			}
		})
	}
}

// closes checks what is left after Close.
func closes(t *testing.T, s Suite) {
	t.Helper()
	t.Run("a closed session refuses everything, and closes again", func(t *testing.T) {
		session := s.load(t, s.Join, inference.Options{})
		n := slot(t, session)
		in, out := join(2, 1)
		want(t, run(t, session, n, in...), out...)
		for range 2 {
			if err := session.Close(); err != nil {
				t.Errorf("Close = %v, want no error", err)
			}
		}
		_, err := n.Run(t.Context())
		wantKind(t, "Run", err, fault.Unavailable)
		_, err = n.Inputs([]inference.Input{{Shape: []int64{3, 2}}, {Shape: []int64{3, 3}}})
		wantKind(t, "Inputs", err, fault.Unavailable)
		memory := arena.New("late", limit, limit)
		_, err = session.NewSlot(memory)
		wantKind(t, "NewSlot", err, fault.Unavailable)
		if diff := session.Signature(); len(diff.Inputs) != 2 {
			t.Errorf("signature after Close has %d inputs, want 2", len(diff.Inputs))
		}
	})
	t.Run("close waits for a run that has begun", func(t *testing.T) {
		session := s.load(t, s.Loop, inference.Options{})
		n := slot(t, session)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := inference.Run(ctx, session.Signature(), n, []tensor.Tensor{onnxmodel.Floats("x", []int64{1}, 1)})
			if kind := fault.KindOf(err); err == nil || kind != fault.Canceled && kind != fault.Unavailable { // the latter when Close came first
				t.Errorf("Run = %v of kind %v, want it canceled", err, kind)
			}
		})
		timer := time.NewTimer(begun)
		defer timer.Stop()
		<-timer.C
		wg.Go(func() {
			if err := session.Close(); err != nil {
				t.Errorf("Close = %v, want no error", err)
			}
		})
		timer.Reset(begun)
		<-timer.C
		cancel()
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		within(t, "run and close", done)
	})
}

// frees checks that what is closed is given back, once.
func frees(t *testing.T, s Suite) {
	t.Helper()
	t.Run("a slot closes twice, and leaves the session alone", func(t *testing.T) {
		session := s.load(t, s.Join, inference.Options{})
		in, out := join(2, 1)
		for range 3 {
			n := slot(t, session)
			want(t, run(t, session, n, in...), out...)
			for range 2 {
				if err := n.Close(); err != nil {
					t.Errorf("Close = %v, want no error", err)
				}
			}
		}
	})
	t.Run("memory is back after close", func(t *testing.T) {
		// What stays with the process for a while, by the allocator's choice, comes and goes by
		// tens of MiB; what leaks stays. So the least of a few rounds counts, not one of them.
		const few, rounds, slack = 4, 20, 96 << 20 // if they leaked, 12 times 16 MiB and more would stay
		var after [rounds]int64
		for i := range after {
			t.Run("round", func(t *testing.T) {
				session := s.load(t, s.Weights, inference.Options{})
				n := slot(t, session)
				width := session.Signature().Inputs[0].Shape[1]
				run(t, session, n, tensor.Tensor{Name: "x", DType: tensor.FP32, Shape: []int64{1, width}, Data: make([]byte, 4*width)})
			})
			after[i] = resident(t)
		}
		before, end := slices.Min(after[few:2*few]), slices.Min(after[rounds-few:])
		if grown := end - before; grown > slack {
			t.Errorf("%d loads left %d MiB, want less than %d", rounds-2*few, grown>>20, slack>>20)
		}
	})
}

// resident returns the bytes of this process that are in memory, without Go's garbage.
func resident(tb testing.TB) int64 {
	tb.Helper()
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Fatal(err)
	}
	fields := bytes.Fields(data)
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// shares checks a session that several goroutines use.
func shares(t *testing.T, s Suite) {
	t.Helper()
	t.Run("slots run at the same time, each with its own answer", func(t *testing.T) {
		const slots, rounds = 4, 50
		session := s.load(t, s.Join, inference.Options{Parallel: slots})
		var wg sync.WaitGroup
		for i := range slots {
			n := slot(t, session)
			wg.Go(func() {
				for round := range rounds {
					in, out := join(1+(i+round)%5, float32(1000*i+round))
					got, err := inference.Run(t.Context(), session.Signature(), n, in)
					if err != nil {
						t.Errorf("Run = %v, want outputs", err)
						return
					}
					for k, w := range out {
						if !bytes.Equal(got[k].Data, w.Data) {
							t.Errorf("slot %d, round %d: output %q is another request's", i, round, w.Name)
							return
						}
					}
				}
			})
		}
		wg.Wait()
	})
	t.Run("sessions load, run and close at the same time", func(t *testing.T) {
		var wg sync.WaitGroup
		rt := s.Open(t)
		for i := range 4 {
			data := s.model(t, s.Join)
			wg.Go(func() {
				for round := range 3 {
					session, err := rt.Load(t.Context(), data, inference.Options{})
					if err != nil {
						t.Errorf("Load = %v, want a session", err)
						return
					}
					memory := arena.New("test", limit, limit)
					n, err := session.NewSlot(memory)
					if err != nil {
						t.Errorf("NewSlot = %v, want a slot", err)
						return
					}
					in, out := join(2, float32(10*i+round))
					got, err := inference.Run(t.Context(), session.Signature(), n, in)
					if err != nil || !bytes.Equal(got[0].Data, out[0].Data) {
						t.Errorf("Run = %v, want the answer of its own", err)
					}
					if err := session.Close(); err != nil {
						t.Errorf("Close = %v, want no error", err)
					}
					memory.Close()
				}
			})
		}
		wg.Wait()
	})
}
