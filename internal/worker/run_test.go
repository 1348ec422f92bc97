package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
	"verge/internal/worker"
)

func TestAWorkerAnswersRequestsOfEverySize(t *testing.T) {
	c := connect(t, serve(t, quick(), inference.Options{}))
	for _, n := range []int{0, 1, 16, 5000, 3, 1 << 20, 4096, 0, 4097} {
		text := strings.Repeat("abcdefg", n/7+1)[:n]
		c.want(t, text, text)
	}
}

func TestARunIsRepeatedWithTheSameInputs(t *testing.T) {
	c := connect(t, serve(t, quick(), inference.Options{}))
	c.want(t, "x", "x")
	for range 3 {
		if out, err := c.slot.Run(t.Context()); err != nil || string(out[0].Data) != "x" {
			t.Fatalf("Run = %v, %v, want x again", out, err)
		}
	}
}

func TestAnErrorOfTheRuntimeArrivesWithItsKindTextAndHint(t *testing.T) {
	c := connect(t, serve(t, quick(), inference.Options{}))
	_, err := c.ask(t.Context(), "!error")
	wantError(t, err, fault.Invalid, "index 7 at ops.cc:12, want 0 to 3", "Use a smaller index.")
	c.want(t, "still", "still")
}

func TestOutputsOverTheLimitAreRefusedByTheArena(t *testing.T) {
	c := connect(t, serve(t, quick(), inference.Options{}))
	_, err := c.ask(t.Context(), "!huge")
	wantError(t, err, fault.TooLarge, fmt.Sprintf("test-output: tensors of %d bytes, the limit is %d", math.MaxInt32, arenaLimit),
		"Ask for less at a time, or raise serve.output_bytes.")
	c.want(t, "still", "still")
}

func TestInputsThatDoNotFitTheSignatureNeverReachTheWorker(t *testing.T) {
	c := connect(t, serve(t, quick(), inference.Options{}))
	_, err := c.slot.Inputs([]inference.Input{{Shape: []int64{2, 2}}})
	wantError(t, err, fault.Invalid, `input "x" has shape [2,2] with 2 dimensions, want 1 as in [-1]`, "")
	_, err = c.slot.Run(t.Context())
	wantError(t, err, fault.Invalid, "Run without Inputs", "")
}

// plain is an arena without descriptors.
type plain struct{}

func (plain) Input(n int) (inference.Memory, error) {
	return inference.Memory{Data: make([]byte, n), FD: -1}, nil
}
func (p plain) Output(n int) (inference.Memory, error) { return p.Input(n) }

