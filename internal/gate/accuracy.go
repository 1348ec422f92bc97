package gate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"verge/client"
	"verge/internal/dataset"
	"verge/internal/inference"
	"verge/internal/stats"
	"verge/internal/tensor"
)

// The metrics of accuracy.
const (
	MetricTop1   = "top1"   // share of samples whose class has the highest score
	MetricTop5   = "top5"   // or one of the five highest
	MetricExact  = "exact"  // share of samples whose outputs are the known ones
	MetricMSE    = "mse"    // mean squared difference from the known outputs
	MetricCosine = "cosine" // mean cosine similarity with the known outputs
)

// AccuracyPlan says how accuracy is measured, and what it must be.
type AccuracyPlan struct {
	Metric    string
	Min, Max  *float64 // that it must reach, and that it may reach; nil for no limit
	MaxDrop   *float64 // most that may be lost against the version that serves, in points of 0.01; nil for any
	Tolerance float64  // of MetricExact, as tensor.Agree has it
}

// Accuracy asks a version all samples of a data set, one at a time inside the node, and
// holds what they amount to against the limits. Where a version serves and a drop is
// limited, that is asked the same samples, and a second verdict holds the loss against
// the limit: it passes where Tango's upper bound with a confidence of 95 % is below it,
// fails where the loss itself or the lower bound is over it, and is inconclusive between
// them. serving is nil where none does.
func Accuracy(ctx context.Context, e Env, version, serving Version, set *dataset.Samples, p AccuracyPlan) []client.Verdict {
	v := e.verdict(GateAccuracy)
	v.How = fmt.Sprintf("%s of %d samples, one at a time, inside the node", p.Metric, set.Len())
	mine, err := score(ctx, e, version, set, p)
	if err != nil {
		return []client.Verdict{failed(v, "%s", message(err))}
	}
	v.Samples = set.Len()
	all := []client.Verdict{p.judge(v, mine)}
	if p.MaxDrop == nil {
		return all
	}
	d := e.verdict(GateAccuracyDrop)
	d.How = fmt.Sprintf("%s of the same %d samples, asked of the version that serves now; Tango's bound, one-sided, 95 %%", p.Metric, set.Len())
	if serving == nil {
		d.Outcome, d.Detail = client.OutcomeSkipped, "no version serves now"
		return append(all, d)
	}
	others, err := score(ctx, e, serving, set, p)
	if err != nil {
		d.Outcome, d.Detail = client.OutcomeInconclusive, "the version that serves now does not answer the samples: "+message(err)
		return append(all, d)
	}
	d.Samples = set.Len()
	return append(all, p.compare(d, mine, others))
}

// scored is what a version made of the samples.
type scored struct {
	right []bool  // by sample, where the metric counts right ones
	mean  float64 // of the metric
}

// counts says whether a metric counts right samples.
func counts(metric string) bool { return metric != MetricMSE && metric != MetricCosine }

// judge holds a metric against its limits.
func (p AccuracyPlan) judge(v client.Verdict, s scored) client.Verdict {
	if math.IsNaN(s.mean) || math.IsInf(s.mean, 0) {
		return failed(v, "%s is no finite number: an answer, or a known one, has NaN or infinities, or is zero throughout", p.Metric)
	}
	v.Figures = map[string]float64{p.Metric: s.mean}
	v.Figure, v.Outcome, v.Detail = &s.mean, client.OutcomePass, p.Metric
	if counts(p.Metric) {
		n := 0
		for _, right := range s.right {
			if right {
				n++
			}
		}
		v.Unit, v.Detail = "ratio", fmt.Sprintf("%s: %d of %d samples", p.Metric, n, len(s.right))
	}
	switch {
	case p.Min != nil:
		if v.Limit = p.Min; s.mean < *p.Min {
			v.Outcome = client.OutcomeFail
		}
	case p.Max != nil:
		if v.Limit = p.Max; s.mean > *p.Max {
			v.Outcome = client.OutcomeFail
		}
	}
	return v
}

