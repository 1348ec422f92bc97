package deploy

import (
	"context"
	"fmt"
	"time"

	"verge/client"
	"verge/internal/gate"
	"verge/internal/inference"
	"verge/internal/monitor"
	"verge/internal/serve"
	"verge/internal/stats"
)

// canary is the phase in which the candidate answers a share of what clients ask of the
// version that serves. Nothing on the disk says so: a node that ends meanwhile serves the
// old version, all of it, when it starts again.
func (r *run) canary(ctx context.Context) error {
	plan := r.file.Canary
	v := client.Verdict{
		Gate: gate.GateCanary, Time: r.m.host.Now(), Device: r.m.host.Device,
		How: fmt.Sprintf("it answered %s %% of what clients asked", stats.Figure(100*plan.Share, 3)),
	}
	if plan.Header != "" {
		v.How += ", the same clients by " + plan.Header
	}
	live := r.m.servingNow(r.d.Model)
	if live == nil {
		v.Outcome, v.Detail, v.How = client.OutcomeSkipped, fmt.Sprintf("no version of %s serves", r.d.Model), ""
		return r.judge(v)
	}
	if reason := splits(live.Version, r.candidate.Version); reason != "" {
		v.Outcome, v.Detail, v.How = client.OutcomeInconclusive, reason, ""
		return r.judge(v)
	}
	limits := r.file.Limits()
	w := watchServed(r.candidate, r.file, limits, r.m.host.Now)
	defer w.end()
	beside, unseen := live.Monitor.Watch()
	defer unseen()
	r.unsplit = live.Version.Split(serve.Canary{Version: r.candidate.Version, Share: plan.Share, Header: plan.Header})
	told := time.Now()
	st, breach, err := r.follow(ctx, w, time.Duration(plan.Duration), func(st *monitor.Stats) float64 {
		if now := time.Now(); now.Sub(told) >= time.Second {
			told = now
			r.progress(client.Progress{Step: gate.GateCanary, Done: st.TotalRequests, Figure: &st.P95LatencyMS, Unit: "ms"})
		}
		return baseline(beside)
	})
	if err != nil {
		return err
	}
	other := beside.Snapshot()
	p95 := st.P95LatencyMS
	v.Figure, v.Limit, v.Unit = &p95, &limits.MaxP95MS, "ms"
	v.Figures = w.figures(&st)
	v.Figures["serving_requests"], v.Figures["serving_errors"] = float64(other.TotalRequests), float64(other.ErrorCount)
	v.Figures["serving_p50_ms"], v.Figures["serving_p95_ms"] = other.P50LatencyMS, other.P95LatencyMS
	w.conclude(&v, &st, breach, plan.MinRequests)
	if v.Outcome == client.OutcomePass {
		failed, of := faults(&st)
		v.Detail = fmt.Sprintf("%d of %d requests failed; median %s ms, that of the version that serves %s ms",
			failed, of, stats.Figure(st.P50LatencyMS, 3), stats.Figure(other.P50LatencyMS, 3))
	}
	if breach != "" { // nobody waits for the words
		r.endCanary()
	}
	return r.judge(v)
}

// backUp lets the version that serves answer what the candidate fails once it serves, as long
// as that is observed and both are loaded.
func (r *run) backUp() {
	if live := r.m.servingNow(r.d.Model); live != nil && splits(live.Version, r.candidate.Version) == "" {
		r.alone = r.candidate.Version.BackUp(live.Version)
	}
}

// endBackUp leaves the version that serves to itself.
func (r *run) endBackUp() {
	if r.alone != nil {
		r.alone()
		r.alone = nil
	}
}

// endCanary lets the version that serves answer everything again.
func (r *run) endCanary() {
	if r.unsplit != nil {
		r.unsplit()
		r.unsplit = nil
	}
}

// splits says why two versions cannot share the requests of the same clients, or "".
func splits(live, candidate *serve.Version) string {
	switch {
	case live.Info().Stateful || candidate.Info().Stateful:
		return "it keeps values from one request to the next, which only one version can"
	case !sameOrder(live.Signature().Inputs, candidate.Signature().Inputs) || !sameOrder(live.Signature().Outputs, candidate.Signature().Outputs):
		return "its inputs or outputs are not those of the version that serves, so that clients would meet two kinds of answers"
	}
	return ""
}

// sameOrder says whether two sides of a signature are the same, up to open dimensions.
func sameOrder(a, b []inference.Spec) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name || a[i].DType != b[i].DType || len(a[i].Shape) != len(b[i].Shape) {
			return false
		}
	}
	return true
}
