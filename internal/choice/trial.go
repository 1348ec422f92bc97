package choice

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/stats"
	"verge/internal/tensor"
)

// How a way is measured.
const (
	warmup = 5
	runs   = 20
	window = 500 * time.Millisecond // of all runs at a time
	region = 1 << 30                // most bytes of the tensors of one request, each side
	steps  = 4                      // that quantised answers may be apart
)

// ask has the reference answer the probes. Where it does not, the golden answers are
// compared with; without those nothing but the reference would do, so that its failure is
// that of the choice.
func (c *choosing) ask(ctx context.Context) error {
	loaded, err := c.env.Load(ctx, c.plan.Reference)
	if err == nil {
		defer loaded.Close() //nolint:errcheck // it was only asked
		g := loaded.Session.Signature()
		if c.probes, err = c.env.Probes(g); err == nil {
			c.signature = &g
			c.answers, err = answers(ctx, loaded.Session, c.probes)
		}
	}
	switch {
	case err == nil:
		c.believe()
		return nil
	case ctx.Err() != nil:
		return fault.New(fault.KindOf(ctx.Err()), "choice.choose", "stopped while it chose: %w", ctx.Err())
	case !c.plan.Golden:
		return &fault.Error{
			Kind: fault.KindOf(err), Op: "choice.choose", Err: errors.New(Reason(c.env.Name, err)),
			Subject: fmt.Sprintf("%s, with whose answers those of other ways are compared", c.plan.Reference),
			Hint:    cmp.Or(fault.HintOf(err), "Give answers to compare with: tests.functional_test.golden."),
		}
	}
	c.answers = golden(c.probes)
	c.result.Notes = append(c.result.Notes, fmt.Sprintf("the reference, %s, gave no answers, so that others were compared with the golden ones: %s", c.plan.Reference, Reason(c.env.Name, err)))
	return nil
}

// believe compares the reference's answers with those that are known to be right. Where it
// is of another opinion, it is no measure for the others.
func (c *choosing) believe() {
	for i, p := range c.probes {
		if reason := c.differing(c.plan.Reference, i, p.Outputs, c.signature.Outputs, c.answers[i]); reason != "" {
			c.answers = golden(c.probes)
			c.result.Notes = append(c.result.Notes, fmt.Sprintf("the reference, %s, does not give the golden answers, with which others were compared: %s", c.plan.Reference, reason))
			return
		}
	}
}

// differing says how the answers got of a way to a probe are not the wanted ones, or "".
func (c *choosing) differing(w Way, probe int, want []tensor.Tensor, specs []inference.Spec, got []tensor.Tensor) string {
	for _, output := range want {
		spec := c.signature.Outputs[inference.Index(c.signature.Outputs, output.Name)]
		if reason := c.disagrees(w, spec, output, got[inference.Index(specs, output.Name)]); reason != "" {
			return fmt.Sprintf("input %d: output %q %s", probe, output.Name, reason)
		}
	}
	return ""
}

// golden are the answers that are known.
func golden(probes []Probe) [][]tensor.Tensor {
	all := make([][]tensor.Tensor, len(probes))
	for i, p := range probes {
		all[i] = p.Outputs
	}
	return all
}

// answers runs each probe once, and copies what comes out.
func answers(ctx context.Context, session inference.Session, probes []Probe) ([][]tensor.Tensor, error) {
	memory := arena.New("choice", region, region)
	defer memory.Close() //nolint:errcheck // it is only memory
	slot, err := session.NewSlot(memory)
	if err != nil {
		return nil, err
	}
	defer slot.Close() //nolint:errcheck // the session closes it too
	all := make([][]tensor.Tensor, len(probes))
	for i, probe := range probes {
		outputs, err := inference.Run(ctx, session.Signature(), slot, probe.Inputs)
		if err != nil {
			return nil, err
		}
		for _, t := range outputs {
			t.Shape, t.Data = slices.Clone(t.Shape), bytes.Clone(t.Data)
			all[i] = append(all[i], t)
		}
	}
	return all, nil
}

// try tries one way for as long as it may take. One that is within all limits is Slower
// until the rung is decided.
func (c *choosing) try(ctx context.Context, w Way) Trial {
	c.number++
	if c.env.Progress != nil {
		c.env.Progress(w, c.number, c.total)
	}
	limited, cancel := context.WithTimeout(ctx, c.plan.Budget)
	defer cancel()
	return c.measured(limited, w)
}

