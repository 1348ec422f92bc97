package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/sandbox"
	"verge/internal/worker"
)

func TestAWorkerThatDiesFailsWhatItRanAndIsReplaced(t *testing.T) {
	for name, tc := range map[string]struct{ command, death string }{
		"abort":                {"!abort", "exit status 2 (SIGABRT: abort)"},
		"abort in C":           {"!abort in C", "exit status 2 (SIGABRT: abort)"},
		"segmentation fault":   {"!signal 11", "exit status 2 (SIGSEGV: segmentation violation)"},
		"bus error":            {"!signal 7", "exit status 2 (SIGBUS: bus error)"},
		"illegal instruction":  {"!signal 4", "exit status 2 (SIGILL: illegal instruction)"},
		"terminated":           {"!signal 15", "signal: terminated"},
		"exit":                 {"!exit 7", "exit status 7"},
		"exit as after panics": {"!exit 2", "exit status 2"},
		"panic":                {"!panic", "exit status 2 (panic: the adapter has a bug in file.go at)"},
		"fatal error":          {"!deep", "exit status 2 (fatal error: stack overflow)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, quick(), inference.Options{})
			c, pid := connect(t, s), s.Process()
			_, err := c.ask(t.Context(), tc.command)
			wantError(t, err, fault.Internal, "the worker died while it ran this request: "+tc.death, "")
			c.want(t, "again", "again")
			ready(t, s, pid)
			st := s.Status()
			if st.Deaths != 1 || st.LastDeath != tc.death {
				t.Errorf("status = %d deaths, last %q, want 1, %q", st.Deaths, st.LastDeath, tc.death)
			}
		})
	}
}

func TestTheEndOfALoadThatCrashesIsToldWithTheLastOutput(t *testing.T) {
	host := newHost(t, quick(), "honest", nil)
	rt := host.Runtime("fake", "")
	_, err := rt.Load(t.Context(), inference.Model{Name: "m@1", Data: []byte("abort"), FD: -1}, inference.Options{})
	wantError(t, err, fault.Internal, "m@1: the worker died while it loaded the model: exit status 2 (SIGABRT: abort); last output: assertion failed: x > 0",
		"The library, or what it loaded besides, crashed: install it again, or leave out the provider.")
	_, err = rt.Load(t.Context(), inference.Model{Name: "m@1", Data: []byte("corrupt"), FD: -1}, inference.Options{})
	wantError(t, err, fault.Corrupt, "m@1: bad [31mmagic in model.bin", "Convert it again.")
	_, err = rt.Load(t.Context(), inference.Model{Name: "m@1", FD: -1}, inference.Options{})
	wantError(t, err, fault.Corrupt, "m@1: the model is empty", "")
}

