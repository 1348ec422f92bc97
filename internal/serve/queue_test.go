package serve_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/serve"
	"verge/internal/tensor"
)

func TestAnswerIsComputedAndRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		sess := &session{add: 5, run: func(context.Context, int) error { <-time.After(30 * time.Millisecond); return nil }}
		v := add(t, newServer(small()), "m", 1, sess, rec)
		call := begin(t, v)
		if got, want := call.Deadline(), time.Now().Add(10*time.Second); !got.Equal(want) {
			t.Errorf("Deadline() = %v, want the default timeout: %v", got, want)
		}
		<-time.After(10 * time.Millisecond) // the sender takes its time
		views, err := call.Inputs([]inference.Input{{Shape: []int64{2}}})
		check(t, "Inputs", err, 0, "")
		copy(views[0], []byte{7, 8})
		outputs, err := call.Run()
		check(t, "Run", err, 0, "")
		<-time.After(time.Second) // so does the receiver
		if diff := cmp.Diff([]byte{12, 13}, outputs[0].Data); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
		call.End(nil)
		if call.Context().Err() == nil {
			t.Error("the context outlives the call")
		}
		rec.want(t, []string{"ok"}, 40*time.Millisecond)
	})
}

func TestQueueIsBoundedAndFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		sess := &session{}
		v := add(t, newServer(small()), "digits", 1, sess, rec)
		first := begin(t, v)
		var mu sync.Mutex
		var order []int
		for i := range 2 {
			go func() {
				call := begin(t, v)
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				<-time.After(time.Millisecond)
				call.End(nil)
			}()
			synctest.Wait()
		}
		if got, want := v.Status(), (serve.Status{State: "ready", InFlight: 1, Waiting: 2, Slots: 1, SlotLimit: 1}); got != want {
			t.Errorf("Status() = %+v, want %+v", got, want)
		}
		before := time.Now()
		_, err := v.Begin(t.Context(), 0)
		check(t, "Begin on a full queue", err, fault.Unavailable, `queue of model "digits" is full (2 waiting)`)
		if !time.Now().Equal(before) {
			t.Error("Begin on a full queue waited")
		}
		first.End(nil)
		<-time.After(time.Second)
		if !slices.Equal(order, []int{0, 1}) {
			t.Errorf("served in order %v, want [0 1]", order)
		}
		if sess.made() != 1 {
			t.Errorf("%d slots were made, want the one handed on", sess.made())
		}
		rec.want(t, []string{"unavailable", "ok", "ok", "ok"})
	})
}

func TestQueueOfSizeZeroRefusesAtOnce(t *testing.T) {
	cfg := small()
	cfg.QueueSize = 0
	v := add(t, newServer(cfg), "digits", 1, &session{}, nil)
	call := begin(t, v)
	_, err := v.Begin(t.Context(), 0)
	check(t, "second Begin", err, fault.Unavailable, `queue of model "digits" is full (0 waiting)`)
	call.End(nil)
}

func TestWaitingEndsWithTheDeadlineOrTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		v := add(t, newServer(small()), "digits", 1, &session{}, rec)
		holder := begin(t, v)

		begun := time.Now()
		_, err := v.Begin(t.Context(), 250*time.Millisecond)
		check(t, "Begin with a deadline", err, fault.Deadline, `model "digits" did not answer within 250ms`)
		if got := time.Since(begun); got != 250*time.Millisecond {
			t.Errorf("waited %v, want 250ms", got)
		}

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = v.Begin(ctx, 0)
		check(t, "Begin of a caller that leaves", err, fault.Canceled, `the request to model "digits" was canceled`)
		_, err = v.Begin(ctx, 0)
		check(t, "Begin of a caller that left", err, fault.Canceled, `the request to model "digits" was canceled`)

		sooner, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err = v.Begin(sooner, 0)
		check(t, "Begin with the caller's own deadline", err, fault.Deadline, `model "digits" did not answer within 20ms`)

		if got := v.Status(); got.Waiting != 0 || got.InFlight != 1 {
			t.Errorf("Status() = %+v, want nobody waiting", got)
		}
		holder.End(nil)
		begin(t, v).End(nil) // the slot did not go to somebody who left
		rec.want(t, []string{"deadline", "canceled", "canceled", "deadline", "ok", "ok"})
	})
}

func TestTimeoutIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := add(t, newServer(small()), "m", 1, &session{}, nil)
		for asked, want := range map[time.Duration]time.Duration{
			0: 10 * time.Second, -time.Second: 10 * time.Second, time.Second: time.Second,
			time.Minute: time.Minute, time.Hour: time.Minute, 1<<63 - 1: time.Minute,
		} {
			call, err := v.Begin(t.Context(), asked)
			check(t, "Begin", err, 0, "")
			if got := time.Until(call.Deadline()); got != want {
				t.Errorf("Begin with timeout %v has %v, want %v", asked, got, want)
			}
			call.End(nil)
		}
	})
}

// Many callers come and give up at random; the pool must never lend more slots
// than it has, and must end with all of them free.
func TestCallersThatGiveUpCostNoSlot(t *testing.T) {
	cfg := small()
	cfg.SlotsPerThread, cfg.QueueSize = 3, 1000
	v := add(t, newServer(cfg), "m", 1, &session{}, nil)
	var lent, most, answered atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(200))*time.Microsecond)
				call, err := v.Begin(ctx, 0)
				if err == nil {
					n := lent.Add(1)
					for m := most.Load(); n > m; m = most.Load() {
						if most.CompareAndSwap(m, n) {
							break
						}
					}
					<-time.After(time.Duration(rand.IntN(50)) * time.Microsecond)
					answered.Add(1)
					lent.Add(-1)
					call.End(nil)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 {
		t.Errorf("%d slots were lent at a time, want at most 3", most.Load())
	}
	if answered.Load() == 0 {
		t.Error("nobody was served")
	}
	if got := v.Status(); got.InFlight != 0 || got.Waiting != 0 || got.Slots > 3 {
		t.Errorf("Status() = %+v, want nothing in flight", got)
	}
	var held []*serve.Call
	for range 3 { // all three can be had at once: none was lost
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		call, err := v.Begin(ctx, 0)
		check(t, "Begin", err, 0, "")
		held = append(held, call)
	}
	for _, call := range held {
		call.End(nil)
	}
}

func TestSlotsAreMadeWhenNeededAndReusedLastFirst(t *testing.T) {
	cfg := small()
	cfg.SlotsPerThread = 2
	var ran []int
	sess := &session{parallel: 2, run: func(_ context.Context, slot int) error { ran = append(ran, slot); return nil }}
	v := add(t, newServer(cfg), "m", 1, sess, nil)
	if got := v.Status(); got.Slots != 0 || got.SlotLimit != 4 {
		t.Errorf("Status() = %+v, want no slot yet, and a limit of 4", got)
	}
	for range 3 {
		_, err := ask(begin(t, v), 1) // one after the other: one slot does
		check(t, "ask", err, 0, "")
	}
	a, b, c := begin(t, v), begin(t, v), begin(t, v) // slots 0, 1, 2
	b.End(nil)
	a.End(nil)
	c.End(nil) // free from the top: 2, 0, 1
	x, y, z := begin(t, v), begin(t, v), begin(t, v)
	for _, call := range []*serve.Call{x, y, z} {
		_, err := ask(call, 1)
		check(t, "ask", err, 0, "")
	}
	if want := []int{0, 0, 0, 2, 0, 1}; !slices.Equal(ran, want) {
		t.Errorf("ran on slots %v, want %v", ran, want)
	}
	if sess.made() != 3 {
		t.Errorf("%d slots were made, want 3", sess.made())
	}
}