// measured loads and measures one way.
func (c *choosing) measured(ctx context.Context, w Way) Trial {
	t := Trial{Way: w, Outcome: Failed}
	begin := c.env.Now()
	loaded, err := c.env.Load(ctx, w)
	if err != nil {
		return c.failed(ctx, t, err)
	}
	defer loaded.Close() //nolint:errcheck // it was only tried
	f := &Figures{LoadMS: ms(c.env.Now().Sub(begin))}
	if t.Reason, t.differs, err = c.compare(ctx, w, loaded.Session); err != nil {
		return c.failed(ctx, t, err)
	}
	if t.Reason != "" {
		t.Outcome = Refused
		return t
	}
	if err := c.measure(ctx, loaded.Session, f); err != nil {
		return c.failed(ctx, t, err)
	}
	t.Figures = f
	switch {
	case f.P95MS > c.plan.LatencyMS:
		t.limit = "deployment.max_latency_ms"
		t.Outcome, t.Reason = Refused, fmt.Sprintf("p95 is %s ms, the limit is %g ms", stats.Figure(f.P95MS, 3), c.plan.LatencyMS)
	case c.plan.MemoryMB > 0 && f.PeakMB > float64(c.plan.MemoryMB):
		t.limit = "deployment.memory_limit_mb"
		t.Outcome, t.Reason = Refused, fmt.Sprintf("it took %s MB, the limit is %d MB", stats.Figure(f.PeakMB, 4), c.plan.MemoryMB)
	default:
		t.Outcome = Slower
	}
	return t
}

// failed is a trial with the reason why nothing more came of it.
func (c *choosing) failed(ctx context.Context, t Trial, err error) Trial {
	t.Reason, t.hint = Reason(c.env.Name, err), fault.HintOf(err)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Reason, t.hint, t.late = fmt.Sprintf("it was not loaded and measured within %v", c.plan.Budget), "", true
	}
	return t
}

// Reason is the message of an error for people who know already that the model of that
// name, such as "digits@3", is spoken of.
func Reason(name string, err error) string {
	text := fault.Message(err)
	for before := ""; name != "" && before != text; {
		before, text = text, strings.TrimPrefix(strings.TrimPrefix(text, name+": "), "model "+name+": ")
	}
	return text
}

// compare says what the way has another opinion of than the reference, or "", and
// whether that is its signature. It fails where the way does not answer.
func (c *choosing) compare(ctx context.Context, w Way, session inference.Session) (reason string, signature bool, err error) {
	g := session.Signature()
	if c.signature == nil { // the reference has none: the first one that takes the golden inputs is the measure
		if c.probes, err = c.env.Probes(g); err != nil {
			return "", false, err
		}
		c.signature, c.answers = &g, golden(c.probes)
	}
	if reason := Differs(*c.signature, g); reason != "" {
		return reason, true, nil
	}
	got, err := answers(ctx, session, c.probes)
	if err != nil {
		return "", false, err
	}
	for i, want := range c.answers {
		if reason := c.differing(w, i, want, g.Outputs, got[i]); reason != "" {
			return reason, false, nil
		}
	}
	return "", false, nil
}

// Differs says how a signature is not the reference's, or "". What a client sends and
// receives has to stay as it is; what integers stand for is the file's own affair.
func Differs(want, got inference.Signature) string {
	if reason := differ("input", want.Inputs, got.Inputs); reason != "" {
		return reason
	}
	return differ("output", want.Outputs, got.Outputs)
}

func differ(side string, want, got []inference.Spec) string {
	if len(want) != len(got) {
		return fmt.Sprintf("it has %d %ss, the model has %d", len(got), side, len(want))
	}
	for _, a := range want {
		i := inference.Index(got, a.Name)
		if i < 0 {
			return fmt.Sprintf("it has no %s %q", side, a.Name)
		}
		if b := got[i]; a.DType != b.DType || len(a.Shape) != len(b.Shape) {
			return fmt.Sprintf("its %s is %s, the model's is %s", side, b, a)
		}
	}
	return ""
}

