package tensorrt

import (
	"context"
	"log/slog"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"verge/internal/native"
)

// Severities of ILogger.
const (
	severityError   = 1 // and 0, an internal error
	severityWarning = 2
	severityInfo    = 3
)

// logger is an ILogger: an object whose functions are Go's. The library keeps the
// first one that it is given for all of the process, so there is one, and it stays.
// Messages find whom they are for by the thread that they come on.
type logger struct {
	object *loggerObject

	mu       sync.Mutex // guards what follows
	fallback *slog.Logger
	threads  map[int]*journal // of calls in progress
}

// loggerObject is what the library sees: the address of a table, and the table.
type loggerObject struct {
	table   uintptr
	entries [8]uintptr
	kind    []byte // "ILogger", as a C string
	pins    runtime.Pinner
}

// interfaceInfo is an InterfaceInfo.
type interfaceInfo struct {
	kind  uintptr
	major int32
	_     int32 // minor
}

// newLogger makes the logger for a layout.
func newLogger(l *layout) *logger {
	g := &logger{object: &loggerObject{kind: []byte("ILogger\x00")}, threads: map[int]*journal{}}
	o := g.object
	o.pins.Pin(o)
	o.pins.Pin(&o.kind[0])
	o.table = uintptr(unsafe.Pointer(&o.entries[0]))
	o.entries[l.log] = native.NewCallback(g.message)
	nothing := native.NewCallback(func(uintptr) uintptr { return 0 }) // the object is Go's, and C++ is 0 in APILanguage
	for _, i := range l.destructors {
		o.entries[i] = nothing
	}
	if l.versioned >= 0 {
		o.entries[l.language] = nothing
		o.entries[l.versioned] = native.NewCallback(func(uintptr) interfaceInfo {
			return interfaceInfo{kind: native.Address(o.kind), major: 1}
		})
	}
	return g
}

// message is what the library calls with each of its messages, on any thread:
// ILogger::log(this, severity, text).
func (g *logger) message(_, severity, text uintptr) uintptr {
	said := strings.TrimSpace(native.String(text, maxText))
	level := levelOf(int(int32(severity))) //nolint:gosec // the library passes an int
	g.mu.Lock()
	j, log := g.threads[unix.Gettid()], g.fallback
	g.mu.Unlock()
	if j != nil {
		j.add(level, said)
	} else if log != nil {
		log.Log(context.Background(), level, "library message", "runtime", Name, "text", clean(said))
	}
	return 0
}

// listen enters a journal for the messages of the calling thread, which the caller
// holds, until it enters nil.
func (g *logger) listen(j *journal) {
	id := unix.Gettid()
	g.mu.Lock()
	defer g.mu.Unlock()
	if j == nil {
		delete(g.threads, id)
	} else {
		g.threads[id] = j
	}
}

func levelOf(severity int) slog.Level {
	switch {
	case severity <= severityError:
		return slog.LevelError
	case severity == severityWarning:
		return slog.LevelWarn
	case severity == severityInfo:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// journal receives the messages of calls about one session, or one of its slots: it
// passes them on and keeps the latest errors, to explain a failure with. It is used by
// one thread at a time.
type journal struct {
	log    *slog.Logger
	level  slog.Level // messages below are not passed on
	run    bool       // of a slot: a request's failure carries its messages, the log has them for debugging
	errors []string
}

const maxErrors = 8

func (j *journal) add(level slog.Level, text string) {
	if level >= slog.LevelError && len(j.errors) < maxErrors {
		j.errors = append(j.errors, text)
	}
	if j.run {
		level = slog.LevelDebug
	}
	if level >= j.level && j.log != nil {
		j.log.Log(context.Background(), level, "library message", "runtime", Name, "text", clean(text))
	}
}

// said returns the errors in one line, without those that only say that there were
// others; "the library gives no reason" where there were none.
func (j *journal) said() string {
	var parts []string
	for _, e := range j.errors {
		if e = clean(e); e != "" && !strings.Contains(strings.Join(parts, "; "), e) && (len(parts) == 0 || e != "Engine deserialization failed") {
			parts = append(parts, e)
		}
	}
	if len(parts) == 0 {
		return "the library gives no reason"
	}
	return strings.Join(parts, "; ")
}

// Patterns of what a text of the library says to its programmers only.
var (
	// "1: ", "[runtime.cpp::deserializeCudaEngine::50] ", at the start; "IRuntime::deserializeCudaEngine: ", "createInferRuntime: " before a code.
	placePattern = regexp.MustCompile(`^(?:\d+: )?(?:\[[^\]]*\] ?)?(?:(?:\w+::)*\w+: (Error Code ))?`)
	// " In checkCudaInstallation at /_src/runtime/dispatch/runtime.cpp:811".
	sourcePattern = regexp.MustCompile(` ?\bIn \w+ at \S+\.(?:cpp|cc|h):\d+`)
	// "Error Code 4: Internal Error (text)".
	codePattern = regexp.MustCompile(`^Error Code \d+: [^(]*\((.*)\)$`)
)

// clean shortens a text of the library to what says something to its user: one line,
// at most 1,000 bytes.
func clean(text string) string {
	const limit = 1000
	text = strings.Join(strings.Fields(text), " ")
	text = placePattern.ReplaceAllString(sourcePattern.ReplaceAllString(text, ""), "$1")
	text = codePattern.ReplaceAllString(text, "$1")
	text = strings.TrimRight(text, ". ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
