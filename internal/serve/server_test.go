package serve_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/serve"
)

func TestResolve(t *testing.T) {
	s := newServer(small())
	s.Activate(add(t, s, "digits", 3, &session{}, nil))
	add(t, s, "digits", 4, &session{}, nil) // a candidate
	add(t, s, "faces", 1, &session{}, nil)  // a candidate of a model that does not serve
	s.Announce("slow", "loading after a start of the node")
	s.Announce("digits", "not to be seen: a version serves")
	for name, tc := range map[string]struct {
		model, version string
		kind           fault.Kind
		want           string // the message, or "" where digits@3 is found
	}{
		"the plain name":                 {"digits", "", 0, ""},
		"the version that serves":        {"digits", "3", 0, ""},
		"a candidate's version":          {"digits", "4", fault.NotFound, `unknown version 4 of model "digits", version 3 serves`},
		"a candidate's name":             {"faces", "", fault.NotFound, `unknown model "faces"`},
		"a candidate's name and version": {"faces", "1", fault.NotFound, `unknown model "faces"`},
		"an unknown name":                {"other", "", fault.NotFound, `unknown model "other"`},
		"an announced name":              {"slow", "", fault.Unavailable, `model "slow" is not ready: loading after a start of the node`},
		"a version of an announced name": {"slow", "2", fault.Unavailable, `model "slow" is not ready: loading after a start of the node`},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := s.Resolve(tc.model, tc.version)
			check(t, "Resolve", err, tc.kind, tc.want)
			if err == nil && v.String() != "digits@3" {
				t.Errorf("Resolve found %v, want digits@3", v)
			}
		})
	}
	s.Withdraw("slow")
	_, err := s.Resolve("slow", "")
	check(t, "Resolve after Withdraw", err, fault.NotFound, `unknown model "slow"`)
}

func TestNamesThatBreakTheGrammar(t *testing.T) {
	s := newServer(small())
	s.Activate(add(t, s, "digits", 3, &session{}, nil))
	const grammar = ` breaks the grammar: 1 to 128 of A-Z a-z 0-9 . _ -, first a letter or a digit, no ".."`
	long := strings.Repeat("x", 64)
	for name, want := range map[string]string{
		"": `""`, ".": `"."`, "..": `".."`, "../../etc/passwd": `"../../etc/passwd"`, "a/b": `"a/b"`, "-x": `"-x"`, "_x": `"_x"`,
		" ": `" "`, "a..b": `"a..b"`, "a\x00b": `"a\x00b"`, "é": `"é"`, strings.Repeat("x", 129): `"` + long + `…"`,
	} {
		_, err := s.Resolve(name, "")
		check(t, "Resolve", err, fault.Invalid, "model name "+want+grammar)
	}
	for _, name := range []string{"a", "0", "A.b_c-d", strings.Repeat("x", 128)} {
		_, err := s.Resolve(name, "")
		check(t, "Resolve", err, fault.NotFound, "unknown model "+strconv.Quote(name))
	}
	for _, version := range []string{"03", "00", "-1", "+3", "3.0", "x", " 3", "99999999999999999999"} {
		_, err := s.Resolve("digits", version)
		check(t, "Resolve", err, fault.Invalid, "version "+strconv.Quote(version)+" is not a decimal number without leading zeros")
	}
	_, err := s.Resolve("digits", "0")
	check(t, "Resolve", err, fault.NotFound, `unknown version 0 of model "digits", version 3 serves`)
}

