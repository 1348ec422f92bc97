package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/sandbox"
)

// Launch says how a worker is started.
type Launch struct {
	Argv []string // absolute path of a program that calls Main, and its arguments
	Env  []string // its whole environment: nothing is inherited
}

// Host starts workers.
type Host struct {
	cfg    Config
	launch Launch
	log    *slog.Logger
	parent sandbox.Parent
	number atomic.Int64 // of the last process, for the name of its control group

	starts  chan start     // to the starter, which ends when Close closes it
	starter sync.WaitGroup // the one goroutine that starts processes

	mu       sync.Mutex            // guards what follows
	closed   bool                  // nothing is started any more
	sessions map[*Session]struct{} // loaded, or being loaded, and not closed
	probes   sync.WaitGroup        // questions about a library in progress; begun under mu
}

// start is one request to the starter.
type start struct {
	cmd    *exec.Cmd
	result chan<- error // buffered
}

// NewHost returns a Host with no worker. cfg is valid. It fails with
// fault.Invalid when launch names no program.
func NewHost(cfg Config, launch Launch, log *slog.Logger) (*Host, error) {
	if len(launch.Argv) == 0 || launch.Argv[0] == "" {
		return nil, fault.New(fault.Invalid, "worker.host", "no program to start")
	}
	h := &Host{
		cfg: cfg, launch: launch, log: log, parent: sandbox.Find("/proc/self", cfg.CGroup),
		starts: make(chan start), sessions: map[*Session]struct{}{},
	}
	h.parent.Sweep(groupPrefix)
	h.starter.Go(h.start)
	return h, nil
}

// start starts processes, all from one thread that lives as long as the Host: the
// kernel kills a worker when the thread that started it ends, and so when the node
// does, however that comes.
func (h *Host) start() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	for s := range h.starts {
		s.result <- s.cmd.Start()
	}
}

// Enforced says how memory limits of workers are enforced here: "cgroup2",
// "cgroup1" or "no".
func (h *Host) Enforced() string { return h.parent.Enforced() }

// Close closes every session, as Session.Close does, and waits for them. It is
// safe to repeat.
func (h *Host) Close() error {
	h.mu.Lock()
	again := h.closed
	h.closed = true
	all := make([]*Session, 0, len(h.sessions))
	for s := range h.sessions {
		all = append(all, s)
	}
	h.mu.Unlock()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, s := range all {
		wg.Go(func() { errs[i] = s.Close() })
	}
	wg.Wait()
	h.probes.Wait()
	if !again {
		close(h.starts)
	}
	h.starter.Wait()
	return errors.Join(errs...)
}

// enter notes a new session. It fails once the Host is closed.
func (h *Host) enter(s *Session) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errStopped("worker.load")
	}
	h.sessions[s] = struct{}{}
	return nil
}

func (h *Host) leave(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s)
}

func errStopped(op string) error {
	return fault.New(fault.Unavailable, op, "the node stops, and starts no worker")
}

// groupPrefix begins the names of control groups.
const groupPrefix = "verge"

// group makes the control group of the next process.
func (h *Host) group(pid int, memory int64) (*sandbox.Group, error) {
	return h.parent.New(fmt.Sprintf("%s-%d-%d", groupPrefix, pid, h.number.Add(1)), memory)
}

// Runtime returns the inference library of that name, in workers: the names are
// those that the program's Open knows, library is the file that it opens.
func (h *Host) Runtime(name, library string) inference.Runtime {
	return &remote{host: h, name: name, library: library}
}
