// Package arena provides memory for the slots of sessions: sealed memory files
// that the front end, and a worker that it passes them to, map both.
package arena

import (
	"errors"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// Shared is an inference.Arena over memory files. A region is made on first
// use, grows by being replaced, and never shrinks. It is used by one goroutine
// at a time.
type Shared struct {
	name                    string
	inputLimit, outputLimit int
	input, output           *native.Memory
}

var _ inference.Arena = (*Shared)(nil)

// New returns an arena whose regions hold at most the given bytes each. The
// name shows up in /proc/PID/maps only.
func New(name string, inputLimit, outputLimit int) *Shared {
	return &Shared{name: name, inputLimit: inputLimit, outputLimit: outputLimit}
}

// Input implements inference.Arena.
func (a *Shared) Input(n int) (inference.Memory, error) {
	return grow(&a.input, a.name+"-input", n, a.inputLimit, "serve.input_bytes")
}

// Output implements inference.Arena.
func (a *Shared) Output(n int) (inference.Memory, error) {
	return grow(&a.output, a.name+"-output", n, a.outputLimit, "serve.output_bytes")
}

// Close frees the memory. It is safe to repeat.
func (a *Shared) Close() error {
	var errs []error
	for _, m := range []**native.Memory{&a.input, &a.output} {
		if *m != nil {
			errs = append(errs, (*m).Close())
			*m = nil
		}
	}
	return errors.Join(errs...)
}

func grow(m **native.Memory, name string, n, limit int, setting string) (inference.Memory, error) {
	if n > limit {
		return inference.Memory{}, fault.New(fault.TooLarge, "arena.grow", "tensors of %d bytes, the limit is %d", n, limit).On(name).
			WithHint("Ask for less at a time, or raise %s.", setting)
	}
	if *m == nil || len((*m).Bytes()) < n+inference.Align {
		bigger, err := native.NewMemory(name, n+inference.Align)
		if err != nil {
			return inference.Memory{}, err
		}
		if *m != nil {
			if err := (*m).Close(); err != nil {
				return inference.Memory{}, err
			}
		}
		*m = bigger
	}
	return inference.Memory{Data: (*m).Bytes(), FD: (*m).FD()}, nil
}
