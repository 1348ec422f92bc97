package worker

import (
	"context"
	"fmt"
	"math"
	"time"

	"verge/internal/fault"
	"verge/internal/tensor"
)

// lieError says that a worker sent what it may not.
type lieError struct{ what error }

func (e *lieError) Error() string { return e.what.Error() }

func lie(format string, args ...any) error { return &lieError{fmt.Errorf(format, args...)} }

// receive takes one message from the worker, and reports whether the run is done.
func (l *slot) receive(ctx context.Context, message []byte) (outputs []tensor.Tensor, done bool, err error) {
	h, body, err := parse(message)
	if err != nil {
		return nil, false, &lieError{err}
	}
	if h.slot != l.number || h.sequence != l.sequence {
		return nil, false, lie("an answer of slot %d to run %d, want slot %d and run %d", h.slot, h.sequence, l.number, l.sequence)
	}
	switch h.op {
	case opGrow:
		return nil, false, l.grow(h.size)
	case opDone:
		outputs, err = l.done(h, body)
		return outputs, err == nil, err
	case opError:
		failure, err := parseError(h, body, "worker.run")
		switch {
		case err != nil:
			return nil, false, &lieError{err}
		case failure.Kind != fault.Canceled && failure.Kind != fault.Deadline:
			return nil, false, failure
		case ctx.Err() == nil:
			return nil, false, lie("a run that was %s, which nobody asked for", failure.Kind)
		}
		return nil, false, ended(ctx, "while it ran")
	default:
		return nil, false, lie("a message of kind %d as an answer", h.op)
	}
}

// done takes the outputs.
func (l *slot) done(h header, body []byte) (_ []tensor.Tensor, err error) {
	specs := l.session.signature.Outputs
	if int(h.count) != len(specs) {
		return nil, lie("an answer of %d outputs, want %d", h.count, len(specs))
	}
	l.outputs, err = parseOutputs(body, specs, l.output.Data, l.outputs)
	if err != nil {
		return nil, &lieError{err}
	}
	return l.outputs, nil
}

// grow answers the worker's question for more output memory.
func (l *slot) grow(size uint64) error {
	if size > math.MaxInt || size <= uint64(len(l.output.Data)) {
		return lie("a question for %d bytes of output memory, where it has %d", size, len(l.output.Data))
	}
	answer := header{op: opGrant, slot: l.number, sequence: l.sequence}
	if l.refused {
		return lie("a second question for output memory after the first was refused")
	}
	l.conn.SetWriteDeadline(time.Now().Add(l.session.host.cfg.StopGrace)) //nolint:errcheck,gosec // when a write fails, the next read does
	memory, err := l.arena.Output(int(size))
	if err == nil {
		err = l.output.take(memory)
	}
	if err != nil {
		l.refused = true
		body := appendError(nil, err)
		answer.status, answer.size = uint32(fault.KindOf(err)), uint64(len(body))
		send(l.conn, append(answer.append(nil), body...)) //nolint:errcheck,gosec // when it fails, the next read does
		return nil
	}
	l.output.sent = true
	send(l.conn, answer.append(nil), memory.FD) //nolint:errcheck,gosec // as above
	return nil
}
