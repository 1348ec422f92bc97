package serve

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"time"

	"verge/internal/fault"
	"verge/internal/tensor"
)

// Canary is a version that answers a share of what another one is asked.
type Canary struct {
	Version *Version
	Share   float64 // of the requests: above 0, up to 1
	// Header is the name of a header of requests: those with the same value are answered by
	// the same version. Requests without it, and all where it is "", are shared out by chance.
	Header string
}

// split is a Canary while it lasts.
type split struct {
	Canary

	seed maphash.Seed // other clients meet the next canary
}

// Split lets a canary answer a share of the requests to v that name no version, until stop
// is called. Its inputs and outputs must be those of v, in the same order. No client is worse
// off for it: what the canary refuses, fails, or does not answer in time, v is asked too,
// and answers; the canary's recorder is told of the failure.
func (v *Version) Split(c Canary) (stop func()) {
	s := &split{c, maphash.MakeSeed()}
	v.split.Store(s)
	return func() { v.split.CompareAndSwap(s, nil) }
}

// takes says whether a request is one of the canary's.
func (s *split) takes(header func(string) string) bool {
	if s.Header != "" && header != nil {
		if value := header(s.Header); value != "" {
			const bits = 53 // that a float64 holds
			return float64(maphash.String(s.seed, value)>>(64-bits))/(1<<bits) < s.Share
		}
	}
	return rand.Float64() < s.Share //nolint:gosec // a share, no secret
}

// BackUp lets another version answer what v fails, until stop is called, as Split lets the
// version that serves answer what its canary fails. Requests that name a version are left
// alone.
func (v *Version) BackUp(other *Version) (stop func()) {
	v.backup.Store(other)
	return func() { v.backup.CompareAndSwap(other, nil) }
}

// route says which version a request to v goes to, and which one answers in its place where
// that fails; nil for none.
func (v *Version) route(ask Ask) (first, other *Version) {
	if ask.Version != "" {
		return v, nil
	}
	if s := v.split.Load(); s != nil && s.takes(ask.Header) {
		return s.Version, v
	}
	return v, v.backup.Load()
}

// try begins a request on a version that another one backs up. Where it does not take it, it
// returns nil, and how much is left of the request's time.
func (v *Version) try(ctx context.Context, other *Version, ask Ask, prepare func(*Version) error) (*Call, time.Duration) {
	begun, timeout := time.Now(), v.cfg.timeout(ask.Timeout)
	if prepare != nil && prepare(v) != nil {
		return nil, timeout
	}
	c, err := v.begin(ctx, timeout, other.leave(timeout))
	if err != nil {
		return nil, max(timeout-time.Since(begun), time.Millisecond)
	}
	c.standIn = other
	return c, 0
}

// leave says how much of a time may be spent before v is asked: half of it, where the other
// half is far more than v needs; else all of it, since nobody is to be called late who would
// have been in time.
func (v *Version) leave(left time.Duration) time.Duration {
	const far = 10
	usual := time.Duration(v.usual.Load())
	if half := left / 2; usual > 0 && half > far*usual {
		return half
	}
	return left
}

// again asks the version that backs up the one of c, which has failed.
func (c *Call) again(failure error) ([]tensor.Tensor, error) {
	other, err := c.standIn.Begin(c.ctx, time.Until(c.deadline))
	if err != nil {
		return nil, failure // it was replaced meanwhile, or has no room
	}
	if err := c.handOver(other, failure); err != nil {
		return nil, err
	}
	return other.Run()
}

// handOver gives the inputs of c to the call that is to answer in its place.
func (c *Call) handOver(other *Call, failure error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slot == nil {
		other.End(failure)
		return c.over("serve.run")
	}
	c.failure = failure
	c.other.Store(other)
	views, err := other.Inputs(c.in)
	for i, view := range views {
		copy(view, c.views[i])
	}
	return err
}

// worthAnother says whether another version may answer what this one has failed.
func worthAnother(err error) bool { return err != nil && fault.KindOf(err).OfAsked() }
