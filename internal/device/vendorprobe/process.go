package vendorprobe

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// process is a process that has ended.
type process struct {
	cmd    *exec.Cmd
	cause  error // why we ended it, or nil
	err    error // of its start
	output limited
	log    tail
}

// run runs a process until it has ended, with all that it has started in its group.
// The kernel kills it when this program ends, however that comes: the calling
// goroutine keeps the thread that starts it until then.
func run(ctx context.Context, argv, env []string) *process {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &process{output: limited{full: func() { cancel(errTooMuch) }}}
	p.cmd = exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // our own program
	p.cmd.Env = append([]string{}, env...)
	p.cmd.Dir = "/"
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
	p.cmd.WaitDelay = grace
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if p.err = p.cmd.Start(); p.err != nil {
		return p
	}
	pid := p.cmd.Process.Pid
	var err error = unix.EINTR
	for errors.Is(err, unix.EINTR) {
		err = unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	}
	// It has ended, and its number is still its own: what it left behind in its group ends too.
	syscall.Kill(-pid, syscall.SIGKILL) //nolint:errcheck,gosec // mostly there is nothing
	p.cmd.Wait()                        //nolint:errcheck,gosec // ProcessState tells
	p.cause = context.Cause(ctx)
	return p
}

// succeeded says whether the process ended as it should.
func (p *process) succeeded() bool {
	return p.err == nil && p.cmd.ProcessState != nil && p.cmd.ProcessState.Success() && !p.output.over
}

// answer reads what it wrote.
func (p *process) answer(q Query) (Answer, error) {
	if len(p.output.kept) == 0 {
		return Answer{}, errors.New("the probe ended without an answer")
	}
	a, err := parse(p.output.kept)
	if err != nil {
		return Answer{}, err
	}
	if a.Name != q.Name || !slices.Contains(q.Paths, a.Library) {
		return Answer{}, errors.New("the probe answered another question")
	}
	return a, nil
}

// death says why the process ended.
func (p *process) death() error {
	const crashStatus = 2
	if p.err != nil {
		return fmt.Errorf("the probe was not started: %w", p.err)
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return fmt.Errorf("the probe died of %s", unix.SignalName(status.Signal()))
	}
	// What the Go runtime says when a signal hits native code.
	crash := regexp.MustCompile(`(?m)^(?:\[signal )?(SIG[A-Z0-9]+): `)
	if m := crash.FindSubmatch(p.log.text); m != nil && p.cmd.ProcessState.ExitCode() == crashStatus {
		return fmt.Errorf("the probe died of %s", m[1])
	}
	lines := strings.Split(strings.TrimSpace(string(p.log.text)), "\n")
	last := clean(lines[len(lines)-1], maxName)
	if last == "" {
		last = "it says nothing"
	}
	return fmt.Errorf("the probe ended with status %d: %s", p.cmd.ProcessState.ExitCode(), last)
}

// limited keeps up to maxOutput bytes, and calls full at the first one more. (It has a
// buffer and is none: os/exec would fill one past any limit, by its ReadFrom.)
type limited struct {
	kept []byte
	over bool
	full func()
}

// Write implements io.Writer.
func (l *limited) Write(data []byte) (int, error) {
	if len(l.kept)+len(data) > maxOutput {
		if !l.over {
			l.over = true
			l.full()
		}
		return len(data), nil
	}
	l.kept = append(l.kept, data...)
	return len(data), nil
}

// tail keeps the last bytes that were written, where a crash is told.
type tail struct{ text []byte }

// Write implements io.Writer.
func (t *tail) Write(data []byte) (int, error) {
	const most = 64 << 10
	t.text = append(t.text, data...)
	if over := len(t.text) - most; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(data), nil
}
