package cli_test

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"verge/client"
	"verge/internal/cli"
)

// screen is a terminal that remembers what was written to it.
type screen struct {
	terminal *os.File // what a command writes to
	done     sync.WaitGroup

	mu      sync.Mutex // guards all below
	written strings.Builder
	watch   map[string]chan struct{} // text → closed when it has been written
}

// newScreen opens a pseudo-terminal (pty(7)) of 60 columns.
func newScreen(t *testing.T) *screen {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 60})
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	s := &screen{terminal: terminal, watch: map[string]chan struct{}{}}
	s.done.Go(func() {
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			s.add(string(buffer[:n]))
			if err != nil { // EIO: the other side is closed
				master.Close() // only read
				return
			}
		}
	})
	return s
}

func (s *screen) add(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written.WriteString(text)
	for want, seen := range s.watch {
		if strings.Contains(s.written.String(), want) {
			close(seen)
			delete(s.watch, want)
		}
	}
}

// sees returns a channel that is closed when text has been written.
func (s *screen) sees(text string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := make(chan struct{})
	s.watch[text] = seen
	return seen
}

// close returns all that was written.
func (s *screen) close() string {
	s.terminal.Close() // everything was written
	s.done.Wait()
	return s.written.String()
}

func TestOnATerminalThePhaseThatGoesOnMoves(t *testing.T) {
	for name, test := range map[string]struct {
		environ []string
		has     []string
		lacks   []string
	}{
		"colours": {
			[]string{"TERM=xterm"},
			[]string{"\x1b[1mdigits@2\x1b[0m", "\x1b[32m✓\x1b[0m loading", "\r\x1b[K⠹ gating", "latency █████░░░░░░░░░░░░░░░ 5/20  0.251 ", "\x1b[32mpass        \x1b[0m"},
			nil,
		},
		"NO_COLOR": {
			[]string{"TERM=xterm", "NO_COLOR=1"},
			[]string{"\r\x1b[K✓ loading", "\r\x1b[K⠹ gating"},
			[]string{"\x1b[3", "\x1b[1m", "\x1b[0m"},
		},
		"a dumb terminal": {[]string{"TERM=dumb"}, []string{"✓ loading         1.5 s\r\n"}, []string{"\x1b", "⠹"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScreen(t)
			seen := s.sees("5/20")
			n := deploying(func(events *stream) {
				events.phase(0, client.PhaseLoading)
				events.phase(1.5, client.PhaseGating)
				events.send(1.7, client.Event{Type: client.EventProgress, Progress: &client.Progress{Step: "latency", Done: 5, Total: 20, Figure: new(0.251), Unit: "ms"}})
				if name != "a dumb terminal" {
					events.await(seen)
				}
				events.send(1.8, client.Event{Type: client.EventVerdict, Verdict: &client.Verdict{Gate: "latency", Outcome: client.OutcomePass}})
				events.send(2, client.Event{Type: client.EventEnd, Phase: client.PhaseCommitted})
			}).start(t)
			r := vergeWith(t.Context(), t, cli.IO{Out: s.terminal, Environ: test.environ}, "deploy", spec(t), "--node", n.address)
			got := s.close()
			if r.status != 0 {
				t.Fatalf("status %d: %s", r.status, r.err)
			}
			for _, want := range test.has {
				if want = strings.ReplaceAll(want, "⠹", spinnerOf(got)); !strings.Contains(got, want) {
					t.Errorf("no %q in %q", want, got)
				}
			}
			for _, unwanted := range test.lacks {
				if strings.Contains(got, unwanted) {
					t.Errorf("%q in %q", unwanted, got)
				}
			}
			if !strings.HasSuffix(got, " serves\r\n") && !strings.HasSuffix(got, "\x1b[0m serves\r\n") {
				t.Errorf("the end is not told last: %q", got)
			}
			for line := range strings.SplitSeq(got, "\r") {
				if _, moving, ok := strings.Cut(line, "\x1b[K"); ok && !strings.HasPrefix(moving, "\x1b") && len([]rune(moving)) > 60 {
					t.Errorf("a line of %d columns would wrap: %q", len([]rune(moving)), moving)
				}
			}
		})
	}
}

// spinnerOf returns the first frame of the spinner before "gating": which one it
// is depends on how long loading took.
func spinnerOf(text string) string {
	before, _, ok := strings.Cut(text, " gating")
	if runes := []rune(before); ok && len(runes) > 0 {
		return string(runes[len(runes)-1])
	}
	return "⠹"
}

func TestOnATerminalTheWatchStaysInItsPlace(t *testing.T) {
	s := newScreen(t)
	ctx, stop := interruptible(t)
	seen := s.sees("██  0.25 ms in this minute")
	s.done.Go(func() { <-seen; stop() })
	n := (&fakeNode{status: serving()}).start(t)
	r := vergeWith(ctx, t, cli.IO{Out: s.terminal, Environ: []string{"TERM=xterm"}}, "status", "--watch", "--every", "100ms", "--node", n.address)
	got := s.close()
	if frames := strings.Count(got, "\x1b[H\x1b[2J"); r.status != 0 || frames < 2 || !strings.Contains(got, "\x1b[31munhealthy\x1b[0m") {
		t.Errorf("status %d, %d frames: %q", r.status, frames, got)
	}
}
