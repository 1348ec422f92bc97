package worker

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"verge/internal/fault"
	"verge/internal/inference/prepared"
)

// begin starts a process and waits until it has loaded the model. Where the process
// crashes over it, what the cache has of the model may be why: then it is dropped, and the
// model is loaded without the cache, now and by the successors.
func (s *Session) begin(ctx context.Context) (*report, error) {
	answer, crashed, err := s.attempt(ctx)
	cache := s.order.Options.Cache
	if !crashed || cache == "" || ctx.Err() != nil {
		return answer, err
	}
	s.host.log.Warn("worker died while it loaded a model, which is loaded again without what was prepared of it",
		"model", s.order.Model, "err", err)
	s.order.Options.Cache = ""
	if failed := prepared.Drop(cache, s.order.Digest); failed != nil {
		s.host.log.Warn("what was prepared of a model was not removed", "model", s.order.Model, "err", failed)
	}
	answer, _, err = s.attempt(ctx)
	return answer, err
}

// attempt is begin for one process. crashed says that it has ended by itself.
func (s *Session) attempt(ctx context.Context) (answer *report, crashed bool, err error) {
	p, err := s.host.spawn(s.order, s.model, s.log, s.order.Options.LogLevel)
	if err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()
	if answer, err = p.loading(ctx); err != nil {
		crashed = p.crashed()
		p.stop()
		return nil, crashed, err
	}
	p.measure()
	s.host.log.Info("worker is ready", "model", s.order.Model, "pid", p.pid, "duration_ms", time.Since(p.started).Milliseconds())
	return answer, false, nil
}

// watch replaces the process each time it dies, until the session is closed or
// has failed.
func (s *Session) watch() {
	for {
		death := s.observe()
		for death != nil {
			delay, failed := s.died(death)
			if failed || !s.pause(delay) {
				return
			}
			death = s.again()
		}
		if s.life.Err() != nil {
			return
		}
	}
}

// observe asks the process for signs of life until it dies, and returns why it
// did, or nil when the session was closed.
func (s *Session) observe() error {
	p := s.current()
	ticker := time.NewTicker(s.host.cfg.PingInterval)
	defer ticker.Stop()
	for sequence := uint64(1); ; sequence++ {
		select {
		case <-s.life.Done():
			return nil
		case <-p.done:
			return p.death
		case <-ticker.C:
			p.measure()
			p.output.tell(false)
			if p.ping(sequence) {
				p.end(fmt.Errorf("it hung: no answer to a ping for %v", s.host.cfg.PingTimeout), false)
			}
		}
	}
}

// again starts the successor of a process that died.
func (s *Session) again() error {
	s.set(stateRestarting, "its worker is started again")
	answer, err := s.begin(s.life)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(answer.Signature, s.signature) {
		s.current().stop()
		return fault.New(fault.Internal, "worker.restart", "the model has another signature than before")
	}
	s.set(stateReady, "")
	return nil
}

// died notes a death, and says in how long the next process starts, or that there
// were too many.
func (s *Session) died(death error) (delay time.Duration, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.lastDeath = fault.Message(death)
	_, peak := s.process.memory()
	s.peak = max(s.peak, peak)
	delay, failed = s.restarts.died(now, s.ready)
	if s.state == stateClosed {
		return 0, true
	}
	if failed {
		s.change(stateFailed, s.restarts.verdict(s.lastDeath))
		s.host.log.Error("worker died too often", "model", s.order.Model, "deaths", len(s.restarts.deaths), "err", death)
		return 0, true
	}
	s.change(stateRestarting, "its worker died: "+s.lastDeath)
	s.next = now.Add(delay)
	s.host.log.Warn("worker died", "model", s.order.Model, "err", death, "restart_in_ms", delay.Milliseconds())
	return delay, false
}

// pause waits before a restart. It reports false when the session was closed.
func (s *Session) pause(delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.open.Done():
		return false
	}
}

// set changes the state, unless the session was closed.
func (s *Session) set(state, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateClosed {
		s.change(state, reason)
	}
}

// change is set under s.mu, which is held.
func (s *Session) change(state, reason string) {
	s.state, s.reason, s.next, s.ready = state, reason, time.Time{}, time.Time{}
	if state == stateReady {
		s.ready = time.Now()
	}
	close(s.changed)
	s.changed = make(chan struct{})
}