func TestClientsOfAModelThatKeepsValuesShareOneSlotThatIsNewWhenItBeginsToServe(t *testing.T) {
	cfg := small()
	cfg.SlotsPerThread = 2
	var ran []int
	sess := &session{parallel: 2, stateful: true, run: func(_ context.Context, slot int) error { ran = append(ran, slot); return nil }}
	server := newServer(cfg)
	v := add(t, server, "m", 1, sess, nil)
	if got := v.Status(); got.SlotLimit != 1 {
		t.Errorf("Status() = %+v, want a limit of 1 slot", got)
	}
	warm := func() {
		t.Helper()
		err := v.Warm(t.Context(), []tensor.Tensor{{DType: tensor.Uint8, Shape: []int64{1}, Data: []byte{1}}}, nil)
		check(t, "Warm", err, 0, "")
	}
	request := func() {
		t.Helper()
		_, err := ask(begin(t, v), 1)
		check(t, "ask", err, 0, "")
	}
	warm()
	request() // of a gate
	server.Activate(v)
	request()
	warm() // of a health check
	request()
	holder := begin(t, v)
	warm() // waits for nobody
	_, err := ask(holder, 1)
	check(t, "ask", err, 0, "")
	server.Activate(v) // once more: nothing is lost
	request()
	if want := []int{0, 0, 1, 2, 1, 3, 1, 1}; !slices.Equal(ran, want) {
		t.Errorf("ran on slots %v, want %v", ran, want)
	}
	if got := v.Status(); got.Slots != 1 || got.InFlight != 0 {
		t.Errorf("Status() = %+v, want one slot that is free", got)
	}
}

func TestSlotThatCannotBeMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := true
		sess := &session{newSlot: func(int) error {
			if failing {
				<-time.After(time.Millisecond) // the next one is in line by now
				failing = false
				return fault.New(fault.Exhausted, "fake.slot", "no memory left")
			}
			return nil
		}}
		rec := &recorder{}
		v := add(t, newServer(small()), "m", 1, sess, rec)
		var errs [2]error
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				call, err := v.Begin(t.Context(), 0)
				if errs[i] = err; err == nil {
					call.End(nil)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		check(t, "first Begin", errs[0], fault.Exhausted, "no memory left")
		check(t, "second Begin, which waited", errs[1], 0, "")
		slices.Sort(rec.results) // the second may end before the first
		rec.want(t, []string{"exhausted", "ok"})
	})
}

func TestWarmGoesAheadAndIsNotRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		cfg := small()
		cfg.QueueSize = 1
		v := add(t, newServer(cfg), "m", 1, &session{add: 1}, rec)
		holder := begin(t, v)
		var order []string
		go func() {
			call := begin(t, v)
			order = append(order, "request")
			call.End(nil)
		}()
		synctest.Wait()
		go func() { // the queue is full by now
			x := tensor.Tensor{DType: tensor.Uint8, Shape: []int64{3}, Data: []byte{1, 2, 3}}
			err := v.Warm(t.Context(), []tensor.Tensor{x}, func(outputs []tensor.Tensor) {
				order = append(order, "warm")
				if diff := cmp.Diff([]byte{2, 3, 4}, outputs[0].Data); diff != "" {
					t.Errorf("Warm answered (-want +got):\n%s", diff)
				}
			})
			check(t, "Warm", err, 0, "")
		}()
		synctest.Wait()
		holder.End(nil)
		synctest.Wait()
		if want := []string{"warm", "request"}; !slices.Equal(order, want) {
			t.Errorf("served %v, want %v", order, want)
		}
		rec.want(t, []string{"ok", "ok"})
		err := v.Warm(t.Context(), nil, nil)
		check(t, "Warm without inputs", err, fault.Invalid, "got 0 inputs, want 1: [x UINT8[-1]]")
		begin(t, v).End(nil) // Warm gave its slot back
	})
}

