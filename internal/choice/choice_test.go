package choice_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/internal/choice"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// clock counts the time that its sessions take.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

// model is a session that adds to its input, and takes its time by the clock.
type model struct {
	clock     *clock
	took      time.Duration
	add       float32
	signature inference.Signature
	parallel  int
	peak      int64
	fails     error
}

func (m *model) Signature() inference.Signature { return m.signature }
func (m *model) Info() inference.SessionInfo    { return inference.SessionInfo{Parallel: m.parallel} }
func (m *model) Close() error                   { return nil }
func (m *model) NewSlot(a inference.Arena) (inference.Slot, error) {
	return &slot{model: m, arena: a}, nil
}

type slot struct {
	model *model
	arena inference.Arena
	input []byte
	shape []int64
}

func (s *slot) Inputs(in []inference.Input) ([][]byte, error) {
	memory, err := s.arena.Input(in[0].Bytes)
	s.input, s.shape = memory.Data[:in[0].Bytes], in[0].Shape
	return [][]byte{s.input}, err
}

func (s *slot) Run(context.Context) ([]tensor.Tensor, error) {
	if s.model.fails != nil {
		return nil, s.model.fails
	}
	s.model.clock.now = s.model.clock.now.Add(s.model.took)
	out := make([]byte, len(s.input))
	for i := 0; i < len(out); i += 4 {
		x := math.Float32frombits(binary.LittleEndian.Uint32(s.input[i:]))
		binary.LittleEndian.PutUint32(out[i:], math.Float32bits(x+s.model.add))
	}
	return []tensor.Tensor{{Name: "y", DType: tensor.FP32, Shape: s.shape, Data: out}}, nil
}

func (s *slot) Close() error { return nil }

func signature(name string) inference.Signature {
	return inference.Signature{
		Inputs:  []inference.Spec{{Name: name, DType: tensor.FP32, Shape: []int64{2}}},
		Outputs: []inference.Spec{{Name: "y", DType: tensor.FP32, Shape: []int64{2}}},
	}
}

// world is a device on which files of models can be run.
type world struct {
	clock  clock
	models map[string]*model // by file and runtime
	loads  []string
}

func newWorld() *world { return &world{models: map[string]*model{}} }

// add puts a model there that takes so many milliseconds.
func (w *world) add(file string, took float64, change func(*model)) choice.Way {
	m := &model{clock: &w.clock, took: time.Duration(took * float64(time.Millisecond)), signature: signature("x"), parallel: 1, peak: 10 << 20}
	if change != nil {
		change(m)
	}
	w.models[file] = m
	return choice.Way{File: file, Format: "onnx", Precision: "fp32", Runtime: "r", Device: "cpu", Threads: 1, Parallel: 1}
}

func (w *world) env() choice.Env {
	return choice.Env{
		Load: func(_ context.Context, way choice.Way) (choice.Loaded, error) {
			m := w.models[way.File]
			if m == nil {
				return choice.Loaded{}, fault.New(fault.Unsupported, "test", "no such file")
			}
			w.loads = append(w.loads, way.File)
			return choice.Loaded{Session: m, Close: func() error { return nil }}, nil
		},
		Probes: func(g inference.Signature) ([][]tensor.Tensor, error) {
			one := tensor.Tensor{Name: g.Inputs[0].Name, DType: tensor.FP32, Shape: []int64{2}, Data: make([]byte, 8)}
			binary.LittleEndian.PutUint32(one.Data, math.Float32bits(3))
			return [][]tensor.Tensor{{one}}, nil
		},
		Peak: func(s inference.Session) (int64, error) { return s.(*model).peak, nil },
		Now:  w.clock.read,
	}
}

func plan(reference choice.Way, rungs ...[]choice.Way) choice.Plan {
	return choice.Plan{
		Reference: reference, Rungs: rungs, Budget: time.Minute, LatencyMS: 50, MemoryMB: 64, Tolerance: 1e-4, Cosine: 0.99,
	}
}

// outcomes lists files with what came of them.
func outcomes(r choice.Result) []string {
	var all []string
	for _, t := range r.Trials {
		all = append(all, t.File+": "+string(t.Outcome)+": "+t.Reason)
	}
	return all
}

func TestTheFirstWayThatWillDoIsTaken(t *testing.T) {
	w := newWorld()
	own := w.add("own", 10, nil)
	missing := choice.Way{File: "missing", Precision: "fp32"}
	slow := w.add("slow", 60, nil)
	wrong := w.add("wrong", 1, func(m *model) { m.add = 1 })
	other := w.add("other", 1, func(m *model) { m.signature = signature("z") })
	large := w.add("large", 1, func(m *model) { m.peak = 100 << 20 })
	broken := w.add("broken", 1, func(m *model) { m.fails = errors.New("it broke") })
	good := w.add("good", 5, nil)
	got, err := choice.Choose(t.Context(), w.env(), plan(own, []choice.Way{missing, slow, wrong, other}, []choice.Way{large, broken, good, own}, []choice.Way{own}))
	if err != nil || got.Taken != good {
		t.Fatalf("Choose = %v, %v; want good", got.Taken, err)
	}
	want := []string{
		"missing: failed: no such file",
		"slow: refused: p95 is 60 ms, the limit is 50 ms",
		`wrong: refused: input 0: output "y" 1 elements of 2 differ`,
		`other: refused: it has no input "x"`,
		"large: refused: it took 100 MB, the limit is 64 MB",
		"broken: refused: it broke",
		"good: taken: the first that will do: 200 requests a second, p50 5 ms, p95 5 ms",
		"own: untried: one before it was taken",
		"own: untried: a better rung of the ladder was taken",
	}
	same := cmp.Comparer(func(a, b string) bool { // the text of the difference is tensor's
		return a == b || strings.HasPrefix(a, "wrong: refused: input 0: output") && strings.HasPrefix(b, "wrong: refused: input 0: output")
	})
	if diff := cmp.Diff(want, outcomes(got), same); diff != "" {
		t.Errorf("trials differ (-want +got):\n%s", diff)
	}
}

