package serve

import (
	"container/list"
	"context"
	"errors"
	"sync"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/arena"
)

var errFull = errors.New("the queue is full")

// slot is one slot of a session with the memory that it works in.
type slot struct {
	inference.Slot
	memory *arena.Shared
}

func (s *slot) close() error { return fault.Join(s.Close(), s.memory.Close()) }

// pool lends the slots of one version. A slot is made when one is needed and none
// is free, up to limit; the one given back last is lent first, because its memory
// is still in the processor's cache. Who finds none waits in line, first come
// first served: a slot is never free while somebody waits.
type pool struct {
	open         func() (*slot, error) // makes a slot
	shut         func(*slot)           // closes one
	limit, queue int

	mu      sync.Mutex         // guards what follows
	refusal error              // why nothing is admitted any more; nil while the pool is open
	closed  bool               // slots that come back are shut
	calls   map[*Call]struct{} // admitted and not ended: with a slot, or in line for one
	free    []*slot            // the last is lent next
	made    int                // slots that exist or are being made, at most limit
	line    list.List          // of *waiter, the first is served next
	queued  int                // waiters that count against queue
	idle    chan struct{}      // closed by forget when calls becomes empty; nil where nobody waits for that
}

// waiter is a call in line. Its fields are guarded by the pool's mutex.
type waiter struct {
	counted bool          // against the queue's limit
	granted chan struct{} // closed by put, with its turn
	turn    bool          // it is its turn, and it has left the line
	slot    *slot         // what it was given; nil means the right to make one
}

// acquire admits c and returns a slot for it. It fails with the refusal, errFull,
// the error of ctx, or one of open. ahead puts c at the head of the line,
// whatever its length.
func (p *pool) acquire(ctx context.Context, c *Call, ahead bool) (*slot, error) {
	p.mu.Lock()
	n := len(p.free)
	switch {
	case p.refusal != nil:
		defer p.mu.Unlock()
		return nil, p.refusal
	case n > 0:
		defer p.mu.Unlock()
		s := p.free[n-1]
		p.free[n-1], p.free = nil, p.free[:n-1]
		p.calls[c] = struct{}{}
		return s, nil
	case p.made < p.limit:
		p.made++
		p.calls[c] = struct{}{}
		p.mu.Unlock()
		return p.make(c)
	case !ahead && p.queued >= p.queue:
		defer p.mu.Unlock()
		return nil, errFull
	}
	p.calls[c] = struct{}{}
	w := &waiter{counted: !ahead, granted: make(chan struct{})}
	var e *list.Element
	if ahead {
		e = p.line.PushFront(w)
	} else {
		e = p.line.PushBack(w)
		p.queued++
	}
	p.mu.Unlock()
	return p.await(ctx, c, e)
}

// await waits for the turn of e. A call that gives up leaves the line, or hands on
// what it was given in that instant.
func (p *pool) await(ctx context.Context, c *Call, e *list.Element) (*slot, error) {
	w := e.Value.(*waiter) // the list holds nothing else
	select {
	case <-w.granted:
	case <-ctx.Done():
	}
	p.mu.Lock()
	if err := ctx.Err(); err != nil {
		var dead *slot
		if w.turn {
			dead = p.put(w.slot)
		} else {
			p.dequeue(e)
		}
		p.forget(c)
		p.mu.Unlock()
		if dead != nil {
			p.shut(dead)
		}
		return nil, err
	}
	p.mu.Unlock()
	if w.slot == nil {
		return p.make(c)
	}
	return w.slot, nil
}

// make makes a slot that made counts already.
func (p *pool) make(c *Call) (*slot, error) {
	s, err := p.open()
	if err != nil {
		p.release(c, nil)
		return nil, err
	}
	return s, nil
}

// release ends c, which has s; nil means the right to make one.
func (p *pool) release(c *Call, s *slot) {
	p.mu.Lock()
	dead := p.put(s)
	p.forget(c)
	p.mu.Unlock()
	if dead != nil {
		p.shut(dead)
	}
}

// put gives s, or the right to make a slot, to the first in line, else keeps it.
// It returns a slot that the caller has to shut once p.mu, which is held, is free.
func (p *pool) put(s *slot) (dead *slot) {
	if e := p.line.Front(); e != nil {
		w := p.dequeue(e)
		w.turn, w.slot = true, s
		close(w.granted)
		return nil
	}
	switch {
	case s == nil:
		p.made--
	case p.closed:
		p.made--
		return s
	default:
		p.free = append(p.free, s)
	}
	return nil
}

// dequeue takes e out of the line; p.mu is held.
func (p *pool) dequeue(e *list.Element) *waiter {
	w := p.line.Remove(e).(*waiter) // the list holds nothing else
	if w.counted {
		p.queued--
	}
	return w
}

// forget takes c off the books; p.mu is held.
func (p *pool) forget(c *Call) {
	delete(p.calls, c)
	if len(p.calls) == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

// refuse ends admission: every later acquire fails with why. The first reason stays.
func (p *pool) refuse(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusal == nil {
		p.refusal = why
	}
}

// wait waits until no call is left. When ctx ends first, it returns how many are,
// and ctx's error.
func (p *pool) wait(ctx context.Context) (left int, err error) {
	for {
		p.mu.Lock()
		left = len(p.calls)
		if left == 0 {
			p.mu.Unlock()
			return 0, nil
		}
		if p.idle == nil {
			p.idle = make(chan struct{})
		}
		idle := p.idle
		p.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return left, ctx.Err()
		}
	}
}

// cut ends the contexts of all calls that are left.
func (p *pool) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.calls {
		c.cut.Store(true)
		c.cancel()
	}
}

// close shuts all free slots, now and from now on.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.renew()
}

// renew shuts all free slots. New ones are made where they are needed.
func (p *pool) renew() {
	p.mu.Lock()
	free := p.free
	p.free = nil
	p.made -= len(free)
	p.mu.Unlock()
	for _, s := range free {
		p.shut(s)
	}
}

// figures is what Status tells.
type figures struct {
	running, waiting, slots int
	refusal                 error
	closed                  bool
}

func (p *pool) figures() figures {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := p.line.Len()
	return figures{running: len(p.calls) - waiting, waiting: waiting, slots: p.made, refusal: p.refusal, closed: p.closed}
}
