package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"verge/internal/fault"
	"verge/internal/sandbox"
)

// process is one worker process, from its start until it was waited for.
type process struct {
	cfg     Config
	limit   int64 // of memory, in bytes; 0 for none
	cmd     *exec.Cmd
	pid     int
	started time.Time
	group   *sandbox.Group
	output  *output
	library string        // file of the inference library; "" where it is none
	work    *net.UnixConn // runs; written by the slots
	control *net.UnixConn // all else; written by several, read by listen
	wg      sync.WaitGroup

	loaded chan loaded   // one result, from listen
	exited chan struct{} // closed by wait when the process has ended
	done   chan struct{} // closed by wait when all below is settled and everything is freed

	misses atomic.Int64 // pings since the last answer
	slots  atomic.Uint32

	mu      sync.Mutex             // guards what follows
	ended   bool                   // it has ended: its number may become another's
	cause   error                  // why we ended it; nil where it ended by itself
	conns   map[*net.UnixConn]bool // our ends of the slots' sockets; nil once they are closed
	current int64                  // memory when it was looked at last
	peak    int64                  // the most of that
	death   error                  // why it ended; set before done
}

type loaded struct {
	report *report
	err    error
}

// spawn starts a worker and sends it its order, with the descriptors of the model's
// files.
func (h *Host) spawn(o order, model []int, log *slog.Logger, level slog.Level) (_ *process, err error) {
	const op = "worker.start"
	group, err := h.group(os.Getpid(), o.Options.MemoryLimit)
	if err != nil {
		return nil, err
	}
	p := &process{
		cfg: h.cfg, limit: o.Options.MemoryLimit, library: o.Library, group: group, output: &output{log: log, level: level, records: h.cfg.LogRecords},
		loaded: make(chan loaded, 1), exited: make(chan struct{}), done: make(chan struct{}), conns: map[*net.UnixConn]bool{},
	}
	var files []*os.File // the worker's ends, and what to close where this fails
	defer func() {
		for _, f := range files {
			f.Close() //nolint:errcheck,gosec // the worker has its own
		}
		if err != nil {
			if p.work != nil {
				p.work.Close() //nolint:errcheck,gosec // the first error counts
			}
			if p.control != nil {
				p.control.Close() //nolint:errcheck,gosec // as above
			}
			group.Close() //nolint:errcheck,gosec // as above
		}
	}()
	var work, control *os.File
	if p.work, work, err = pair(); err != nil {
		return nil, err
	}
	files = append(files, work)
	if p.control, control, err = pair(); err != nil {
		return nil, err
	}
	files = append(files, control)
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fault.New(fault.Exhausted, op, "make a pipe: %w", err)
	}
	files = append(files, writer)
	if err = p.start(h, work, control, writer); err != nil {
		reader.Close() //nolint:errcheck,gosec // the first error counts
		return nil, fault.New(fault.Internal, op, "start %s: %w", h.launch.Argv[0], err)
	}
	p.wg.Go(func() { p.output.read(reader) })
	p.wg.Go(p.listen)
	go p.wait(reader) // done says when it has ended
	if err := p.order(o, model); err != nil {
		p.end(fmt.Errorf("send the order: %w", err), true)
	}
	return p, nil
}

// start has the starter start the program, in its control group.
func (p *process) start(h *Host, work, control, output *os.File) error {
	argv := h.launch.Argv
	p.cmd = exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // our own program; it ends by stop, end, or with us
	p.cmd.Env = append([]string{}, h.launch.Env...)
	p.cmd.Dir = "/"
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.ExtraFiles = []*os.File{work, control} // descriptors 3 and 4
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	result := make(chan error, 1)
	h.starts <- start{p.cmd, result}
	if err := <-result; err != nil {
		return err
	}
	p.pid, p.started = p.cmd.Process.Pid, time.Now()
	if err := p.group.Add(p.pid); err != nil {
		p.kill(syscall.SIGKILL)
		p.cmd.Wait() //nolint:errcheck,gosec // the first error counts
		return err
	}
	return nil
}

func (p *process) order(o order, model []int) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if len(body) > maxDocument {
		return fmt.Errorf("the options take %d bytes, at most %d are allowed", len(body), maxDocument)
	}
	message := header{op: opLoad, size: uint64(len(body))}.append(nil)
	message = append(message, body...)
	return send(p.control, message, model...)
}

// loading waits for the answer to the order. When ctx ends first, or the time
// to start, the process is ended.
func (p *process) loading(ctx context.Context) (*report, error) {
	const op = "worker.load"
	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.StartTimeout, errStartTimeout)
	defer cancel()
	select {
	case answer := <-p.loaded:
		return answer.report, answer.err
	case <-p.done:
		select {
		case answer := <-p.loaded: // it gave it, and ended
			if answer.err != nil {
				return nil, answer.err
			}
		default:
		}
		return nil, p.lost(op, "while it loaded the model")
	case <-ctx.Done():
		kind, err := fault.KindOf(ctx.Err()), ctx.Err()
		if cause := context.Cause(ctx); errors.Is(cause, errStartTimeout) {
			err = fmt.Errorf("%w of %v", cause, p.cfg.StartTimeout)
		}
		p.end(fmt.Errorf("it was ended while it loaded the model: %w", err), true)
		<-p.done
		return nil, fault.New(kind, op, "the worker had not loaded the model: %w", err)
	}
}

var errStartTimeout = errors.New("over the start timeout")

// crashed says whether the process has ended by itself, and not for want of memory.
func (p *process) crashed() bool {
	select {
	case <-p.done:
	default:
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	killed := ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	return p.cause == nil && !killed && fault.KindOf(p.death) != fault.Exhausted
}

// crashHint says what to do where a process crashed while it loaded.
func crashHint(library string) string {
	name := "The library"
	if library != "" {
		name = filepath.Base(library)
	}
	return name + ", or what it loaded besides, crashed: install it again, or leave out the provider."
}

// lost is the error for who needed the process when it died.
func (p *process) lost(op, when string) error {
	e := fault.New(fault.Internal, op, "the worker died %s: %w", when, p.death)
	e.Kind = fault.KindOf(p.death)
	if op == "worker.load" && p.output.crash() != "" && e.Kind == fault.Internal {
		e.Hint = crashHint(p.library)
	}
	if last := p.output.last(maxHint); last != "" && op == "worker.load" {
		e.Err = fmt.Errorf("%w; last output: %s", e.Err, last)
	}
	return e
}
