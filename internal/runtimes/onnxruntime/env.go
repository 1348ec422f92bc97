package onnxruntime

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
	"verge/internal/native"
)

// environment is the library's OrtEnv. The library has one for each process: a
// second one is the first again, and keeps its logger. So there is one callback,
// which finds out by the log identifier, else by the thread, whom a message is for.
type environment struct {
	handle uintptr

	mu       sync.Mutex // guards what follows
	fallback *slog.Logger
	next     int
	ids      map[string]*journal // by log identifier: a session's, or a slot's
	threads  map[int]*journal    // by thread: of a load in progress

	registering sync.Mutex         // guards what follows; taken before mu
	plugins     map[string]*plugin // by path of the library
	registered  []string           // their names
}

// environments are those of this process: one for each library that is open.
type environments struct {
	mu        sync.Mutex               // guards byLibrary
	byLibrary map[uintptr]*environment // by the address of one of its functions
}

var process environments //nolint:gochecknoglobals // the library has one environment for each process, and callbacks are never freed

// get returns the environment of a library, and makes it on first use. Messages
// that belong to no session go to the logger of the latest call.
func (p *environments) get(a *api, log *slog.Logger) (*environment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := a.functions[createEnvWithCustomLogger]
	if env := p.byLibrary[key]; env != nil {
		env.mu.Lock()
		defer env.mu.Unlock()
		env.fallback = log
		return env, nil
	}
	env := &environment{fallback: log, ids: map[string]*journal{}, threads: map[int]*journal{}}
	id, err := native.CString("verge")
	if err != nil {
		return nil, err
	}
	var handle uintptr
	status := a.call(createEnvWithCustomLogger, native.NewCallback(env.message), 0, severityWarning,
		uintptr(unsafe.Pointer(&id[0])), uintptr(unsafe.Pointer(&handle)))
	if status != nil {
		return nil, status.fault(fault.Internal, "onnxruntime.open")
	}
	env.handle = handle
	if p.byLibrary == nil {
		p.byLibrary = map[uintptr]*environment{}
	}
	p.byLibrary[key] = env
	return env, nil
}

// message is what the library calls with each of its log messages, on any thread:
// OrtLoggingFunction(param, severity, category, log identifier, code location, text).
func (env *environment) message(_, severity, _, id, _, text uintptr) uintptr {
	name, said := native.String(id, 64), clean(native.String(text, maxText))
	env.mu.Lock()
	j := env.ids[name]
	if j == nil {
		j = env.threads[unix.Gettid()]
	}
	log := env.fallback
	env.mu.Unlock()
	level := levelOf(int(int32(severity))) //nolint:gosec // the library passes an int
	if j != nil {
		j.add(level, said)
		return 0
	}
	log.Log(context.Background(), level, "library message", "runtime", Name, "text", said)
	return 0
}

// open enters a journal under a log identifier that is new, and returns that. A
// parent's identifier is its beginning.
func (env *environment) open(parent string, j *journal) string {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.next++
	id := strconv.Itoa(env.next)
	if parent == "" {
		id = "session" + id
	}
	env.ids[joinID(parent, id)] = j
	return id
}

// close removes what open entered.
func (env *environment) close(parent, id string) {
	env.mu.Lock()
	defer env.mu.Unlock()
	delete(env.ids, joinID(parent, id))
}

// joinID is how the library joins a session's log identifier and a run's tag.
func joinID(parent, id string) string {
	if parent == "" {
		return id
	}
	return parent + ":" + id
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

// levelCritical is the level of messages with which a library gives up.
const levelCritical = slog.Level(12)

func levelOf(severity int) slog.Level {
	switch {
	case severity <= severityInfo:
		return slog.LevelDebug
	case severity == severityWarning:
		return slog.LevelWarn
	case severity == severityError:
		return slog.LevelError
	}
	return levelCritical
}

// severityOf is the lowest severity that is wanted where messages from level on
// are shown: never above warnings, which errors are explained with.
func severityOf(level slog.Level) uintptr {
	if level < slog.LevelInfo {
		return severityInfo
	}
	return severityWarning
}

// journal receives the messages of a session, or of one of its slots: it passes
// them on and keeps the latest warnings and errors, to explain a failure with.
type journal struct {
	log   *slog.Logger
	level slog.Level // messages below are not passed on
	run   bool       // of a slot: a request's failure carries its messages, the log has them for debugging

	mu       sync.Mutex // guards what follows
	loading  bool       // warnings beyond the first maxShown are for debugging
	warnings int        // that came while loading
	recent   []string
	worst    slog.Level // the highest level of a message so far
}

const (
	maxRecent = 8
	maxShown  = 8
)

func (j *journal) add(level slog.Level, text string) {
	hidden := j.run
	if level >= slog.LevelWarn {
		j.mu.Lock()
		j.worst = max(j.worst, level)
		if len(j.recent) == maxRecent {
			j.recent = j.recent[1:]
		}
		j.recent = append(j.recent, text)
		if j.loading && level == slog.LevelWarn {
			j.warnings++
			hidden = hidden || j.warnings > maxShown
		}
		j.mu.Unlock()
	}
	if hidden {
		level = slog.LevelDebug
	}
	if level >= j.level && j.log != nil {
		j.log.Log(context.Background(), level, "library message", "runtime", Name, "text", text)
	}
}

// loaded says how many warnings of a load were not shown.
func (j *journal) loaded() {
	j.mu.Lock()
	hidden := j.warnings - maxShown
	j.loading = false
	j.mu.Unlock()
	if hidden > 0 && slog.LevelWarn >= j.level && j.log != nil {
		j.log.Log(context.Background(), slog.LevelWarn, "more library messages", "runtime", Name, "count", hidden)
	}
}

// forget drops what was kept, at the start of a new run.
func (j *journal) forget() {
	j.mu.Lock()
	j.recent = j.recent[:0]
	j.mu.Unlock()
}

// has reports whether a message of level or above came, from warnings on.
func (j *journal) has(level slog.Level) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.worst >= level
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
