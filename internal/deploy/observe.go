package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"verge/client"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/monitor"
	"verge/internal/stats"
)

// What an observation needs before it says anything.
const (
	observeEvery  = time.Second
	observeLeast  = 20  // requests, for a limit to be broken
	observeEnough = 100 // requests, for none to be
)

// errPaused ends a run whose observation goes on when the node starts again.
var errPaused = errors.New("the node was stopped: the observation goes on when it starts again")

// observed says whether a version that was activated is to be watched: where its file asks
// for it, and there is a version to return to.
func observed(file *deployfile.File, record *modelRecord) bool {
	return file.Observe != nil && record != nil && record.Before != nil
}

// observe is the phase that watches the version that serves now, and commits it, or lets
// the one before serve again.
func (r *run) observe(ctx context.Context) error {
	v, breach := r.watch(ctx)
	if v.Gate == "" {
		return errPaused
	}
	r.verdict(v)
	if breach == "" {
		if v.Outcome == client.OutcomeInconclusive {
			r.warn(v.Gate + ": inconclusive: " + v.Detail)
		}
		return r.commit(ctx)
	}
	err := r.undo(ctx, breach)
	if err == nil {
		return nil
	}
	// What serves goes on to: there is nothing else.
	r.warn(fmt.Sprintf("it was not rolled back although %s: %s", breach, fault.Message(err)))
	return r.commit(ctx)
}

// see begins to gather what clients see of a version that serves. Its own figures begin
// before the switch: the tests count as requests.
func (r *run) see(s *Served) {
	r.served = s
	r.seen, r.unseen = s.Monitor.Watch()
}

// watch looks at the version until its time is over, a limit is broken, or somebody asks
// for the version before. The verdict is empty where ctx ended first.
func (r *run) watch(ctx context.Context) (v client.Verdict, breach string) {
	began := r.m.host.Now()
	verdict := func(outcome client.Outcome, detail string) client.Verdict {
		v := client.Verdict{
			Gate: gate.GateObservation, Outcome: outcome, Time: began, Device: r.m.host.Device, Detail: detail,
			How: "what clients saw, since the switch",
		}
		if r.seen != nil {
			st := r.seen.Snapshot()
			v.Samples = int(st.TotalRequests)
			v.Figures = map[string]float64{"requests": float64(st.TotalRequests), "errors": float64(st.ErrorCount), "p50_ms": st.P50LatencyMS, "p95_ms": st.P95LatencyMS}
		}
		return v
	}
	if r.served == nil {
		breach = "it did not load after a start of the node: " + fault.Message(r.lost)
		return verdict(client.OutcomeFail, breach), breach
	}
	defer r.unseen()
	baseline := r.baseline()
	over := time.NewTimer(time.Duration(r.file.Observe.Duration))
	defer over.Stop()
	look := time.NewTicker(r.m.host.observes())
	defer look.Stop()
	for ended := false; ; {
		select {
		case <-ctx.Done():
			return client.Verdict{}, ""
		case reason := <-r.asked:
			breach = strings.TrimSuffix("it was rolled back on request: "+reason, ": ")
		case <-look.C:
			breach = r.broken(baseline)
		case <-over.C:
			ended, breach = true, r.broken(baseline)
		}
		switch {
		case breach != "":
			return verdict(client.OutcomeFail, breach), breach
		case ended && r.seen.Snapshot().TotalRequests < observeEnough:
			return verdict(client.OutcomeInconclusive, fmt.Sprintf("it saw %d requests, %d would say something", r.seen.Snapshot().TotalRequests, observeEnough)), ""
		case ended:
			return verdict(client.OutcomePass, ""), ""
		}
	}
}

// baseline is the 95th percentile of the version before, in milliseconds, or 0 where that
// has answered too little.
func (r *run) baseline() float64 {
	if r.before == nil {
		return 0
	}
	st := r.before.Monitor.Snapshot()
	if st.WindowCount < observeEnough {
		return 0
	}
	return st.P95LatencyMS
}

// broken says which limit is broken, with the figures, or "".
func (r *run) broken(baseline float64) string {
	limits, st := r.file.Observe, r.seen.Snapshot()
	if r.m.host.Deaths != nil {
		if n := r.m.host.Deaths(r.served.Session); n > limits.MaxWorkerDeaths {
			return fmt.Sprintf("its worker died %d times, the limit is %d", n, limits.MaxWorkerDeaths)
		}
	}
	if failed, of := faults(&st); of >= observeLeast && float64(failed) > limits.MaxErrorRate*float64(of) {
		return fmt.Sprintf("%d of %d requests failed, the limit is %s %%", failed, of, stats.Figure(100*limits.MaxErrorRate, 3))
	}
	if st.WindowCount < observeLeast {
		return ""
	}
	if st.P95LatencyMS > limits.MaxP95MS {
		return fmt.Sprintf("the p95 of %d requests is %s ms, the limit is %g ms", st.WindowCount, stats.Figure(st.P95LatencyMS, 3), limits.MaxP95MS)
	}
	if ratio := st.P95LatencyMS / baseline; limits.MaxP95Ratio > 0 && baseline > 0 && ratio > limits.MaxP95Ratio {
		return fmt.Sprintf("the p95 of %d requests is %s ms, %s times that of the version before, the limit is %g times",
			st.WindowCount, stats.Figure(st.P95LatencyMS, 3), stats.Figure(ratio, 3), limits.MaxP95Ratio)
	}
	return ""
}