// compare holds the loss against the version that serves now against its limit.
func (p AccuracyPlan) compare(v client.Verdict, mine, others scored) client.Verdict {
	const points = 100
	pair := stats.Paired{Samples: len(mine.right)}
	for i, right := range mine.right {
		switch {
		case others.right[i] && !right:
			pair.Lost++
		case right && !others.right[i]:
			pair.Gained++
		}
	}
	limit := *p.MaxDrop
	loss, lower, upper := points*pair.Loss(), points*pair.Lower(), points*pair.Upper()
	v.Figure, v.Limit, v.Unit = &upper, &limit, "points"
	v.Figures = map[string]float64{
		"loss_points": loss, "lower_points": lower, "upper_points": upper, "lost": float64(pair.Lost), "gained": float64(pair.Gained), "worse_p": pair.Worse(),
		"serving": others.mean, "candidate": mine.mean,
	}
	v.Detail = fmt.Sprintf("%d samples lost, %d gained: a loss of %s points, %s at the most", pair.Lost, pair.Gained, stats.Figure(loss, 3), stats.Figure(upper, 3))
	switch {
	case loss > limit || lower > limit:
		v.Outcome, v.Figure = client.OutcomeFail, &loss
	case upper < limit:
		v.Outcome = client.OutcomePass
	default:
		v.Outcome = client.OutcomeInconclusive
		if n := pair.Needed(limit / points); n > 0 {
			v.Detail += fmt.Sprintf("; about %d samples would tell", n)
		}
	}
	return v
}

// score asks a version all samples.
func score(ctx context.Context, e Env, version Version, set *dataset.Samples, p AccuracyPlan) (scored, error) {
	var s scored
	g, sum := version.Signature(), 0.0
	for i := range set.Len() {
		sample, err := set.At(i)
		if err != nil {
			return s, err
		}
		outputs, err := askRow(ctx, version, sample.Inputs)
		if err != nil {
			return s, fmt.Errorf("%s: %s", sample.Name, message(err))
		}
		x, err := p.measure(g, sample, outputs)
		if err != nil {
			return s, fmt.Errorf("%s: %s", sample.Name, message(err))
		}
		sum += x
		s.right = append(s.right, x == 1)
		s.mean = sum / float64(i+1)
		e.progress(GateAccuracy, i+1, set.Len(), s.mean, p.Metric)
	}
	return s, nil
}

// askRow asks one sample of a version, whose batch may be fixed: the row is repeated then.
// It returns the first row of every output.
func askRow(ctx context.Context, version Version, inputs []tensor.Tensor) (outputs []tensor.Tensor, err error) {
	g := version.Signature()
	full := make([]tensor.Tensor, len(g.Inputs))
	for _, t := range inputs {
		k := inference.Index(g.Inputs, t.Name)
		if k < 0 {
			return nil, fmt.Errorf("the model has no input %q", t.Name)
		}
		full[k] = t
		if shape := g.Inputs[k].Shape; len(shape) > 0 && shape[0] > 1 {
			full[k].Shape = append([]int64{shape[0]}, t.Shape[1:]...)
			full[k].Data = slices.Repeat(t.Data, int(shape[0]))
		}
	}
	in := make([]inference.Input, len(full))
	for i, t := range full {
		if t.DType != g.Inputs[i].DType {
			return nil, fmt.Errorf("the model has the input %s, the data set has none", g.Inputs[i])
		}
		in[i] = inference.Input{Shape: t.Shape, Bytes: len(t.Data)}
	}
	if err = g.CheckInputs(in); err != nil {
		return nil, err
	}
	rows := int64(1)
	if len(full) > 0 && len(full[0].Shape) > 0 {
		rows = full[0].Shape[0]
	}
	err = version.Warm(ctx, full, func(all []tensor.Tensor) {
		for _, t := range all {
			t.Shape, t.Data = slices.Clone(t.Shape), slices.Clone(t.Data)
			if len(t.Shape) > 0 && t.Shape[0] == rows && rows > 1 {
				t = tensor.RowsOf(t).Cut(0, 1)
			}
			outputs = append(outputs, t)
		}
	})
	return outputs, err
}

