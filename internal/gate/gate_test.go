package gate_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"verge/client"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var signature = inference.Signature{
	Inputs:  []inference.Spec{{Name: "x", DType: tensor.FP32, Shape: []int64{-1, 2}, Symbols: []string{"n", ""}}},
	Outputs: []inference.Spec{{Name: "y", DType: tensor.FP32, Shape: []int64{-1, 2}, Symbols: []string{"n", ""}}},
}

func floats(name string, shape []int64, values ...float32) tensor.Tensor {
	data, _ := binary.Append(nil, binary.LittleEndian, values)
	return tensor.Tensor{Name: name, DType: tensor.FP32, Shape: shape, Data: data}
}

// fake answers a request with its own input, after run has had its say.
type fake struct {
	run    func(number int) error
	change func(*client.InferResponse)

	mu    sync.Mutex // guards number
	asked int
}

func (f *fake) next() error {
	f.mu.Lock()
	f.asked++
	number := f.asked
	f.mu.Unlock()
	if f.run == nil {
		return nil
	}
	return f.run(number)
}

func (f *fake) Signature() inference.Signature { return signature }

func (f *fake) Warm(_ context.Context, inputs []tensor.Tensor, use func([]tensor.Tensor)) error {
	if err := f.next(); err != nil {
		return err
	}
	if use != nil {
		use(inputs)
	}
	return nil
}

func (f *fake) Infer(_ context.Context, req client.InferRequest) (*client.InferResponse, error) {
	if err := f.next(); err != nil {
		return nil, err
	}
	in := req.Inputs[0]
	answer := &client.InferResponse{
		Model:   req.Model,
		Outputs: []client.Tensor{{Name: "y", Datatype: in.Datatype, Shape: in.Shape, Data: in.Data}},
	}
	if f.change != nil {
		f.change(answer)
	}
	return answer, nil
}

// clock passes one millisecond more between any two readings than between the two before.
type clock struct {
	reads int
	now   time.Time
}

func (c *clock) Now() time.Time {
	c.reads++
	return c.now
}

func target(f *fake) gate.Target {
	return gate.Target{
		Candidate: f, Model: "m", Signature: signature, Inputs: []tensor.Tensor{floats("x", []int64{1, 2}, 1, 2)}, Source: "two numbers",
	}
}

// after makes runs take as many milliseconds as their number among those that count.
func (c *clock) after(warmup int) func(int) error {
	return func(number int) error {
		c.now = c.now.Add(time.Duration(max(number-warmup, 100*min(1, warmup-number+1))) * time.Millisecond)
		return nil
	}
}

func TestLatencyHoldsThe95thOfTwentyRunsAgainstTheLimit(t *testing.T) {
	for limit, want := range map[float64]client.Outcome{19: client.OutcomePass, 18.9: client.OutcomeFail} {
		c := &clock{now: time.Unix(0, 0)}
		f := &fake{run: c.after(5)}
		warm := 40.0
		var steps []client.Progress
		env := gate.Env{
			Device: "board", Now: c.Now, Celsius: func() *float64 { return &warm },
			Progress: func(p client.Progress) { steps = append(steps, p) },
		}
		v := gate.Latency(t.Context(), env, f, nil, gate.LatencyLimits{Warmup: 5, Runs: 20, LimitMS: limit, Source: "two numbers"})
		if v.Outcome != want || *v.Figure != 19 || *v.Limit != limit || v.Unit != "ms" || v.Samples != 20 || f.asked != 25 {
			t.Errorf("verdict %+v after %d runs", v, f.asked)
		}
		figures := map[string]float64{"mean_ms": 10.5, "min_ms": 1, "max_ms": 20, "p50_ms": 10, "p95_ms": 19, "p99_ms": 20}
		if diff := cmp.Diff(figures, v.Figures); diff != "" {
			t.Errorf("figures (-want +got):\n%s", diff)
		}
		if v.Gate != "latency" || v.Device != "board" || *v.Celsius != 40 || v.Detail != "p95 of 20 runs; mean 10.5 ms" ||
			v.How != "20 runs after 5 to warm up, one at a time, inside the node; two numbers" {
			t.Errorf("verdict %+v", v)
		}
		if len(steps) != 20 || steps[19].Done != 20 || steps[19].Total != 20 || *steps[19].Figure != 20 || steps[19].Unit != "ms" {
			t.Errorf("%d steps, the last %+v", len(steps), steps[len(steps)-1])
		}
	}
}

