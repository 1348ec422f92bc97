package gate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"verge/client"
	"verge/internal/stats"
	"verge/internal/tensor"
)

// answer asks a version inside the node, and copies what it gives.
func answer(ctx context.Context, version Version, inputs []tensor.Tensor) (outputs []tensor.Tensor, err error) {
	err = version.Warm(ctx, inputs, func(all []tensor.Tensor) {
		for _, t := range all {
			t.Shape, t.Data = slices.Clone(t.Shape), slices.Clone(t.Data)
			outputs = append(outputs, t)
		}
	})
	return outputs, err
}

// DeterminismPlan says how often the same request is asked.
type DeterminismPlan struct {
	Runs     int    // two or more
	Parallel int    // of them at a time
	Stateful bool   // the model keeps values from one request to the next
	Source   string // where the inputs come from, for the verdict
}

// Determinism asks a version the same request several times, as many at a time as it
// runs. It passes where every answer is the first one, to the last bit or as far as
// tensor.Agree has it within 1e-4; of a model that answers at random, nothing that
// compares answers says anything, so that the verdict is inconclusive. One that keeps
// values answers otherwise each time, and is skipped.
func Determinism(ctx context.Context, e Env, version Version, inputs []tensor.Tensor, p DeterminismPlan) client.Verdict {
	const rounding = 1e-4
	v := e.verdict(GateDeterminism)
	v.How = fmt.Sprintf("%d runs of one request, %d at a time, inside the node; %s", p.Runs, p.Parallel, p.Source)
	if p.Stateful {
		v.Outcome, v.Detail = client.OutcomeSkipped, "the model keeps values from one request to the next"
		return v
	}
	answers, errs := make([][]tensor.Tensor, p.Runs), make([]error, p.Runs)
	places := make(chan struct{}, max(p.Parallel, 1))
	var wg sync.WaitGroup
	for i := range answers {
		places <- struct{}{}
		wg.Go(func() {
			answers[i], errs[i] = answer(ctx, version, inputs)
			<-places
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return failed(v, "%s", message(err))
	}
	v.Samples = p.Runs
	exact, others := true, 0
	for i, other := range answers[1:] {
		if err := compare(answers[0], other, rounding); err != nil {
			if others++; others == 1 {
				v.Detail = fmt.Sprintf("answer %d to one request is another than the first: %s", i+2, message(err))
			}
		}
		exact = exact && same(answers[0], other)
	}
	switch v = held(v, float64(others), 0, "other answers"); {
	case others > 0:
		v.Outcome = client.OutcomeInconclusive
	case exact:
		v.Detail = "every answer is the same to the last bit"
	default:
		v.Detail = fmt.Sprintf("answers differ by rounding, within %g", rounding)
	}
	return v
}

// same says whether two answers are the same to the last bit.
func same(a, b []tensor.Tensor) bool {
	return slices.EqualFunc(a, b, func(a, b tensor.Tensor) bool { return slices.Equal(a.Data, b.Data) })
}

// Numbers asks a version a request whose inputs are all finite, and counts what is no
// finite number in the outputs: NaN fails; infinities, which some models mean, are
// inconclusive. known are the right answers, where there are some: what is no number
// there may be none in the answer. Where allowed, the verdict tells and passes.
func Numbers(ctx context.Context, e Env, version Version, inputs, known []tensor.Tensor, source string, allowed bool) client.Verdict {
	v := e.verdict(GateNumbers)
	v.How = "one request, inside the node; " + source
	if _, bad := notFinite(inputs, nil); bad != "" {
		v.Outcome, v.Detail = client.OutcomeSkipped, "the inputs are not finite themselves"
		return v
	}
	outputs, err := answer(ctx, version, inputs)
	if err != nil {
		return failed(v, "%s", message(err))
	}
	nan, text := notFinite(outputs, known)
	v.Samples = 1
	v = held(v, float64(nan), 0, "NaN")
	switch v.Detail = text; {
	case text == "":
	case allowed:
		v.Outcome = client.OutcomePass
	case nan == 0:
		v.Outcome = client.OutcomeInconclusive
	}
	return v
}

// notFinite counts NaN in tensors, and describes the first one with NaN, or else with
// infinities. One that is known to have some is left out.
func notFinite(all, known []tensor.Tensor) (nan int, text string) {
	infinite := ""
	for _, t := range all {
		values, err := tensor.Floats(t)
		if err != nil {
			continue // strings
		}
		nans, infs := special(values)
		if i := slices.IndexFunc(known, func(k tensor.Tensor) bool { return k.Name == t.Name }); i >= 0 {
			if expected, err := tensor.Floats(known[i]); err == nil {
				n, inf := special(expected)
				nans, infs = max(nans-n, 0), max(infs-inf, 0)
			}
		}
		if nans > 0 && nan == 0 {
			text = fmt.Sprintf("%q has %d NaN among %d numbers", t.Name, nans, len(values))
		}
		if infs > 0 && infinite == "" {
			infinite = fmt.Sprintf("%q has %d infinities among %d numbers", t.Name, infs, len(values))
		}
		nan += nans
	}
	if nan == 0 {
		text = infinite
	}
	return nan, text
}

// special counts NaN and infinities.
func special(values []float64) (nan, infinite int) {
	for _, x := range values {
		switch {
		case math.IsNaN(x):
			nan++
		case math.IsInf(x, 0):
			infinite++
		}
	}
	return nan, infinite
}

// ColdStart holds the time from nothing to the first answer against a limit, 0 for none.
func ColdStart(e Env, load, first time.Duration, limitMS float64) client.Verdict {
	v := e.verdict(GateColdStart)
	v.How, v.Samples = "once: the load, with its process, and the first answer after it", 1
	v.Figures = map[string]float64{"load_ms": ms(load), "first_answer_ms": ms(first)}
	v.Detail = fmt.Sprintf("load %s ms, first answer %s ms", stats.Figure(ms(load), 3), stats.Figure(ms(first), 3))
	figure := ms(load + first)
	if limitMS > 0 {
		return held(v, figure, limitMS, "ms")
	}
	v.Figure, v.Unit, v.Outcome = &figure, "ms", client.OutcomePass
	return v
}

// LatencyRatioPlan says how a candidate is compared with the version that serves.
type LatencyRatioPlan struct {
	Warmup, Runs int     // of each, that do not count and that do
	Limit        float64 // of the ratio of the medians
	Source       string  // where the inputs come from, for the verdict
}

// LatencyRatio measures a candidate and the version that serves now in turn, a run of the
// one and a run of the other, so that what else happens on the machine hits both, and
// holds the ratio of their medians against the limit. serving is nil where none does.
func LatencyRatio(ctx context.Context, e Env, candidate, serving Version, inputs []tensor.Tensor, p LatencyRatioPlan) client.Verdict {
	v := e.verdict(GateLatencyRatio)
	v.How = fmt.Sprintf("%d runs of each after %d to warm up, in turn, inside the node; %s", p.Runs, p.Warmup, p.Source)
	if serving == nil {
		v.Outcome, v.Detail = client.OutcomeSkipped, "no version serves now"
		return v
	}
	var took [2][]float64
	for i := range p.Warmup + p.Runs {
		for k, version := range []Version{candidate, serving} {
			begin := e.Now()
			if err := version.Warm(ctx, inputs, nil); err != nil {
				if k == 1 { // it may have other inputs
					v.Outcome, v.Detail = client.OutcomeInconclusive, "the version that serves now does not answer: "+message(err)
					return v
				}
				return failed(v, "%s", message(err))
			}
			if i >= p.Warmup {
				took[k] = append(took[k], ms(e.Now().Sub(begin)))
			}
		}
		if i >= p.Warmup {
			e.progress(GateLatencyRatio, i-p.Warmup+1, p.Runs, took[0][i-p.Warmup], "ms")
		}
	}
	mine, others := stats.Summarize(took[0]), stats.Summarize(took[1])
	a, b := mine.Percentile(50), others.Percentile(50)
	v.Samples = p.Runs
	v.Figures = map[string]float64{"p50_ms": a, "serving_p50_ms": b, "p95_ms": mine.Percentile(95), "serving_p95_ms": others.Percentile(95)}
	v.Detail = fmt.Sprintf("the median is %s ms, that of the version that serves now %s ms", stats.Figure(a, 3), stats.Figure(b, 3))
	if b <= 0 {
		return failed(v, "the version that serves now answers in no time")
	}
	return held(v, a/b, p.Limit, "times")
}