func TestWhatWasPreparedOfAModelIsDroppedWhereALoadCrashesOverIt(t *testing.T) {
	cache := t.TempDir()
	entry := filepath.Join(cache, "digest", "entry")
	prepare := func() {
		t.Helper()
		if err := os.MkdirAll(entry, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	gone := func() bool {
		_, err := os.Stat(filepath.Dir(entry))
		return os.IsNotExist(err)
	}
	rt := newHost(t, quick(), "honest", nil).Runtime("fake", "")
	model := func(text string) inference.Model {
		return inference.Model{Name: "m@1", Data: []byte(text), FD: -1, Digest: "digest"}
	}
	options := inference.Options{Cache: cache}

	prepare()
	s, err := rt.Load(t.Context(), model("abort over the cache"), options)
	if err != nil || !gone() {
		t.Fatalf("Load = %v, the entry is gone: %v; want it loaded without", err, gone())
	}
	c := connect(t, s)
	c.want(t, "x", "x")
	c.ask(t.Context(), "!exit 7") // its successor has no cache either
	c.want(t, "y", "y")
	s.Close()

	s, err = rt.Load(t.Context(), model("die over the cache at the second load"), options)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	prepare()
	c = connect(t, s)
	c.ask(t.Context(), "!exit 7") // its successor crashes, and the one after it does not
	c.want(t, "z", "z")
	if !gone() {
		t.Error("the entry is still there")
	}

	prepare()
	_, err = rt.Load(t.Context(), model("abort"), options)
	if want := "m@1: the worker died while it loaded the model: exit status 2 (SIGABRT: abort)"; !strings.HasPrefix(fault.Message(err), want) || !gone() {
		t.Errorf("Load of what always crashes = %v, the entry is gone: %v", err, gone())
	}
	prepare()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err = rt.Load(ctx, model("slow"), options); fault.KindOf(err) != fault.Canceled || gone() {
		t.Errorf("Load that is canceled = %v, the entry is gone: %v; want it kept", err, gone())
	}
}

func TestALoadHasADeadline(t *testing.T) {
	cfg := quick()
	cfg.StartTimeout = 300 * time.Millisecond
	rt := newHost(t, cfg, "honest", nil).Runtime("fake", "")
	slow := inference.Model{Name: "m@1", Data: []byte("slow"), FD: -1}
	_, err := rt.Load(t.Context(), slow, inference.Options{})
	wantError(t, err, fault.Deadline, "m@1: the worker had not loaded the model: over the start timeout of 300ms", "")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = rt.Load(ctx, slow, inference.Options{})
	wantError(t, err, fault.Canceled, "m@1: the worker had not loaded the model: context canceled", "")
}

func TestAWorkerThatIsKilledIsReplacedWhateverItDoes(t *testing.T) {
	s := serve(t, quick(), inference.Options{})
	c, pid := connect(t, s), s.Process()
	syscall.Kill(pid, syscall.SIGKILL) // idle
	ready(t, s, pid)
	if got, want := s.Status().LastDeath, "signal: killed (out of memory?)"; got != want {
		t.Errorf("last death = %q, want %q", got, want)
	}
	c.want(t, "x", "x")
	pid = s.Process()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := c.ask(context.WithoutCancel(t.Context()), "!wait")
		wantError(t, err, fault.Internal, "the worker died while it ran this request: signal: killed (out of memory?)", "")
	})
	freeze(t, pid) // so that the run is sent and not answered
	timer := time.AfterFunc(50*time.Millisecond, func() { syscall.Kill(pid, syscall.SIGKILL) })
	defer timer.Stop()
	wg.Wait()
	c.want(t, "y", "y")
}

func TestAWorkerThatHangsIsReplaced(t *testing.T) {
	cfg := quick()
	cfg.PingTimeout, cfg.StopGrace = time.Second, 50*time.Millisecond
	s := serve(t, cfg, inference.Options{})
	c, pid := connect(t, s), s.Process()
	freeze(t, pid)
	ctx, cancel := context.WithTimeout(t.Context(), hold)
	defer cancel()
	_, err := c.ask(ctx, "x")
	wantError(t, err, fault.Internal, "the worker died while it ran this request: it hung: no answer to a ping for 1s", "")
	c.want(t, "x", "x")
}

func TestAWorkerThatDoesNotStopACanceledRunIsReplaced(t *testing.T) {
	s := serve(t, quick(), inference.Options{})
	c, pid := connect(t, s), s.Process()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.ask(ctx, "!loop")
	wantError(t, err, fault.Deadline, "the request ended and its worker, which did not stop, was ended: context deadline exceeded", "")
	ready(t, s, pid)
	if got, want := s.Status().LastDeath, "it did not stop a canceled request within 200ms"; got != want {
		t.Errorf("last death = %q, want %q", got, want)
	}
	c.want(t, "x", "x")
}

func TestWhatWaitsForAWorkerGoesToItsSuccessor(t *testing.T) {
	s := serve(t, quick(), inference.Options{Parallel: 1})
	victim := connect(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := victim.ask(ctx, "!wait")
		wantError(t, err, fault.Internal, "the worker died while it ran this request: signal: killed (out of memory?)", "")
	})
	var answered atomic.Int32
	until(t, "the victim has the worker", func() bool {
		short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer stop()
		_, err := connect(t, s).ask(short, "x")
		return err != nil
	})
	for i := range 5 {
		c := connect(t, s)
		wg.Go(func() {
			if got, err := c.ask(t.Context(), strconv.Itoa(i)); err != nil || got != strconv.Itoa(i) {
				t.Errorf("waiting request %d = %q, %v, want an answer", i, got, err)
				return
			}
			answered.Add(1)
		})
	}
	syscall.Kill(s.Process(), syscall.SIGKILL)
	wg.Wait()
	if answered.Load() != 5 {
		t.Errorf("%d of 5 waiting requests were answered", answered.Load())
	}
}

