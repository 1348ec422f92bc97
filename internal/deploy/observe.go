package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"verge/client"
	"verge/internal/deployfile"
	"verge/internal/fault"
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
	if breach == "" {
		if breach = r.lastAsked(); breach != "" {
			v.Outcome, v.Detail = client.OutcomeFail, breach
		}
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
	if ctx.Err() != nil {
		return errPaused // the next start goes on
	}
	// What serves goes on to: there is nothing else.
	r.warn(fmt.Sprintf("it was not rolled back although %s: %s", breach, fault.Message(err)))
	return r.commit(ctx)
}

// lastAsked ends the time in which somebody can ask for the version before, and says that
// somebody has at the last moment, or "".
func (r *run) lastAsked() string {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.over = true
	select {
	case reason := <-r.asked:
		return onRequest(reason)
	default:
		return ""
	}
}

// onRequest is the breach of somebody's wish.
func onRequest(reason string) string {
	return strings.TrimSuffix("it was rolled back on request: "+reason, ": ")
}

// undo lets the version before serve again: on disk first, with the end of the deployment,
// then for requests.
func (r *run) undo(ctx context.Context, breach string) error {
	target := r.before
	if target == nil {
		err := r.stop()
		if err == nil {
			target, err = r.reloadBefore(ctx)
		}
		if err != nil {
			r.startAgain()
			return err
		}
	}
	r.before = nil
	reason := fmt.Sprintf("%s was rolled back to version %d: %s", r.version(), target.release.Version, breach)
	again := func(c *change) {
		bad := c.model.Serving
		c.tombstone = r.m.tombstone(r.d.Model, bad, reason)
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
		if r.gap != nil { // the bad one is stopped, and serves again
			r.m.release(target)
			r.before = nil
			r.startAgain()
		}
		return err
	}
	if bad := r.m.activate(target); bad != nil {
		r.m.release(bad)
	}
	r.endBackUp()
	r.tellGap(fmt.Sprintf("version %d serves in the place of the one that was rolled back", target.release.Version))
	r.watched = nil
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
	r.endBackUp()
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

// resume goes on with an observation that the end of the node before interrupted. served is
// nil where the version could not be loaded, and lost says why.
func (m *Manager) resume(d *client.Deployment, rel *release, served *Served, lost error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	file, err := rel.file()
	if err != nil || m.closed {
		m.done(d.Model)
		return // a start that can read it goes on
	}
	r := newRun(m, d, file, client.DeploymentRequest{Artifacts: rel.Artifacts})
	r.resumed, r.lost = true, lost
	if kept, err := m.store.report(d.ID); err == nil { // what cannot be read begins anew
		r.report.goOn(d, kept)
	}
	if served != nil {
		r.watched = watchServed(served, file, file.Limits(), m.host.Now)
	}
	m.busy[d.Model] = "deployment " + d.ID
	close(r.turn)
	m.execute(r)
}

// observing returns the run that observes a model and can still roll it back, or nil. m.mu is held.
func (m *Manager) observing(model string) *run {
	for _, r := range m.runs {
		if r.d.Model == model && r.d.Phase == client.PhaseObserving && !r.over {
			return r
		}
	}
	return nil
}