func TestAnArenaWithoutDescriptorsIsRefused(t *testing.T) {
	s := serve(t, quick(), inference.Options{})
	slot, err := s.NewSlot(plain{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = slot.Inputs([]inference.Input{{Shape: []int64{1}}})
	wantError(t, err, fault.Internal, "the arena's memory has no descriptor, which a worker needs", "")
}

func TestAModelInSealedMemoryIsPassedOn(t *testing.T) {
	memory, err := native.NewReadOnlyMemory("m", 5, func(b []byte) error { copy(b, "model"); return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	host := newHost(t, quick(), "honest", nil)
	rt := host.Runtime("fake", "/lib/libfake.so")
	s, err := rt.Load(t.Context(), inference.Model{Name: "m@1", Data: memory.Bytes(), FD: memory.FD()}, inference.Options{Threads: 2, Parallel: 3})
	if err != nil {
		t.Fatal(err)
	}
	if info := s.Info(); info.ModelBytes != 5 || info.Threads != 2 || info.Parallel != 3 {
		t.Errorf("info = %+v, want 5 bytes, 2 threads, 3 at a time", info)
	}
	if info := rt.Info(); info.Name != "fake" || info.Library != "/lib/libfake.so" {
		t.Errorf("runtime info = %+v, want what the library says", info)
	}
}

func TestACanceledRunStopsAndItsSlotGoesOn(t *testing.T) {
	s := serve(t, quick(), inference.Options{})
	c, pid := connect(t, s), s.Process()
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(20*time.Millisecond, cancel)
		_, err := c.ask(ctx, "!wait")
		wantError(t, err, fault.Canceled, "the request ended while it ran: context canceled", "")
		timer.Stop()
		cancel()
		c.want(t, "next", "next")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.ask(ctx, "!wait")
	wantError(t, err, fault.Deadline, "the request ended while it ran: context deadline exceeded", "")
	if s.Process() != pid {
		t.Error("the worker was replaced, want the same one")
	}
}

func TestManySlotsShareAWorkerAndEachGetsItsOwnAnswers(t *testing.T) {
	s := serve(t, quick(), inference.Options{Parallel: 2})
	var wg sync.WaitGroup
	for i := range 8 {
		c := connect(t, s)
		wg.Go(func() {
			for n := range 200 {
				text := strings.Repeat(strconv.Itoa(i), 1+n*17%5000)
				if got, err := c.ask(t.Context(), text); err != nil || got != text {
					t.Errorf("slot %d, run %d = %.20q, %v", i, n, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestARunThatWaitsForItsTurnEndsWithItsContext(t *testing.T) {
	s := serve(t, quick(), inference.Options{Parallel: 1})
	first, second := connect(t, s), connect(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { first.ask(ctx, "!wait") })
	until(t, "the first run has the worker", func() bool {
		short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer stop()
		_, err := second.ask(short, "x")
		return err != nil && fault.Message(err) == "the request ended while it waited for its turn: context deadline exceeded"
	})
	cancel()
	wg.Wait()
	second.want(t, "x", "x")
}

func TestAWorkerInheritsNothing(t *testing.T) {
	t.Setenv("LD_PRELOAD", "/lib/evil.so")
	t.Setenv("SECRET", "42")
	c := connect(t, serve(t, quick(), inference.Options{}))
	c.want(t, "!environment", roleVariable+"=honest\n"+fastExit+"\nin /")
	got, err := c.ask(t.Context(), "!descriptors")
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(got, "\n") {
		switch {
		case name == "/dev/null", name == "pipe", name == "socket", strings.HasPrefix(name, "/memfd:"),
			strings.HasPrefix(name, "anon_inode"), name == "", strings.HasPrefix(name, "/proc/"),
			strings.HasPrefix(name, "/sys/fs/cgroup"): // Go's own look at its limits
		default:
			t.Errorf("the worker has %q open", name)
		}
	}
}

func TestTheLibrarysMessagesAreLoggedAndItsOutputIsKept(t *testing.T) {
	var text logs
	s := load(t, newHost(t, quick(), "honest", nil), "log", inference.Options{Log: textLog(&text), LogLevel: slog.LevelInfo})
	until(t, "output", func() bool { return strings.Contains(s.Status().LastOutput, "plain text") })
	if got, want := s.Status().LastOutput, "WARN node 3 is slow\nplain text\n"; got != want {
		t.Errorf("last output = %q, want %q", got, want)
	}
	if got, want := text.String(), `level=WARN msg="message of the inference library" text="node 3 is slow" node=3`+"\n"; got != want {
		t.Errorf("log = %q, want %q", got, want)
	}
}

func TestAProbeSaysWhatALibraryIsAndLeavesNoProcess(t *testing.T) {
	host := newHost(t, quick(), "honest", nil)
	info, err := host.Probe(t.Context(), "fake", "/lib/libfake.so")
	if err != nil || info.Version != "1.0" {
		t.Errorf("Probe = %+v, %v, want version 1.0", info, err)
	}
	_, err = host.Probe(t.Context(), "other", "")
	wantError(t, err, fault.Unsupported, `no library "other"`, "Ask for fake.")
	if info := host.Runtime("other", "/x").Info(); info.Name != "other" || info.Version != "" {
		t.Errorf("Info = %+v, want the name only", info)
	}
}

func TestStatusSaysWhoTheWorkerIsAndWhatItTakes(t *testing.T) {
	s := serve(t, quick(), inference.Options{})
	c := connect(t, s)
	pid, err := c.ask(t.Context(), "!pid")
	if err != nil {
		t.Fatal(err)
	}
	st := s.Status()
	if strconv.Itoa(st.PID) != pid || st.State != "ready" || st.Deaths != 0 || st.LastDeath != "" || time.Since(st.Started) > hold {
		t.Errorf("status = %+v, want process %s, ready", st, pid)
	}
	if m := st.Memory; m.Current < 1<<20 || m.Peak < m.Current || m.Enforced != "no" {
		t.Errorf("memory = %+v, want some MiB, without a limit", m)
	}
}

func TestMainRefusesToBeStartedByHand(t *testing.T) {
	err := worker.Main(t.Context(), open)
	wantError(t, err, fault.Invalid, "descriptor 3 is no socket of a node", "This command is started by verge serve, not by hand.")
}

func TestAHostNeedsAProgram(t *testing.T) {
	_, err := worker.NewHost(quick(), worker.Launch{}, slog.New(slog.DiscardHandler))
	wantError(t, err, fault.Invalid, "no program to start", "")
}

func TestAProgramThatIsNotThereIsAClearError(t *testing.T) {
	host, err := worker.NewHost(quick(), worker.Launch{Argv: []string{"/not/there"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	_, err = host.Probe(t.Context(), "fake", "")
	wantError(t, err, fault.Internal, "start /not/there: fork/exec /not/there: no such file or directory", "")
}
