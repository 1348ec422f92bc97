package deploy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"verge/client"
	"verge/internal/choice"
	"verge/internal/dataset"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/modelname"
	"verge/internal/stats"
	"verge/internal/tensor"
)

// What a shadow may cost.
const (
	shadowWaiting = 16       // copies that wait to be asked; what comes while there are as many is left out
	shadowBytes   = 16 << 20 // of the tensors of one request that is copied
	shadowLeast   = 20       // answers that say something
)

// Shadow copies a share of the requests that clients ask of a model to another version of
// it, which is loaded at another stage: digits.staging, or digits@4. Its answers are compared
// with those that clients got, and thrown away. No answer waits for that: what cannot be
// copied at once is left out. It tells fn of progress, a verdict and the end as Events does,
// and ends when the request's time is over or fn fails. It fails with fault.NotFound for a
// version that is not loaded, with fault.Conflict for the one that clients ask, and with
// fault.Invalid where the two have other inputs or outputs.
func (m *Manager) Shadow(ctx context.Context, model string, req client.ShadowRequest, fn func(client.Event) error) error {
	live, candidate, err := m.shadowed(model)
	if err != nil {
		return err
	}
	return m.newShadow(live, candidate, req).tell(ctx, fn)
}

func (m *Manager) newShadow(live, candidate *Served, req client.ShadowRequest) *shadow {
	return &shadow{
		manager: m, live: live, candidate: candidate, req: req, copies: make(chan copied, shadowWaiting),
		tolerance: max(req.Tolerance, live.File.Tests.Functional.Tolerance),
	}
}

// testAndShadow is the phase testing: the tests, and where the file says so a comparison
// with what clients get of the version that they ask.
func (r *run) testAndShadow(ctx context.Context) error {
	if err := r.test(ctx); err != nil {
		return err
	}
	plan := r.file.Shadow
	if plan == nil {
		return nil
	}
	plain, _, _ := modelname.Split(r.d.Model)
	r.m.mu.Lock()
	live := r.m.serving[r.m.named(plain)]
	r.m.mu.Unlock()
	v := client.Verdict{Gate: gate.GateShadow, Time: r.m.host.Now(), Device: r.m.host.Device}
	if live == nil {
		v.Outcome, v.Detail = client.OutcomeSkipped, fmt.Sprintf("no version of %s serves", plain)
		return r.judge(v)
	}
	if reason := choice.Differs(live.Version.Signature(), r.candidate.Version.Signature()); reason != "" {
		v.Outcome, v.Detail = client.OutcomeInconclusive, fmt.Sprintf("it cannot answer what %s is asked: %s", live, reason)
		return r.judge(v)
	}
	s := r.m.newShadow(live, r.candidate, client.ShadowRequest{
		Sample: plan.Sample, Seconds: time.Duration(plan.Duration).Seconds(), MinAgreement: plan.MinAgreement, Tolerance: r.file.Tests.Functional.Tolerance,
	})
	v, err := s.run(ctx, func(p *client.Progress) error {
		r.progress(*p)
		return nil
	})
	if err != nil {
		return err
	}
	return r.judge(v)
}

