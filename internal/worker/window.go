package worker

import (
	"errors"
	"math"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
	"verge/internal/tensor"
)

// window is the arena of a slot, seen from the worker: memory that the node made.
type window struct {
	fd            int            // the slot's socket
	input, output *native.Memory // nil before the node sent them
	slot          uint32         // of the run in progress
	sequence      uint64
}

var _ inference.Arena = (*window)(nil)

// Input implements inference.Arena. The node lays out the inputs before it sends
// them, so there is always enough.
func (w *window) Input(n int) (inference.Memory, error) {
	if w.input == nil || len(w.input.Bytes()) < n {
		return inference.Memory{}, fault.New(fault.Internal, "worker.input", "the node sent too little memory for inputs of %d bytes", n)
	}
	return inference.Memory{Data: w.input.Bytes(), FD: w.input.FD()}, nil
}

// Output implements inference.Arena. Where there is not enough, the node is asked.
func (w *window) Output(n int) (inference.Memory, error) {
	const op = "worker.output"
	if n < 0 {
		return inference.Memory{}, fault.New(fault.Internal, op, "outputs of %d bytes", n)
	}
	if w.output == nil || len(w.output.Bytes()) < n {
		if err := w.grow(uint64(max(n, 1))); err != nil {
			return inference.Memory{}, err
		}
	}
	if w.output == nil || len(w.output.Bytes()) < n {
		return inference.Memory{}, fault.New(fault.Internal, op, "the node sent too little memory for outputs of %d bytes", n)
	}
	return inference.Memory{Data: w.output.Bytes(), FD: w.output.FD()}, nil
}

// grow asks for a region of size bytes, and waits for it.
func (w *window) grow(size uint64) error {
	const op = "worker.output"
	if err := post(w.fd, header{op: opGrow, slot: w.slot, sequence: w.sequence, size: size}.append(nil)); err != nil {
		return fault.New(fault.Internal, op, "ask for output memory: %w", err)
	}
	message, fds, err := receive(w.fd, make([]byte, headerSize+8+maxText+maxHint), make([]byte, oobSize()))
	if err != nil {
		return fault.New(fault.Internal, op, "ask for output memory: %w", err)
	}
	h, body, err := parse(message)
	switch {
	case err != nil || h.op != opGrant || h.sequence != w.sequence:
		err = fault.New(fault.Internal, op, "the node answered a question for memory with a message of kind %d: %w", h.op, err)
	case len(body) > 0:
		var refusal *fault.Error
		if refusal, err = parseError(h, body, op); err == nil {
			err = refusal
		}
	case len(fds) == 1:
		return replace(&w.output, fds[0])
	default:
		err = fault.New(fault.Internal, op, "the node granted memory with %d descriptors", len(fds))
	}
	shut(fds)
	return err
}

// offsets returns where outputs lie in the output region.
func (w *window) offsets(specs []inference.Spec, outputs []tensor.Tensor, offsets []int) ([]int, error) {
	const op = "worker.run"
	if len(outputs) != len(specs) {
		return offsets, fault.New(fault.Internal, op, "the runtime gave %d outputs, want %d", len(outputs), len(specs))
	}
	var region []byte
	if w.output != nil {
		region = w.output.Bytes()
	}
	for i, t := range outputs {
		at, ok := offset(region, t.Data)
		if !ok || len(t.Shape) > tensor.MaxRank {
			return offsets, fault.New(fault.Internal, op, "the runtime gave output %q outside the arena, or with %d dimensions, at most %d are allowed", specs[i].Name, len(t.Shape), tensor.MaxRank)
		}
		offsets = append(offsets, at)
	}
	return offsets, nil
}

func (w *window) close() {
	for _, m := range []*native.Memory{w.input, w.output} {
		if m != nil {
			m.Close() //nolint:errcheck,gosec // nobody is left to tell
		}
	}
}

// replace maps the region of fd in the place of an older one.
func replace(m **native.Memory, fd int) error {
	bigger, err := native.MapMemory(fd, math.MaxInt, true)
	if err != nil {
		return err
	}
	var old error
	if *m != nil {
		old = (*m).Close()
	}
	*m = bigger
	return errors.Join(old)
}
