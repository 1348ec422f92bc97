package serve

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// Call is one admitted request. It holds a slot until End, which every Call
// needs, on every path. One goroutine at a time calls its methods; Context,
// Deadline and Version may be called by any.
type Call struct {
	v        *Version
	from     context.Context // of who asks
	ctx      context.Context // a Call is one request, and ends with it
	cancel   context.CancelFunc
	begun    time.Time
	deadline time.Time
	silent   bool        // not shown to the recorder
	apart    bool        // its slot is not the pool's
	cut      atomic.Bool // the version was closed before the request ended

	mu   sync.Mutex // guards what follows; held while the session writes to the slot, so that End waits for that
	slot *slot      // nil after End
	ran  time.Time  // when Run returned; zero before

	in    []inference.Input // of Inputs, whose memory is the caller's
	views [][]byte          // that it returned

	standIn *Version             // that is asked where this one fails; nil for none
	other   atomic.Pointer[Call] // to standIn; nil where it is not asked
}

// Begin admits a request: it waits in the queue for a slot, first come first
// served, until ctx ends or timeout is over. A timeout of 0 or less means the
// configured default, one over the configured maximum is cut to it. The same
// limit, counted from here, then holds for Run.
//
// It fails at once with fault.Unavailable when the version is being unloaded (see
// ErrReplaced), its session has failed, the node stops or the queue is full; with
// fault.Deadline when the time was over, and with fault.Canceled when ctx was
// canceled; and as inference.Session.NewSlot does. Failures but ErrReplaced are
// recorded.
func (v *Version) Begin(ctx context.Context, timeout time.Duration) (*Call, error) {
	timeout = v.cfg.timeout(timeout)
	return v.begin(ctx, timeout, timeout)
}

// begin is Begin with a limit on the time in the queue.
func (v *Version) begin(ctx context.Context, timeout, queued time.Duration) (*Call, error) {
	c := v.newCall(ctx, timeout)
	wait, cancel := c.ctx, context.CancelFunc(func() {})
	if queued < timeout {
		wait, cancel = context.WithTimeout(c.ctx, queued)
	}
	defer cancel()
	if err := c.admit(wait, false); err != nil {
		if !errors.Is(err, ErrReplaced) {
			v.record(time.Since(c.begun), err)
		}
		return nil, err
	}
	return c, nil
}

// Warm runs one inference that no count and no latency shows: for warm-up, and
// for the question of a health check. It waits for a slot ahead of the queue and
// is not bound by its size, until ctx ends, at most for the configured maximum.
// Inputs are matched as inference.Run does. use, where it is not nil, is given the
// outputs, which are valid until it returns. What a model keeps from one request of
// clients to the next is not touched once the version was activated.
func (v *Version) Warm(ctx context.Context, inputs []tensor.Tensor, use func(outputs []tensor.Tensor)) error {
	c := v.newCall(ctx, v.cfg.MaxTimeout)
	c.silent = true
	admit := func() error { return c.admit(c.ctx, true) }
	if v.apart.Load() {
		admit = c.admitApart
	}
	if err := admit(); err != nil {
		return err
	}
	defer c.End(nil)
	begun := time.Now()
	outputs, err := c.do(func(s inference.Slot) ([]tensor.Tensor, error) {
		return inference.Run(c.ctx, v.signature, s, inputs)
	})
	if err == nil {
		v.took(time.Since(begun))
	}
	if err == nil && use != nil {
		use(outputs)
	}
	return err
}

func (v *Version) newCall(ctx context.Context, timeout time.Duration) *Call {
	now := time.Now()
	c := &Call{v: v, from: ctx, begun: now, deadline: now.Add(timeout)}
	if sooner, ok := ctx.Deadline(); ok && sooner.Before(c.deadline) {
		c.deadline = sooner
	}
	c.ctx, c.cancel = context.WithDeadline(ctx, c.deadline)
	return c
}

// admit gets c a slot before wait ends, or ends its context.
func (c *Call) admit(wait context.Context, ahead bool) (err error) {
	const op = "serve.begin"
	defer func() {
		if err != nil {
			c.cancel()
		}
	}()
	if err = c.v.failed(op); err != nil {
		return err
	}
	if c.ctx.Err() != nil {
		return c.ended(op)
	}
	c.slot, err = c.v.pool.acquire(wait, c, ahead)
	switch {
	case errors.Is(err, errFull):
		return fault.New(fault.Unavailable, op, "queue of model %q is full (%d waiting)", c.v.model, c.v.cfg.QueueSize).
			WithHint("Repeat the request later, or raise serve.queue_size.")
	case err != nil && c.ctx.Err() != nil:
		return c.ended(op)
	case err != nil && wait.Err() != nil:
		return fault.New(fault.Deadline, op, "%s had no place for the request in time", c.v.title())
	}
	return err
}

// admitApart gets c a slot that is nobody else's and is closed after it, or ends its
// context.
func (c *Call) admitApart() (err error) {
	c.apart = true
	if err = c.v.failed("serve.begin"); err == nil {
		c.slot, err = c.v.newSlot()
	}
	if err != nil {
		c.cancel()
	}
	return err
}

