package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
	"verge/internal/runtimes/litert"
	"verge/internal/runtimes/onnxruntime"
	"verge/internal/runtimes/openvino"
	"verge/internal/tensor"
	"verge/internal/worker"
)

// roleVariable makes the test binary a worker: "honest", or "liar" and what it does.
const roleVariable = "VERGE_TEST_ROLE"

// fastExit keeps the race detector from waiting a second at the end of a worker.
const fastExit = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	switch role, lie, _ := strings.Cut(os.Getenv(roleVariable), ":"); role {
	case "honest":
		if err := worker.Main(context.Background(), open); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "liar":
		liar(lie)
	case "node":
		node()
	}
	goleak.VerifyTestMain(m)
}

// open is the table of libraries of the workers that the tests start.
func open(name, library string, log *slog.Logger) (inference.Runtime, error) {
	switch name {
	case "fake":
		return &fakeLibrary{log: log, path: library}, nil
	case onnxruntime.Name:
		return onnxruntime.Open(library, log)
	case litert.Name, litert.ClassicName:
		return litert.Open(library, log)
	case openvino.Name:
		return openvino.Open(library, log)
	}
	return nil, fault.New(fault.Unsupported, "test.open", "no library %q", name).WithHint("Ask for fake.")
}

// fakeLibrary is a runtime in Go, whose models are texts. Its sessions answer with
// their input, unless the input is a command.
type fakeLibrary struct {
	log  *slog.Logger
	path string
}

func (l *fakeLibrary) Info() inference.RuntimeInfo {
	return inference.RuntimeInfo{Name: "fake", Version: "1.0", Library: l.path, Providers: []string{"CPU"}}
}

func (l *fakeLibrary) Load(ctx context.Context, m inference.Model, o inference.Options) (inference.Session, error) {
	switch text := string(m.Data); {
	case text == "corrupt":
		return nil, fault.New(fault.Corrupt, "fake.load", "bad \x1b[31mmagic in /very/secret/model.bin").WithHint("Convert it again.")
	case text == "abort":
		fmt.Fprintln(os.Stderr, "assertion failed: x > 0")
		signalSelf(syscall.SIGABRT)
	case text == "abort over the cache":
		if o.Cache != "" {
			os.Exit(4)
		}
	case text == "die over the cache at the second load":
		if _, err := os.Stat(filepath.Join(o.Cache, "digest")); err == nil && o.Cache != "" {
			signalSelf(syscall.SIGSEGV)
		}
	case text == "slow":
		<-ctx.Done()
		return nil, ctx.Err()
	case text == "log":
		o.Log.Debug("too fine")
		o.Log.Warn("node 3 is slow", "node", 3)
		fmt.Fprintln(os.Stdout, "plain text")
	case strings.HasPrefix(text, "once "): // dies at every load but the first
		if _, err := os.Stat(text[5:]); err == nil {
			fmt.Fprintln(os.Stderr, "not again")
			os.Exit(3)
		}
		os.WriteFile(text[5:], nil, 0o600)
	}
	return &session{options: o, size: int64(len(m.Data)), environment: os.Environ()}, nil
}

type session struct {
	options     inference.Options
	size        int64
	environment []string
}

func (s *session) Signature() inference.Signature {
	return inference.Signature{
		Inputs:  []inference.Spec{{Name: "x", DType: tensor.Uint8, Shape: []int64{-1}, Symbols: []string{"n"}}},
		Outputs: []inference.Spec{{Name: "y", DType: tensor.Uint8, Shape: []int64{-1}, Symbols: []string{"n"}}},
	}
}

func (s *session) Info() inference.SessionInfo {
	return inference.SessionInfo{
		Runtime: "fake", RuntimeVersion: "1.0", Device: "cpu", Providers: []string{"CPU"},
		Threads: s.options.Threads, Parallel: s.options.Parallel, ModelBytes: s.size,
	}
}

func (s *session) NewSlot(a inference.Arena) (inference.Slot, error) {
	return &slot{session: s, arena: a}, nil
}

func (s *session) Close() error { return nil }

type slot struct {
	session *session
	arena   inference.Arena
	input   []byte
	output  [1]tensor.Tensor
	shape   [1]int64
}

