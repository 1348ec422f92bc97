package worker

import (
	"strings"

	"verge/internal/fault"
)

// crashStatus is the exit status with which the Go runtime ends a process that a
// signal hits inside a native library, that panics, or whose state is broken.
const crashStatus = 2

// maxCrash bounds the line that says why, in bytes.
const maxCrash = 200

// crashReport finds in a worker's output what the Go runtime says when it ends the
// process: a line with the reason, such as "SIGSEGV: segmentation violation", and
// soon after it where the process was.
type crashReport struct {
	head   string // the last line that may be the reason
	reason string // the one that was; "" while the process lives
}

// line takes the next line in.
func (c *crashReport) line(line string) {
	switch {
	case c.reason != "":
	case isCrashHead(line):
		c.head = line
	case c.head != "" && (strings.HasPrefix(line, "PC=") || strings.HasPrefix(line, "goroutine ")):
		c.reason, c.head = c.head, ""
	}
}

// isCrashHead reports whether a line can be the first one of a report.
func isCrashHead(line string) bool {
	if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
		return true
	}
	signal, meaning, found := strings.Cut(line, ": ")
	return found && meaning != "" && len(signal) > 3 && strings.HasPrefix(signal, "SIG") && !strings.ContainsFunc(signal, notOfSignal)
}

func notOfSignal(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') }

// crash returns why the Go runtime ended the process, without addresses and fit to
// be shown, or "" when it did not.
func (o *output) crash() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	reason, _, _ := strings.Cut(o.report.reason, "0x")
	return clip(fault.Clean(reason), maxCrash)
}