// failed says why the session will not run anything again, or nil.
func (v *Version) failed(op string) error {
	if v.conditioner == nil {
		return nil
	}
	state, reason, _ := v.conditioner.Condition()
	if state != StateFailed {
		return nil
	}
	return fault.New(fault.Unavailable, op, "%s has failed: %s", v.title(), reason).WithHint("Deploy it again.")
}

// ended says why the context of c has ended.
func (c *Call) ended(op string) error {
	switch {
	case c.cut.Load():
		return fault.New(fault.Unavailable, op, "%s was unloaded before the request had ended", c.v.title()).WithHint("Repeat the request.")
	case errors.Is(c.ctx.Err(), context.DeadlineExceeded):
		return fault.New(fault.Deadline, op, "model %q did not answer within %v", c.v.model, c.deadline.Sub(c.begun).Round(time.Microsecond))
	}
	return fault.New(fault.Canceled, op, "the request to model %q was canceled", c.v.model)
}

// Version returns the version that the request was admitted to; after Run, the one that has
// answered.
func (c *Call) Version() *Version {
	if other := c.other.Load(); other != nil {
		return other.v
	}
	return c.v
}

// Context ends at the deadline, with the context of Begin, when the version is
// closed before the request has ended, and at End. Whoever fills the inputs from a
// slow source watches it.
func (c *Call) Context() context.Context { return c.ctx }

// Deadline returns when the time of the request is over: the limit for reading its
// body as well.
func (c *Call) Deadline() time.Time { return c.deadline }

// Inputs returns memory for the inputs, in signature order, as
// inference.Slot.Inputs does. The views are valid until End.
func (c *Call) Inputs(in []inference.Input) ([][]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slot == nil {
		return nil, c.over("serve.inputs")
	}
	views, err := c.slot.Inputs(in)
	c.in, c.views = in, views
	return views, err
}

// Run computes the outputs, as inference.Slot.Run does, under the deadline of the
// request. Their Data lies in the slot and is valid until End or the next Run.
func (c *Call) Run() ([]tensor.Tensor, error) {
	ctx, cancel := c.ctx, context.CancelFunc(func() {})
	if c.standIn != nil {
		ctx, cancel = context.WithTimeout(c.ctx, c.standIn.leave(time.Until(c.deadline)))
	}
	defer cancel()
	begun := time.Now()
	outputs, err := c.do(func(s inference.Slot) ([]tensor.Tensor, error) {
		outputs, err := s.Run(ctx)
		if err == nil {
			c.v.took(time.Since(begun))
			c.show(outputs)
		}
		return outputs, err
	})
	if c.standIn != nil && err != nil && c.from.Err() == nil && time.Now().Before(c.deadline) {
		return c.again(err)
	}
	return outputs, err
}

// do runs f on the slot, unless the time is over.
func (c *Call) do(f func(inference.Slot) ([]tensor.Tensor, error)) ([]tensor.Tensor, error) {
	const op = "serve.run"
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slot == nil {
		return nil, c.over(op)
	}
	if c.ctx.Err() != nil {
		return nil, c.ended(op)
	}
	outputs, err := f(c.slot.Slot)
	c.ran = time.Now()
	switch kind := fault.KindOf(err); {
	case err == nil:
		return outputs, nil
	case c.ctx.Err() != nil && (kind == fault.Deadline || kind == fault.Canceled || c.cut.Load()):
		return nil, c.ended(op)
	}
	return nil, err
}

// End ends the request: err is nil when it was answered, else why not. It records
// the outcome and gives the slot back, after a Run in progress has returned.
// Nobody may touch views or outputs any more. Only the first End counts.
func (c *Call) End(err error) {
	c.cancel() // hurries a Run in progress
	c.mu.Lock()
	s, ran := c.slot, c.ran
	c.slot = nil
	c.mu.Unlock()
	if other := c.other.Load(); other != nil {
		other.End(err) // it has the request
	}
	if s == nil {
		return
	}
	if ran.IsZero() {
		ran = time.Now()
	}
	if !c.silent {
		c.v.record(ran.Sub(c.begun), err)
	}
	if c.apart {
		c.v.shutSlot(s)
		return
	}
	c.v.pool.release(c, s)
}

// over is what a method of an ended Call fails with: a bug in its caller.
func (c *Call) over(op string) error {
	return fault.New(fault.Internal, op, "the request to model %q has ended", c.v.model)
}

// took notes how long a run took, for what it usually takes: a mean in which one run counts
// an eighth. Of two at once, one may be lost.
func (v *Version) took(run time.Duration) {
	const weight = 8
	usual := v.usual.Load()
	if usual == 0 {
		usual = int64(run)
	}
	v.usual.Store(max(usual+(int64(run)-usual)/weight, 1))
}

func (v *Version) record(latency time.Duration, err error) {
	if v.recorder != nil {
		v.recorder.Record(latency, err)
	}
}