func TestLatencyIsToldWithConfidenceWhereThereIsABudget(t *testing.T) {
	for name, tt := range map[string]struct {
		slow    func(number int) bool // runs of 60 ms, where the limit is 50; the others take 1
		budget  time.Duration
		runs    int
		outcome client.Outcome
		detail  string
	}{
		"none is slow":            {func(int) bool { return false }, time.Minute, 90, client.OutcomePass, "p95 of 90 runs; mean 1 ms"},
		"one is":                  {func(n int) bool { return n == 10 }, time.Minute, 130, client.OutcomePass, "p95 of 130 runs; mean 1.45 ms"},
		"the budget is over":      {func(n int) bool { return n == 10 }, 100 * time.Millisecond, 41, client.OutcomeInconclusive, "p95 of 41 runs; mean 2.44 ms; that p95 is within the limit holds with a confidence below 0.99"},
		"more than one in ten":    {func(n int) bool { return n%8 == 0 }, 3 * time.Second, 0, client.OutcomeFail, ""},
		"nothing is asked for it": {func(int) bool { return false }, 0, 20, client.OutcomePass, "p95 of 20 runs; mean 1 ms"},
	} {
		c := &clock{now: time.Unix(0, 0)}
		f := &fake{run: func(number int) error {
			took := time.Millisecond
			if tt.slow(number) {
				took = 60 * time.Millisecond
			}
			c.now = c.now.Add(took)
			return nil
		}}
		v := gate.Latency(t.Context(), gate.Env{Now: c.Now}, f, nil, gate.LatencyLimits{Runs: 20, LimitMS: 50, Budget: tt.budget})
		if v.Outcome != tt.outcome || tt.runs > 0 && (v.Samples != tt.runs || v.Detail != tt.detail) {
			t.Errorf("%s: %s after %d runs, %q; want %s after %d, %q", name, v.Outcome, v.Samples, v.Detail, tt.outcome, tt.runs, tt.detail)
		}
	}
}

func TestPerformanceAsksExactlyAsOftenAsIsWanted(t *testing.T) {
	c := &clock{now: time.Unix(0, 0)}
	f := &fake{run: c.after(0)}
	v := gate.Performance(t.Context(), gate.Env{Now: c.Now}, target(f), gate.PerformancePlan{Runs: 50, Percentile: 90, LimitMS: 45})
	if v.Outcome != client.OutcomePass || *v.Figure != 45 || v.Figures["p90_ms"] != 45 || f.asked != 50 {
		t.Errorf("verdict %+v after %d requests", v, f.asked)
	}
}

func TestASeriesEndsWithTheFirstFailure(t *testing.T) {
	broken := func(at int) *fake {
		return &fake{run: func(number int) error {
			if number == at {
				return fault.New(fault.Internal, "x.run", "the worker died")
			}
			return nil
		}}
	}
	tests := map[string]struct {
		at, runs int
		want     string
	}{
		"while it warms up":      {2, 4, "run 2 of 3 to warm up: the worker died"},
		"while it measures":      {5, 4, "run 2 of 4: the worker died"},
		"where nothing is asked": {99, 0, "0 runs, want 1 or more"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := broken(test.at)
			v := gate.Latency(t.Context(), gate.Env{Now: time.Now}, f, nil, gate.LatencyLimits{Warmup: 3, Runs: test.runs})
			if v.Outcome != client.OutcomeError || v.Detail != test.want || v.Figure != nil || f.asked > test.at {
				t.Errorf("verdict %+v after %d runs, want %q", v, f.asked, test.want)
			}
		})
	}
}