func TestPrivateRouteKnowsOneVersion(t *testing.T) {
	s := newServer(small())
	s.Activate(add(t, s, "digits", 3, &session{}, nil))
	candidate := add(t, s, "digits", 4, &session{}, nil)
	private := serve.Only(candidate)
	for _, version := range []string{"", "4"} {
		if v, err := private.Resolve("digits", version); err != nil || v != candidate {
			t.Errorf("Resolve(digits, %q) = %v, %v, want the candidate", version, v, err)
		}
	}
	_, err := private.Resolve("digits", "3")
	check(t, "Resolve of the public version", err, fault.NotFound, `unknown version 3 of model "digits", version 4 serves`)
	_, err = private.Resolve("faces", "")
	check(t, "Resolve of another model", err, fault.NotFound, `unknown model "faces"`)
	if got := private.Models(); len(got) != 1 || got[0].Version != candidate {
		t.Errorf("Models() = %v, want the candidate", got)
	}
	check(t, "Ready", private.Ready(), 0, "")
}

func TestAdd(t *testing.T) {
	s := newServer(small())
	v := add(t, s, "digits", 3, &session{parallel: 2}, nil)
	if v.Model() != "digits" || v.Number() != 3 || v.BatchSize() != 1 || v.Info().Runtime != "fake" || v.Signature().Inputs[0].Name != "x" {
		t.Errorf("Add made %v", v)
	}
	for name, tc := range map[string]struct {
		spec serve.Spec
		kind fault.Kind
		want string
	}{
		"twice": {serve.Spec{Model: "digits", Version: 3, Session: &session{}}, fault.Conflict, `version 3 of model "digits" is loaded already`},
		"a name that breaks the grammar": {
			serve.Spec{Model: "..", Version: 1, Session: &session{}},
			fault.Invalid,
			`model name ".." breaks the grammar: 1 to 128 of A-Z a-z 0-9 . _ -, first a letter or a digit, no ".."`,
		},
		"version 0": {serve.Spec{Model: "digits", Session: &session{}}, fault.Invalid, `version 0 of model "digits", want 1 or more`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Add(tc.spec)
			check(t, "Add", err, tc.kind, tc.want)
		})
	}
	check(t, "Drain", s.Drain(t.Context()), 0, "")
	_, err := s.Add(serve.Spec{Model: "faces", Version: 1, Session: &session{}})
	check(t, "Add after Drain", err, fault.Unavailable, "the node is stopping")
}

func TestModelsAndReady(t *testing.T) {
	s := newServer(small())
	check(t, "Ready without models", s.Ready(), 0, "")
	b, a := add(t, s, "b", 1, &session{}, nil), add(t, s, "a", 2, &session{}, nil)
	s.Activate(b)
	s.Activate(a)
	s.Announce("a", "hidden by the version")
	s.Announce("c", "loading")
	want := []serve.Entry{{Model: "a", Version: a}, {Model: "b", Version: b}, {Model: "c", Reason: "loading"}}
	if got := s.Models(); !slices.Equal(got, want) {
		t.Errorf("Models() = %v, want %v", got, want)
	}
	check(t, "Ready while one loads", s.Ready(), fault.Unavailable, `model "c" is not ready: loading`)
	s.Withdraw("c")
	check(t, "Ready", s.Ready(), 0, "")
	b.SetHealth(errors.New("the answer to the known input changed"))
	check(t, "Ready with one unhealthy", s.Ready(), fault.Unavailable, `version 1 of model "b" is not ready: the answer to the known input changed`)
	b.SetHealth(nil)
	check(t, "Ready when it is well again", s.Ready(), 0, "")
	check(t, "Drain", s.Drain(t.Context()), 0, "")
	check(t, "Ready after Drain", s.Ready(), fault.Unavailable, "the node is stopping")
	_, err := s.Resolve("a", "")
	check(t, "Resolve after Drain", err, fault.Unavailable, "the node is stopping")
}

