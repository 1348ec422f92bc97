package litert

import (
	"context"
	"slices"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// model is a file that one of the two libraries has read.
type model interface {
	// describe returns what the file says of itself. It never changes.
	describe() description
	// prepare makes that what is compiled for a place, of the file that the model was
	// read from, is compiled faster, where Options.Cache allows it, and measured, where
	// Options.Profile asks for it.
	prepare(ctx context.Context, p place, source inference.Model, o inference.Options)
	// compile makes a runner that uses that many threads.
	compile(p place, threads int) (runner, *failure)
	// reason returns why compile failed with f, as far as the library tells more.
	reason(p place, threads int, f *failure) *failure
	// close frees the model, after all of its runners, and writes what was measured.
	close() error
}

// description is what a file says of its model.
type description struct {
	signature inference.Signature
	metadata  map[string]string
	stateful  bool // a run leaves values to the next one
	measured  bool // the library can measure operators
}

// runner is a compiled copy of a model, with memory for one run at a time. One
// method is called at a time, but for giveUp.
type runner interface {
	// complete fails where an operator is missing. Other complaints, which depend on
	// the shapes, of which nobody has asked yet, are left to reshape.
	complete() *failure
	// providers names what runs the model.
	providers() []string
	// reshape sets the shapes of the inputs, of which those of fixed shape are not
	// looked at. A failure leaves the shapes that were there before; broken says that
	// even those are gone, and with them the runner's use.
	reshape(specs []inference.Spec, in []inference.Input) (f *failure, broken bool)
	// feed says where the inputs of the runs that follow lie, in the shapes that
	// reshape has set, until forget.
	feed(in *region) *failure
	// run fills n.out, in the memory of n's arena. It calls invoke by n.call.
	run(ctx context.Context, n *slot) error
	// invoke runs the model once.
	invoke() *failure
	// interruptible reports whether giveUp does anything.
	interruptible() bool
	// giveUp tells an invoke in progress, and those that follow, to end early, or
	// takes that back. It may be called while invoke goes on.
	giveUp(now bool)
	// forget lets go of all memory that is the slot's.
	forget()
	// close frees the runner.
	close()
}

// region is one side of a slot, its inputs or its outputs, in signature order: where
// each tensor lies in a piece of the arena.
type region struct {
	tensors []tensor.Tensor // names, types, shapes and Data
	sizes   []int           // of Data
	room    []int           // bytes that the library may use for each: sizes or more
	memory  []byte
	offsets []int
}

func newRegion(specs []inference.Spec) region {
	n := len(specs)
	r := region{tensors: make([]tensor.Tensor, n), sizes: make([]int, n), room: make([]int, n)}
	for i, spec := range specs {
		r.tensors[i] = tensor.Tensor{Name: spec.Name, DType: spec.DType}
	}
	return r
}

// reserve sets how many bytes the library may use for each tensor: all up to where
// the next one begins. It returns how many that are together.
func (r *region) reserve() (total int, err error) {
	r.offsets, total, err = inference.Layout(r.sizes)
	for i, n := range r.sizes {
		r.room[i] = max((n+inference.Align-1)/inference.Align, 1) * inference.Align
	}
	return max(total, inference.Align), err // a model may have no inputs
}

// show sets Data of a tensor to the bytes that its size says.
func (r *region) show(i int) {
	begin, end := r.offsets[i], r.offsets[i]+r.sizes[i]
	r.tensors[i].Data = r.memory[begin:end:end]
}

// showAll puts the tensors into memory.
func (r *region) showAll(memory []byte) {
	r.memory = memory
	for i := range r.tensors {
		r.show(i)
	}
}

// shapes are those of a runner's inputs, as last set.
type shapes struct {
	inputs [][]int64 // nil for one that was never set
	set    bool      // all of them, with success
}

// shaper is the part of a library that sets shapes.
type shaper interface {
	resize(input int, shape []int64) *failure
	// allocate makes room for every value.
	allocate() *failure
}

// change sets those shapes that differ, as runner.reshape says.
func (s *shapes) change(by shaper, specs []inference.Spec, in []inference.Input) (f *failure, broken bool) {
	before := slices.Clone(s.inputs)
	if f = s.apply(by, specs, func(i int) []int64 { return in[i].Shape }); f == nil {
		s.set = true
		return nil, false
	}
	had := s.set
	s.set = false
	if !had || s.apply(by, specs, func(i int) []int64 { return before[i] }) != nil {
		return f, true
	}
	s.set = true
	return f, false
}

func (s *shapes) apply(by shaper, specs []inference.Spec, want func(i int) []int64) *failure {
	for i, spec := range specs {
		shape := want(i)
		if s.set && slices.Equal(s.inputs[i], shape) {
			continue
		}
		if !spec.Fixed() {
			if f := by.resize(i, shape); f != nil {
				return f
			}
		}
		s.inputs[i] = append(s.inputs[i][:0:0], shape...)
	}
	return by.allocate()
}

// appendDimensions appends a shape as the libraries take it. Every dimension fits,
// since checkDimensions has seen it.
func appendDimensions(to []int32, shape []int64) []int32 {
	for _, n := range shape {
		to = append(to, int32(n)) //nolint:gosec // checked by checkDimensions
	}
	return to
}

// checkDimensions refuses shapes that the libraries cannot take: they count in 32
// bits, and LiteRT takes no tensor without elements.
func checkDimensions(library string, empty bool, specs []inference.Spec, in []inference.Input) *fault.Error {
	const most = 1<<31 - 1
	for i, t := range in {
		for _, n := range t.Shape {
			switch {
			case n == 0 && !empty:
				return fault.New(fault.Invalid, "litert.inputs", "input %q has shape %s without elements, which %s does not take",
					specs[i].Name, inference.FormatShape(t.Shape), library).
					WithHint("Leave the request out, or run the model in another runtime (deployment.runtime).")
			case n > most:
				return fault.New(fault.TooLarge, "litert.inputs", "input %q has shape %s, %s takes dimensions up to %d",
					specs[i].Name, inference.FormatShape(t.Shape), library, most)
			}
		}
	}
	return nil
}
