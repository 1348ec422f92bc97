package gate

import (
	"context"
	"fmt"
	"time"

	"verge/client"
	"verge/internal/stats"
	"verge/internal/tensor"
)

// LatencyLimits says how latency is measured inside the node.
type LatencyLimits struct {
	Warmup, Runs int     // inferences that do not count, and that do
	LimitMS      float64 // that the 95th percentile may reach
	Source       string  // where the inputs come from, for the verdict

	Budget time.Duration // as in PerformancePlan
}

// Latency measures inferences one after the other, at the version and outside its
// request counts, and holds their 95th percentile against the limit.
func Latency(ctx context.Context, e Env, version Version, inputs []tensor.Tensor, l LatencyLimits) client.Verdict {
	run := func() error { return version.Warm(ctx, inputs, nil) }
	v := e.verdict(GateLatency)
	v.How = fmt.Sprintf("%s after %d to warm up, one at a time, inside the node; %s", atLeast(l.Runs, "runs", l.Budget), l.Warmup, l.Source)
	return timed(e, v, series{warmup: l.Warmup, runs: l.Runs, percentile: 95, limitMS: l.LimitMS, budget: l.Budget, run: run})
}

// PerformancePlan is tests.performance_test.
type PerformancePlan struct {
	Warmup, Runs int     // requests that do not count, and that do
	Percentile   float64 // that is held against the limit
	LimitMS      float64 // that it may reach

	// Budget is how long runs may go on beyond Runs, until they show with a confidence of
	// 0.99 that the percentile is within the limit: without one that does, the verdict is
	// inconclusive. 0 lets the figure itself decide.
	Budget time.Duration
}

// Performance measures requests one after the other, from the client's side: what
// is asked for and no request more.
func Performance(ctx context.Context, e Env, t Target, p PerformancePlan) client.Verdict {
	req := t.request(t.Inputs)
	run := func() error {
		_, err := t.infer(ctx, req)
		return err
	}
	v := e.verdict(GatePerformance)
	v.How = fmt.Sprintf("%s after %d to warm up, one at a time, through the node's HTTP interface; %s", atLeast(p.Runs, "requests", p.Budget), p.Warmup, t.Source)
	return timed(e, v, series{warmup: p.Warmup, runs: p.Runs, percentile: p.Percentile, limitMS: p.LimitMS, budget: p.Budget, run: run})
}

// atLeast says how many runs there are, or more where there is a budget for them.
func atLeast(n int, what string, budget time.Duration) string {
	if budget > 0 {
		what += " or more"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// series is inferences one after the other.
type series struct {
	warmup, runs        int
	percentile, limitMS float64
	budget              time.Duration
	run                 func() error
}

// How far a series goes on, where there is a budget.
const (
	confidence = 0.99 // with which the percentile is within its limit then
	mostRuns   = 1000
)

// enough says whether runs show what they can: without a budget, as many as are asked for.
func (s series) enough(took []float64, began, now time.Time) bool {
	if len(took) < s.runs {
		return false
	}
	return s.budget == 0 || len(took) >= max(s.runs, mostRuns) || s.holds(took) || now.Sub(began) >= s.budget
}

// holds says whether runs show with confidence that the percentile is within the limit.
func (s series) holds(took []float64) bool {
	over := 0
	for _, ms := range took {
		if ms > s.limitMS {
			over++
		}
	}
	return stats.Holds(len(took), over, s.percentile, confidence)
}

// timed runs a series. The first inference that fails ends it: its latency would
// say nothing.
func timed(e Env, v client.Verdict, s series) client.Verdict {
	if s.runs < 1 {
		return failed(v, "%d runs, want 1 or more", s.runs)
	}
	for i := range s.warmup {
		if err := s.run(); err != nil {
			return failed(v, "run %d of %d to warm up: %s", i+1, s.warmup, message(err))
		}
	}
	took := make([]float64, 0, s.runs)
	for began := e.Now(); !s.enough(took, began, e.Now()); {
		i, begin := len(took), e.Now()
		if err := s.run(); err != nil {
			v.Samples = len(took)
			return failed(v, "run %d of %d: %s", i+1, s.runs, message(err))
		}
		took = append(took, ms(e.Now().Sub(begin)))
		e.progress(v.Gate, i+1, max(s.runs, i+1), took[i], "ms")
	}
	sum := stats.Summarize(took)
	v.Samples = sum.Count
	v.Figures, v.Histogram = latencyFigures(sum), histogram(took)
	figure := sum.Percentile(s.percentile)
	v.Figures[fmt.Sprintf("p%g_ms", s.percentile)] = figure
	v.Detail = fmt.Sprintf("p%g of %d runs; mean %s ms", s.percentile, sum.Count, stats.Figure(sum.Mean, 3))
	v = held(v, figure, s.limitMS, "ms")
	if s.budget > 0 && v.Outcome == client.OutcomePass && !s.holds(took) {
		v.Outcome = client.OutcomeInconclusive
		v.Detail += fmt.Sprintf("; that p%g is within the limit holds with a confidence below %g", s.percentile, confidence)
	}
	return v
}

// latencyFigures are the figures of latencies in milliseconds.
func latencyFigures(s stats.Summary) map[string]float64 {
	return map[string]float64{
		"mean_ms": s.Mean, "min_ms": s.Min, "max_ms": s.Max,
		"p50_ms": s.Percentile(50), "p95_ms": s.Percentile(95), "p99_ms": s.Percentile(99),
	}
}

// seconds is a duration for messages, to the millisecond.
func seconds(d time.Duration) string { return d.Round(time.Millisecond).String() }