func TestTheFastestWayOfARungIsTakenWhereItIsMeasured(t *testing.T) {
	w := newWorld()
	p := plan(w.add("own", 10, nil), []choice.Way{w.add("a", 10, nil), w.add("b", 2, nil), w.add("c", 5, nil)}, []choice.Way{w.add("d", 1, nil)})
	p.Fastest = true
	got, err := choice.Choose(t.Context(), w.env(), p)
	want := []string{
		"a: slower: 100 requests a second, where the one taken answers 500",
		"b: taken: the fastest: 500 requests a second, p50 2 ms, p95 2 ms",
		"c: slower: 200 requests a second, where the one taken answers 500",
		"d: untried: a better rung of the ladder was taken",
	}
	if diff := cmp.Diff(want, outcomes(got)); diff != "" || err != nil || got.Taken.File != "b" {
		t.Errorf("Choose = %v, %v (-want +got):\n%s", got.Taken, err, diff)
	}
}

func TestFiguresThatScatterDoNotDecide(t *testing.T) {
	w := newWorld()
	p := plan(w.add("own", 10, nil), []choice.Way{w.add("first", 5.1, nil), w.add("second", 5, nil)})
	p.Fastest = true
	got, err := choice.Choose(t.Context(), w.env(), p)
	if err != nil || got.Taken.File != "second" { // equal throughput, better latency
		t.Errorf("Choose = %v, %v; want second", got.Taken, err)
	}
}

func TestAnotherPrecisionIsComparedByDirection(t *testing.T) {
	w := newWorld()
	own := w.add("own", 10, nil)
	near := w.add("near", 1, func(m *model) { m.add = 0.1 })
	far := w.add("far", 1, func(m *model) { m.add = 30 })
	near.Precision, far.Precision = "int8", "int8"
	got, err := choice.Choose(t.Context(), w.env(), plan(own, []choice.Way{far, near}))
	if err != nil || got.Taken != near || !strings.HasPrefix(got.Trials[0].Reason, `input 0: output "y" has a cosine similarity of 0.7399`) ||
		!strings.HasSuffix(got.Trials[0].Reason, " with the model's, want 0.99 or more") {
		t.Errorf("Choose = %v, %v, %q; want near, and far refused by its cosine", got.Taken, err, outcomes(got))
	}
}

func TestWithoutAReferenceNothingIsCompared(t *testing.T) {
	w := newWorld()
	own := choice.Way{File: "own", Precision: "int8", Runtime: "r", Device: "cpu", Threads: 1, Parallel: 1}
	odd := w.add("odd", 1, func(m *model) { m.add = 30 })
	got, err := choice.Choose(t.Context(), w.env(), plan(own, []choice.Way{odd}))
	if err != nil || got.Taken != odd || len(got.Notes) != 1 ||
		got.Notes[0] != "the reference, own (int8) in r on cpu, 1 run of 1 thread, gave no answers, so that none were compared: no such file" {
		t.Errorf("Choose = %v, %v, notes %q; want odd, and a note", got.Taken, err, got.Notes)
	}
}

func TestTheBudgetEndsTheTrials(t *testing.T) {
	w := newWorld()
	p := plan(w.add("own", 10, nil), []choice.Way{w.add("a", 10, nil), w.add("b", 1, nil)})
	p.Fastest, p.Budget = true, 300*time.Millisecond
	got, err := choice.Choose(t.Context(), w.env(), p)
	if want := "b: untried: the budget of 300ms was spent"; err != nil || got.Taken.File != "a" || outcomes(got)[1] != want {
		t.Errorf("Choose = %v, %v, %q; want a, and %q", got.Taken, err, outcomes(got), want)
	}
}

func TestWhereNothingWillDoEachReasonIsTold(t *testing.T) {
	w := newWorld()
	slow := w.add("slow", 60, nil)
	_, err := choice.Choose(t.Context(), w.env(), plan(slow, []choice.Way{slow}, nil))
	if want := "no way to run the model will do; slow (fp32) in r on cpu, 1 run of 1 thread: p95 is 60 ms, the limit is 50 ms"; err == nil || fault.Message(err) != want ||
		fault.KindOf(err) != fault.Unsupported || fault.HintOf(err) != "Add a rung that this device has, such as cpu fp32, or raise the limits." {
		t.Errorf("Choose = %v, hint %q; want %q", err, fault.HintOf(err), want)
	}
	_, err = choice.Choose(t.Context(), w.env(), plan(slow, nil))
	if want := "no way to run the model will do: nothing on the ladder fits this device and these files"; err == nil || fault.Message(err) != want {
		t.Errorf("Choose = %v, want %q", err, want)
	}
}

func TestAChoiceEndsWithItsContext(t *testing.T) {
	w := newWorld()
	ctx, cancel := context.WithCancel(t.Context())
	own := w.add("own", 10, func(m *model) { m.fails = context.Canceled })
	cancel()
	_, err := choice.Choose(ctx, w.env(), plan(own, []choice.Way{own}))
	if fault.KindOf(err) != fault.Canceled {
		t.Errorf("Choose = %v, want it canceled", err)
	}
}
