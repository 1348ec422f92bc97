package worker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// slot is the node's side of a slot. It implements inference.Slot.
type slot struct {
	session *Session
	arena   inference.Arena
	closed  bool

	in            []inference.Input // of the next run, checked; nil before Inputs
	views         [][]byte
	input, output region
	outputs       []tensor.Tensor
	message       []byte // that is sent
	answer        []byte // that is received

	// What the worker knows of this slot; process is nil before the first run.
	process  *process
	number   uint32
	conn     *net.UnixConn
	theirs   *os.File // the worker's end, until it was sent
	sequence uint64   // of the last run
	refused  bool     // more memory, in this run
}

// region is memory of the arena, and whether the worker has it.
type region struct {
	inference.Memory
	sent bool
}

// take notes what the arena returned.
func (r *region) take(m inference.Memory) error {
	if m.FD < 0 {
		return fault.New(fault.Internal, "worker.slot", "the arena's memory has no descriptor, which a worker needs")
	}
	// A region grows by being replaced, so one of the same size is the same one.
	if m.FD != r.FD || len(m.Data) != len(r.Data) {
		r.sent = false
	}
	r.Memory = m
	return nil
}

// Inputs implements inference.Slot.
func (l *slot) Inputs(in []inference.Input) ([][]byte, error) {
	const op = "worker.inputs"
	if l.closed || l.session.open.Err() != nil {
		return nil, errClosed(op)
	}
	l.in = nil
	if err := l.session.signature.CheckInputs(in); err != nil {
		return nil, fault.New(fault.Invalid, op, "%w", err)
	}
	sizes := make([]int, len(in))
	for i := range in {
		sizes[i] = in[i].Bytes
	}
	offsets, total, err := inference.Layout(sizes)
	if err != nil {
		return nil, fault.New(fault.TooLarge, op, "%w", err)
	}
	memory, err := l.arena.Input(total)
	if err != nil {
		return nil, err
	}
	if err := l.input.take(memory); err != nil {
		return nil, err
	}
	l.views = l.views[:0]
	for i, offset := range offsets {
		l.views = append(l.views, memory.Data[offset:offset+sizes[i]:offset+sizes[i]])
	}
	l.in = slices.Clone(in)
	for i := range l.in { // the caller may use its shapes again
		l.in[i].Shape = slices.Clone(in[i].Shape)
	}
	return l.views, nil
}

// Run implements inference.Slot. What has not been sent waits for a worker that
// serves; what has been sent to one that dies fails, and is not sent again.
func (l *slot) Run(ctx context.Context) ([]tensor.Tensor, error) {
	s := l.session
	if l.closed {
		return nil, errClosed("worker.run")
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if l.in == nil {
		return nil, fault.New(fault.Invalid, "worker.run", "Run without Inputs")
	}
	if ctx.Err() != nil {
		return nil, ended(ctx, "before it ran")
	}
	select {
	case <-s.permits:
	default:
		select {
		case <-s.permits:
		case <-s.open.Done():
			return nil, errClosed("worker.run")
		case <-ctx.Done():
			return nil, ended(ctx, "while it waited for its turn")
		}
	}
	defer func() { s.permits <- struct{}{} }()
	if err := l.send(ctx); err != nil {
		return nil, err
	}
	return l.await(ctx)
}

// send sends the run to a worker that serves, with what that one does not have yet.
func (l *slot) send(ctx context.Context) error {
	var gone *process
	for {
		p, err := l.session.serving(ctx, gone)
		if err != nil {
			return err
		}
		if l.process != p {
			l.detach()
			if l.number, l.conn, l.theirs, err = p.open(); errors.Is(err, errGone) {
				gone = p
				continue
			} else if err != nil {
				return err
			}
			l.process, l.input.sent, l.output.sent = p, false, false
		}
		l.sequence, l.refused = l.sequence+1, false
		flags, fds := l.luggage()
		specs := l.session.signature.Inputs
		l.message = appendInputs(header{}.append(l.message[:0]), specs, l.in)
		header{
			op: opRun, slot: l.number, sequence: l.sequence, status: flags,
			count: uint32(len(specs)), size: uint64(len(l.message) - headerSize), //nolint:gosec // at most MaxTensors
		}.append(l.message[:0]) // over the empty one
		if err := send(p.work, l.message, fds...); err != nil {
			l.detach()
			if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, net.ErrClosed) {
				return fault.New(fault.Exhausted, "worker.run", "send the request to the worker: %w", err)
			}
			gone = p // nothing of the message was taken
			p.await("closed its work socket")
			<-p.done
			continue
		}
		if l.theirs != nil {
			l.theirs.Close() //nolint:errcheck,gosec // the worker has its own
			l.theirs = nil
		}
		l.input.sent, l.output.sent = true, true
		return nil
	}
}