func TestAModelThatKeepsDyingFailsForGood(t *testing.T) {
	cfg := quick()
	cfg.MaxDeaths = 3
	host := newHost(t, cfg, "honest", nil)
	s := load(t, host, "once "+filepath.Join(t.TempDir(), "mark"), inference.Options{})
	c := connect(t, s)
	c.want(t, "x", "x")
	if _, err := c.ask(t.Context(), "!exit 7"); err == nil {
		t.Fatal("a crash was answered")
	}
	const reason = "its worker died 3 times within 10m0s, last: the worker died while it loaded the model: exit status 3; last output: not again"
	_, err := c.ask(t.Context(), "x")
	wantError(t, err, fault.Unavailable, reason, "Deploy it again.")
	state, why, in := s.Condition()
	if state != "failed" || why != reason || in != 0 {
		t.Errorf("Condition = %q, %q, %v, want failed, %q", state, why, in, reason)
	}
	st := s.Status()
	if st.PID != 0 || st.Deaths != 3 || st.LastOutput != "not again\n" || st.Memory.Current != 0 || st.Memory.Peak == 0 {
		t.Errorf("status = %+v, want no process, 3 deaths, its output, and a peak", st)
	}
}

func TestARequestWaitsForARestartNoLongerThanItsContext(t *testing.T) {
	cfg := quick()
	cfg.RestartDelay, cfg.MaxRestartDelay = time.Hour, time.Hour
	s := serve(t, cfg, inference.Options{})
	c := connect(t, s)
	syscall.Kill(s.Process(), syscall.SIGKILL)
	until(t, "restarting", func() bool { state, _, _ := s.Condition(); return state == "restarting" })
	state, reason, in := s.Condition()
	if reason != "its worker died: signal: killed (out of memory?)" || in <= 0 || in > time.Hour {
		t.Errorf("Condition = %q, %q, %v, want the reason and up to an hour", state, reason, in)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.ask(ctx, "x")
	wantError(t, err, fault.Deadline, "the request ended while it waited for the worker: context deadline exceeded", "")
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := c.ask(context.WithoutCancel(t.Context()), "x")
		wantError(t, err, fault.Unavailable, "the session is closed", "")
	})
	s.Close()
	wg.Wait()
}

func TestCloseLeavesNoProcess(t *testing.T) {
	s := serve(t, quick(), inference.Options{})
	c, pid := connect(t, s), s.Process()
	c.want(t, "x", "x")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v, want no error", err)
		}
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is there after Close (%v)", pid, err)
	}
	_, err := c.slot.Run(t.Context())
	wantError(t, err, fault.Unavailable, "the session is closed", "")
	if state, _, _ := s.Condition(); state != "closed" {
		t.Errorf("state = %q, want closed", state)
	}
}

func TestCloseEndsAWorkerThatDoesNotStop(t *testing.T) {
	cfg := quick()
	cfg.StopGrace, cfg.PingTimeout = 50*time.Millisecond, time.Hour
	s := serve(t, cfg, inference.Options{})
	pid := s.Process()
	freeze(t, pid)
	s.Close()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is there after Close (%v)", pid, err)
	}
}

