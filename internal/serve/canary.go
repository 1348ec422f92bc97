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
// is called. Its inputs and outputs must be those of v. No client is worse off for it: what
// the canary refuses, fails, or does not answer in half of its time, v is asked too, and
// answers; the canary's recorder is told of the failure.
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

// toCanary begins a request on the canary of v, where there is one, it is its turn, and it
// takes it. Otherwise it returns nil, and how much is left of the request's time.
func (v *Version) toCanary(ctx context.Context, ask Ask, prepare func(*Version) error) (*Call, time.Duration) {
	s := v.split.Load()
	if s == nil || ask.Version != "" || !s.takes(ask.Header) {
		return nil, ask.Timeout
	}
	begun, timeout := time.Now(), v.cfg.timeout(ask.Timeout)
	if prepare != nil && prepare(s.Version) != nil {
		return nil, timeout
	}
	c, err := s.Version.begin(ctx, timeout, timeout/2)
	if err != nil {
		return nil, max(timeout-time.Since(begun), time.Millisecond)
	}
	c.standIn = v
	return c, 0
}

// again asks the version that the canary is tried beside, since that has failed; c is its
// call.
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