func TestSlowSenderHoldsOneSlotUntilItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := small()
		cfg.SlotsPerThread = 2
		rec := &recorder{}
		v := add(t, newServer(cfg), "m", 1, &session{add: 1}, rec)
		slow, err := v.Begin(t.Context(), time.Second)
		check(t, "Begin", err, 0, "")
		views, err := slow.Inputs([]inference.Input{{Shape: []int64{4}}})
		check(t, "Inputs", err, 0, "")
		go func() {
			for i := range views[0] {
				select {
				case <-time.After(400 * time.Millisecond):
					views[0][i] = byte(i)
				case <-slow.Context().Done():
					_, err := slow.Run()
					check(t, "Run after the deadline", err, fault.Deadline, `model "m" did not answer within 1s`)
					slow.End(err)
					return
				}
			}
			t.Error("the sender was not stopped")
		}()
		for range 3 { // the other slot serves meanwhile
			call := begin(t, v)
			y, err := ask(call, 1)
			if err != nil || y != 2 {
				t.Errorf("answer is %d, %v, want 2", y, err)
			}
		}
		<-time.After(2 * time.Second)
		if got := v.Status(); got.InFlight != 0 {
			t.Errorf("Status() = %+v, want the slot back", got)
		}
		rec.want(t, []string{"ok", "ok", "ok", "deadline"}, 0, 0, 0, time.Second)
	})
}

func TestRunIsBoundByTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		v := add(t, newServer(small()), "m", 1, &session{run: untilEnd}, rec)
		call, err := v.Begin(t.Context(), 70*time.Millisecond)
		check(t, "Begin", err, 0, "")
		_, err = ask(call, 1)
		check(t, "Run", err, fault.Deadline, `model "m" did not answer within 70ms`)
		rec.want(t, []string{"deadline"}, 70*time.Millisecond)
	})
}

func TestSessionsOwnErrorIsHandedOn(t *testing.T) {
	died := fault.New(fault.Internal, "fake.run", "the worker died while it ran this request: killed")
	v := add(t, newServer(small()), "m", 1, &session{run: func(context.Context, int) error { return died }}, nil)
	call := begin(t, v)
	if _, err := ask(call, 1); !errors.Is(err, died) {
		t.Errorf("Run = %v, want %v", err, died)
	}
}

func TestInputsOverTheLimit(t *testing.T) {
	cfg := small()
	cfg.InputBytes = 4096
	v := add(t, newServer(cfg), "m", 1, &session{}, nil)
	call := begin(t, v)
	_, err := call.Inputs([]inference.Input{{Shape: []int64{4097}}})
	check(t, "Inputs", err, fault.TooLarge, "m@1-input: tensors of 4097 bytes, the limit is 4096")
	call.End(err)
}

func TestEndWaitsForRunAndCountsOnce(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	var finished atomic.Bool
	sess := &session{run: func(context.Context, int) error {
		close(started)
		<-finish
		finished.Store(true)
		return nil
	}}
	rec := &recorder{}
	v := add(t, newServer(small()), "m", 1, sess, rec)
	call := begin(t, v)
	var wg sync.WaitGroup
	wg.Go(func() { call.Run() })
	<-started
	wg.Go(func() {
		call.End(nil)
		if !finished.Load() {
			t.Error("End returned while Run was writing to the slot")
		}
	})
	<-call.Context().Done() // End has begun
	close(finish)
	wg.Wait()
	call.End(errors.New("again"))
	rec.want(t, []string{"ok"})
	const over = `the request to model "m" has ended`
	_, err := call.Run()
	check(t, "Run after End", err, fault.Internal, over)
	_, err = call.Inputs(nil)
	check(t, "Inputs after End", err, fault.Internal, over)
	other := begin(t, v) // the second End gave nothing back
	if got := v.Status(); got.InFlight != 1 || got.Slots != 1 {
		t.Errorf("Status() = %+v, want one of one slot in use", got)
	}
	other.End(nil)
}