// measure is the metric of one answer: 1 or 0 where right ones are counted.
func (p AccuracyPlan) measure(g inference.Signature, s dataset.Sample, outputs []tensor.Tensor) (float64, error) {
	switch p.Metric {
	case MetricTop1, MetricTop5:
		k := 1
		if p.Metric == MetricTop5 {
			k = 5
		}
		return top(outputs[0], s.Label, k)
	}
	var want, got []float64
	for _, known := range s.Outputs {
		i := inference.Index(g.Outputs, known.Name)
		if i < 0 {
			return 0, fmt.Errorf("the model has no output %q", known.Name)
		}
		if p.Metric == MetricExact {
			same, err := exactly(known, outputs[i], g.Outputs[i].Quantization, p.Tolerance)
			if !same {
				return 0, err
			}
			continue
		}
		a, b, err := reals(known, outputs[i], g.Outputs[i].Quantization)
		if err != nil {
			return 0, err
		}
		want, got = append(want, a...), append(got, b...)
	}
	switch p.Metric {
	case MetricExact:
		return 1, nil
	case MetricCosine:
		return stats.Cosine(want, got), nil
	}
	sum := 0.0
	for i := range want {
		sum += (want[i] - got[i]) * (want[i] - got[i])
	}
	return sum / float64(max(len(want), 1)), nil
}

// exactly says whether an output is the known one, whatever shape the batch has. Numbers of
// another type are compared as real numbers.
func exactly(known, got tensor.Tensor, q *inference.Quantization, tolerance float64) (bool, error) {
	if known.DType == tensor.Bytes || known.DType == got.DType {
		a, errA := tensor.Elements(known.Shape)
		b, errB := tensor.Elements(got.Shape)
		if err := errors.Join(errA, errB); err != nil || a != b {
			return false, err
		}
		known.Shape, got.Shape = []int64{int64(a)}, []int64{int64(b)}
		return tensor.Agree(known, got, tolerance) == nil, nil
	}
	want, is, err := reals(known, got, q)
	if err != nil {
		return false, err
	}
	for i := range want {
		off, scale := math.Abs(want[i]-is[i]), max(1, math.Abs(want[i]), math.Abs(is[i]))
		if want[i] != is[i] && !(off <= tolerance*scale) {
			return false, nil
		}
	}
	return true, nil
}

// top is 1 where a class has one of the k highest scores. Of equal scores, those of lower
// classes are higher.
func top(scores tensor.Tensor, class, k int) (float64, error) {
	values, err := tensor.Floats(scores)
	if err != nil {
		return 0, err
	}
	if class >= len(values) || class < 0 {
		return 0, fmt.Errorf("its class is %d, output %q has %d scores", class, scores.Name, len(values))
	}
	for _, c := range dataset.Top(values, k, nil) {
		if c.Index == class && !math.IsNaN(c.Score) {
			return 1, nil
		}
	}
	return 0, nil
}

// reals returns the numbers of a known output and of an answer. Integers that stand for
// real numbers are taken for those where the known ones are real.
func reals(known, got tensor.Tensor, q *inference.Quantization) (want, is []float64, err error) {
	if want, err = tensor.Floats(known); err != nil {
		return nil, nil, err
	}
	if is, err = tensor.Floats(got); err != nil {
		return nil, nil, err
	}
	if len(want) != len(is) {
		return nil, nil, fmt.Errorf("output %q has %d numbers, want %d", known.Name, len(is), len(want))
	}
	if q != nil && len(q.Scales) == 1 && len(q.ZeroPoints) == 1 && known.DType != got.DType {
		for i, x := range is {
			is[i] = (x - float64(q.ZeroPoints[0])) * float64(q.Scales[0])
		}
	}
	return want, is, nil
}
