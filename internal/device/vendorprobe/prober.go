package vendorprobe

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"verge/internal/fault"
)

// The limits of one process.
const (
	timeLimit = 5 * time.Second
	grace     = 500 * time.Millisecond // from its end by SIGKILL to the end of waiting for it
	maxOutput = 1 << 20                // bytes of an answer
)

var (
	errTimeLimit = errors.New("over the time limit")
	errTooMuch   = errors.New("over the limit of the output")
)

// Prober asks libraries, each in a process of its own. It is safe for concurrent use.
type Prober struct {
	command   []string
	env       []string
	timeLimit time.Duration
	run       func(ctx context.Context, argv, env []string) *process // replaced in tests

	mu    sync.Mutex               // guards stuck
	stuck map[string]chan struct{} // by name of the library: closed when a process that outlived its end is gone
}

// New returns a Prober whose processes are started by command: the absolute path of a
// program that calls Main, and its arguments in front of the library's name and paths.
// env is their whole environment: nothing is inherited, as for workers.
func New(command, env []string) *Prober {
	return &Prober{command: command, env: env, timeLimit: timeLimit, run: run, stuck: map[string]chan struct{}{}}
}

// Ask asks all at the same time, and returns an answer for each, in that order. It
// takes 5.5 seconds at most: a process that has not answered after 5 is killed. One
// that the kernel does not let go, since its driver hangs, is left behind, and its
// library is not asked again before it is gone.
func (p *Prober) Ask(ctx context.Context, queries []Query) []Answer {
	answers := make([]Answer, len(queries))
	var wg sync.WaitGroup
	for i, q := range queries {
		wg.Go(func() {
			a, err := p.ask(ctx, q)
			if err != nil {
				a = Answer{Name: q.Name, Devices: []Device{}, Error: clean(fileOf(q)+": "+fault.Message(err), maxError)}
				if len(q.Paths) > 0 {
					a.Library = q.Paths[0]
				}
			}
			answers[i] = a
		})
	}
	wg.Wait()
	return answers
}

// fileOf is the file name of a library.
func fileOf(q Query) string {
	if len(q.Paths) > 0 {
		return filepath.Base(q.Paths[0])
	}
	for _, known := range files {
		if known.name == q.Name {
			return known.file
		}
	}
	return q.Name
}

// ask asks one library.
func (p *Prober) ask(ctx context.Context, q Query) (Answer, error) {
	if len(q.Paths) == 0 {
		return Answer{}, errors.New("it is in none of the system's folders of libraries")
	}
	if !p.free(q.Name) {
		return Answer{}, errors.New("an earlier probe does not end, although it was killed: its driver hangs")
	}
	bounded, cancel := context.WithTimeoutCause(ctx, p.timeLimit, errTimeLimit)
	defer cancel()
	argv := append(append(slices.Clone(p.command), q.Name), q.Paths...)
	ended := make(chan *process, 1)
	gone := make(chan struct{})
	go func() { // waited for, except where the kernel does not let the process go
		defer close(gone)
		ended <- p.run(bounded, argv, p.env)
	}()
	var child *process
	select {
	case child = <-ended:
	case <-bounded.Done():
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case child = <-ended:
		case <-timer.C:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.stuck[q.Name] = gone
			return Answer{}, fmt.Errorf("no answer in %v, and the probe does not end, although it was killed: its driver hangs", p.timeLimit)
		}
	}
	<-gone
	if child.succeeded() {
		return child.answer(q)
	}
	switch cause := context.Cause(bounded); {
	case errors.Is(child.cause, errTooMuch):
		return Answer{}, fmt.Errorf("the probe wrote more than %d bytes, and was killed", maxOutput)
	case errors.Is(cause, errTimeLimit):
		return Answer{}, fmt.Errorf("no answer in %v; the probe was killed", p.timeLimit)
	case cause != nil:
		return Answer{}, fmt.Errorf("the probe was ended before it had answered: %w", cause)
	}
	return Answer{}, child.death()
}

// free says whether no process of that library was left behind.
func (p *Prober) free(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := p.stuck[name]
	if gone == nil {
		return true
	}
	select {
	case <-gone:
		delete(p.stuck, name)
		return true
	default:
		return false
	}
}
