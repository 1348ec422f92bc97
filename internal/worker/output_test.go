package worker_test

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"verge/internal/worker"
)

// textLog logs without the time.
func textLog(to io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestAFloodOfRecordsIsCutAndCounted(t *testing.T) {
	record := func(n int) string {
		return fmt.Sprintf(`level=WARN msg="message of the inference library" text="a node is slow" node=%d`, n) + "\n"
	}
	dropped := func(n int) string {
		return fmt.Sprintf(`level=WARN msg="messages of the inference library were dropped" dropped=%d logged=3 window_s=10`, n) + "\n"
	}
	synctest.Test(t, func(t *testing.T) {
		var text logs
		o := worker.NewOutput(textLog(&text), 3)
		r, w := io.Pipe()
		done := make(chan struct{})
		go func() {
			o.Read(r)
			close(done)
		}()
		library := slog.New(slog.NewJSONHandler(w, nil))
		want := ""
		flood := func(from, to int) {
			for n := from; n < to; n++ {
				library.Warn("a node is slow", "node", n)
			}
			synctest.Wait()
		}
		check := func(when string) {
			t.Helper()
			if got := text.String(); got != want {
				t.Fatalf("%s, the log is\n%s\nwant\n%s", when, got, want)
			}
		}

		flood(0, 1000)
		o.Tell()
		want += record(0) + record(1) + record(2)
		check("while the flood lasts")

		<-time.After(10 * time.Second)
		flood(1000, 1001)
		want += dropped(997) + record(1000)
		check("with the first record afterwards")

		flood(1001, 1005)
		<-time.After(10 * time.Second)
		o.Tell()
		o.Tell()
		want += record(1001) + record(1002) + dropped(2)
		check("at a ping, without a record")

		flood(2000, 2005)
		w.Close()
		<-done
		want += record(2000) + record(2001) + record(2002) + dropped(2)
		check("at the end")

		if kept := o.String(); !strings.Contains(kept, strings.Repeat("WARN a node is slow\n", 1000)) {
			t.Error("what was not logged is not in the kept output either")
		}
	})
}

func TestWhatALibrarySaidIsTheMessageOfItsRecord(t *testing.T) {
	var text, lines strings.Builder
	slog.New(slog.NewJSONHandler(&lines, nil)).Warn("library message", "runtime", "litert", "text", "a node is slow")
	o := worker.NewOutput(textLog(&text), 1)
	o.Read(strings.NewReader(lines.String()))
	if got, want := text.String(), `level=WARN msg="message of the inference library" text="a node is slow" runtime=litert`+"\n"; got != want {
		t.Errorf("the log is %swant %s", got, want)
	}
	if got := o.String(); got != "WARN a node is slow\n" {
		t.Errorf("kept %q", got)
	}
}

func TestTheReasonOfACrashIsReadFromTheReport(t *testing.T) {
	const goroutine = "\n\ngoroutine 7 gp=0xc000 m=1 [running]:\nmain.f()\n"
	for name, tc := range map[string]struct{ output, want string }{
		"a signal in C":                     {"loading\nSIGFPE: floating-point exception\nPC=0x7f33 m=4 sigcode=1\nsignal arrived during cgo execution" + goroutine, "SIGFPE: floating-point exception"},
		"a signal of another number":        {"SIGSTKFLT: stack fault\nPC=0x7f33 m=4 sigcode=1\n", "SIGSTKFLT: stack fault"},
		"a panic":                           {"panic: runtime error: index out of range [5] with length 3" + goroutine, "panic: runtime error: index out of range [5] with length 3"},
		"a panic of an address":             {"panic: (*main.T) 0xc00001" + goroutine, "panic: (*main.T)"},
		"a fatal error":                     {"fatal error: concurrent map writes" + goroutine, "fatal error: concurrent map writes"},
		"a report too long to be kept":      {"fatal error: stack overflow" + goroutine + strings.Repeat("main.deep(...)\n", worker.KeptOutput/10), "fatal error: stack overflow"},
		"a long reason":                     {"panic: " + strings.Repeat("é", 400) + goroutine, "panic: " + strings.Repeat("é", 96)},
		"control characters":                {"panic: \x1b[31mred\x00" + goroutine, "panic: [31mred"},
		"a message of a library, before it": {"fatal error: of a library\nmore\nSIGABRT: abort\nPC=0x7f33 m=4 sigcode=1\n", "SIGABRT: abort"},
		"a stack that quotes a reason":      {"panic: a" + goroutine + "panic: b" + goroutine, "panic: a"},
		"a message of a library alone":      {"panic: too many retries\nfatal error: no\nSIGABRT: abort\n", ""},
		"no signal":                         {"SIG: nothing\nPC=1\nSIGnal: x\nPC=1\nSIGABRT\nPC=1\nSIGABRT: \nPC=1\n", ""},
		"nothing":                           {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := worker.NewOutput(slog.New(slog.DiscardHandler), 1)
			o.Read(strings.NewReader(tc.output))
			if got := o.Crash(); got != tc.want {
				t.Errorf("reason = %q, want %q", got, tc.want)
			}
		})
	}
}