func TestMemoryIsHeldAgainstTheLimitOrSaysWhyNot(t *testing.T) {
	env := gate.Env{Now: time.Now}
	tests := map[string]struct {
		peak    int64
		why     error
		outcome client.Outcome
		detail  string
	}{
		"at the limit":   {64 << 20, nil, client.OutcomePass, ""},
		"over the limit": {64<<20 + 1, nil, client.OutcomeFail, ""},
		"unknown":        {0, errors.New("isolation is none"), client.OutcomeInconclusive, "isolation is none"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := gate.Memory(env, gate.Usage{PeakBytes: test.peak, How: "read"}, test.why, 64)
			if v.Outcome != test.outcome || *v.Limit != 64 || v.Unit != "MB" || v.Detail != test.detail || (v.Figure == nil) != (test.why != nil) {
				t.Errorf("verdict %+v", v)
			}
		})
	}
}

func TestASignatureThatBreaksClientsIsNotPassed(t *testing.T) {
	spec := func(name string, dtype tensor.DType, shape ...int64) inference.Spec {
		return inference.Spec{Name: name, DType: dtype, Shape: shape}
	}
	before := inference.Signature{Inputs: []inference.Spec{spec("x", tensor.FP32, -1, 2)}, Outputs: []inference.Spec{spec("y", tensor.FP32, -1)}}
	const tail = "; clients of the version that serves may not be ready for it"
	tests := map[string]struct {
		serving *inference.Signature
		after   inference.Signature
		outcome client.Outcome
		detail  string
	}{
		"nothing serves":  {nil, before, client.OutcomeSkipped, "no version serves now"},
		"nothing changed": {&before, before, client.OutcomePass, ""},
		"an output more": {
			&before,
			inference.Signature{Inputs: before.Inputs, Outputs: append(before.Outputs[:1:1], spec("z", tensor.Int64, 1))},
			client.OutcomePass, `output "z" is new`,
		},
		"an input more, and one changed": {
			&before,
			inference.Signature{Inputs: []inference.Spec{spec("x", tensor.FP32, -1, 3), spec("w", tensor.FP32)}, Outputs: before.Outputs},
			client.OutcomeFail, `input "x" was FP32[-1,2], is FP32[-1,3]; input "w" is new` + tail,
		},
		"an output gone": {
			&before, inference.Signature{Inputs: before.Inputs}, client.OutcomeFail, `output "y" is gone` + tail,
		},
		"an input that takes more, and an output that is less": {
			&before,
			inference.Signature{Inputs: []inference.Spec{spec("x", tensor.FP32, -1, -1)}, Outputs: []inference.Spec{spec("y", tensor.FP32, 5)}},
			client.OutcomePass, `input "x" was FP32[-1,2], is FP32[-1,-1]; output "y" was FP32[-1], is FP32[5]`,
		},
		"an output that is more": {
			&inference.Signature{Inputs: before.Inputs, Outputs: []inference.Spec{spec("y", tensor.FP32, 5)}}, before, client.OutcomeFail,
			`output "y" was FP32[5], is FP32[-1]` + tail,
		},
		"another type": {
			&before,
			inference.Signature{Inputs: []inference.Spec{spec("x", tensor.FP16, -1, 2)}, Outputs: before.Outputs},
			client.OutcomeFail,
			`input "x" was FP32[-1,2], is FP16[-1,2]` + tail,
		},
		"another rank": {
			&before,
			inference.Signature{Inputs: []inference.Spec{spec("x", tensor.FP32, -1)}, Outputs: before.Outputs},
			client.OutcomeFail,
			`input "x" was FP32[-1,2], is FP32[-1]` + tail,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			allowed := gate.Signature(gate.Env{Now: time.Now}, test.serving, test.after, true)
			if test.outcome == client.OutcomeFail && (allowed.Outcome != client.OutcomePass || allowed.Detail != strings.TrimSuffix(test.detail, tail)+"; allowed on request") {
				t.Errorf("allowed: %s %q", allowed.Outcome, allowed.Detail)
			}
			v := gate.Signature(gate.Env{Now: time.Now}, test.serving, test.after, false)
			if v.Outcome != test.outcome || v.Detail != test.detail {
				t.Errorf("%s %q, want %s %q", v.Outcome, v.Detail, test.outcome, test.detail)
			}
		})
	}
}

