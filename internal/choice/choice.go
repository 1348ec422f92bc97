package choice

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/stats"
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
	Named     bool   `json:"named,omitempty"`    // Provider stands for those that the deployment file names
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

	limit   string // the key of the limit that it is over; "" for none
	differs bool   // its signature is not the reference's
	late    bool   // it took longer than the budget
	hint    string // of what failed
}

// Figures are what was measured of a way.
type Figures struct {
	Throughput float64 `json:"throughput_rps,omitempty"` // requests answered a second, with as many at a time as it runs; 0 where it was not measured
	P50MS      float64 `json:"p50_ms"`                   // of one request at a time
	P95MS      float64 `json:"p95_ms"`
	PeakMB     float64 `json:"peak_mb,omitempty"` // of its process; 0 where that cannot be measured
	LoadMS     float64 `json:"load_ms"`
}

// Loaded is a way that was loaded.
type Loaded struct {
	Session inference.Session
	Close   func() error
}

// Probe is a request.
type Probe struct {
	Inputs  []tensor.Tensor
	Outputs []tensor.Tensor // those that are known to be right; nil for none
}

// Env is what a choice needs of the node.
type Env struct {
	// Name is what ways are loaded as, such as "digits@3". Errors begin with it, reasons
	// do not.
	Name string
	Load func(ctx context.Context, w Way) (Loaded, error)
	// Probes are the requests that every way is asked, given a signature: one or more.
	Probes func(g inference.Signature) ([]Probe, error)
	// Peak measures what the process of a session took, in bytes.
	Peak func(s inference.Session) (int64, error)
	// Progress is told of each way before it is tried; nil for nobody.
	Progress func(w Way, number, of int)
	Now      func() time.Time
}

// Plan says what to choose from.
type Plan struct {
	Reference Way     // whose answers count as right
	Golden    bool    // probes have outputs, which count where the reference gives none
	Rungs     [][]Way // the preferred ones first
	Ladder    bool    // they are those of a ladder; else there is one
	Fastest   bool    // of a rung: measure all of it; else its first one that will do
	// Budget is how long one way may take to load and be measured until it is told to
	// stop, and the time, counted from when the reference has answered, after which no
	// further way is begun once there is one to take.
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

// Choose tries the ways of a plan. It fails as the reference does where that gives no
// answers and nothing else is known to be right, and with fault.Unsupported where no way
// will do, and then names each with its reason; the result has the trials all the same.
// It fails as ctx does where that ends first.
func Choose(ctx context.Context, e Env, p Plan) (Result, error) {
	c := &choosing{env: e, plan: p}
	for _, rung := range p.Rungs {
		c.total += len(rung)
	}
	if err := c.ask(ctx); err != nil {
		return Result{}, err
	}
	c.begun = e.Now()
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
	begun  time.Time // when the reference had answered
	number int       // of ways tried
	total  int

	signature *inference.Signature // of the reference; nil where there is none
	probes    []Probe
	answers   [][]tensor.Tensor // to each probe; of some outputs, or none, where they are golden
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
		case taken >= 0 && c.left() <= 0:
			t.Reason = fmt.Sprintf("the budget of %v was spent", c.plan.Budget)
		default:
			t = c.try(ctx, w)
			if ctx.Err() != nil {
				return nil, -1, fault.New(fault.KindOf(ctx.Err()), "choice.choose", "stopped while it chose: %w", ctx.Err())
			}
		}
		trials = append(trials, t)
		if t.Outcome == Slower && taken < 0 {
			taken = len(trials) - 1
		}
	}
	if taken < 0 {
		return trials, taken, nil
	}
	if c.plan.Fastest {
		taken = fastest(trials)
	}
	reasons(trials, taken, c.plan.Fastest)
	return trials, taken, nil
}

// left is what is left of the budget.
func (c *choosing) left() time.Duration { return c.plan.Budget - c.env.Now().Sub(c.begun) }

// scatter is the ratio by which two measurements of the same throughput may differ.
const scatter = 1.05

