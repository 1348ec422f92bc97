package worker_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/worker"
)

// quick is a configuration whose restarts do not take long.
func quick() worker.Config {
	cfg := worker.Default()
	cfg.StartTimeout = hold
	cfg.RestartDelay, cfg.MaxRestartDelay = 10*time.Millisecond, 40*time.Millisecond
	cfg.PingInterval, cfg.PingTimeout = 20*time.Millisecond, 5*time.Second
	cfg.CancelGrace, cfg.StopGrace = 200*time.Millisecond, 5*time.Second
	return cfg
}

// newHost starts a Host whose workers are this program in that role.
func newHost(tb testing.TB, cfg worker.Config, role string, log *slog.Logger) *worker.Host {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	host, err := worker.NewHost(cfg, worker.Launch{Argv: []string{self}, Env: []string{roleVariable + "=" + role, fastExit}}, log)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := host.Close(); err != nil {
			tb.Errorf("Close of the host = %v, want no error", err)
		}
	})
	return host
}

// load loads a text as a model of the fake library.
func load(tb testing.TB, host *worker.Host, text string, o inference.Options) *worker.Session {
	tb.Helper()
	s, err := host.Runtime("fake", "/lib/libfake.so").Load(tb.Context(), inference.Model{Name: "m@1", Data: []byte(text), FD: -1}, o)
	if err != nil {
		tb.Fatalf("Load(%q) = %v, want a session", text, err)
	}
	return s.(*worker.Session)
}

// serve starts a host with one session.
func serve(tb testing.TB, cfg worker.Config, o inference.Options) *worker.Session {
	tb.Helper()
	return load(tb, newHost(tb, cfg, "honest", nil), "model", o)
}

// client is one slot of a session, with its memory.
type client struct {
	slot   inference.Slot
	memory *arena.Shared
}

const arenaLimit = 8 << 20

func connect(tb testing.TB, s inference.Session) *client {
	tb.Helper()
	c := &client{memory: arena.New("test", arenaLimit, arenaLimit)}
	var err error
	if c.slot, err = s.NewSlot(c.memory); err != nil {
		tb.Fatalf("NewSlot = %v, want a slot", err)
	}
	tb.Cleanup(func() {
		c.slot.Close()
		c.memory.Close()
	})
	return c
}

// ask sends a text, and returns the answer.
func (c *client) ask(ctx context.Context, text string) (string, error) {
	views, err := c.slot.Inputs([]inference.Input{{Shape: []int64{int64(len(text))}}})
	if err != nil {
		return "", err
	}
	copy(views[0], text)
	outputs, err := c.slot.Run(ctx)
	if err != nil {
		return "", err
	}
	return string(outputs[0].Data), nil
}

// want asks, and compares the answer.
func (c *client) want(tb testing.TB, text, want string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), hold)
	defer cancel()
	if got, err := c.ask(ctx, text); err != nil || got != want {
		tb.Fatalf("ask(%.20q) = %.60q, %v, want %.60q", text, got, err, want)
	}
}

// wantError compares kind, text and hint of an error.
func wantError(tb testing.TB, err error, kind fault.Kind, text, hint string) {
	tb.Helper()
	if err == nil {
		tb.Fatalf("no error, want %v %q", kind, text)
	}
	if fault.KindOf(err) != kind || fault.Message(err) != text || fault.HintOf(err) != hint {
		tb.Errorf("error = %v %q, hint %q\n want %v %q, hint %q", fault.KindOf(err), fault.Message(err), fault.HintOf(err), kind, text, hint)
	}
}

// until waits until what holds.
func until(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), hold)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("%s: not within %v", what, hold)
		}
	}
}

// ready waits until the session's worker serves, in another process than pid.
func ready(tb testing.TB, s *worker.Session, pid int) {
	tb.Helper()
	until(tb, "ready again", func() bool {
		st := s.Status()
		return st.State == "ready" && st.PID != 0 && st.PID != pid
	})
}
