package worker

import (
	"context"
	"log/slog"
	"time"
)

// logWindow is the time in which Config.LogRecords records are passed on.
const logWindow = 10 * time.Second

// recordWindow counts the records of one logWindow, so that a library that floods
// its log does not fill the node's.
type recordWindow struct {
	since   time.Time
	passed  int
	dropped int
}

// take counts a record and reports whether it may pass. It begins a new window
// where the last is over, and returns how many were dropped in that.
func (w *recordWindow) take(now time.Time, most int) (pass bool, dropped int) {
	if now.Sub(w.since) >= logWindow {
		dropped = w.dropped
		*w = recordWindow{since: now}
	}
	if w.passed == most {
		w.dropped++
		return false, dropped
	}
	w.passed++
	return true, dropped
}

// record passes a record on, unless there were too many.
func (o *output) record(level slog.Level, message string, attrs []any) {
	if level < o.level {
		return
	}
	o.mu.Lock()
	pass, dropped := o.window.take(time.Now(), o.records)
	o.mu.Unlock()
	o.logDropped(dropped)
	if pass {
		o.log.Log(context.Background(), level, "message of the inference library", append([]any{textKey, message}, attrs...)...)
	}
}

// tell logs how many records were dropped in a window that is over: no later
// record may come that says so. At the end of the output, no window goes on.
func (o *output) tell(end bool) {
	o.mu.Lock()
	dropped := 0
	if end || time.Since(o.window.since) >= logWindow {
		dropped, o.window.dropped = o.window.dropped, 0
	}
	o.mu.Unlock()
	o.logDropped(dropped)
}

func (o *output) logDropped(n int) {
	if n > 0 {
		o.log.Warn("messages of the inference library were dropped", "dropped", n, "logged", o.records, "window_s", int(logWindow/time.Second))
	}
}
