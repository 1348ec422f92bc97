package gate_test

import (
	"math"
	"sync/atomic"
	"testing"
	"time"

	"verge/client"
	"verge/internal/gate"
	"verge/internal/tensor"
)

func TestAnswersToOneRequestAreTheSame(t *testing.T) {
	one := []tensor.Tensor{floats("x", []int64{1, 1}, 1)}
	for name, tt := range map[string]struct {
		add      float64 // to each answer after the first
		stateful bool
		outcome  client.Outcome
		detail   string
	}{
		"to the last bit":       {0, false, client.OutcomePass, "every answer is the same to the last bit"},
		"but for rounding":      {1e-6, false, client.OutcomePass, "answers differ by rounding, within 0.0001"},
		"at random":             {1, false, client.OutcomeInconclusive, `answer 2 to one request is another than the first: output "y": element 0 is 2, want 1 within 0.0001`},
		"with values that stay": {1, true, client.OutcomeSkipped, "the model keeps values from one request to the next"},
	} {
		var asked atomic.Int32
		v := scores(-1, 1, func(x []float64) []float32 {
			if asked.Add(1) > 1 {
				return []float32{float32(x[0] + tt.add)}
			}
			return []float32{float32(x[0])}
		})
		got := gate.Determinism(t.Context(), env(), v, one, gate.DeterminismPlan{Runs: 4, Parallel: 1, Stateful: tt.stateful, Source: "one"})
		if got.Outcome != tt.outcome || got.Detail != tt.detail {
			t.Errorf("%s: %s %q, want %s %q", name, got.Outcome, got.Detail, tt.outcome, tt.detail)
		}
	}
}

func TestAnswersAreFiniteNumbers(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for name, tt := range map[string]struct {
		input   float32
		answer  []float32
		known   []float32
		allowed bool
		outcome client.Outcome
		detail  string
	}{
		"they are":                 {1, []float32{1, 2}, nil, false, client.OutcomePass, ""},
		"NaN":                      {1, []float32{1, nan}, nil, false, client.OutcomeFail, `"y" has 1 NaN among 2 numbers`},
		"NaN that is known":        {1, []float32{1, nan}, []float32{1, nan}, false, client.OutcomePass, ""},
		"NaN that is allowed":      {1, []float32{1, nan}, nil, true, client.OutcomePass, `"y" has 1 NaN among 2 numbers`},
		"NaN in the request":       {nan, []float32{1, nan}, nil, false, client.OutcomeSkipped, "the inputs are not finite themselves"},
		"infinity":                 {1, []float32{1, inf}, nil, false, client.OutcomeInconclusive, `"y" has 1 infinities among 2 numbers`},
		"infinity that is known":   {1, []float32{1, inf}, []float32{1, inf}, false, client.OutcomePass, ""},
		"more NaN than are known":  {1, []float32{nan, nan}, []float32{1, nan}, false, client.OutcomeFail, `"y" has 1 NaN among 2 numbers`},
		"infinity that is allowed": {1, []float32{1, inf}, nil, true, client.OutcomePass, `"y" has 1 infinities among 2 numbers`},
	} {
		v := scores(-1, 2, func([]float64) []float32 { return tt.answer })
		var known []tensor.Tensor
		if tt.known != nil {
			known = append(known, floats("y", []int64{1, 2}, tt.known...))
		}
		got := gate.Numbers(t.Context(), env(), v, []tensor.Tensor{floats("x", []int64{1, 1}, tt.input)}, known, "one", tt.allowed)
		if got.Outcome != tt.outcome || got.Detail != tt.detail {
			t.Errorf("%s: %s %q, want %s %q", name, got.Outcome, got.Detail, tt.outcome, tt.detail)
		}
	}
}

func TestAColdStartIsTheLoadAndTheFirstAnswer(t *testing.T) {
	for limit, want := range map[float64]client.Outcome{0: client.OutcomePass, 120: client.OutcomePass, 119: client.OutcomeFail} {
		v := gate.ColdStart(env(), 100*time.Millisecond, 20*time.Millisecond, limit)
		if v.Outcome != want || *v.Figure != 120 || v.Detail != "load 100 ms, first answer 20 ms" || (v.Limit == nil) != (limit == 0) {
			t.Errorf("limit %g: %+v, want %s", limit, v, want)
		}
	}
}

func TestLatencyIsComparedInTurn(t *testing.T) {
	for name, tt := range map[string]struct {
		mine, others int
		serving      bool
		outcome      client.Outcome
	}{
		"as fast":        {10, 10, true, client.OutcomePass},
		"a bit slower":   {12, 10, true, client.OutcomePass},
		"too slow":       {13, 10, true, client.OutcomeFail},
		"nothing serves": {13, 0, false, client.OutcomeSkipped},
	} {
		c := &clock{now: time.Unix(0, 0)}
		turn := 0
		timed := func(is, took int) *fake {
			return &fake{run: func(int) error {
				if turn%2 != is {
					t.Errorf("%s: run %d is out of turn", name, turn)
				}
				turn++
				c.now = c.now.Add(time.Duration(took) * time.Millisecond)
				return nil
			}}
		}
		var serving gate.Version
		if tt.serving {
			serving = timed(1, tt.others)
		}
		v := gate.LatencyRatio(t.Context(), gate.Env{Now: c.Now}, timed(0, tt.mine), serving, nil, gate.LatencyRatioPlan{Warmup: 2, Runs: 5, Limit: 1.25})
		if v.Outcome != tt.outcome || tt.serving && (*v.Figure != float64(tt.mine)/float64(tt.others) || v.Samples != 5 || turn != 14) {
			t.Errorf("%s: %+v after %d runs, want %s", name, v, turn, tt.outcome)
		}
	}
}
