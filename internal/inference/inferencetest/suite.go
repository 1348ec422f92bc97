package inferencetest

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/native"
	"verge/internal/tensor"
)

// Suite is a runtime under test and the models that it can load. A test whose
// model is nil is skipped. onnxmodel says what each model computes.
type Suite struct {
	// Open returns the runtime. It is called once for each test, and may return
	// the same one. What it starts ends with tb.
	Open func(tb testing.TB) inference.Runtime

	Identity map[tensor.DType][]byte // of every element type that the runtime has; x[n] → y[n]
	Scalar   []byte                  // identity of an FP32 without dimensions
	Join     []byte                  // two inputs, two outputs
	JoinSpec inference.Signature     // its signature
	NonZero  []byte                  // the output's shape follows from values
	Repeat   []byte                  // the output's size does
	Lookup   []byte                  // refuses an index
	Narrow   []byte                  // an operator behind the first refuses a shape
	Sum      []byte                  // keeps the sum of 10 and all of its inputs, and answers with it
	Loop     []byte                  // ends only when it is told to
	Weights  []byte                  // has 16 MiB of weights
	Unknown  []byte                  // has an operator that nobody has

	Known *Known // a model that somebody trained

	// Split takes the weights of a model above apart from the rest, where the format
	// has them in a second file; nil where it never has.
	Split func(data []byte) (model, weights []byte)

	// NoEmpty says that the runtime takes no tensor without elements: it refuses the
	// request, and answers the next one.
	NoEmpty bool
}

// empty checks that a request without elements is refused where the runtime takes
// none, and reports whether that is so.
func (s Suite) empty(tb testing.TB, session inference.Session, n inference.Slot, inputs ...tensor.Tensor) bool {
	tb.Helper()
	if !s.NoEmpty || !slices.ContainsFunc(inputs, func(t tensor.Tensor) bool { return slices.Contains(t.Shape, 0) }) {
		return false
	}
	_, err := inference.Run(tb.Context(), session.Signature(), n, inputs)
	wantKind(tb, "Run without elements", err, fault.Invalid)
	return true
}

// Known is a model with a known answer.
type Known struct {
	Model     []byte
	Inputs    []tensor.Tensor
	Want      []tensor.Tensor
	Tolerance float64
}

// Run runs every test of the contract.
func Run(t *testing.T, s Suite) {
	t.Helper()
	for _, group := range []func(*testing.T, Suite){
		describes, answers, computes, types, refuses, refusesLate, recovers, keeps, loads, cancels, interrupts, closes, frees, shares,
	} {
		group(t, s)
	}
}

// wait is how long a test waits for what should come at once.
const wait = 30 * time.Second

// limit is the size of the suite's arenas, input and output each.
const limit = 64 << 20

// load loads a model, or skips the test where the runtime has none.
func (s Suite) load(tb testing.TB, data []byte, o inference.Options) inference.Session {
	tb.Helper()
	if data == nil {
		tb.Skip("the runtime has no such model")
	}
	session, err := s.Open(tb).Load(tb.Context(), s.model(tb, data), o)
	if err != nil {
		tb.Fatalf("Load = %v, want a session", err)
	}
	tb.Cleanup(func() {
		if err := session.Close(); err != nil {
			tb.Errorf("Close of the session = %v, want no error", err)
		}
	})
	return session
}

// model puts the files of a model into sealed memory. An empty file has none.
func (s Suite) model(tb testing.TB, data []byte) inference.Model {
	tb.Helper()
	var weights []byte
	if s.Split != nil {
		data, weights = s.Split(data)
	}
	m := inference.Model{Name: tb.Name(), FD: -1}
	if len(data) > 0 {
		file := sealed(tb, data)
		m.Data, m.FD = file.Data, file.FD
	}
	if len(weights) > 0 {
		file := sealed(tb, weights)
		m.Weights = &file
	}
	return m
}

// sealed puts a file into sealed memory.
func sealed(tb testing.TB, data []byte) inference.Memory {
	tb.Helper()
	memory, err := native.NewReadOnlyMemory("model", len(data), func(to []byte) error {
		copy(to, data)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { memory.Close() })
	return inference.Memory{Data: memory.Bytes(), FD: memory.FD()}
}

// slot makes a slot of session over an arena of its own.
func slot(tb testing.TB, session inference.Session) inference.Slot {
	tb.Helper()
	return slotOver(tb, session, arena.New("test", limit, limit))
}

func slotOver(tb testing.TB, session inference.Session, memory *arena.Shared) inference.Slot {
	tb.Helper()
	n, err := session.NewSlot(memory)
	if err != nil {
		tb.Fatalf("NewSlot = %v, want a slot", err)
	}
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Errorf("Close of the slot = %v, want no error", err)
		}
		if err := memory.Close(); err != nil {
			tb.Error(err)
		}
	})
	return n
}

// run runs inputs and returns a copy of the outputs.
func run(tb testing.TB, session inference.Session, n inference.Slot, inputs ...tensor.Tensor) []tensor.Tensor {
	tb.Helper()
	outputs, err := inference.Run(tb.Context(), session.Signature(), n, inputs)
	if err != nil {
		tb.Fatalf("Run(%s) = %v, want outputs", describe(inputs), err)
	}
	return clone(outputs)
}

func clone(outputs []tensor.Tensor) []tensor.Tensor {
	all := slices.Clone(outputs)
	for i := range all {
		all[i].Shape = append([]int64{}, all[i].Shape...)
		all[i].Data = bytes.Clone(all[i].Data)
	}
	return all
}

// want compares outputs, and ends the test where they differ.
func want(tb testing.TB, got []tensor.Tensor, want ...tensor.Tensor) {
	tb.Helper()
	same := cmp.Comparer(func(a, b tensor.Tensor) bool {
		return a.Name == b.Name && a.DType == b.DType && slices.Equal(a.Shape, b.Shape) && bytes.Equal(a.Data, b.Data)
	})
	if diff := cmp.Diff(want, got, same); diff != "" {
		tb.Fatalf("outputs differ (-want +got):\n%s", diff)
	}
}

// wantKind compares the kind of an error.
func wantKind(tb testing.TB, what string, err error, kind fault.Kind) {
	tb.Helper()
	if err == nil {
		tb.Errorf("%s succeeded, want an error of kind %v", what, kind)
	} else if got := fault.KindOf(err); got != kind {
		tb.Errorf("%s = %v of kind %v, want kind %v", what, err, got, kind)
	}
}

func describe(tensors []tensor.Tensor) string {
	specs := make([]inference.Spec, len(tensors))
	for i, t := range tensors {
		specs[i] = inference.Spec{Name: t.Name, DType: t.DType, Shape: t.Shape}
	}
	var b bytes.Buffer
	for i, spec := range specs {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(spec.String())
	}
	return b.String()
}

// named returns t with another name.
func named(name string, t tensor.Tensor) tensor.Tensor {
	t.Name = name
	return t
}

// within waits until done is closed, and ends the test when that takes too long.
func within(tb testing.TB, what string, done <-chan struct{}) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), wait)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
		tb.Fatalf("%s did not come to an end within %v", what, wait)
	}
}
