package serve_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/serve"
)

// pair is a version that serves, and its canary, which adds 100.
type pair struct {
	server       *serve.Server
	live, canary *serve.Version
	asked, tried recorder
	stop         func()
}

func newPair(tb testing.TB, cfg serve.Config, c serve.Canary, sess *session) *pair {
	tb.Helper()
	p := &pair{server: newServer(cfg)}
	sess.add = 100
	p.live = add(tb, p.server, "m", 1, &session{}, &p.asked)
	p.canary = add(tb, p.server, "m", 2, sess, &p.tried)
	p.server.Activate(p.live)
	c.Version = p.canary
	p.stop = p.live.Split(c)
	return p
}

// ask sends a request from a client, "" for none, and says which version answered.
func (p *pair) ask(tb testing.TB, client string, timeout time.Duration) (number int, err error) {
	tb.Helper()
	header := func(name string) string {
		if name != "X-Client" {
			return ""
		}
		return client
	}
	call, err := serve.Admit(tb.Context(), p.server, serve.Ask{Model: "m", Timeout: timeout, Header: header}, nil)
	if err != nil {
		return 0, err
	}
	y, err := ask(call, 1)
	if number = call.Version().Number(); err == nil && int(y) != 1+100*(number-1) {
		tb.Errorf("version %d answers %d", number, y)
	}
	return number, err
}

func TestACanaryAnswersItsShareAndNoMore(t *testing.T) {
	const asks, share = 4000, 0.25
	p := newPair(t, small(), serve.Canary{Share: share}, &session{})
	tried := 0
	for range asks {
		number, err := p.ask(t, "", 0)
		check(t, "ask", err, 0, "")
		tried += number - 1
	}
	// Five standard deviations of the binomial: once in two million.
	if off := math.Abs(float64(tried) - asks*share); off > 5*math.Sqrt(asks*share*(1-share)) {
		t.Errorf("it answered %d of %d, want a quarter", tried, asks)
	}
	if len(p.tried.results) != tried || len(p.asked.results) != asks-tried {
		t.Errorf("recorded %d and %d, want %d and %d", len(p.tried.results), len(p.asked.results), tried, asks-tried)
	}
	call, err := serve.Admit(t.Context(), p.server, serve.Ask{Model: "m", Version: "1"}, nil)
	check(t, "Admit", err, 0, "")
	call.End(nil)
	p.stop()
	for range 100 {
		if number, err := p.ask(t, "", 0); number != 1 || err != nil {
			t.Fatalf("after its end version %d answers, %v", number, err)
		}
	}
}

func TestARequestThatNamesAVersionIsNoCanarys(t *testing.T) {
	p := newPair(t, small(), serve.Canary{Share: 1}, &session{})
	call, err := serve.Admit(t.Context(), p.server, serve.Ask{Model: "m", Version: "1"}, nil)
	check(t, "Admit", err, 0, "")
	if call.Version() != p.live {
		t.Errorf("%v took the request for version 1", call.Version())
	}
	call.End(nil)
	_, err = serve.Admit(t.Context(), p.server, serve.Ask{Model: "m", Version: "2"}, nil)
	check(t, "Admit", err, fault.NotFound, `unknown version 2 of model "m", version 1 serves`)
}

func TestAPrivateRouteLeadsToItsVersion(t *testing.T) {
	broken := &session{run: func(context.Context, int) error { return fault.New(fault.Internal, "fake.run", "it broke") }}
	p := newPair(t, small(), serve.Canary{Share: 1}, broken)
	defer p.canary.BackUp(p.live)()
	for _, v := range []*serve.Version{p.live, p.canary} {
		call, err := serve.Admit(t.Context(), serve.Only(v), serve.Ask{Model: "m"}, nil)
		check(t, "Admit", err, 0, "")
		if call.Version() != v {
			t.Errorf("by the private route of %v, %v is asked", v, call.Version())
		}
		_, err = ask(call, 1)
		want := ""
		if v == p.canary {
			want = "it broke"
		}
		check(t, "ask", err, fault.Internal, want)
	}
}

func TestAClientMeetsTheSameVersionAgain(t *testing.T) {
	const clients, share = 1000, 0.25
	p := newPair(t, small(), serve.Canary{Share: share, Header: "X-Client"}, &session{})
	tried := 0
	for c := range clients {
		first, err := p.ask(t, fmt.Sprint("client-", c), 0)
		check(t, "ask", err, 0, "")
		tried += first - 1
		for range 3 {
			if again, err := p.ask(t, fmt.Sprint("client-", c), 0); again != first || err != nil {
				t.Fatalf("client %d met version %d after %d, %v", c, again, first, err)
			}
		}
	}
	if off := math.Abs(float64(tried) - clients*share); off > 5*math.Sqrt(clients*share*(1-share)) {
		t.Errorf("%d of %d clients met it, want a quarter", tried, clients)
	}
}

