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
// is called. Its inputs and outputs must be those of v, in the same order. What the canary
// refuses and v takes, what it fails and v answers, and what it does not answer while there
// is time for v to, v answers; the canary's recorder is told of a failure then, as
// fault.Internal whatever its kind was.
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
// says why, and how much is left of the request's time.
func (v *Version) try(ctx context.Context, other *Version, ask Ask, prepare func(*Version) error) (call *Call, left time.Duration, err error) {
	begun, timeout := time.Now(), v.cfg.timeout(ask.Timeout)
	if prepare != nil {
		if err = prepare(v); err != nil {
			return nil, timeout, err
		}
	}
	if call, err = v.begin(ctx, timeout, other.leave(timeout)); err != nil {
		return nil, max(timeout-time.Since(begun), time.Millisecond), err
	}
	call.standIn = other
	return call, 0, nil
}

// leave says how much of a time may be spent before v is asked: half of it, where that is
// clearly more than v usually takes; else all of it, since nobody is to be called late who
// would have been in time.
func (v *Version) leave(left time.Duration) time.Duration {
	const clearly = 3
	usual := time.Duration(v.usual.Load())
	if half := left / 2; usual > 0 && half > clearly*usual {
		return half
	}
	return left
}

// blame notes that a version has failed what the one behind it has answered.
func (v *Version) blame(other *Version, begun time.Time, failure error) {
	v.record(time.Since(begun), fault.New(fault.Internal, "serve.run", "%s failed what %s has answered: %w", v.title(), other.title(), failure))
}

// Instead asks the version that stands behind that of the call, because what the first has
// answered is of no use. It fails where there is none, or where it was asked already.
func (c *Call) Instead(failure error) ([]tensor.Tensor, error) {
	if c.standIn == nil || c.other.Load() != nil {
		return nil, failure
	}
	return c.again(failure)
}

// again asks the version that stands behind that of c, which has failed.
func (c *Call) again(failure error) ([]tensor.Tensor, error) {
	other, err := c.standIn.Begin(c.from, time.Until(c.deadline))
	if err != nil {
		return nil, failure // it was replaced meanwhile, or has no room
	}
	slot, err := c.handOver(other)
	if err != nil {
		return nil, err
	}
	c.v.pool.release(c, slot) // nothing of it is needed any more
	outputs, err := other.Run()
	if err != nil {
		c.v.record(time.Since(c.begun), failure)
		return nil, err
	}
	c.v.blame(other.v, c.begun, failure)
	return outputs, nil
}

// handOver gives the inputs of c to the call that is to answer in its place, and its slot
// away.
func (c *Call) handOver(other *Call) (*slot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slot == nil {
		err := c.over("serve.run")
		other.End(err)
		return nil, err
	}
	views, err := other.Inputs(c.in)
	if err != nil {
		other.End(err)
		return nil, err
	}
	for i, view := range views {
		copy(view, c.views[i])
	}
	c.other.Store(other)
	s := c.slot
	c.slot = nil
	return s, nil
}
