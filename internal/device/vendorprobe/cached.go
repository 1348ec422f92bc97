package vendorprobe

import (
	"context"
	"sync"
	"time"
)

// Cached remembers answers, so that libraries are asked at most so often. It is safe
// for concurrent use.
type Cached struct {
	prober *Prober
	every  time.Duration
	now    func() time.Time

	mu      sync.Mutex // guards what follows; held while libraries are asked, as long as Ask takes at most
	at      time.Time  // when they were asked; zero: never
	answers []Answer
}

// NewCached returns a Cached that asks again after that time.
func NewCached(prober *Prober, every time.Duration, now func() time.Time) *Cached {
	return &Cached{prober: prober, every: every, now: now}
}

// Ask is Prober.Ask, or what that returned less than the time ago, whatever the
// queries were. Who comes while libraries are asked waits for these answers. Without
// queries there are none.
func (c *Cached) Ask(ctx context.Context, queries []Query) []Answer {
	if len(queries) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || c.now().Sub(c.at) >= c.every {
		answers := c.prober.Ask(ctx, queries)
		if ctx.Err() != nil {
			return answers // they say that the caller has gone, not what there is
		}
		c.answers, c.at = answers, c.now()
	}
	return c.answers
}