func TestCrashesUnderLoadNeverGiveAWrongAnswerOrTouchAnotherModel(t *testing.T) {
	cfg := quick()
	cfg.MaxDeaths = 1000
	host := newHost(t, cfg, "honest", nil)
	sick, well := load(t, host, "sick", inference.Options{Parallel: 2}), load(t, host, "well", inference.Options{Parallel: 2})
	ctx, cancel := context.WithTimeout(t.Context(), hold)
	defer cancel()
	done := make(chan struct{})
	var wg sync.WaitGroup
	var failed, answered atomic.Int64
	for i := range 4 {
		c, other := connect(t, sick), connect(t, well)
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				text := strings.Repeat(strconv.Itoa(i), 1+n%3000)
				got, err := c.ask(ctx, text)
				switch {
				case err != nil && fault.KindOf(err) == fault.Internal && strings.HasPrefix(fault.Message(err), "the worker died"):
					failed.Add(1)
				case err != nil || got != text:
					t.Errorf("sick model: %.20q, %v", got, err)
				default:
					answered.Add(1)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				text := strings.Repeat(strconv.Itoa(i), 1+n%3000)
				if got, err := other.ask(ctx, text); err != nil || got != text {
					t.Errorf("well model: %.20q, %v", got, err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	killer := connect(t, sick)
	for round := range 6 {
		pid := sick.Process()
		if round%2 == 0 {
			syscall.Kill(pid, syscall.SIGKILL)
		} else {
			killer.ask(ctx, []string{"!abort", "!signal 11"}[round/2%2])
		}
		ready(t, sick, pid)
		before := answered.Load()
		until(t, "answers again", func() bool { return answered.Load() > before+20 })
	}
	close(done)
	wg.Wait()
	t.Logf("%d answers, %d requests died with their worker", answered.Load(), failed.Load())
}

func TestAMemoryLimitEndsTheWorkerAndSaysSo(t *testing.T) {
	const limit = 64 << 20
	host := newHost(t, quick(), "honest", nil)
	if host.Enforced() == sandbox.No {
		t.Skip("needs a control group with the memory controller that it may write to")
	}
	s := load(t, host, "model", inference.Options{MemoryLimit: limit})
	c := connect(t, s)
	c.want(t, "x", "x")
	_, err := c.ask(t.Context(), "!take")
	wantError(t, err, fault.Exhausted, "the worker died while it ran this request: signal: killed: it reached its memory limit of 64 MB",
		"Raise deployment.memory_limit_mb, or deploy a smaller model.")
	st := s.Status()
	if st.MemoryLimit != limit || st.Memory.Peak < limit/2 || st.Memory.Enforced != host.Enforced() {
		t.Errorf("status = %+v, want the limit, a peak near it, and how it is enforced", st)
	}
	c.want(t, "x", "x")
}

func TestWorkersEndWithTheHost(t *testing.T) {
	host := newHost(t, quick(), "honest", nil)
	s := load(t, host, "model", inference.Options{})
	pid := s.Process()
	host.Close()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is there after Close (%v)", pid, err)
	}
	_, err := host.Runtime("fake", "").Load(t.Context(), inference.Model{Data: []byte("x"), FD: -1}, inference.Options{})
	wantError(t, err, fault.Unavailable, "the node stops, and starts no worker", "")
	_, err = host.Probe(t.Context(), "fake", "")
	wantError(t, err, fault.Unavailable, "the node stops, and starts no worker", "")
}

// node is a node with one worker, whose process id it prints. It waits to be
// killed.
func node() {
	self, _ := os.Executable()
	host, err := worker.NewHost(quick(), worker.Launch{Argv: []string{self}, Env: []string{roleVariable + "=honest"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		os.Exit(1)
	}
	s, err := host.Runtime("fake", "").Load(context.Background(), inference.Model{Name: "m", Data: []byte("m"), FD: -1}, inference.Options{})
	if err != nil {
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, s.(*worker.Session).Process())
	select {}
}

func TestAWorkerDiesWithItsNodeEvenWhenItIsStopped(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, stopped := range []bool{false, true} {
		cmd := exec.Command(self)
		cmd.Env = []string{roleVariable + "=node"}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var pid int
		if _, err := fmt.Fscan(out, &pid); err != nil {
			t.Fatal(err)
		}
		if stopped {
			freeze(t, pid)
		}
		cmd.Process.Kill()
		cmd.Wait()
		until(t, "the worker is gone", func() bool { return !alive(pid) })
	}
}

// freeze stops a process, and returns when none of its threads runs any more.
func freeze(tb testing.TB, pid int) {
	tb.Helper()
	syscall.Kill(pid, syscall.SIGSTOP)
	until(tb, "stopped", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, thread := range threads {
			if text, err := os.ReadFile(thread); err != nil || !strings.HasPrefix(state(text), "T") {
				return false
			}
		}
		return len(threads) > 0
	})
}

// state is the state of a process or thread, and what follows it, of its stat file.
func state(stat []byte) string {
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest
}

// alive reports whether a process runs: one that nobody has waited for does not.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	return !strings.HasPrefix(state(text), "Z")
}