func TestWhatACanaryFailsIsAnswered(t *testing.T) {
	broken := func(kind fault.Kind) func(context.Context, int) error {
		return func(context.Context, int) error { return fault.New(kind, "fake.run", "it broke") }
	}
	for name, tt := range map[string]struct {
		sess   *session
		failed string
	}{
		"a run that fails":         {&session{run: broken(fault.Internal)}, "internal"},
		"a worker that is gone":    {&session{run: broken(fault.Unavailable)}, "internal"},
		"a run that does not end":  {&session{run: untilEnd}, "internal"},
		"a slot that is not there": {&session{newSlot: func(int) error { return fault.New(fault.Exhausted, "fake.slot", "no memory") }}, "exhausted"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, small(), serve.Canary{Share: 1}, tt.sess)
			warm(t, p.live)
			number, err := p.ask(t, "", 2*time.Second)
			check(t, "ask", err, 0, "")
			if number != 1 {
				t.Errorf("version %d answered", number)
			}
			p.tried.want(t, []string{tt.failed})
			p.asked.want(t, []string{"ok", "ok"})
		})
	}
	t.Run("a queue that does not move", func(t *testing.T) {
		p := newPair(t, small(), serve.Canary{Share: 1}, &session{})
		warm(t, p.live)
		defer begin(t, p.canary).End(nil) // its one slot
		number, err := p.ask(t, "", 2*time.Second)
		check(t, "ask", err, 0, "")
		if number != 1 {
			t.Errorf("version %d answered", number)
		}
		p.tried.want(t, []string{"deadline"})
	})
	t.Run("a request that it refuses", func(t *testing.T) {
		p := newPair(t, small(), serve.Canary{Share: 1}, &session{})
		call, err := serve.Admit(t.Context(), p.server, serve.Ask{Model: "m"}, func(v *serve.Version) error {
			if v == p.canary {
				return fault.New(fault.Invalid, "test", "a smaller batch")
			}
			return nil
		})
		check(t, "Admit", err, 0, "")
		if call.Version() != p.live {
			t.Errorf("%v took it", call.Version())
		}
		call.End(nil)
		p.tried.want(t, []string{"internal"})
		p.asked.want(t, []string{"ok"})
		refused := errors.New("no such input")
		_, err = serve.Admit(t.Context(), p.server, serve.Ask{Model: "m"}, func(*serve.Version) error { return refused })
		if !errors.Is(err, refused) {
			t.Errorf("what both refuse: %v", err)
		}
		p.tried.want(t, []string{"internal"}) // nothing more
	})
}

// warm lets a version know how long it takes.
func warm(tb testing.TB, v *serve.Version) {
	tb.Helper()
	_, err := ask(begin(tb, v), 1)
	check(tb, "ask", err, 0, "")
}

func TestWhoMayBeInTimeIsNotCutOff(t *testing.T) {
	for usual, want := range map[time.Duration]time.Duration{ // of a request with ten seconds
		0: 10 * time.Second, time.Millisecond: 5 * time.Second, 1600 * time.Millisecond: 5 * time.Second, 1700 * time.Millisecond: 10 * time.Second,
	} {
		if got := serve.Leave(usual, 10*time.Second); got != want {
			t.Errorf("beside one that takes %v it may take %v, want %v", usual, got, want)
		}
	}
}

func TestWhatAVersionFailsIsAnsweredByTheOneBehindIt(t *testing.T) {
	broken := &session{add: 100, run: func(context.Context, int) error { return fault.New(fault.Internal, "fake.run", "it broke") }}
	p := &pair{server: newServer(small())}
	p.live = add(t, p.server, "m", 1, &session{}, &p.asked)
	p.canary = add(t, p.server, "m", 2, broken, &p.tried)
	p.server.Activate(p.canary)
	_, err := p.ask(t, "", 0)
	check(t, "ask", err, fault.Internal, "it broke")
	stop := p.canary.BackUp(p.live)
	number, err := p.ask(t, "", 0)
	check(t, "ask", err, 0, "")
	if number != 1 {
		t.Errorf("version %d answered", number)
	}
	call, err := serve.Admit(t.Context(), p.server, serve.Ask{Model: "m", Version: "2"}, nil)
	check(t, "Admit", err, 0, "")
	_, err = ask(call, 1) // it asked for that one
	check(t, "ask", err, fault.Internal, "it broke")
	check(t, "Remove", p.server.Remove(t.Context(), p.live), 0, "")
	_, err = p.ask(t, "", 0) // nobody is behind it any more
	check(t, "ask", err, fault.Internal, "it broke")
	stop()
	p.tried.want(t, []string{"internal", "internal", "internal", "internal"})
	p.asked.want(t, []string{"ok"})
}

