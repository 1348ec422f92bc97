package worker

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"verge/internal/fault"
)

const (
	keptOutput = 64 << 10 // of what a worker wrote last
	maxLine    = 8 << 10  // longer lines are cut into several
)

// output keeps the end of what a worker writes on standard output and standard
// error, and passes on the log records in it.
//
// The worker's own logger writes a record as a line of JSON; all else comes from
// the library. One stream keeps both in order, and what was written before a crash
// is still there to be read after it.
type output struct {
	log     *slog.Logger // gets the records; they pass its handler's level
	level   slog.Level   // lower ones are dropped
	records int          // of them that are passed on in a logWindow

	mu     sync.Mutex // guards what follows
	tail   []byte     // at most keptOutput
	report crashReport
	window recordWindow
}

// String returns the end of the output, in whole lines where they fit.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.ToValidUTF8(string(o.tail), "�")
}

// beforeReport cuts off what Go writes when a process crashes: stacks and registers, whose
// reason is told elsewhere.
func beforeReport(text string) string {
	for _, begin := range []string{"SIGSEGV: ", "SIGABRT: ", "SIGBUS: ", "SIGILL: ", "SIGFPE: ", "fatal error: ", "unexpected fault address "} {
		if i := strings.Index("\n"+text, "\n"+begin); i >= 0 {
			text = text[:i]
		}
	}
	return text
}

// last returns the last lines, at most n bytes, fit to be shown.
func (o *output) last(n int) string {
	text := strings.TrimSpace(beforeReport(o.String()))
	if len(text) > n {
		text = text[len(text)-n:]
		if _, rest, ok := strings.Cut(text, "\n"); ok {
			text = rest
		}
	}
	return fault.Clean(text)
}

// read takes everything in until r ends.
func (o *output) read(r io.Reader) {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			o.line(line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			o.tell(true)
			return
		}
	}
}

func (o *output) line(line []byte) {
	level, message, attrs, isRecord := parseRecord(line)
	if isRecord {
		o.record(level, message, attrs)
		line = []byte(level.String() + " " + message + "\n")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !isRecord {
		o.report.line(strings.TrimRight(string(line), "\r\n"))
	}
	o.tail = append(o.tail, line...)
	if over := len(o.tail) - keptOutput; over > 0 {
		o.tail = append(o.tail[:0], o.tail[over:]...)
	}
}

// textKey is the attribute of a record that is a library's own message.
const textKey = "text"

// parseRecord reads a line that slog.JSONHandler wrote. The message is what a library
// said, where the record has that. Attributes that are no strings, numbers or booleans
// are left out.
func parseRecord(line []byte) (level slog.Level, message string, attrs []any, ok bool) {
	if !strings.HasPrefix(string(line), `{"time":`) {
		return 0, "", nil, false
	}
	var record map[string]any
	if json.Unmarshal(line, &record) != nil {
		return 0, "", nil, false
	}
	name, _ := record[slog.LevelKey].(string)
	message, ok = record[slog.MessageKey].(string)
	if !ok || level.UnmarshalText([]byte(name)) != nil {
		return 0, "", nil, false
	}
	for _, key := range slices.Sorted(maps.Keys(record)) {
		switch value := record[key].(type) {
		case string:
			switch key {
			case slog.LevelKey, slog.MessageKey, slog.TimeKey:
			case textKey:
				message = value
			default:
				attrs = append(attrs, fault.Clean(clip(key, 64)), fault.Clean(value))
			}
		case float64, bool:
			attrs = append(attrs, fault.Clean(clip(key, 64)), value)
		}
	}
	return level, fault.Clean(message), attrs, true
}