// shadowed finds the version that clients ask, and the one that is to be asked beside it.
func (m *Manager) shadowed(model string) (live, candidate *Served, err error) {
	const op = "deploy.shadow"
	name, number, numbered := strings.Cut(model, "@")
	plain, _, _ := modelname.Split(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	live = m.serving[m.named(plain)]
	candidate = m.serving[m.named(name)]
	if numbered {
		candidate = nil
		for _, served := range modelname.Order(name) {
			if s := m.serving[served]; s != nil && strconv.Itoa(s.release.Version) == number && s != live {
				candidate = s
			}
		}
	}
	switch {
	case live == nil:
		return nil, nil, NotDeployed(op, plain)
	case candidate == nil:
		return nil, nil, fault.New(fault.NotFound, op, "%s is not loaded beside %s", model, live).WithHint("Deploy it to another stage: verge deploy FILE --stage staging")
	case candidate == live:
		return nil, nil, fault.New(fault.Conflict, op, "%s is what clients of %s ask: there is nothing to compare it with", live, plain).
			WithHint("Name another stage, such as %s.staging.", plain)
	}
	if reason := choice.Differs(live.Version.Signature(), candidate.Version.Signature()); reason != "" {
		return nil, nil, fault.New(fault.Invalid, op, "%s cannot answer what %s is asked: %s", candidate, live, reason)
	}
	return live, candidate, nil
}

// copied is a request with its answer.
type copied struct{ inputs, outputs []tensor.Tensor }

// shadow is one comparison that goes on.
type shadow struct {
	manager         *Manager
	live, candidate *Served
	req             client.ShadowRequest
	tolerance       float64
	copies          chan copied

	left atomic.Int64 // requests that were left out

	mu          sync.Mutex // guards what follows
	agreed, top int        // answers within the tolerance, and with the same highest score
	scored      int        // answers that have scores
	took        []float64  // of the candidate, in milliseconds
	failed      int
	first       string // the first answer that differs by its values, or failure
	firstTop    string // the first one that differs by its highest score
}

// see copies a share of what is answered.
func (s *shadow) see(inputs, outputs []tensor.Tensor) {
	if rand.Float64() >= s.req.Sample { //nolint:gosec // a share, no secret
		return
	}
	size := 0
	for _, t := range slices.Concat(inputs, outputs) {
		size += len(t.Data)
	}
	if size > shadowBytes || len(s.copies) == cap(s.copies) {
		s.left.Add(1)
		return
	}
	select {
	case s.copies <- copied{clones(inputs), clones(outputs)}:
	default:
		s.left.Add(1)
	}
}

func clones(all []tensor.Tensor) []tensor.Tensor {
	out := slices.Clone(all)
	for i := range out {
		out[i].Shape, out[i].Data = slices.Clone(out[i].Shape), slices.Clone(out[i].Data)
	}
	return out
}

// tell compares, and tells fn of it as of a deployment.
func (s *shadow) tell(ctx context.Context, fn func(client.Event) error) error {
	seq := uint64(0)
	tell := func(e client.Event) error {
		seq++
		e.Seq, e.Time, e.Deployment = seq, s.manager.host.Now(), s.candidate.Deployment()
		return fn(e)
	}
	if err := tell(client.Event{Type: client.EventPhase, Phase: client.PhaseTesting}); err != nil {
		return err
	}
	v, err := s.run(ctx, func(p *client.Progress) error {
		return tell(client.Event{Type: client.EventProgress, Phase: client.PhaseTesting, Progress: p})
	})
	if err != nil {
		return err
	}
	if err := tell(client.Event{Type: client.EventVerdict, Phase: client.PhaseTesting, Verdict: &v}); err != nil {
		return err
	}
	end := client.Event{Type: client.EventEnd, Phase: client.PhaseCommitted}
	if v.Outcome != client.OutcomePass {
		text := fmt.Sprintf("%s is %s: %s", v.Gate, v.Outcome, v.Detail)
		if v.Outcome == client.OutcomeFail {
			text = fmt.Sprintf("%s is %s, the limit is %s (%s)", v.Gate, figure(v.Figure, v.Unit), figure(v.Limit, v.Unit), v.Detail)
		}
		end.Phase, end.Error = client.PhaseFailed, &client.Failure{Kind: fault.Invalid.String(), Message: text}
	}
	return tell(end)
}

// run compares until the time is over, and tells progress of it each second.
func (s *shadow) run(ctx context.Context, progress func(*client.Progress) error) (client.Verdict, error) {
	began := s.manager.host.Now()
	stop := s.live.Version.Tap(s.see)
	asked, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case c := <-s.copies:
				s.ask(asked, c)
			case <-asked.Done():
				return
			}
		}
	})
	defer wg.Wait()
	defer cancel()
	defer stop()
	over := time.NewTimer(time.Duration(s.req.Seconds * float64(time.Second)))
	defer over.Stop()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return client.Verdict{}, ctx.Err()
		case <-look.C:
			if err := progress(s.progress()); err != nil {
				return client.Verdict{}, err
			}
		case <-over.C:
			return s.verdict(began, s.live.Monitor.Snapshot().P50LatencyMS), nil
		}
	}
}

