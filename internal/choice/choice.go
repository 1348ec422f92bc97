package choice

import (
	"context"
	"fmt"
	"strings"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// Way is one way to run a model.
type Way struct {
	Variant   int    `json:"variant"` // 0 is the model's own file, n the nth of its variants
	File      string `json:"file"`    // as the deployment file names it
	Format    string `json:"format"`
	Precision string `json:"precision"` // "int8", "fp16", "fp32"
	Runtime   string `json:"runtime"`
	Device    string `json:"device"`             // "cpu", "gpu", "npu", "tpu", "mobile", "embedded"
	Provider  string `json:"provider,omitempty"` // of the runtime; "" leaves it to the runtime
	Threads   int    `json:"threads"`            // of one run
	Parallel  int    `json:"parallel"`           // runs at a time
}

// String returns "digits.tflite (int8) in litert on cpu, 2 runs of 1 thread".
func (w Way) String() string {
	runs, threads := "runs", "threads"
	if w.Parallel == 1 {
		runs = "run"
	}
	if w.Threads == 1 {
		threads = "thread"
	}
	device := w.Device
	if w.Provider != "" {
		device += " (" + w.Provider + ")"
	}
	return fmt.Sprintf("%s (%s) in %s on %s, %d %s of %d %s", w.File, w.Precision, w.Runtime, device, w.Parallel, runs, w.Threads, threads)
}

// Outcome is what came of trying a way.
type Outcome string

// The outcomes.
const (
	Taken   Outcome = "taken"
	Slower  Outcome = "slower"  // within all limits, but another one is faster
	Refused Outcome = "refused" // measured, and over a limit or of another opinion than the reference
	Failed  Outcome = "failed"  // did not load or did not run
	Untried Outcome = "untried" // a better rung, or the budget, decided before
)

// Trial is a way, and what came of it.
type Trial struct {
	Way

	Outcome Outcome  `json:"outcome"`
	Reason  string   `json:"reason"`
	Figures *Figures `json:"figures,omitempty"` // nil where nothing was measured
}

// Figures are what was measured of a way.
type Figures struct {
	Throughput float64 `json:"throughput_rps"` // requests answered a second, with as many at a time as it runs
	P50MS      float64 `json:"p50_ms"`         // of one request at a time
	P95MS      float64 `json:"p95_ms"`
	PeakMB     float64 `json:"peak_mb,omitempty"` // of its process; 0 where that cannot be measured
	LoadMS     float64 `json:"load_ms"`
}

// Loaded is a way that was loaded.
type Loaded struct {
	Session inference.Session
	Close   func() error
}

// Env is what a choice needs of the node.
type Env struct {
	Load func(ctx context.Context, w Way) (Loaded, error)
	// Probes are the requests that every way is asked, given a signature.
	Probes func(g inference.Signature) ([][]tensor.Tensor, error)
	// Peak measures what the process of a session took, in bytes.
	Peak func(s inference.Session) (int64, error)
	// Progress is told of each way before it is tried; nil for nobody.
	Progress func(w Way, number, of int)
	Now      func() time.Time
}

// Plan says what to choose from.
type Plan struct {
	Reference Way     // whose answers count as right
	Rungs     [][]Way // the preferred ones first
	Fastest   bool    // of a rung: measure all of it; else its first one that will do
	Budget    time.Duration
	LatencyMS float64 // limit on the 95th percentile
	MemoryMB  int     // limit on the peak
	Tolerance float64 // of the answers in the reference's precision, as tensor.Agree has it
	Cosine    float64 // least similarity of the answers in another precision
}

// Result is what was chosen.
type Result struct {
	Taken  Way
	Trials []Trial // in the order of the plan
	Notes  []string
}

// Choose tries the ways of a plan. It fails with fault.Unsupported where none will do,
// and then names each with its reason; the result has the trials all the same. It
// fails as ctx does where that ends first.
func Choose(ctx context.Context, e Env, p Plan) (Result, error) {
	c := &choosing{env: e, plan: p, begun: e.Now()}
	for _, rung := range p.Rungs {
		c.total += len(rung)
	}
	if err := c.ask(ctx); err != nil {
		return Result{}, err
	}
	decided := false
	for _, rung := range p.Rungs {
		trials, taken, err := c.rung(ctx, rung, decided)
		if err != nil {
			return Result{}, err
		}
		if taken >= 0 {
			decided = true
			c.result.Taken = trials[taken].Way
		}
		c.result.Trials = append(c.result.Trials, trials...)
	}
	if !decided {
		return c.result, c.none()
	}
	return c.result, nil
}

// choosing is one Choose that goes on.
type choosing struct {
	env    Env
	plan   Plan
	begun  time.Time
	number int // of ways tried
	total  int

	signature *inference.Signature // of the reference; nil where there is none
	probes    [][]tensor.Tensor
	answers   [][]tensor.Tensor
	result    Result
}

// rung tries the ways of one rung, and returns the index of the one that is taken,
// or -1. On a rung behind the one that decided, nothing is tried.
func (c *choosing) rung(ctx context.Context, rung []Way, decided bool) (trials []Trial, taken int, err error) {
	taken = -1
	for _, w := range rung {
		t := Trial{Way: w, Outcome: Untried}
		switch {
		case decided:
			t.Reason = "a better rung of the ladder was taken"
		case taken >= 0 && !c.plan.Fastest:
			t.Reason = "one before it was taken"
		case c.env.Now().Sub(c.begun) > c.plan.Budget:
			t.Reason = fmt.Sprintf("the budget of %v was spent", c.plan.Budget)
		default:
			t = c.try(ctx, w)
			if ctx.Err() != nil {
				return nil, -1, fault.New(fault.KindOf(ctx.Err()), "choice.choose", "stopped while it chose: %w", ctx.Err())
			}
		}
		trials = append(trials, t)
		if t.Outcome != Slower {
			continue
		}
		if last := len(trials) - 1; taken < 0 || faster(t.Figures, trials[taken].Figures) {
			taken = last
		}
	}
	for i := range trials {
		if i == taken {
			trials[i].Outcome, trials[i].Reason = Taken, c.why(trials, taken)
		} else if trials[i].Outcome == Slower {
			trials[i].Reason = fmt.Sprintf("%.4g requests a second, where the one taken answers %.4g", trials[i].Figures.Throughput, trials[taken].Figures.Throughput)
		}
	}
	return trials, taken, nil
}

// faster reports whether a is better than b: by throughput, and where that differs by
// less than the figures scatter, by latency.
func faster(a, b *Figures) bool {
	const scatter = 1.05
	switch {
	case a.Throughput > b.Throughput*scatter:
		return true
	case b.Throughput > a.Throughput*scatter:
		return false
	}
	return a.P50MS < b.P50MS
}

// why says why a way is taken.
func (c *choosing) why(trials []Trial, taken int) string {
	f := trials[taken].Figures
	why := "the first that will do"
	if c.plan.Fastest {
		why = "the fastest"
	}
	return fmt.Sprintf("%s: %.4g requests a second, p50 %.3g ms, p95 %.3g ms", why, f.Throughput, f.P50MS, f.P95MS)
}

// none is the error where no way will do.
func (c *choosing) none() error {
	var text strings.Builder
	text.WriteString("no way to run the model will do")
	for _, t := range c.result.Trials {
		fmt.Fprintf(&text, "; %s: %s", t.Way, t.Reason)
	}
	if len(c.result.Trials) == 0 {
		text.WriteString(": nothing on the ladder fits this device and these files")
	}
	return fault.New(fault.Unsupported, "choice.choose", "%s", text.String()).
		WithHint("Add a rung that this device has, such as cpu fp32, or raise the limits.")
}
