package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"verge/client"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/stats"
	"verge/internal/tensor"
)

// How often gates ask.
const (
	latencyWarmup   = 5
	latencyRuns     = 20
	determinismRuns = 4

	gateBudget = 10 * time.Second // of one that goes on until it can tell
)

// env is what gates need of this machine.
func (r *run) env() gate.Env {
	host := r.m.host
	return gate.Env{Device: host.Device, Now: host.Now, Celsius: host.Celsius, Progress: r.progress}
}

// gate is the phase that measures the candidate from inside: nothing of it counts
// as a request. All its gates speak before one of them refuses.
func (r *run) gate(ctx context.Context) error {
	var refused []error
	for _, measure := range []func(context.Context) ([]client.Verdict, error){
		r.gateSignature, r.gateLatency, r.gateMemory, r.gateAnswers, r.gateAccuracy,
	} {
		verdicts, err := measure(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		refused = append(refused, err)
		for _, v := range verdicts {
			refused = append(refused, r.judge(v))
		}
	}
	return joined(refused)
}

// gateSignature compares the candidate's inputs and outputs with those that clients know.
func (r *run) gateSignature(context.Context) ([]client.Verdict, error) {
	known, _ := r.clientsKnow()
	return []client.Verdict{gate.Signature(r.env(), known, r.candidate.Version.Signature(), r.req.AllowSignatureChange)}, nil
}

// gateLatency measures how fast the candidate starts and answers, and, where that is
// limited, how much faster or slower than the version that serves now.
func (r *run) gateLatency(ctx context.Context) ([]client.Verdict, error) {
	file, c := r.file.Deployment, r.candidate
	all := []client.Verdict{
		gate.ColdStart(r.env(), c.loadTook, c.firstTook, file.MaxColdStartMS),
		gate.Latency(ctx, r.env(), c.Version, c.probe, gate.LatencyLimits{
			Warmup: latencyWarmup, Runs: latencyRuns, LimitMS: file.MaxLatencyMS, Source: c.source, Budget: r.budget(),
		}),
	}
	if file.MaxLatencyRatio > 0 {
		all = append(all, gate.LatencyRatio(ctx, r.env(), c.Version, r.serving(), c.probe, gate.LatencyRatioPlan{
			Warmup: latencyWarmup, Runs: latencyRuns, Limit: file.MaxLatencyRatio, Source: c.source,
		}))
	}
	return all, nil
}

// budget is how long a gate may go on until a latency is told with confidence; 0 where the
// stage does not ask for that.
func (r *run) budget() time.Duration {
	if !r.file.Strict() {
		return 0
	}
	return gateBudget
}

// gateMemory holds what the candidate's process took against the limit.
func (r *run) gateMemory(context.Context) ([]client.Verdict, error) {
	used, why := r.m.host.memory(r.candidate.Session)
	return []client.Verdict{gate.Memory(r.env(), used, why, r.file.Deployment.MemoryLimitMB)}, nil
}

// gateAnswers looks at what the candidate answers without knowing what is right.
func (r *run) gateAnswers(ctx context.Context) ([]client.Verdict, error) {
	c := r.candidate
	info := c.Session.Info()
	parallel := max(info.Parallel, 1)
	inputs, known, source := c.probe, []tensor.Tensor(nil), c.source
	if len(c.cases) > 0 {
		inputs, known, source = c.cases[0].Inputs, c.cases[0].Outputs, "golden inputs, "+c.cases[0].Name
	}
	return []client.Verdict{
		gate.Determinism(ctx, r.env(), c.Version, c.probe, gate.DeterminismPlan{
			Runs: max(determinismRuns, parallel), Parallel: parallel, Stateful: info.Stateful, Source: c.source,
		}),
		gate.Numbers(ctx, r.env(), c.Version, inputs, known, source, r.file.Tests.Functional.AllowNaN),
	}, nil
}

// gateAccuracy measures how right the candidate answers, where the file says on what.
func (r *run) gateAccuracy(ctx context.Context) ([]client.Verdict, error) {
	return r.accuracy(ctx, r.serving())
}

// serving is the version of the model that serves now, or nil.
func (r *run) serving() gate.Version {
	if s := r.m.servingNow(r.d.Model); s != nil {
		return s.Version
	}
	return nil // not a Version that is nil
}

// test is the phase that asks the candidate as clients would, at an address that
// only it answers. The first test that refuses it ends the phase; the tests behind
// it are skipped, and say so.
func (r *run) test(ctx context.Context) error {
	address, stop, err := r.m.host.Expose(r.candidate.Version)
	if err != nil {
		return err
	}
	defer stop()
	front, err := client.New(address)
	if err != nil {
		return fault.New(fault.Internal, "deploy.test", "private route: %w", err)
	}
	defer front.Close()
	target := gate.Target{
		Candidate: front, Model: r.d.Model, Signature: r.candidate.Version.Signature(),
		Inputs: r.candidate.probe, Source: r.candidate.source,
	}
	refused := error(nil)
	for _, t := range r.tests(target) {
		var v client.Verdict
		switch {
		case !t.enabled:
			v = client.Verdict{Detail: "not asked for"}
		case refused != nil:
			v = client.Verdict{Detail: "not run after a test that failed"}
		default:
			v = t.run(ctx)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if v.Gate == "" {
			v.Gate, v.Outcome, v.Device, v.Time = t.gate, client.OutcomeSkipped, r.m.host.Device, r.m.host.Now()
		}
		if err := r.judge(v); err != nil {
			refused = err
		}
	}
	return refused
}

// test is one of the tests of a deployment file.
type test struct {
	gate    string
	enabled bool
	run     func(context.Context) client.Verdict
}

func (r *run) tests(target gate.Target) []test {
	asked, env := r.file.Tests, r.env()
	return []test{
		{gate.GatePerformance, asked.Performance.Enabled, func(ctx context.Context) client.Verdict {
			return gate.Performance(ctx, env, target, gate.PerformancePlan{
				Warmup: asked.Performance.Warmup, Runs: asked.Performance.Runs,
				Percentile: asked.Performance.Percentile, LimitMS: r.file.Deployment.MaxLatencyMS, Budget: r.budget(),
			})
		}},
		{gate.GateFunctional, asked.Functional.Enabled, func(ctx context.Context) client.Verdict {
			return gate.Functional(ctx, env, target, r.candidate.cases, asked.Functional.Tolerance)
		}},
		{gate.GateLoad, asked.Load.Enabled, func(ctx context.Context) client.Verdict {
			return gate.Load(ctx, env, target, gate.LoadPlan{
				Clients: asked.Load.Clients, RequestsPerClient: asked.Load.RequestsPerClient,
				MinSuccessRate: asked.Load.MinSuccessRate, Rate: asked.Load.Rate, Duration: time.Duration(asked.Load.Duration),
			})
		}},
	}
}

// refusal is why a verdict refuses the candidate, or nil; one that cannot tell does at
// strict stages only, and warns at others.
func (r *run) refusal(v client.Verdict) error {
	switch v.Outcome {
	case client.OutcomePass, client.OutcomeSkipped:
		return nil
	case client.OutcomeInconclusive:
		if !r.file.Strict() {
			r.warn(v.Gate + ": inconclusive: " + v.Detail)
			return nil
		}
		return fault.New(fault.Invalid, "deploy.gate", "%s is inconclusive (%s), which the stage %s does not take", v.Gate, v.Detail, r.file.Stage).
			WithHint("Give it what it needs to tell, or force it with a reason: --force REASON.")
	case client.OutcomeError:
		return fault.New(fault.Internal, "deploy.gate", "%s could not be measured: %s", v.Gate, v.Detail)
	case client.OutcomeFail:
	}
	text := fmt.Sprintf("%s is %s, the limit is %s", v.Gate, figure(v.Figure, v.Unit), figure(v.Limit, v.Unit))
	switch {
	case v.Gate == gate.GateCanary: // any of several limits was broken
		text = v.Detail
	case v.Detail != "":
		text += " (" + v.Detail + ")"
	}
	return fault.New(fault.Invalid, "deploy.gate", "%s", text).WithHint("%s", gate.Hint(v.Gate))
}

// figure is a number with its unit, as short as it may be without saying less; a
// ratio is a percentage.
func figure(x *float64, unit string) string {
	if x == nil {
		return "unknown"
	}
	if unit == "ratio" {
		return stats.Figure(*x*100, 4) + " %"
	}
	return strings.TrimSpace(stats.Figure(*x, 4) + " " + unit)
}

// joined makes one error of those that are not nil, of the kind of the first.
func joined(errs []error) error {
	var texts []string
	var first error
	for _, err := range errs {
		if err != nil {
			texts = append(texts, fault.Message(err))
			if first == nil {
				first = err
			}
		}
	}
	if len(texts) < 2 {
		return first
	}
	return &fault.Error{
		Kind: fault.KindOf(first), Op: "deploy.gate", Hint: fault.HintOf(first), Err: errors.New(strings.Join(texts, "; ")),
	}
}