// luggage returns which descriptors the worker needs with the next run.
func (l *slot) luggage() (flags uint32, fds []int) {
	if l.theirs != nil {
		flags |= withSocket
		fds = append(fds, int(l.theirs.Fd()))
	}
	if !l.input.sent {
		flags |= withInput
		fds = append(fds, l.input.FD)
	}
	if !l.output.sent && l.output.Data != nil {
		flags |= withOutput
		fds = append(fds, l.output.FD)
	}
	return flags, fds
}

// Close implements inference.Slot.
func (l *slot) Close() error {
	l.closed = true
	l.detach()
	return nil
}

// detach gives up the slot's place in its worker.
func (l *slot) detach() {
	if l.theirs != nil {
		l.theirs.Close() //nolint:errcheck,gosec // nothing was sent over it
		l.theirs = nil
	}
	if l.process != nil {
		l.process.forget(l.number, l.conn)
		l.process, l.conn = nil, nil
	}
}

// await waits for the answer to the run that was sent. It returns when the worker
// has answered or is gone: then nothing writes to the arena any more.
func (l *slot) await(ctx context.Context) ([]tensor.Tensor, error) {
	if l.answer == nil {
		l.answer = make([]byte, maxMessage+1) // a longer one shows as too long
	}
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		l.conn.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck,gosec // wakes the read; one on a closed socket is awake
		close(fired)
	})
	defer func() {
		if !stop() {
			<-fired
			l.conn.SetReadDeadline(time.Time{}) //nolint:errcheck,gosec // as above
		}
	}()
	canceled := false
	for {
		n, err := l.conn.Read(l.answer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !canceled:
			canceled = true
			<-fired
			l.cancel()
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			l.process.end(fmt.Errorf("it did not stop a canceled request within %v", l.session.host.cfg.CancelGrace), false)
			<-l.process.done
			return nil, ended(ctx, "and its worker, which did not stop, was ended")
		case errors.Is(err, syscall.ECONNRESET):
			continue // it left something unread; what it sent before comes next
		case err != nil:
			return nil, l.lost(ctx)
		}
		outputs, done, err := l.receive(ctx, l.answer[:n])
		if lie := (*lieError)(nil); errors.As(err, &lie) {
			l.process.lied(lie.what)
			return nil, l.lost(ctx)
		}
		if done || err != nil {
			return outputs, err
		}
	}
}

// cancel asks the worker to stop the run, and gives it the grace to do so.
func (l *slot) cancel() {
	grace := l.session.host.cfg.CancelGrace
	l.process.control.SetWriteDeadline(time.Now().Add(grace))                                       //nolint:errcheck,gosec // what does not arrive ends with the grace
	send(l.process.control, header{op: opCancel, slot: l.number, sequence: l.sequence}.append(nil)) //nolint:errcheck,gosec // as above
	l.conn.SetReadDeadline(time.Now().Add(grace))                                                   //nolint:errcheck,gosec // one on a closed socket is awake
}

// lost waits for the end of a process that cut the connection, and is the error
// of the run that it had.
func (l *slot) lost(ctx context.Context) error {
	p := l.process
	p.await("closed the socket of a slot")
	<-p.done
	if ctx.Err() != nil {
		return ended(ctx, "when its worker died")
	}
	return p.lost("worker.run", "while it ran this request")
}