func TestSessionThatIsAway(t *testing.T) {
	s := newServer(small())
	sess := away{&session{}}
	v := add(t, s, "m", 1, sess, nil)
	check(t, "Ready", v.Ready(), 0, "")

	sess.set(serve.StateRestarting, "killed by signal 9", 1230*time.Millisecond)
	err := v.Ready()
	check(t, "Ready while it restarts", err, fault.Unavailable, `version 1 of model "m" is not ready: restarting: killed by signal 9`)
	if got := fault.HintOf(err); got != "Ask again in 1.2s." {
		t.Errorf("hint = %q, want the time of the restart", got)
	}
	call, err := v.Begin(t.Context(), 0) // the session decides whether to wait for its successor
	check(t, "Begin while it restarts", err, 0, "")
	call.End(nil)

	sess.set(serve.StateFailed, "5 deaths in 10m0s", 0)
	check(t, "Ready after failure", v.Ready(), fault.Unavailable, `version 1 of model "m" is not ready: failed: 5 deaths in 10m0s`)
	_, err = v.Begin(t.Context(), 0)
	check(t, "Begin after failure", err, fault.Unavailable, `version 1 of model "m" has failed: 5 deaths in 10m0s`)

	check(t, "Remove", s.Remove(t.Context(), v), 0, "")
	check(t, "Ready after Remove", v.Ready(), fault.Unavailable, `version 1 of model "m" is not ready: closed`)
}

func TestUnhealthyVersionStillAnswers(t *testing.T) {
	v := add(t, newServer(small()), "m", 1, &session{add: 1}, nil)
	v.SetHealth(errors.New("slow"))
	call, err := v.Begin(t.Context(), 0)
	check(t, "Begin", err, 0, "")
	if y, err := ask(call, 1); err != nil || y != 2 {
		t.Errorf("answer is %d, %v, want 2", y, err)
	}
	if got := v.Status(); got.State != serve.StateReady || got.Reason != "slow" {
		t.Errorf("Status() = %+v, want ready, but slow", got)
	}
}

// Version n of the model adds n to its input. While versions are switched and
// removed, no request may fail, and each answer must be of the version that the
// call names.
func TestSwitchUnderLoad(t *testing.T) {
	cfg := small()
	cfg.SlotsPerThread = 2
	s := newServer(cfg)
	rec := &recorder{}
	old := add(t, s, "m", 1, &session{add: 1}, rec)
	s.Activate(old)

	const last = 50
	stop := make(chan struct{})
	var seen [last + 1]atomic.Int64
	var wg sync.WaitGroup
	for range 3 { // one more than slots: somebody waits at every switch
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				call, err := serve.Admit(t.Context(), s, serve.Ask{Model: "m"}, nil)
				if err != nil {
					t.Errorf("Admit: %v", err)
					return
				}
				n := call.Version().Number()
				if y, err := ask(call, 100); err != nil || y != byte(100+n) {
					t.Errorf("version %d answered %d, %v", n, y, err)
					return
				}
				seen[n].Add(1)
			}
		})
	}
	for n := 2; n <= last; n++ {
		for seen[n-1].Load() == 0 { // until the one before has served
			<-time.After(10 * time.Microsecond)
		}
		sess := &session{add: byte(n)}
		v := add(t, s, "m", n, sess, rec)
		if got := s.Activate(v); got != old {
			t.Errorf("Activate(%v) returned %v, want %v", v, got, old)
		}
		check(t, "Remove", s.Remove(t.Context(), old), 0, "")
		old = v
	}
	for seen[last].Load() == 0 {
		<-time.After(10 * time.Microsecond)
	}
	close(stop)
	wg.Wait()
	for _, r := range rec.results {
		if r != "ok" {
			t.Fatalf("recorded %q, want only ok", r)
		}
	}
}