func TestFunctionalAsksOnceAndChecksTheAnswersForm(t *testing.T) {
	tests := map[string]struct {
		change  func(*client.InferResponse)
		run     func(int) error
		outcome client.Outcome
		detail  string
	}{
		"a right answer":       {nil, nil, client.OutcomePass, ""},
		"an answer of another": {func(r *client.InferResponse) { r.Model = "n" }, nil, client.OutcomeFail, `model "n" answered, "m" was asked`},
		"an output too few":    {func(r *client.InferResponse) { r.Outputs = nil }, nil, client.OutcomeFail, "0 outputs, want 1"},
		"another name":         {func(r *client.InferResponse) { r.Outputs[0].Name = "z" }, nil, client.OutcomeFail, `output "y" is missing`},
		"another type":         {func(r *client.InferResponse) { r.Outputs[0].Datatype = "INT32" }, nil, client.OutcomeFail, `output "y" is INT32, want FP32`},
		"another batch is told and passes": {
			func(r *client.InferResponse) { r.Outputs[0].Shape = []int64{2, 2} }, nil, client.OutcomePass, `output "y" has shape [2,2], the model's file declares [1,2]`,
		},
		"no answer": {nil, func(int) error { return &client.Error{Kind: "unavailable", Message: "queue full"} }, client.OutcomeError, "queue full"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := &fake{change: test.change, run: test.run}
			v := gate.Functional(t.Context(), gate.Env{Now: time.Now}, target(f), nil, 1e-4)
			if v.Outcome != test.outcome || v.Detail != test.detail || f.asked != 1 {
				t.Errorf("%s %q after %d requests, want %s %q", v.Outcome, v.Detail, f.asked, test.outcome, test.detail)
			}
		})
	}
}

func TestFunctionalComparesGoldenAnswers(t *testing.T) {
	cases, err := gate.Cases(signature, []tensor.Tensor{
		floats("x", []int64{3, 2}, 1, 2, 3, 4, 5, 6), floats("y", []int64{3, 2}, 1, 2, 3, 4, 5, 7),
	}, 2)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	v := gate.Functional(t.Context(), gate.Env{Now: time.Now}, target(f), cases, 1e-4)
	if v.Outcome != client.OutcomeFail || *v.Figure != 1 || v.Samples != 2 || f.asked != 2 ||
		v.Detail != `row 2: output "y": element 1 is 6, want 7 within 0.0001` {
		t.Errorf("verdict %+v after %d requests", v, f.asked)
	}
	if v := gate.Functional(t.Context(), gate.Env{Now: time.Now}, target(f), cases, 0.5); v.Outcome != client.OutcomePass {
		t.Errorf("verdict with a wide tolerance %+v", v)
	}
	f = &fake{run: func(int) error { return errors.New("gone") }}
	if v := gate.Functional(t.Context(), gate.Env{Now: time.Now}, target(f), cases, 1); v.Outcome != client.OutcomeError || v.Detail != "rows 0 to 1: gone" {
		t.Errorf("verdict without an answer %+v", v)
	}
}