// most is the highest throughput of the ways that are within all limits.
func most(trials []Trial) float64 {
	highest := 0.0
	for _, t := range trials {
		if t.Outcome == Slower {
			highest = max(highest, t.Figures.Throughput)
		}
	}
	return highest
}

// fastest returns the way of the lowest latency among those whose throughput is no less
// than the highest, as far as figures scatter. There is one within all limits.
func fastest(trials []Trial) int {
	best, highest := -1, most(trials)
	for i, t := range trials {
		if t.Outcome == Slower && t.Figures.Throughput*scatter >= highest && (best < 0 || t.Figures.P50MS < trials[best].Figures.P50MS) {
			best = i
		}
	}
	return best
}

// reasons says why a way is taken, and why the others within all limits are not. Without
// measured, they are none.
func reasons(trials []Trial, taken int, measured bool) {
	const percent = 100 * (scatter - 1)
	highest, best := most(trials), trials[taken].Figures
	for i := range trials {
		t := &trials[i]
		if t.Outcome != Slower {
			continue
		}
		f := t.Figures
		switch figures := stats.Figure(f.Throughput, 4) + " requests a second"; {
		case i == taken:
			why := "the first that will do"
			if measured {
				why = "the fastest"
			}
			if f.Throughput < highest {
				why = fmt.Sprintf("the lowest p50 of those within %.0f %% of the fastest", percent)
			}
			t.Reason = fmt.Sprintf("%s: %s, p50 %s ms, p95 %s ms", why, figures, stats.Figure(f.P50MS, 3), stats.Figure(f.P95MS, 3))
		case f.Throughput*scatter >= highest:
			t.Reason = fmt.Sprintf("%s, and p50 %s ms, where the one taken is within %.0f %% of the fastest and has %s ms", figures, stats.Figure(f.P50MS, 3), percent, stats.Figure(best.P50MS, 3))
		case best.Throughput < highest:
			t.Reason = fmt.Sprintf("%s, where the fastest answers %s", figures, stats.Figure(highest, 4))
		default:
			t.Reason = fmt.Sprintf("%s, where the one taken answers %s", figures, stats.Figure(best.Throughput, 4))
		}
	}
	trials[taken].Outcome = Taken
}

// none is the error where no way will do.
func (c *choosing) none() error {
	var text strings.Builder
	text.WriteString("no way to run the model will do")
	for _, t := range c.result.Trials {
		fmt.Fprintf(&text, "; %s: %s", t.Way, t.Reason)
	}
	switch {
	case len(c.result.Trials) > 0:
	case c.plan.Ladder:
		text.WriteString(": nothing on the ladder fits this device and these files")
	default:
		text.WriteString(": no runtime that is here runs these files on that device")
	}
	e := fault.New(fault.Unsupported, "choice.choose", "%s", text.String())
	e.Hint = c.advice()
	return e
}

// advice says what to do where no way will do: by the limits that were reached, else by
// what else there was against the ways.
func (c *choosing) advice() string {
	var over []string
	differs, late, hint := false, false, ""
	for _, t := range c.result.Trials {
		if t.limit != "" && !slices.Contains(over, t.limit) {
			over = append(over, t.limit)
		}
		differs, late = differs || t.differs, late || t.late
		if hint == "" {
			hint = t.hint
		}
	}
	slices.Sort(over)
	switch {
	case len(over) > 0 && c.plan.Ladder:
		return "Raise " + strings.Join(over, " and ") + ", or add a rung."
	case len(over) > 0:
		return "Raise " + strings.Join(over, " and ") + "."
	case late:
		return "Name files, devices and a runtime that are faster here, or leave away model.variants, deployment.ladder and optimization_level 2, so that nothing is tried."
	case c.plan.Ladder:
		return "Add a rung that this device has, such as cpu fp32."
	case differs:
		return "Give files whose inputs and outputs have the same names and types, or name the runtime that is to be taken: deployment.runtime."
	case hint != "":
		return hint
	}
	return "Set deployment.optimization_level to 1, which compares nothing."
}