// ask asks the candidate, and compares.
func (s *shadow) ask(ctx context.Context, c copied) {
	now := s.manager.host.Now
	begin := now()
	var outputs []tensor.Tensor
	err := s.candidate.Version.Warm(ctx, c.inputs, func(all []tensor.Tensor) { outputs = clones(all) })
	took := now().Sub(begin)
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.failed++; s.first == "" {
			s.first = fault.Message(err)
		}
		return
	}
	s.took = append(s.took, ms(took))
	reason := ""
	for _, want := range c.outputs {
		i := slices.IndexFunc(outputs, func(t tensor.Tensor) bool { return t.Name == want.Name })
		if i < 0 {
			reason = fmt.Sprintf("output %q is missing", want.Name)
			break
		}
		if err := tensor.Agree(want, outputs[i], s.tolerance); err != nil {
			reason = fmt.Sprintf("output %q %v", want.Name, err)
			break
		}
	}
	if reason == "" {
		s.agreed++
	} else if s.first == "" {
		s.first = reason
	}
	if a, ok := highest(c.outputs); ok {
		s.scored++
		b, ok := highest(outputs)
		switch {
		case ok && a == b:
			s.top++
		case s.firstTop == "":
			s.firstTop = fmt.Sprintf("its highest score is that of class %d, want %d", b, a)
		}
	}
}

// highest is the class with the highest score in the first output, where that is one row
// of scores.
func highest(outputs []tensor.Tensor) (class int, ok bool) {
	if len(outputs) == 0 {
		return 0, false
	}
	t := outputs[0]
	values, err := tensor.Floats(t)
	rank := len(t.Shape)
	if err != nil || len(values) < 2 || rank == 0 || t.Shape[rank-1] != int64(len(values)) {
		return 0, false
	}
	return dataset.Top(values, 1, nil)[0].Index, true
}

// agreement is the share of answers that agree: by the highest score where they have scores,
// else within the tolerance. s.mu is held.
func (s *shadow) agreement() (share float64, how string) {
	n := len(s.took) + s.failed
	switch {
	case n == 0:
		return 0, "nothing was compared"
	case s.scored == len(s.took):
		return float64(s.top) / float64(n), "the same highest score"
	}
	return float64(s.agreed) / float64(n), fmt.Sprintf("within %g", s.tolerance)
}

func (s *shadow) progress() *client.Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	share, _ := s.agreement()
	return &client.Progress{Step: gate.GateShadow, Done: int64(len(s.took) + s.failed), Figure: &share, Unit: "ratio"}
}

// verdict sums up; live is the median of what clients waited, in milliseconds.
func (s *shadow) verdict(began time.Time, live float64) client.Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, n := s.manager, len(s.took)+s.failed
	share, how := s.agreement()
	own := stats.Summarize(s.took)
	limit := s.req.MinAgreement
	v := client.Verdict{
		Gate: gate.GateShadow, Phase: client.PhaseTesting, Outcome: client.OutcomePass, Figure: &share, Limit: &limit, Unit: "ratio", Samples: n, Time: began, Device: m.host.Device,
		How: fmt.Sprintf("%s asked what clients asked of %s, %s %% of it; %s", s.candidate, s.live, stats.Figure(100*s.req.Sample, 3), how),
		Figures: map[string]float64{
			"compared": float64(n), "left_out": float64(s.left.Load()), "failed": float64(s.failed), "within_tolerance": float64(s.agreed), "same_highest": float64(s.top),
			"p50_ms": own.Percentile(50), "p95_ms": own.Percentile(95), "live_p50_ms": live,
		},
	}
	v.Detail = fmt.Sprintf("%d requests compared, %d left out; median %s ms, where clients waited %s ms", n, s.left.Load(), stats.Figure(own.Percentile(50), 3), stats.Figure(live, 3))
	first := s.first
	if s.firstTop != "" && s.scored == len(s.took) {
		first = s.firstTop
	}
	if first != "" {
		v.Detail += "; the first that differs: " + first
	}
	switch {
	case n < shadowLeast:
		v.Outcome = client.OutcomeInconclusive
		v.Detail += fmt.Sprintf("; %d would say something", shadowLeast)
	case share < limit:
		v.Outcome = client.OutcomeFail
	}
	return v
}
