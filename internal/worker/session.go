package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// The states of a session, in the words of package serve.
const (
	stateStarting   = "starting"
	stateReady      = "ready"
	stateRestarting = "restarting"
	stateFailed     = "failed"
	stateClosed     = "closed"
)

// Session is one model in a worker process, and in those that replace it. It
// implements inference.Session.
type Session struct {
	host    *Host
	order   order
	log     *slog.Logger // gets the library's messages
	library inference.RuntimeInfo
	model   []int            // descriptors of the model's files
	own     []*native.Memory // that hold those which came without

	signature inference.Signature
	info      inference.SessionInfo

	permits chan struct{}   // one for each run that may be with the worker; taken by receiving
	open    context.Context //nolint:containedctx // ends when Close begins: nothing waits for a worker, none is restarted
	shut    context.CancelFunc
	life    context.Context //nolint:containedctx // of the watcher; ends when no run is left after that
	die     context.CancelFunc
	watcher sync.WaitGroup // the goroutine that replaces the process
	closing sync.Once

	mu        sync.Mutex // guards what follows
	state     string
	reason    string        // why it is not ready
	process   *process      // the one in use, or the last
	ready     time.Time     // since when it serves; zero while it does not
	next      time.Time     // when the next one starts, while restarting
	changed   chan struct{} // closed and replaced with each change of state
	restarts  restarts
	lastDeath string
	peak      int64         // memory of processes that are gone
	running   int           // calls of Slot.Run that have begun and not returned
	idle      chan struct{} // closed when running becomes 0 while closed; nil where nobody waits for that
}

func newSession(r *remote, o order, log *slog.Logger) *Session {
	s := &Session{
		host: r.host, order: o, log: log, state: stateStarting,
		permits: make(chan struct{}, o.Options.Parallel), changed: make(chan struct{}),
		restarts: restarts{cfg: r.host.cfg},
	}
	s.open, s.shut = context.WithCancel(context.Background())
	s.life, s.die = context.WithCancel(context.Background())
	for range o.Options.Parallel {
		s.permits <- struct{}{}
	}
	return s
}

// load starts the first process. Close is needed whether it fails or not.
func (s *Session) load(ctx context.Context, m inference.Model) (err error) {
	if err = s.enter(); err != nil { // so that Close waits
		return err
	}
	defer s.leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.open, cancel)()
	if err = s.hold(m); err != nil {
		return err
	}
	answer, err := s.begin(ctx)
	if err != nil {
		var e *fault.Error
		if errors.As(err, &e) && e.Subject == "" {
			e.Subject = m.Name
		}
		return err
	}
	s.library, s.signature, s.info = answer.Library, answer.Signature, answer.Session
	s.set(stateReady, "")
	s.watcher.Go(s.watch)
	return nil
}

// Signature implements inference.Session.
func (s *Session) Signature() inference.Signature { return s.signature }

// Info implements inference.Session.
func (s *Session) Info() inference.SessionInfo { return s.info }

// NewSlot implements inference.Session. The arena's memory needs descriptors.
func (s *Session) NewSlot(arena inference.Arena) (inference.Slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed {
		return nil, errClosed("worker.slot")
	}
	return &slot{session: s, arena: arena}, nil
}

// Close implements inference.Session. It waits for the runs that the worker has;
// what still waits for the worker fails. When it returns, the process is gone.
func (s *Session) Close() error {
	s.closing.Do(func() {
		s.mu.Lock()
		s.state, s.reason = stateClosed, ""
		s.shut()
		idle := make(chan struct{})
		s.idle = idle
		if s.running == 0 {
			close(idle)
		}
		s.mu.Unlock()
		<-idle
		s.die()
		s.watcher.Wait()
		if p := s.current(); p != nil {
			p.stop()
		}
		for _, own := range s.own {
			own.Close() //nolint:errcheck,gosec // it was only read
		}
		s.host.leave(s)
		s.host.log.Info("worker is closed", "model", s.order.Model)
	})
	return nil
}

func errClosed(op string) error {
	return fault.New(fault.Unavailable, op, "the session is closed")
}

// current returns the process in use, or the last one; nil before the first.
func (s *Session) current() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// enter notes a run; leave ends it. It fails after Close.
func (s *Session) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed {
		return errClosed("worker.run")
	}
	s.running++
	return nil
}

func (s *Session) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.running == 0 && s.idle != nil {
		close(s.idle)
	}
}

// serving waits until a process other than gone serves, or none will.
func (s *Session) serving(ctx context.Context, gone *process) (*process, error) {
	const op = "worker.run"
	for {
		s.mu.Lock()
		state, reason, p, changed := s.state, s.reason, s.process, s.changed
		s.mu.Unlock()
		switch {
		case state == stateReady && p != gone:
			return p, nil
		case state == stateFailed:
			return nil, fault.New(fault.Unavailable, op, "%s", reason).WithHint("Deploy it again.")
		}
		select {
		case <-changed:
		case <-s.open.Done():
			return nil, errClosed(op)
		case <-ctx.Done():
			return nil, ended(ctx, "while it waited for the worker")
		}
	}
}

// ended is the error of a run whose context ended.
func ended(ctx context.Context, when string) error {
	return fault.New(fault.KindOf(ctx.Err()), "worker.run", "the request ended %s: %w", when, ctx.Err())
}