func (s *slot) Inputs(in []inference.Input) ([][]byte, error) {
	if err := s.session.Signature().CheckInputs(in); err != nil {
		return nil, fault.New(fault.Invalid, "fake.inputs", "%w", err)
	}
	m, err := s.arena.Input(in[0].Bytes)
	s.input = m.Data[:in[0].Bytes]
	return [][]byte{s.input}, err
}

func (s *slot) Run(ctx context.Context) ([]tensor.Tensor, error) {
	answer := s.input
	if len(answer) > 0 && answer[0] == '!' {
		text, err := s.command(ctx, string(answer[1:]))
		if err != nil {
			return nil, err
		}
		answer = []byte(text)
	}
	m, err := s.arena.Output(len(answer))
	if err != nil {
		return nil, err
	}
	copy(m.Data, answer)
	s.shape[0] = int64(len(answer))
	s.output[0] = tensor.Tensor{Name: "y", DType: tensor.Uint8, Shape: s.shape[:], Data: m.Data[:len(answer)]}
	return s.output[:], nil
}

func (s *slot) command(ctx context.Context, text string) (string, error) {
	name, argument, _ := strings.Cut(text, " ")
	switch name {
	case "wait": // until it is told to stop
		<-ctx.Done()
		return "", ctx.Err()
	case "loop": // for ever, with a processor
		for n := 0; ; n++ {
			_ = n
		}
	case "abort":
		fmt.Fprintln(os.Stderr, "assertion failed: y > 0")
		if argument == "in C" {
			return "", abortInC()
		}
		signalSelf(syscall.SIGABRT)
	case "signal":
		number, _ := strconv.Atoi(argument)
		signalSelf(syscall.Signal(number))
	case "exit":
		fmt.Fprintln(os.Stderr, "panic: so it says")
		status, _ := strconv.Atoi(argument)
		os.Exit(status)
	case "panic":
		panic("the adapter has a bug in /src/adapter/file.go at 0x7f00")
	case "deep":
		debug.SetMaxStack(1 << 20)
		return strconv.Itoa(deep(1)), nil
	case "error":
		return "", fault.New(fault.Invalid, "fake.run", "index 7 at /lib/x/ops.cc:12, want 0 to 3\x00").WithHint("Use a smaller index.")
	case "huge":
		_, err := s.arena.Output(math.MaxInt32)
		return "", err
	case "pid":
		return fmt.Sprint(os.Getpid()), nil
	case "environment":
		directory, _ := os.Getwd()
		return strings.Join(append(s.session.environment, "in "+directory), "\n"), nil
	case "descriptors":
		entries, err := os.ReadDir("/proc/self/fd")
		var names []string
		for _, e := range entries {
			to, _ := os.Readlink("/proc/self/fd/" + e.Name())
			to, _, _ = strings.Cut(to, ":[")
			names = append(names, to)
		}
		return strings.Join(names, "\n"), err
	case "write":
		fmt.Fprintln(os.Stderr, argument)
		return "written", nil
	case "take": // memory, until there is no more
		var all [][]byte
		for {
			all = append(all, bytes.Repeat([]byte{1}, 4<<20))
			_ = all
		}
	}
	return "", fault.New(fault.Unsupported, "fake.run", "no command %q", name)
}

func (s *slot) Close() error { return nil }

// deep needs more stack than there is.
func deep(n int) int {
	if n < 0 {
		return 0
	}
	return n + deep(n+1)
}

// abortInC has the C library end the process.
func abortInC() error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	for field := range strings.FieldsSeq(string(maps)) {
		if strings.Contains(field, "/libc.so") || strings.Contains(field, "/libc-") {
			c, err := native.Open(field)
			if err != nil {
				return err
			}
			abort, err := c.Symbol("abort")
			if err == nil {
				native.Call(abort)
			}
			return err
		}
	}
	return errors.New("the C library is not there")
}

// signalSelf ends the process as a crash in a C library does.
func signalSelf(signal syscall.Signal) {
	runtime.LockOSThread() // such a signal comes to the thread that caused it
	unix.Tgkill(os.Getpid(), unix.Gettid(), signal)
	select {}
}

// hold is how long a test waits for what should come soon.
const hold = 60 * time.Second

// logs is a handler's destination that a test reads.
type logs struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
