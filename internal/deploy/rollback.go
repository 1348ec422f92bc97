package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"verge/client"
	"verge/internal/fault"
)

// Rollback begins to serve an earlier version again: to, or where that is 0 the one
// before. It is a deployment of its own, which loads that version beside the one that
// serves, and switches. The deployment of the latter becomes rolled_back with it, and its
// bytes get a tombstone. While the version that serves is observed, its own deployment is
// returned, which ends so. It fails with fault.NotFound for a model that is not deployed and
// for a version that is not kept, and with fault.Conflict where that version serves, and
// while something else goes on with the model.
func (m *Manager) Rollback(model string, to int, reason string, by client.Actor) (*client.Deployment, error) {
	const op = "deploy.rollback"
	if err := checkReasons(op, reason, ""); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	model = m.named(model)
	if r := m.observing(model); r != nil && !m.closed && m.returnsTo(r, to) {
		if len(r.asked) == 0 { // else somebody was faster
			ask := acted(client.ActRollback, r.d, reason)
			ask.Time = m.host.Now()
			if err := m.store.save(change{acts: []client.AuditEntry{ask}, by: by}); err != nil {
				return nil, err
			}
			r.asked <- reason // there is room: who sends holds m.mu
		}
		return m.view(r.d), nil
	}
	record, err := m.undeployable(op, model)
	if err != nil {
		return nil, err
	}
	target, err := record.target(op, to)
	if err != nil {
		return nil, err
	}
	file, err := target.file()
	if err != nil {
		return nil, err
	}
	resolved, err := file.Resolved()
	if err != nil {
		return nil, fault.New(fault.Internal, op, "write the deployment file: %w", err)
	}
	now := m.host.Now()
	d := &client.Deployment{
		ID: m.newID(model, now), Model: model, Version: target.Version, Stage: file.Stage, Digest: target.Artifacts[roleModel], Artifacts: target.Artifacts,
		Phase: client.PhasePending, Created: now, Updated: now, Reason: reason, Spec: resolved, RollsBack: record.Serving.Deployment,
		Phases: []client.PhaseRecord{{Phase: client.PhasePending, Started: now}},
	}
	r := newRun(m, d, file, client.DeploymentRequest{Artifacts: target.Artifacts, Spec: target.Spec, SpecName: target.SpecName})
	r.back = target
	r.report.by(by)
	if err := m.store.save(change{steps: []step{moved(d, "")}, report: r.report.record(d, r.log), by: by}); err != nil {
		return nil, err
	}
	return m.launch(r), nil
}

// returnsTo says whether the end of an observation can be what a rollback asks for. m.mu is
// held.
func (m *Manager) returnsTo(r *run, to int) bool {
	record, err := m.store.model(r.d.Model)
	return to == 0 || err == nil && record != nil && record.Before != nil && record.Before.Version == to
}

// target is the release to roll back to.
func (r *modelRecord) target(op string, to int) (*release, error) {
	serving := fmt.Sprintf("%s@%d", r.Name, r.Serving.Version)
	switch {
	case to == r.Serving.Version:
		return nil, fault.New(fault.Conflict, op, "%s serves already", serving)
	case to == 0 && r.Before == nil:
		return nil, fault.New(fault.NotFound, op, "there is no version before %s", serving).WithHint("%s", r.choices())
	case to == 0:
		return r.Before, nil
	}
	if found := r.find(to); found != nil {
		return found, nil
	}
	return nil, fault.New(fault.NotFound, op, "version %d of %s is not kept", to, r.Name).WithHint("%s", r.choices())
}

// choices says which versions there are beside the one that serves.
func (r *modelRecord) choices() string {
	var all []string
	for _, one := range r.kept() {
		if text := fmt.Sprint(one.Version); one.Version != r.Serving.Version && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	if len(all) == 0 {
		return "Deploy what is to serve; verge pin keeps a version that serves for later."
	}
	return "These are kept: " + strings.Join(all, ", ") + "."
}

// loadBack is the phase that loads the version to roll back to.
func (r *run) loadBack(ctx context.Context) error {
	again := *r.back
	again.Settled, again.Deaths = true, 0 // it has served, and there may be none to go back to
	served, err := r.m.reload(ctx, r.d.Model, &again)
	if err != nil {
		return err
	}
	r.candidate = served
	for _, fallback := range served.Version.Info().Fallbacks {
		r.warn(fallback)
	}
	return nil
}

// bury adds to a change that a release was rolled back. m.mu is held.
func (r *run) bury(bad *release, c *change) {
	reason := fmt.Sprintf("rolled back to version %d on request", r.back.Version)
	if r.d.Reason != "" {
		reason += ": " + r.d.Reason
	}
	why := r.m.tombstone(r.d.Model, bad, reason)
	if !sameModel(bad.Artifacts, r.back.Artifacts) { // else it was not the bytes
		c.tombstone = why
	}
	if t, err := r.m.store.buried(r.d.Model, r.d.Digest); err == nil && t != nil && t.Model == r.d.Model {
		c.pardon = []string{grave(t.Model, t.Digest)} // what another stage has rolled back is that stage's affair
	}
	if known := r.m.known[bad.Deployment]; known != nil {
		d := clone(known)
		rolledBack(d, why, fault.Canceled, "")
		c.steps = append(c.steps, moved(d, known.Phase))
	}
}

// maxPinned is how many versions of a model may be pinned.
const maxPinned = 16

// Pin keeps a version with all its files, whatever is deployed after it, until it is
// unpinned. It fails with fault.NotFound for a version that is not there any more, and
// with fault.Exhausted where many are pinned.
func (m *Manager) Pin(model string, version int, pinned bool, by client.Actor) error {
	const op = "deploy.pin"
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fault.New(fault.Unavailable, op, "the node is stopping")
	}
	model = m.named(model)
	record, err := m.store.model(model)
	if err != nil {
		return err
	}
	if record == nil || len(record.kept()) == 0 {
		return NotDeployed(op, model)
	}
	at := slices.IndexFunc(record.Pinned, func(one *release) bool { return one.Version == version })
	found := record.find(version)
	switch {
	case found == nil || !pinned && at < 0:
		what := "kept"
		if !pinned {
			what = "pinned"
		}
		return fault.New(fault.NotFound, op, "version %d of %s is not %s", version, model, what).WithHint("verge status lists those that are.")
	case pinned == (at >= 0):
		return nil
	case !pinned:
		record.Pinned = slices.Delete(record.Pinned, at, at+1)
	case len(record.Pinned) >= maxPinned:
		return fault.New(fault.Exhausted, op, "%d versions of %s are pinned, which is the limit", maxPinned, model).WithHint("Unpin one: verge pin --remove %s@N", model)
	default:
		record.Pinned = append(record.Pinned, found)
		slices.SortFunc(record.Pinned, func(a, b *release) int { return a.Version - b.Version })
	}
	act := client.AuditEntry{
		Time: m.host.Now(), Act: client.ActPin, Model: model, Version: version, Deployment: found.Deployment, Digest: found.Artifacts[roleModel],
	}
	if !pinned {
		act.Act = client.ActUnpin
	}
	return m.store.save(change{model: record, acts: []client.AuditEntry{act}, by: by})
}

// Kept returns the versions of a model that are kept beside the one that serves: the one
// before it (0 for none), and pinned ones.
func (m *Manager) Kept(model string) (before int, pinned []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	record, err := m.store.model(model)
	if err != nil || record == nil {
		return 0, nil
	}
	if record.Before != nil {
		before = record.Before.Version
	}
	for _, one := range record.Pinned {
		pinned = append(pinned, one.Version)
	}
	return before, pinned
}
