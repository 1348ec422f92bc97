package openvino

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
	"verge/internal/native"
)

// environment is what a process has once for each library: its ov_core, which is
// never freed, and the callback that the library logs to. The callback is told the
// message only, so that it finds out by the thread whom it is for.
type environment struct {
	core uintptr

	mu       sync.Mutex // guards what follows
	fallback *slog.Logger
	threads  map[int]*journal // by thread: of a load in progress
}

// environments are those of this process.
type environments struct {
	mu        sync.Mutex               // guards byLibrary
	byLibrary map[uintptr]*environment // by the address of one of its functions
}

var process environments //nolint:gochecknoglobals // the library has one log for each process, and callbacks are never freed

// get returns the environment of a library, and makes it on first use. Messages
// that belong to no load go to the logger of the latest call.
func (p *environments) get(a *api, log *slog.Logger) (*environment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := a.functions[coreCreate]
	if env := p.byLibrary[key]; env != nil {
		env.mu.Lock()
		defer env.mu.Unlock()
		env.fallback = log
		return env, nil
	}
	env := &environment{fallback: log, threads: map[int]*journal{}}
	if set := a.functions[setLogCallback]; set != 0 {
		native.Call(set, native.NewCallback(env.message))
	}
	var core uintptr
	if status := a.call(coreCreate, uintptr(unsafe.Pointer(&core))); status != nil {
		return nil, status.fault(fault.Internal, "openvino.open")
	}
	env.core = core
	if p.byLibrary == nil {
		p.byLibrary = map[uintptr]*environment{}
	}
	p.byLibrary[key] = env
	return env, nil
}

// message is what the library calls with each of its log messages, on any thread.
func (env *environment) message(text uintptr) uintptr {
	level, said := levelOf(clean(native.String(text, maxText)))
	env.mu.Lock()
	j, log := env.threads[unix.Gettid()], env.fallback
	env.mu.Unlock()
	switch {
	case said == "":
	case j != nil:
		j.add(level, said)
	default:
		log.Log(context.Background(), level, "library message", "runtime", Name, "text", said)
	}
	return 0
}

// onThread enters a journal for the messages of the calling thread, to which the
// caller is locked, until the function that it returns is called.
func (env *environment) onThread(j *journal) (done func()) {
	id := unix.Gettid()
	env.mu.Lock()
	defer env.mu.Unlock()
	env.threads[id] = j
	return func() {
		env.mu.Lock()
		defer env.mu.Unlock()
		delete(env.threads, id)
	}
}

// messagePattern is how the library's messages begin: "[13:44:52.3055]D[plugin.cpp:289]".
var messagePattern = regexp.MustCompile(`^\[[\d:.]+\]([A-Z])(?:\[[^\]]*:\d+\])?\s*`)

// levelOf splits a message of the library into its level and what it says. One that
// does not tell its level is a warning.
func levelOf(message string) (level slog.Level, text string) {
	m := messagePattern.FindStringSubmatch(message)
	if m == nil {
		return slog.LevelWarn, message
	}
	text = message[len(m[0]):]
	switch m[1] {
	case "E":
		return slog.LevelError, text
	case "W":
		return slog.LevelWarn, text
	}
	return slog.LevelDebug, text
}

// journal receives the messages of a load: it passes them on and keeps the latest
// warnings and errors, to explain a failure with.
type journal struct {
	log   *slog.Logger
	level slog.Level // messages below are not passed on

	mu     sync.Mutex // guards recent
	recent []string
}

const maxRecent = 8

func (j *journal) add(level slog.Level, text string) {
	if level >= slog.LevelWarn {
		j.mu.Lock()
		if len(j.recent) == maxRecent {
			j.recent = j.recent[1:]
		}
		j.recent = append(j.recent, text)
		j.mu.Unlock()
	}
	if level >= j.level && j.log != nil {
		j.log.Log(context.Background(), level, "library message", "runtime", Name, "text", text)
	}
}

// explain returns err with the kept messages that its own text does not have.
func (j *journal) explain(err *fault.Error) *fault.Error {
	j.mu.Lock()
	defer j.mu.Unlock()
	said := err.Err.Error()
	var more []string
	for _, text := range j.recent {
		if !strings.Contains(said, text) && !strings.Contains(text, said) && !strings.Contains(strings.Join(more, " "), text) {
			more = append(more, text)
		}
	}
	if len(more) > 0 {
		err.Err = fmt.Errorf("%w (library's log: %s)", err.Err, strings.Join(more, "; "))
	}
	return err
}
