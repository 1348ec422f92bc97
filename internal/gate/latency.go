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
}

// Latency measures inferences one after the other, at the version and outside its
// request counts, and holds their 95th percentile against the limit.
func Latency(ctx context.Context, e Env, version Version, inputs []tensor.Tensor, l LatencyLimits) client.Verdict {
	run := func() error { return version.Warm(ctx, inputs, nil) }
	v := e.verdict(GateLatency)
	v.How = fmt.Sprintf("%d runs after %d to warm up, one at a time, inside the node; %s", l.Runs, l.Warmup, l.Source)
	return timed(e, v, series{warmup: l.Warmup, runs: l.Runs, percentile: 95, limitMS: l.LimitMS, run: run})
}

// PerformancePlan is tests.performance_test.
type PerformancePlan struct {
	Warmup, Runs int     // requests that do not count, and that do
	Percentile   float64 // that is held against the limit
	LimitMS      float64 // that it may reach
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
	v.How = fmt.Sprintf("%d requests after %d to warm up, one at a time, through the node's HTTP interface; %s", p.Runs, p.Warmup, t.Source)
	return timed(e, v, series{warmup: p.Warmup, runs: p.Runs, percentile: p.Percentile, limitMS: p.LimitMS, run: run})
}

// series is inferences one after the other.
type series struct {
	warmup, runs        int
	percentile, limitMS float64
	run                 func() error
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
	for i := range s.runs {
		begin := e.Now()
		if err := s.run(); err != nil {
			v.Samples = len(took)
			return failed(v, "run %d of %d: %s", i+1, s.runs, message(err))
		}
		took = append(took, ms(e.Now().Sub(begin)))
		e.progress(v.Gate, i+1, s.runs, took[i], "ms")
	}
	sum := stats.Summarize(took)
	v.Samples = sum.Count
	v.Figures = latencyFigures(sum)
	figure := sum.Percentile(s.percentile)
	v.Figures[fmt.Sprintf("p%g_ms", s.percentile)] = figure
	v.Detail = fmt.Sprintf("p%g of %d runs; mean %s ms", s.percentile, sum.Count, stats.Figure(sum.Mean, 3))
	return held(v, figure, s.limitMS, "ms")
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