func TestGoldenStringsAreCutIntoRequests(t *testing.T) {
	g := inference.Signature{
		Inputs:  []inference.Spec{{Name: "x", DType: tensor.Bytes, Shape: []int64{-1, 2}}},
		Outputs: []inference.Spec{{Name: "y", DType: tensor.Bytes, Shape: []int64{-1}}},
	}
	rows := onnxmodel.Strings("x", "a", "bb", "", "dddd", "e", "f")
	rows.Shape = []int64{3, 2}
	cases, err := gate.Cases(g, []tensor.Tensor{rows, onnxmodel.Strings("y", "one", "two", "three")}, 2)
	if err != nil || len(cases) != 2 {
		t.Fatalf("Cases = %v, %v; want two", cases, err)
	}
	last := onnxmodel.Strings("x", "e", "f")
	last.Shape = []int64{1, 2}
	if diff := cmp.Diff([]tensor.Tensor{last, onnxmodel.Strings("y", "three")}, []tensor.Tensor{cases[1].Inputs[0], cases[1].Outputs[0]}); diff != "" {
		t.Errorf("the last row (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(onnxmodel.Strings("y", "one", "two"), cases[0].Outputs[0]); diff != "" {
		t.Errorf("the first answers (-want +got):\n%s", diff)
	}
}

func TestLoadMakesEveryRequestOfEveryClient(t *testing.T) {
	tests := map[string]struct {
		broken  int // of 200
		outcome client.Outcome
		detail  string
	}{
		"all answered":         {0, client.OutcomePass, ""},
		"just enough":          {10, client.OutcomePass, "10 of 200 failed: 10 × queue full (unavailable)"},
		"one failure too many": {11, client.OutcomeFail, "11 of 200 failed: 11 × queue full (unavailable)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := &fake{run: func(number int) error {
				if number <= test.broken {
					return &client.Error{Kind: "unavailable", Message: "queue full"}
				}
				return nil
			}}
			v := gate.Load(t.Context(), gate.Env{Now: time.Now}, target(f), gate.LoadPlan{Clients: 10, RequestsPerClient: 20, MinSuccessRate: 0.95})
			rate := float64(200-test.broken) / 200
			if v.Outcome != test.outcome || *v.Figure != rate || v.Samples != 200 || f.asked != 200 || v.Detail != test.detail {
				t.Errorf("verdict %+v after %d requests", v, f.asked)
			}
		})
	}
}

func TestAScheduleCountsLatencyFromWhenARequestWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// One client, ten requests a second, and a first answer that takes a second:
		// the nine requests behind it are late, and say so.
		f := &fake{run: func(number int) error {
			if number == 1 {
				time.Sleep(time.Second) //nolint:forbidigo // of the bubble
			}
			return nil
		}}
		v := gate.Load(t.Context(), gate.Env{Now: time.Now}, target(f), gate.LoadPlan{
			Clients: 1, MinSuccessRate: 1, Rate: 10, Duration: 2 * time.Second,
		})
		if v.Outcome != client.OutcomePass || v.Samples != 20 {
			t.Fatalf("verdict %+v", v)
		}
		if v.Figures["max_ms"] != 1000 || v.Figures["mean_ms"] != 275 || v.Figures["min_ms"] != 0 {
			t.Errorf("figures %v, want 1000, 900, … 100, 0 … 0", v.Figures)
		}
		if v.How != "20 requests, 10 a second by schedule for 2s, at most 1 at a time, through the node's HTTP interface; two numbers" {
			t.Errorf("how %q", v.How)
		}
	})
}

func TestALoadTestEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		gate.Load(ctx, gate.Env{Now: time.Now}, target(&fake{}), gate.LoadPlan{Clients: 3, Rate: 0.001, Duration: time.Hour})
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

func TestALoadTestThatCannotBeMadeSaysWhy(t *testing.T) {
	tests := map[string]gate.LoadPlan{
		"0 clients, want 1 or more":                                                       {RequestsPerClient: 1},
		"a rate of 5 requests a second without a duration":                                {Clients: 1, Rate: 5},
		"3.6e+09 requests, at most 10000000 are made":                                     {Clients: 1, Rate: 1e6, Duration: time.Hour},
		"0 requests for each of 2 clients, want 1 or more, and 10000000 at most together": {Clients: 2},
	}
	for want, plan := range tests {
		f := &fake{}
		v := gate.Load(t.Context(), gate.Env{Now: time.Now}, target(f), plan)
		if v.Outcome != client.OutcomeError || v.Detail != want || f.asked != 0 {
			t.Errorf("verdict %+v, want %q", v, want)
		}
	}
}

