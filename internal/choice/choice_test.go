package choice_test

import (
	"bytes"
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
	then      time.Duration // what it takes after so many runs; 0 for the same
	after     int
	runs      int
	add       float32
	signature inference.Signature
	parallel  int
	peak      int64
	fails     error
	hangs     bool // until the request ends
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

func (s *slot) Run(ctx context.Context) ([]tensor.Tensor, error) {
	if s.model.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if s.model.fails != nil {
		return nil, s.model.fails
	}
	took := s.model.took
	if s.model.runs++; s.model.after > 0 && s.model.runs > s.model.after {
		took = s.model.then
	}
	s.model.clock.now = s.model.clock.now.Add(took)
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
	golden bool // what models answer is known: their input
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
		Name: "m@1",
		Load: func(_ context.Context, way choice.Way) (choice.Loaded, error) {
			m := w.models[way.File]
			if m == nil {
				return choice.Loaded{}, fault.New(fault.Unsupported, "test", "no such file")
			}
			w.loads = append(w.loads, way.File)
			return choice.Loaded{Session: m, Close: func() error { return nil }}, nil
		},
		Probes: func(g inference.Signature) ([]choice.Probe, error) {
			one := tensor.Tensor{Name: g.Inputs[0].Name, DType: tensor.FP32, Shape: []int64{2}, Data: make([]byte, 8)}
			binary.LittleEndian.PutUint32(one.Data, math.Float32bits(3))
			probe := choice.Probe{Inputs: []tensor.Tensor{one}}
			if w.golden {
				probe.Outputs = []tensor.Tensor{{Name: "y", DType: tensor.FP32, Shape: []int64{2}, Data: bytes.Clone(one.Data)}}
			}
			return []choice.Probe{probe}, nil
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
	broken := w.add("broken", 1, func(m *model) { m.fails = fault.New(fault.Internal, "test", "model m@1: it broke").On("m@1") })
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
		"broken: failed: it broke",
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
	p := plan(w.add("own", 10, nil), []choice.Way{w.add("first", 5.1, nil), w.add("second", 5, nil), w.add("third", 4.9, nil), w.add("fourth", 5.2, nil)})
	p.Fastest = true
	got, err := choice.Choose(t.Context(), w.env(), p)
	want := []string{
		"first: slower: 196.1 requests a second, and p50 5.1 ms, where the one taken is within 5 % of the fastest and has 4.9 ms",
		"second: slower: 200 requests a second, and p50 5 ms, where the one taken is within 5 % of the fastest and has 4.9 ms",
		"third: taken: the fastest: 204.1 requests a second, p50 4.9 ms, p95 4.9 ms",
		"fourth: slower: 192.3 requests a second, where the one taken answers 204.1",
	}
	if diff := cmp.Diff(want, outcomes(got)); diff != "" || err != nil || got.Taken.File != "third" {
		t.Errorf("Choose = %v, %v (-want +got):\n%s", got.Taken, err, diff)
	}
}

func TestOfWaysThatAreAsFastTheQuickestIsTaken(t *testing.T) {
	w := newWorld()
	// It is slow at first, one at a time, and then fast: more answers, each later.
	later := func(m *model) { m.then, m.after = 4800*time.Microsecond, 25 }
	p := plan(w.add("own", 10, nil), []choice.Way{w.add("more", 6, later), w.add("quick", 5, nil), w.add("slow", 4, func(m *model) { m.then, m.after = 5100*time.Microsecond, 25 })})
	p.Fastest = true
	got, err := choice.Choose(t.Context(), w.env(), p)
	want := []string{
		"more: slower: 208.3 requests a second, and p50 6 ms, where the one taken is within 5 % of the fastest and has 5 ms",
		"quick: taken: the lowest p50 of those within 5 % of the fastest: 200 requests a second, p50 5 ms, p95 5 ms",
		"slow: slower: 196.1 requests a second, where the fastest answers 208.3",
	}
	if diff := cmp.Diff(want, outcomes(got)); diff != "" || err != nil || got.Taken.File != "quick" {
		t.Errorf("Choose = %v, %v (-want +got):\n%s", got.Taken, err, diff)
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

func TestWithoutAReferenceNothingElseIsTaken(t *testing.T) {
	w := newWorld()
	good := w.add("good", 1, nil)
	absent := choice.Way{File: "own", Precision: "fp32", Runtime: "r", Device: "cpu", Threads: 1, Parallel: 1}
	crashes := w.add("crashes", 1, func(m *model) { m.fails = fault.New(fault.Unavailable, "test", "it died").WithHint("Bury it.") })
	for _, tc := range []struct {
		reference  choice.Way
		kind       fault.Kind
		text, hint string
	}{
		{
			absent, fault.Unsupported, "own (fp32) in r on cpu, 1 run of 1 thread, with whose answers those of other ways are compared: no such file",
			"Give answers to compare with: tests.functional_test.golden.",
		},
		{
			crashes, fault.Unavailable, "crashes (fp32) in r on cpu, 1 run of 1 thread, with whose answers those of other ways are compared: it died",
			"Bury it.",
		},
	} {
		got, err := choice.Choose(t.Context(), w.env(), plan(tc.reference, []choice.Way{good}))
		if fault.Message(err) != tc.text || fault.KindOf(err) != tc.kind || fault.HintOf(err) != tc.hint || len(got.Trials) != 0 {
			t.Errorf("Choose = %v, %v (%v), hint %q; want %s", got, err, fault.KindOf(err), fault.HintOf(err), tc.text)
		}
	}
}

func TestGoldenAnswersDoWhereTheReferenceGivesNone(t *testing.T) {
	for name, change := range map[string]func(*model){
		"it does not load": nil,
		"it does not run":  func(m *model) { m.fails = errors.New("it died") },
	} {
		w := newWorld()
		w.golden = true
		own := choice.Way{File: "own", Precision: "fp32", Runtime: "r", Device: "cpu", Threads: 1, Parallel: 1}
		why := "no such file"
		if change != nil {
			own, why = w.add("own", 10, change), "it died"
		}
		odd := w.add("odd", 1, func(m *model) { m.add = 1 })
		good := w.add("good", 1, nil)
		p := plan(own, []choice.Way{odd, good})
		p.Golden = true
		got, err := choice.Choose(t.Context(), w.env(), p)
		note := "the reference, own (fp32) in r on cpu, 1 run of 1 thread, gave no answers, so that others were compared with the golden ones: " + why
		if err != nil || got.Taken != good || got.Trials[0].Outcome != choice.Refused || len(got.Notes) != 1 || got.Notes[0] != note {
			t.Errorf("%s: Choose = %v, %v, %q, notes %q; want good, odd refused, and %q", name, got.Taken, err, outcomes(got), got.Notes, note)
		}
	}
}

func TestAReferenceThatContradictsTheGoldenAnswersIsNoMeasure(t *testing.T) {
	w := newWorld()
	w.golden = true
	own := w.add("own", 1, func(m *model) { m.add = 1 })
	good := w.add("good", 10, nil)
	p := plan(own, []choice.Way{own, good})
	p.Golden = true
	got, err := choice.Choose(t.Context(), w.env(), p)
	const reason = `input 0: output "y" element 1 is 1, want 0 within 0.0001`
	const note = "the reference, own (fp32) in r on cpu, 1 run of 1 thread, does not give the golden answers, with which others were compared: " + reason
	if err != nil || got.Taken != good || !strings.HasPrefix(outcomes(got)[0], "own: refused: "+reason) || len(got.Notes) != 1 || !strings.HasPrefix(got.Notes[0], note) {
		t.Errorf("Choose = %v, %v, %q, notes %q; want good, own refused, and %q", got.Taken, err, outcomes(got), got.Notes, note)
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

func TestTheBudgetBeginsWhenTheReferenceHasAnswered(t *testing.T) {
	w := newWorld()
	p := plan(w.add("own", 5000, nil), []choice.Way{w.add("a", 10, nil), w.add("b", 1, nil), w.add("c", 1, nil)})
	p.Fastest, p.Budget = true, time.Second // a takes 0.8 s of it, b the rest
	check(t, w, p, "a: slower", "b: taken", "c: untried: the budget of 1s was spent")
}

func TestTheBudgetEndsNothingBeforeOneWillDo(t *testing.T) {
	w := newWorld()
	own := w.add("own", 5000, nil)
	p := plan(own, []choice.Way{own, w.add("wrong", 100, func(m *model) { m.add = 1 })}, []choice.Way{w.add("good", 10, nil), w.add("late", 1, nil)})
	p.Fastest, p.Budget = true, time.Second
	check(t, w, p, "own: refused", "wrong: refused", "good: taken", "late: untried: the budget of 1s was spent")
}

// check compares what becomes of the ways of a plan with how the texts begin.
func check(t *testing.T, w *world, p choice.Plan, want ...string) {
	t.Helper()
	got, err := choice.Choose(t.Context(), w.env(), p)
	all := outcomes(got)
	if err != nil || len(all) != len(want) {
		t.Fatalf("Choose = %q, %v; want %q", all, err, want)
	}
	for i := range want {
		if !strings.HasPrefix(all[i], want[i]) {
			t.Errorf("%s, want %s", all[i], want[i])
		}
	}
}

func TestAWayThatTakesTooLongIsGivenUp(t *testing.T) {
	for name, change := range map[string]func(w *world, e *choice.Env){
		"to load": func(_ *world, e *choice.Env) {
			load := e.Load
			e.Load = func(ctx context.Context, way choice.Way) (choice.Loaded, error) {
				if way.File != "stuck" {
					return load(ctx, way)
				}
				<-ctx.Done()
				return choice.Loaded{}, fault.New(fault.Deadline, "test", "the load ended").WithHint("Wait longer.")
			}
		},
		"to answer": func(w *world, _ *choice.Env) { w.models["stuck"].hangs = true },
	} {
		w := newWorld()
		own := w.add("own", 10, nil)
		stuck := w.add("stuck", 1, nil)
		good := w.add("good", 1, nil)
		e := w.env()
		change(w, &e)
		p := plan(own, []choice.Way{stuck}, []choice.Way{good})
		p.Budget = 50 * time.Millisecond
		got, err := choice.Choose(t.Context(), e, p)
		const reason = "stuck: failed: it was not loaded and measured within 50ms"
		if err != nil || got.Taken != good || outcomes(got)[0] != reason {
			t.Errorf("%s: Choose = %v, %v, %q; want good, and %s", name, got.Taken, err, outcomes(got), reason)
		}
		p.Rungs = p.Rungs[:1]
		_, err = choice.Choose(t.Context(), e, p)
		if hint := fault.HintOf(err); !strings.HasPrefix(hint, "Name files, devices and a runtime that are faster here") {
			t.Errorf("%s: Choose = %v, hint %q", name, err, hint)
		}
	}
}

func TestAWayIsNotMeasuredToTheEndWhereItsLatencyCannotHold(t *testing.T) {
	w := newWorld()
	own := w.add("own", 10, nil)
	slow := w.add("slow", 60, nil)
	got, err := choice.Choose(t.Context(), w.env(), plan(own, []choice.Way{slow, own}))
	// One for the answer, five to warm up, and two of twenty that are over the limit.
	if runs := w.models["slow"].runs; err != nil || runs != 8 || got.Trials[0].Figures.Throughput != 0 {
		t.Errorf("Choose = %v, %v after %d runs, want 8", got, err, runs)
	}
}

func TestWhereNothingWillDoEachReasonIsTold(t *testing.T) {
	w := newWorld()
	own := w.add("own", 60, nil)
	_, err := choice.Choose(t.Context(), w.env(), plan(own, []choice.Way{own}))
	if want := "no way to run the model will do; own (fp32) in r on cpu, 1 run of 1 thread: p95 is 60 ms, the limit is 50 ms"; err == nil ||
		fault.Message(err) != want || fault.KindOf(err) != fault.Unsupported {
		t.Errorf("Choose = %v, want %q", err, want)
	}
}

func TestTheHintFitsWhyNothingWillDo(t *testing.T) {
	w := newWorld()
	own := w.add("own", 10, nil)
	slow := w.add("slow", 60, nil)
	large := w.add("large", 1, func(m *model) { m.peak = 100 << 20 })
	wrong := w.add("wrong", 1, func(m *model) { m.add = 1 })
	other := w.add("other", 1, func(m *model) { m.signature = signature("z") })
	hinted := w.add("hinted", 1, func(m *model) { m.fails = fault.New(fault.Invalid, "test", "it broke").WithHint("Mend it.") })
	const text = "no way to run the model will do"
	for _, tc := range []struct {
		ways          []choice.Way
		ladder        bool
		message, hint string
	}{
		{[]choice.Way{slow, wrong}, false, "", "Raise deployment.max_latency_ms."},
		{[]choice.Way{slow, large}, false, "", "Raise deployment.max_latency_ms and deployment.memory_limit_mb."},
		{[]choice.Way{large}, true, "", "Raise deployment.memory_limit_mb, or add a rung."},
		{[]choice.Way{wrong, hinted}, true, "", "Add a rung that this device has, such as cpu fp32."},
		{nil, true, text + ": nothing on the ladder fits this device and these files", "Add a rung that this device has, such as cpu fp32."},
		{nil, false, text + ": no runtime that is here runs these files on that device", "Set deployment.optimization_level to 1, which compares nothing."},
		{[]choice.Way{hinted, other}, false, "", "Give files whose inputs and outputs have the same names and types, or name the runtime that is to be taken: deployment.runtime."},
		{[]choice.Way{wrong, hinted}, false, "", "Mend it."},
		{[]choice.Way{wrong}, false, "", "Set deployment.optimization_level to 1, which compares nothing."},
	} {
		p := plan(own, tc.ways)
		p.Ladder = tc.ladder
		_, err := choice.Choose(t.Context(), w.env(), p)
		if fault.HintOf(err) != tc.hint || tc.message != "" && fault.Message(err) != tc.message {
			t.Errorf("%v: Choose = %v, hint %q; want hint %q", tc.ways, err, fault.HintOf(err), tc.hint)
		}
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