// disagrees says how an answer is not the reference's, or "". In the reference's own
// precision it is compared value by value, in another one by its direction. Integers
// that stand for real numbers may be off by a few steps: kernels round as they like.
func (c *choosing) disagrees(w Way, spec inference.Spec, want, got tensor.Tensor) string {
	if w.Precision == c.plan.Reference.Precision && spec.Quantization == nil {
		if err := tensor.Agree(want, got, c.plan.Tolerance); err != nil {
			return err.Error()
		}
		return ""
	}
	if !slices.Equal(want.Shape, got.Shape) {
		return fmt.Sprintf("has shape %s, the model's has %s", inference.FormatShape(got.Shape), inference.FormatShape(want.Shape))
	}
	a, err := tensor.Floats(want)
	if err != nil {
		return "" // no numbers: nothing can be said
	}
	b, err := tensor.Floats(got)
	if err != nil {
		return err.Error()
	}
	if w.Precision == c.plan.Reference.Precision {
		for i := range a {
			if off := math.Abs(a[i] - b[i]); off > steps {
				return fmt.Sprintf("has %g at %d, the model has %g: more than %d steps apart", b[i], i, a[i], steps)
			}
		}
		return ""
	}
	if similarity := stats.Cosine(a, b); similarity < c.plan.Cosine || math.IsNaN(similarity) {
		return fmt.Sprintf("has a cosine similarity of %.4f with the model's, want %g or more", similarity, c.plan.Cosine)
	}
	return ""
}

// measure runs the first probe: one at a time, then as many at a time as the session
// runs.
func (c *choosing) measure(ctx context.Context, session inference.Session, f *Figures) error {
	latencies, err := c.series(ctx, session)
	if err != nil {
		return err
	}
	sum := stats.Summarize(latencies)
	f.P50MS, f.P95MS = sum.Percentile(50), sum.Percentile(95)
	if f.P95MS <= c.plan.LatencyMS { // else it is refused, however much it answers
		if f.Throughput, err = c.together(ctx, session); err != nil {
			return err
		}
	}
	if peak, err := c.env.Peak(session); err == nil {
		f.PeakMB = float64(peak) / (1 << 20)
	}
	return nil
}

// series returns the latencies of runs one after the other, in milliseconds. It ends
// early where the 95th percentile is over its limit, however fast the others will be.
func (c *choosing) series(ctx context.Context, session inference.Session) ([]float64, error) {
	memory := arena.New("choice", region, region)
	defer memory.Close() //nolint:errcheck // it is only memory
	slot, err := session.NewSlot(memory)
	if err != nil {
		return nil, err
	}
	defer slot.Close() //nolint:errcheck // the session closes it too
	var took []float64
	for i, over := 0, 0; i < warmup+runs && over <= runs/20; i++ {
		begin := c.env.Now()
		if _, err := inference.Run(ctx, session.Signature(), slot, c.probes[0].Inputs); err != nil {
			return nil, err
		}
		if i >= warmup {
			took = append(took, ms(c.env.Now().Sub(begin)))
			if took[len(took)-1] > c.plan.LatencyMS {
				over++
			}
		}
	}
	return took, nil
}

// together returns how many requests a second are answered by as many slots as the
// session runs at a time.
func (c *choosing) together(ctx context.Context, session inference.Session) (float64, error) {
	begin := c.env.Now()
	end := begin.Add(window)
	slots := max(session.Info().Parallel, 1)
	counts, errs := make([]int, slots), make([]error, slots)
	var wg sync.WaitGroup
	for i := range slots {
		wg.Go(func() { counts[i], errs[i] = c.until(ctx, session, end) })
	}
	wg.Wait()
	took := c.env.Now().Sub(begin).Seconds()
	total := 0
	for i, n := range counts {
		if errs[i] != nil {
			return 0, errs[i]
		}
		total += n
	}
	return float64(total) / took, nil
}

// until runs the first probe until the clock says end, once at the least.
func (c *choosing) until(ctx context.Context, session inference.Session, end time.Time) (n int, err error) {
	memory := arena.New("choice", region, region)
	defer memory.Close() //nolint:errcheck // it is only memory
	slot, err := session.NewSlot(memory)
	if err != nil {
		return 0, err
	}
	defer slot.Close() //nolint:errcheck // the session closes it too
	for n == 0 || c.env.Now().Before(end) {
		if _, err := inference.Run(ctx, session.Signature(), slot, c.probes[0].Inputs); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
