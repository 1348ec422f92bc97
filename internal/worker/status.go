package worker

import "time"

// Status is what the worker of a session does at this instant.
type Status struct {
	State       string    // "starting", "ready", "restarting", "failed", "closed"
	Reason      string    // why it is not ready; ""
	PID         int       // of the process; 0 while there is none
	Started     time.Time // when it started; zero while there is none
	Deaths      int       // within the window that counts
	LastDeath   string    // why the last process that died did; ""
	RestartIn   time.Duration
	LastOutput  string // the end of what the process in use wrote, or the last one: as it wrote it, at most 64 KiB
	Memory      Memory
	MemoryLimit int64 // bytes; 0 for none
}

// Memory is what a worker takes, in bytes: its own memory and the shared memory
// that it touched, not the pages of files.
type Memory struct {
	Current  int64
	Peak     int64  // of all processes of the session
	Enforced string // how the limit is: "cgroup2", "cgroup1" or "no"
}

// Status returns what the worker does, with its memory as it is now.
func (s *Session) Status() Status {
	p := s.current()
	s.mu.Lock()
	now := time.Now()
	st := Status{
		State: s.state, Reason: s.reason, Deaths: s.restarts.count(now), LastDeath: s.lastDeath, RestartIn: s.restartIn(now),
		Memory: Memory{Enforced: s.host.Enforced()}, MemoryLimit: s.order.Options.MemoryLimit,
	}
	s.mu.Unlock()
	if p == nil {
		return st
	}
	select {
	case <-p.done:
	default:
		p.measure()
		st.PID, st.Started = p.pid, p.started
	}
	st.LastOutput = p.output.String()
	st.Memory.Enforced = p.group.Enforced()
	st.Memory.Current, st.Memory.Peak = p.memory()
	s.mu.Lock()
	s.peak = max(s.peak, st.Memory.Peak)
	st.Memory.Peak = s.peak
	s.mu.Unlock()
	return st
}

// Condition implements the interface of that name in package serve.
func (s *Session) Condition() (state, reason string, restartIn time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.reason, s.restartIn(time.Now())
}

// restartIn returns in how long the next process starts; s.mu is held.
func (s *Session) restartIn(now time.Time) time.Duration {
	if s.next.IsZero() {
		return 0
	}
	return max(s.next.Sub(now), 0)
}