func TestGoldenArraysAreCutAsTheModelsBatchAllows(t *testing.T) {
	shape := func(name string, dims ...int64) tensor.Tensor {
		n, _ := tensor.Elements(dims)
		return floats(name, dims, make([]float32, n)...)
	}
	fixed := func(dims ...int64) inference.Signature {
		return inference.Signature{
			Inputs:  []inference.Spec{{Name: "x", DType: tensor.FP32, Shape: dims}},
			Outputs: []inference.Spec{{Name: "y", DType: tensor.FP32, Shape: dims}},
		}
	}
	tests := map[string]struct {
		g      inference.Signature
		arrays []tensor.Tensor
		batch  int
		want   []string // name and shape
		err    string
	}{
		"rows in batches, the last one shorter": {
			signature, []tensor.Tensor{shape("y", 5, 2), shape("x", 5, 2)}, 2, []string{"rows 0 to 1 [2,2]", "rows 2 to 3 [2,2]", "row 4 [1,2]"}, "",
		},
		"one by one":         {signature, []tensor.Tensor{shape("x", 2, 2), shape("y", 2, 2)}, 1, []string{"row 0 [1,2]", "row 1 [1,2]"}, ""},
		"a fixed batch":      {fixed(2, 3), []tensor.Tensor{shape("x", 4, 3), shape("y", 4, 3)}, 1, []string{"rows 0 to 1 [2,3]", "rows 2 to 3 [2,3]"}, ""},
		"one fixed request":  {fixed(2, 3), []tensor.Tensor{shape("x", 2, 3), shape("y", 2, 3)}, 9, []string{"the golden request [2,3]"}, ""},
		"a scalar":           {fixed(), []tensor.Tensor{shape("x"), shape("y")}, 1, []string{"the golden request []"}, ""},
		"no multiple":        {fixed(2, 3), []tensor.Tensor{shape("x", 3, 3), shape("y", 3, 3)}, 1, nil, `golden: input "x" has 3 rows, want a multiple of the model's batch of 2`},
		"another row":        {signature, []tensor.Tensor{shape("x", 3, 7), shape("y", 3, 2)}, 1, nil, `golden: input "x" has shape [3,7], want [-1,2]`},
		"another rank":       {signature, []tensor.Tensor{shape("x", 3), shape("y", 3, 2)}, 1, nil, `golden: input "x" has shape [3] with 1 dimensions, want 2 as in [-1,2]`},
		"no dimension":       {signature, []tensor.Tensor{shape("x"), shape("y", 3, 2)}, 1, nil, `golden: input "x" has shape [] with 0 dimensions, want 2 as in [-1,2]`},
		"rows that differ":   {signature, []tensor.Tensor{shape("x", 3, 2), shape("y", 2, 2)}, 1, nil, `golden: "y" has shape [2,2], want 3 rows as "x" has`},
		"no rows":            {signature, []tensor.Tensor{shape("x", 0, 2), shape("y", 0, 2)}, 1, nil, "golden: 0 rows in batches of 1, want 1 to 10000 batches"},
		"too many":           {signature, []tensor.Tensor{shape("x", 10_001, 2), shape("y", 10_001, 2)}, 1, nil, "golden: 10001 rows in batches of 1, want 1 to 10000 batches"},
		"everything missing": {signature, nil, 1, nil, "golden: input \"x\" is missing\nit has no output"},
		"another type": {
			signature,
			[]tensor.Tensor{{Name: "x", DType: tensor.FP64, Shape: []int64{1, 2}, Data: make([]byte, 16)}, shape("y", 1, 2)},
			1, nil,
			`golden: "x" is FP64, want FP32`,
		},
		"an unknown name": {
			signature,
			[]tensor.Tensor{shape("x", 1, 2), shape("q", 1, 2), shape("y", 1, 2)},
			1, nil,
			`golden: "q" is neither an input nor an output, the model has [x FP32[-1,2]] and [y FP32[-1,2]]`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cases, err := gate.Cases(test.g, test.arrays, test.batch)
			var got []string
			for _, c := range cases {
				got = append(got, fmt.Sprintf("%s %s", c.Name, inference.FormatShape(c.Inputs[0].Shape)))
				if n, _ := tensor.ByteSize(tensor.FP32, c.Outputs[0].Shape); n != len(c.Outputs[0].Data) {
					t.Errorf("%s: %d bytes for %v", c.Name, len(c.Outputs[0].Data), c.Outputs[0].Shape)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("cases (-want +got):\n%s", diff)
			}
			if text := fault.Message(err); text != test.err || err != nil && fault.KindOf(err) != fault.Invalid {
				t.Errorf("error %q, want %q", text, test.err)
			}
		})
	}
}
