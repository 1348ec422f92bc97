package health

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Change is a check whose status is not what it was.
type Change struct {
	Model         string // "" for the device
	Check         string
	Before, After Status // Before is Unknown for the first result
	Message       string
}

// Checker runs checks and remembers their last results.
type Checker struct {
	cfg      Config
	onChange func(Change)
	now      func() time.Time
	log      *slog.Logger

	wake    chan struct{} // holds one: something is due before the timer says so; never closed
	started sync.WaitGroup

	mu      sync.Mutex // guards what follows
	entries []*entry   // in the order of registration
}

// entry is a registered check. Its fields are guarded by Checker.mu.
type entry struct {
	check  Check
	due    time.Time // the zero time means now
	busy   bool      // a run has not come back
	ended  time.Time // when the last run ended; zero before the first
	result Result
}

// New returns a Checker that knows the checks and has run none. onChange, where it
// is not nil, is told of every change, from the goroutine of Run, and returns
// soon. cfg is valid.
func New(cfg Config, checks []Check, onChange func(Change), now func() time.Time, log *slog.Logger) *Checker {
	c := &Checker{cfg: cfg, onChange: onChange, now: now, log: log, wake: make(chan struct{}, 1)}
	for _, check := range checks {
		c.Add(check)
	}
	return c
}

// Add registers a check, in the place of one with the same model and name. It
// runs at once where Run goes on, else when Run begins; until then it is Unknown.
func (c *Checker) Add(check Check) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &entry{check: check, result: Result{Status: Unknown}}
	same := func(o *entry) bool { return o.check.Model == check.Model && o.check.Name == check.Name }
	if i := slices.IndexFunc(c.entries, same); i >= 0 {
		c.entries[i] = e
	} else {
		c.entries = append(c.entries, e)
	}
	c.poke()
}

// Remove forgets the checks of a model. A run that goes on is not waited for; its
// result is dropped.
func (c *Checker) Remove(model string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = slices.DeleteFunc(c.entries, func(e *entry) bool { return e.check.Model == model })
}

// Trigger has every check run at once. It does not wait for them.
func (c *Checker) Trigger() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		e.due = time.Time{}
	}
	c.poke()
}

func (c *Checker) poke() {
	select {
	case c.wake <- struct{}{}:
	default: // it is awake already
	}
}

// Report returns the last results of the device's checks and, where model is not
// "", of that model's.
func (c *Checker) Report(model string) Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Report{Status: Unknown, Checks: map[string]Result{}}
	for _, e := range c.entries {
		if e.check.Model != "" && e.check.Model != model {
			continue
		}
		if len(r.Checks) == 0 {
			r.Status = e.result.Status
		}
		r.Status = worse(r.Status, e.result.Status)
		r.Checks[e.check.Name] = e.result
		if ended := e.ended.UTC(); !ended.IsZero() && (r.LastCheck == nil || ended.After(*r.LastCheck)) {
			r.LastCheck = &ended
		}
	}
	return r
}

// Run runs the checks as they become due, until ctx ends; then it waits for the
// one that runs, for as long as a check may take. It is called once.
func (c *Checker) Run(ctx context.Context) {
	defer c.drain()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.wake:
		}
		for e := c.next(); e != nil && ctx.Err() == nil; e = c.next() {
			c.run(ctx, e)
		}
		timer.Reset(c.pause())
	}
}

// next returns the check that has been due for longest, or nil, and puts it off
// by the interval.
func (c *Checker) next() *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) == 0 {
		return nil
	}
	now := c.now()
	e := slices.MinFunc(c.entries, func(a, b *entry) int { return a.due.Compare(b.due) })
	if e.due.After(now) {
		return nil
	}
	e.due = now.Add(c.cfg.Interval)
	return e
}

// pause returns the time until the next check is due.
func (c *Checker) pause() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, pause := c.now(), c.cfg.Interval
	for _, e := range c.entries {
		pause = min(pause, e.due.Sub(now))
	}
	return max(pause, 0)
}

// run runs a check, within the time limit, and notes its result. One that did not
// come back from the run before is not run again.
func (c *Checker) run(ctx context.Context, e *entry) {
	c.mu.Lock()
	busy := e.busy
	e.busy = true
	c.mu.Unlock()
	if busy {
		c.note(ctx, e, Result{Status: Unhealthy, Message: "the check before this one has not come back"})
		return
	}
	limited, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	result := make(chan Result, 1) // holds the one result of the goroutine, which never waits
	c.started.Go(func() {
		r := e.check.Run(limited)
		c.mu.Lock()
		e.busy = false
		c.mu.Unlock()
		result <- r
	})
	select {
	case r := <-result:
		if ctx.Err() == nil {
			c.note(ctx, e, r)
		}
	case <-limited.Done():
		if ctx.Err() == nil {
			c.note(ctx, e, Result{Status: Unhealthy, Message: fmt.Sprintf("the check did not answer within %v", c.cfg.Timeout)})
		}
	}
}

// note keeps a result, and tells of it where the status changed.
func (c *Checker) note(ctx context.Context, e *entry, r Result) {
	c.mu.Lock()
	now := c.now()
	before := e.result.Status
	e.result, e.ended = r, now
	if r.Status != Healthy {
		e.due = now.Add(c.cfg.Retry)
	}
	known := slices.Contains(c.entries, e)
	c.mu.Unlock()
	if !known || before == r.Status {
		return
	}
	level := slog.LevelInfo
	if r.Status == Unhealthy {
		level = slog.LevelWarn
	}
	c.log.Log(ctx, level, "health changed",
		"check", e.check.Name, "model", e.check.Model, "before", before, "after", r.Status, "reason", r.Message)
	if c.onChange != nil {
		c.onChange(Change{Model: e.check.Model, Check: e.check.Name, Before: before, After: r.Status, Message: r.Message})
	}
}

// drain waits until every goroutine of run has ended, at most for the time limit.
func (c *Checker) drain() {
	ended := make(chan struct{}) // closed when they have
	go func() {
		c.started.Wait()
		close(ended)
	}()
	timer := time.NewTimer(c.cfg.Timeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		c.log.Warn("a health check did not end when it was told to")
	}
}