func TestWhatBothFailIsTheClientsOwn(t *testing.T) {
	wrong := func(context.Context, int) error { return fault.New(fault.Invalid, "fake.run", "index out of range") }
	p := newPair(t, small(), serve.Canary{Share: 1}, &session{run: wrong})
	number, err := p.ask(t, "", 0)
	check(t, "ask", err, 0, "") // the one that serves knows an answer
	if number != 1 {
		t.Errorf("version %d answered", number)
	}
	p.tried.want(t, []string{"internal"})
	p.asked.want(t, []string{"ok"})

	p = newPair(t, small(), serve.Canary{Share: 1}, &session{run: wrong})
	p.stop()
	p.live = add(t, p.server, "m", 3, &session{run: wrong}, &p.asked)
	p.server.Activate(p.live)
	defer p.live.Split(serve.Canary{Version: p.canary, Share: 1})()
	_, err = p.ask(t, "", 0)
	check(t, "ask", err, fault.Invalid, "index out of range")
	p.tried.want(t, []string{"invalid"})
	p.asked.want(t, []string{"invalid"})
}

func TestAClientThatHasGoneIsCountedOnce(t *testing.T) {
	p := newPair(t, small(), serve.Canary{Share: 1}, &session{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := serve.Admit(ctx, p.server, serve.Ask{Model: "m"}, nil)
	check(t, "Admit", err, fault.Canceled, `the request to model "m" was canceled`)
	p.tried.want(t, []string{"canceled"})
	p.asked.want(t, nil)
}

func TestACanaryThatIsCutOffFailsNoRequest(t *testing.T) {
	begun := make(chan struct{})
	p := newPair(t, small(), serve.Canary{Share: 1}, &session{run: func(ctx context.Context, slot int) error {
		close(begun)
		return untilEnd(ctx, slot)
	}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		number, err := p.ask(t, "", 0)
		check(t, "ask", err, 0, "")
		if number != 1 {
			t.Errorf("version %d answered", number)
		}
	}()
	<-begun
	p.stop()
	now, cancel := context.WithCancel(t.Context())
	cancel()
	_ = p.server.Remove(now, p.canary) // out of patience at once
	<-done
	p.asked.want(t, []string{"ok"})
}

func TestAnAnswerThatIsOfNoUseIsAskedForAgain(t *testing.T) {
	useless := errors.New("NaN")
	p := newPair(t, small(), serve.Canary{Share: 1}, &session{})
	call, err := serve.Admit(t.Context(), p.server, serve.Ask{Model: "m"}, nil)
	check(t, "Admit", err, 0, "")
	views, err := call.Inputs([]inference.Input{{Shape: []int64{1}}})
	check(t, "Inputs", err, 0, "")
	views[0][0] = 7
	if outputs, runErr := call.Run(); runErr != nil || outputs[0].Data[0] != 107 {
		t.Fatalf("Run = %v, %v", outputs, runErr)
	}
	outputs, err := call.Instead(useless)
	if err != nil || outputs[0].Data[0] != 7 || call.Version() != p.live {
		t.Errorf("Instead = %v, %v", outputs, err)
	}
	if _, err = call.Instead(useless); !errors.Is(err, useless) {
		t.Errorf("Instead once more = %v", err)
	}
	call.End(nil)
	p.tried.want(t, []string{"internal"})
	p.asked.want(t, []string{"ok"})
	call = begin(t, p.live)
	if _, err = call.Instead(useless); !errors.Is(err, useless) {
		t.Errorf("Instead where nobody stands behind it = %v", err)
	}
	call.End(nil)
}

func TestACanaryThatIsUnloadedFailsNoRequest(t *testing.T) {
	cfg := small()
	cfg.QueueSize = 16
	for round := range 50 {
		p := newPair(t, cfg, serve.Canary{Share: 0.5}, &session{})
		stop := make(chan struct{})
		var clients sync.WaitGroup
		for range 3 {
			clients.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if number, err := p.ask(t, "", 0); err != nil {
						t.Errorf("round %d: version %d: %v", round, number, err)
						return
					}
				}
			})
		}
		<-time.After(time.Millisecond)
		if round%2 == 0 { // it is refused
			p.stop()
			check(t, "Remove", p.server.Remove(t.Context(), p.canary), 0, "")
		} else { // it serves
			p.server.Activate(p.canary)
			p.stop()
			check(t, "Remove", p.server.Remove(t.Context(), p.live), 0, "")
		}
		close(stop)
		clients.Wait()
	}
}