// faults counts the requests that failed for another reason than the client's, and those
// that the client did not spoil.
func faults(st *monitor.Stats) (failed, of int64) {
	of = st.TotalRequests
	for kind, n := range st.ErrorsByKind {
		switch kind {
		case fault.Internal.String(), fault.Unavailable.String(), fault.Deadline.String(), fault.Corrupt.String(), fault.Exhausted.String():
			failed += n
		default:
			of -= n
		}
	}
	return failed, of
}

// undo lets the version before serve again: on disk first, with the end of the deployment,
// then for requests.
func (r *run) undo(ctx context.Context, breach string) error {
	target := r.before
	if target == nil {
		var err error
		if target, err = r.reloadBefore(ctx); err != nil {
			return err
		}
	}
	r.before = nil
	reason := fmt.Sprintf("%s was rolled back to version %d: %s", r.version(), target.release.Version, breach)
	again := func(c *change) {
		bad := c.model.Serving
		c.tombstone = r.m.tombstone(bad, reason)
		target.release.Settled, target.release.Deaths = true, 0 // there may be none to go back to
		c.model.Serving, c.model.Before = target.release, bad
	}
	r.m.mu.Lock()
	r.d.Error = &client.Failure{Kind: fault.Internal.String(), Message: "observing: " + reason, Hint: "Look at its verdicts; deploy these bytes again with --retry."}
	r.m.mu.Unlock()
	if err := r.enter(ctx, client.PhaseRolledBack, again); err != nil {
		r.m.mu.Lock()
		r.d.Error = nil
		r.m.mu.Unlock()
		r.before = target
		return err
	}
	if bad := r.m.activate(target); bad != nil {
		r.m.release(bad)
	}
	r.served = nil
	r.m.host.Log.Error("version rolled back", "model", r.d.Model, "version", r.d.Version, "deployment_id", r.d.ID, "reason", breach)
	return nil
}

// reloadBefore loads the version before again, where it is not loaded any more.
func (r *run) reloadBefore(ctx context.Context) (*Served, error) {
	r.m.mu.Lock()
	record, err := r.m.store.model(r.d.Model)
	r.m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if record == nil || record.Before == nil {
		return nil, fault.New(fault.NotFound, "deploy.observe", "there is no version before it")
	}
	return r.m.reload(ctx, r.d.Model, record.Before)
}

// commit ends the deployment, and unloads the version before.
func (r *run) commit(ctx context.Context) error {
	if r.before != nil {
		r.m.release(r.before)
		r.before = nil
	}
	if err := r.enter(ctx, client.PhaseCommitted, nil); err != nil {
		// It serves, and the state file says so: the next start writes the end.
		r.m.host.Log.Error("commit was not written", "deployment_id", r.d.ID, "err", err)
		r.m.mu.Lock()
		moveTo(r.d, client.PhaseCommitted, r.m.host.Now())
		r.m.mu.Unlock()
	}
	return nil
}

// observes returns how often an observation looks.
func (h Host) observes() time.Duration {
	if h.ObserveEvery > 0 {
		return h.ObserveEvery
	}
	return observeEvery
}

// resume goes on with an observation that the end of the node before interrupted. served is
// nil where the version could not be loaded, and lost says why.
func (m *Manager) resume(d *client.Deployment, rel *release, served *Served, lost error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	file, err := deployfile.ParseIgnoring(rel.Spec, rel.SpecName, rel.IgnorePackages)
	if err != nil || m.closed {
		m.done(d.Model)
		return // a start that can read it goes on
	}
	r := newRun(m, d, file, client.DeploymentRequest{Artifacts: rel.Artifacts})
	r.resumed, r.lost = true, lost
	if served != nil {
		r.see(served)
	}
	m.busy[d.Model] = "deployment " + d.ID
	close(r.turn)
	m.execute(r)
}

// observing returns the run that observes a model, or nil. m.mu is held.
func (m *Manager) observing(model string) *run {
	for _, r := range m.runs {
		if r.d.Model == model && r.d.Phase == client.PhaseObserving {
			return r
		}
	}
	return nil
}
