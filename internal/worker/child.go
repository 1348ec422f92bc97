package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// child is the worker's side of a session.
type child struct {
	session   inference.Session // set before the first run
	signature inference.Signature

	mu     sync.Mutex // guards what follows
	loaded inference.Session
	slots  map[uint32]*place
}

// place is the worker's side of a slot. Only the thread that has its run touches
// it, but for what child.mu guards.
type place struct {
	fd      int // socket for answers
	window  *window
	slot    inference.Slot
	in      []inference.Input
	message []byte
	offsets []int

	// Guarded by child.mu.
	sequence uint64             // of the run in progress or the last one
	canceled uint64             // the highest run that is to stop
	cancel   context.CancelFunc // of the run in progress; nil while there is none
	closed   bool               // to be freed when the run has ended
}

func (c *child) set(session inference.Session) {
	c.session, c.signature = session, session.Signature()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loaded = session
}

// close frees the model. What runs has been told to stop.
func (c *child) close() error {
	c.mu.Lock()
	session := c.loaded
	c.mu.Unlock()
	if session == nil {
		return nil
	}
	return session.Close()
}

// work runs requests from the work socket, one at a time, until the node is gone.
// Several threads do so: each message goes to one of them.
func (c *child) work(ctx context.Context) {
	buf, oob := make([]byte, maxMessage), make([]byte, oobSize())
	for {
		message, fds, err := receive(workFD, buf, oob)
		if errors.Is(err, errEnd) {
			return // the control socket ends too, and Main with it
		}
		if err == nil {
			err = c.run(ctx, message, fds)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1) // the node does not speak as it should: nothing can be answered
		}
	}
}

// run runs one request and answers it.
func (c *child) run(ctx context.Context, message []byte, fds []int) error {
	h, body, err := parse(message)
	if err != nil || h.op != opRun || int(h.count) != len(c.signature.Inputs) {
		return errors.Join(err, fmt.Errorf("a message of kind %d with %d tensors on the work socket", h.op, h.count))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := c.begin(h, cancel)
	defer c.finish(h, p)
	if err = p.unpack(h.status, fds); err != nil {
		return err
	}
	if p.in, err = parseInputs(body, c.signature.Inputs, p.in); err != nil {
		return err
	}
	p.window.slot, p.window.sequence = h.slot, h.sequence
	outputs, err := c.compute(ctx, p)
	if err == nil {
		p.offsets, err = p.window.offsets(c.signature.Outputs, outputs, p.offsets[:0])
	}
	answer := header{op: opDone, slot: h.slot, sequence: h.sequence}
	p.message = p.message[:0]
	if err != nil {
		p.message = appendError(answer.append(p.message), err)
		answer.op, answer.status = opError, uint32(fault.KindOf(err))
	} else {
		p.message = appendOutputs(answer.append(p.message), c.signature.Outputs, outputs, p.offsets)
		answer.count = uint32(len(outputs)) //nolint:gosec // at most MaxTensors
	}
	answer.size = uint64(len(p.message) - headerSize) //nolint:gosec // it begins with a header
	answer.append(p.message[:0])
	return post(p.fd, p.message)
}

// compute has the runtime do the work.
func (c *child) compute(ctx context.Context, p *place) (_ []tensor.Tensor, err error) {
	if p.slot == nil {
		if p.slot, err = c.session.NewSlot(p.window); err != nil {
			return nil, err
		}
	}
	if _, err := p.slot.Inputs(p.in); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return p.slot.Run(ctx)
}

// begin notes a run, of a slot that may be new.
func (c *child) begin(h header, cancel context.CancelFunc) *place {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.place(h.slot)
	p.sequence, p.cancel = h.sequence, cancel
	if p.canceled >= h.sequence {
		cancel()
	}
	return p
}

// place returns the slot of that number; c.mu is held.
func (c *child) place(number uint32) *place {
	p := c.slots[number]
	if p == nil {
		p = &place{fd: -1, window: &window{fd: -1}}
		c.slots[number] = p
	}
	return p
}

// finish notes the end of a run. The node has had its answer: the slot's next run may
// have begun on another thread, and what is noted of it, and the slot itself, is that
// run's then.
func (c *child) finish(h header, p *place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.sequence != h.sequence {
		return
	}
	p.cancel = nil
	if p.closed {
		delete(c.slots, h.slot)
		p.free()
	}
}

// cancel stops a run, be it in progress or still to be read.
func (c *child) cancel(number uint32, sequence uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.place(number)
	p.canceled = max(p.canceled, sequence)
	if p.cancel != nil && p.sequence <= sequence {
		p.cancel()
	}
}

// closeSlot frees a slot, at the latest when its run has ended.
func (c *child) closeSlot(number uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.slots[number]
	switch {
	case p == nil:
	case p.cancel != nil:
		p.closed = true
		p.cancel()
	default:
		delete(c.slots, number)
		p.free()
	}
}

// unpack takes the descriptors that came along with a run.
func (p *place) unpack(flags uint32, fds []int) (err error) {
	take := func(flag uint32, use func(fd int) error) {
		switch {
		case flags&flag == 0:
		case len(fds) == 0:
			err = errors.Join(err, fmt.Errorf("a run with descriptors %#x that are not there", flags))
		default:
			fd := fds[0]
			fds = fds[1:]
			err = errors.Join(err, use(fd))
		}
	}
	take(withSocket, func(fd int) error {
		if p.fd >= 0 {
			shut([]int{fd})
			return errors.New("a second socket for a slot")
		}
		p.fd, p.window.fd = fd, fd
		return nil
	})
	take(withInput, func(fd int) error { return replace(&p.window.input, fd) })
	take(withOutput, func(fd int) error { return replace(&p.window.output, fd) })
	if len(fds) > 0 {
		shut(fds)
		err = errors.Join(err, fmt.Errorf("a run with %d descriptors too many", len(fds)))
	}
	if err == nil && (p.fd < 0 || p.window.input == nil) {
		err = errors.New("a run of a slot without socket or memory")
	}
	return err
}

// free closes everything.
func (p *place) free() {
	if p.slot != nil {
		p.slot.Close() //nolint:errcheck,gosec // nobody is left to tell
	}
	p.window.close()
	if p.fd >= 0 {
		unix.Close(p.fd) //nolint:errcheck,gosec // as above
	}
}

// offset returns where data begins in region, or false when it is not in it.
func offset(region, data []byte) (int, bool) {
	if len(data) == 0 {
		return 0, true
	}
	if len(region) == 0 {
		return 0, false
	}
	begin, at := reflect.ValueOf(region).Pointer(), reflect.ValueOf(data).Pointer()
	if at < begin || at-begin > uintptr(len(region)) || uintptr(len(data)) > uintptr(len(region))-(at-begin) {
		return 0, false
	}
	return int(at - begin), true
}