func TestAdmit(t *testing.T) {
	s := newServer(small())
	one := add(t, s, "m", 1, &session{}, nil)
	two := add(t, s, "m", 2, &session{}, nil)
	s.Activate(one)

	t.Run("repeats when the version was replaced", func(t *testing.T) {
		var prepared []int
		call, err := serve.Admit(t.Context(), s, serve.Ask{Model: "m"}, func(v *serve.Version) error {
			if prepared = append(prepared, v.Number()); v == one {
				s.Activate(two)
				check(t, "Remove", s.Remove(t.Context(), one), 0, "")
			}
			return nil
		})
		check(t, "Admit", err, 0, "")
		if !slices.Equal(prepared, []int{1, 2}) || call.Version() != two {
			t.Errorf("prepared for %v and began on %v, want 1, then 2", prepared, call.Version())
		}
		call.End(nil)
	})
	t.Run("does not repeat for ever", func(t *testing.T) {
		_, err := serve.Admit(t.Context(), serve.Only(one), serve.Ask{Model: "m"}, nil)
		check(t, "Admit", err, fault.Unavailable, `version 1 of model "m" was replaced or unloaded a moment ago`)
		if !errors.Is(err, serve.ErrReplaced) {
			t.Errorf("Admit = %v, want ErrReplaced", err)
		}
	})
	t.Run("hands on what prepare says", func(t *testing.T) {
		refused := errors.New("wrong shape")
		if _, err := serve.Admit(t.Context(), s, serve.Ask{Model: "m"}, func(*serve.Version) error { return refused }); !errors.Is(err, refused) {
			t.Errorf("Admit = %v, want %v", err, refused)
		}
		if _, err := serve.Admit(t.Context(), s, serve.Ask{Model: "n"}, nil); fault.KindOf(err) != fault.NotFound {
			t.Errorf("Admit = %v, want not found", err)
		}
	})
}

func TestRemoveWaitsForWhatWasAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		sess := &session{add: 1, run: func(context.Context, int) error { <-time.After(time.Second); return nil }}
		s := newServer(small())
		v := add(t, s, "m", 1, sess, rec)
		s.Activate(v)
		for range 3 { // one runs, two wait
			go func() {
				call, err := v.Begin(t.Context(), 0)
				check(t, "Begin", err, 0, "")
				if y, err := ask(call, 1); err != nil || y != 2 {
					t.Errorf("answer is %d, %v, want 2", y, err)
				}
			}()
		}
		synctest.Wait()
		begun := time.Now()
		removed := make(chan error)
		go func() { removed <- s.Remove(t.Context(), v) }()
		synctest.Wait()
		_, err := s.Resolve("m", "")
		check(t, "Resolve", err, fault.NotFound, `unknown model "m"`)
		_, err = v.Begin(t.Context(), 0)
		check(t, "Begin", err, fault.Unavailable, `version 1 of model "m" was replaced or unloaded a moment ago`)
		if got := v.Status().State; got != serve.StateUnloading {
			t.Errorf("state is %q, want unloading", got)
		}
		if sess.isClosed() {
			t.Error("the session was closed while requests went on")
		}
		check(t, "Remove", <-removed, 0, "")
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("Remove took %v, want the three runs of a second each", took)
		}
		if got, want := v.Status(), (serve.Status{State: serve.StateClosed, SlotLimit: 1}); !sess.isClosed() || got != want {
			t.Errorf("Status() = %+v, session closed: %v, want %+v and closed", got, sess.isClosed(), want)
		}
		rec.want(t, []string{"ok", "ok", "ok"})
		check(t, "second Remove", s.Remove(t.Context(), v), 0, "")
		if again := s.Activate(v); again != nil || len(s.Models()) != 0 {
			t.Errorf("a removed version was activated")
		}
	})
}

func TestRemoveCutsOffWhatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sess := &session{run: untilEnd}
		cfg := small()
		cfg.SlotsPerThread = 2
		s := newServer(cfg)
		v := add(t, s, "m", 1, sess, nil)
		const cutOff = `version 1 of model "m" was unloaded before the request had ended`
		go func() { // runs
			call, err := v.Begin(t.Context(), 0)
			check(t, "Begin", err, 0, "")
			_, err = ask(call, 1)
			check(t, "Run", err, fault.Unavailable, cutOff)
		}()
		synctest.Wait()
		sender, err := v.Begin(t.Context(), 0) // fills its input
		check(t, "Begin", err, 0, "")
		views, err := sender.Inputs([]inference.Input{{Shape: []int64{4}}})
		check(t, "Inputs", err, 0, "")
		go func() { // waits
			_, waited := v.Begin(t.Context(), 0)
			check(t, "Begin", waited, fault.Unavailable, cutOff)
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		check(t, "Remove", s.Remove(ctx, v), fault.Deadline, `version 1 of model "m": 3 requests have not ended: context deadline exceeded`)
		if !sess.isClosed() {
			t.Error("the session was not closed")
		}
		synctest.Wait() // all but the sender have ended, long before their deadline
		views[0][3] = 1 // its memory is there until End
		if sender.Context().Err() == nil {
			t.Error("the sender was not told")
		}
		_, err = sender.Run()
		check(t, "Run", err, fault.Unavailable, cutOff)
		if got := v.Status(); got.Slots != 1 || got.InFlight != 1 {
			t.Errorf("Status() = %+v, want the sender's slot", got)
		}
		sender.End(err)
		if got := v.Status(); got.Slots != 0 || got.InFlight != 0 {
			t.Errorf("Status() = %+v, want nothing", got)
		}
	})
}

func TestDrainLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(small())
		var ran, answered atomic.Int64
		run := func(context.Context, int) error { <-time.After(time.Second); ran.Add(1); return nil }
		for n, model := range []string{"a", "b"} {
			v := add(t, s, model, n+1, &session{run: run}, nil)
			s.Activate(v)
			for range 3 {
				go func() {
					call, err := v.Begin(t.Context(), 0)
					check(t, "Begin", err, 0, "")
					if _, err := ask(call, 1); err != nil {
						t.Errorf("admitted request failed: %v", err)
					}
					answered.Add(1)
				}()
			}
		}
		synctest.Wait()
		v, err := s.Resolve("a", "")
		check(t, "Resolve", err, 0, "")
		short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		err = s.Drain(short)
		if fault.KindOf(err) != fault.Deadline {
			t.Errorf("Drain = %v, want a deadline", err)
		}
		_, err = v.Begin(t.Context(), 0)
		check(t, "Begin while draining", err, fault.Unavailable, "the node is stopping")
		if errors.Is(err, serve.ErrReplaced) {
			t.Error("a draining node looks like a replaced version")
		}
		check(t, "Drain", s.Drain(t.Context()), 0, "")
		if ran.Load() != 6 {
			t.Errorf("Drain returned after %d runs, want all 6", ran.Load())
		}
		synctest.Wait() // a request is over for the server a moment before its caller counts the answer
		if answered.Load() != 6 {
			t.Errorf("%d requests were answered, want all 6", answered.Load())
		}
		check(t, "Close", s.Close(t.Context()), 0, "")
		if got := v.Status().State; got != serve.StateClosed {
			t.Errorf("state after Close is %q, want closed", got)
		}
	})
}

func TestConfigValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*serve.Config)
		want string // the whole message; empty means valid
	}{
		"default is valid": {func(*serve.Config) {}, ""},
		"all problems at once": {
			func(c *serve.Config) { *c = serve.Config{QueueSize: -1} },
			"serve.queue_size is -1, want 0 to 65536\n" +
				"serve.slots_per_thread is 0, want 1 to 64\n" +
				"serve.input_bytes is 0, want 4096 to 1073741824\n" +
				"serve.output_bytes is 0, want 4096 to 1073741824\n" +
				"serve.max_timeout is 0s, want 1ms to 24h0m0s\n" +
				"serve.default_timeout is 0s, want 1ms to serve.max_timeout (0s)",
		},
		"default over maximum": {
			func(c *serve.Config) { c.MaxTimeout = time.Second },
			"serve.default_timeout is 30s, want 1ms to serve.max_timeout (1s)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := serve.Default()
			tc.edit(&cfg)
			got := ""
			if err := cfg.Validate(); err != nil {
				got = fmt.Sprint(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Validate() (-want +got):\n%s", diff)
			}
		})
	}
}
