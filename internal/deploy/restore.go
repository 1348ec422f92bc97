package deploy

import (
	"context"
	"fmt"
	"sync"

	"verge/client"
	"verge/internal/fault"
	"verge/internal/modelfile"
)

// recover reads what an earlier process left, and ends what it was doing: a
// deployment that had switched is committed, any other failed.
func (m *Manager) recover() error {
	all, err := m.store.deployments()
	if err != nil {
		return err
	}
	for _, d := range all {
		m.known[d.ID] = d
		m.used[d.Digest] = true // so that it goes where nothing needs it any more
		if d.Phase.Final() {
			continue
		}
		from, to := d.Phase, client.PhaseFailed
		if switched(d.Phase) {
			if to, err = m.interrupted(d); err != nil {
				return err
			}
			if to == from {
				continue
			}
		} else {
			d.Error = &client.Failure{
				Kind: fault.Unavailable.String(), Hint: "Deploy again.",
				Message: fmt.Sprintf("%s: the node stopped before the deployment had switched", d.Phase),
			}
		}
		now := m.host.Now()
		moveTo(d, to, now)
		if err := m.store.save(change{steps: []step{moved(d, from)}}); err != nil {
			return err
		}
		m.host.Log.Warn("interrupted deployment ended", "deployment_id", d.ID, "model", d.Model, "phase", to)
	}
	return m.store.forgetReports(func(id string) bool { return m.known[id] != nil })
}

// interrupted says what becomes of a deployment that had switched: where it is to be
// observed, that begins again.
func (m *Manager) interrupted(d *client.Deployment) (client.Phase, error) {
	record, err := m.store.model(d.Model)
	if err != nil {
		return "", err
	}
	if record == nil || record.Serving == nil || record.Serving.Deployment != d.ID {
		return client.PhaseCommitted, nil
	}
	rel := record.Serving
	file, err := rel.file()
	if err != nil || !observed(file, record) { // what cannot be read is told when it is loaded
		return client.PhaseCommitted, nil //nolint:nilerr // see above
	}
	m.resumed[d.Model] = d
	return client.PhaseObserving, nil
}

// claim marks every committed model as being restarted: its name answers that it is
// loading, and nothing is begun with it before Restore has tried it. died says that the
// node before this one did not end by itself.
func (m *Manager) claim(died bool) error {
	records, err := m.store.models()
	if err != nil {
		return err
	}
	for _, record := range records {
		if record.Serving != nil && died {
			if err := m.mourn(record); err != nil {
				return err
			}
		}
		if record.Serving == nil {
			continue
		}
		m.host.Server.Announce(record.Name, "loading after a start of the node")
		m.busy[record.Name] = "the restart"
		m.committed = append(m.committed, record)
	}
	return nil
}

// Restore loads every model that was committed when the manager was opened, and lets
// it serve; one that cannot be loaded answers with the reason. It returns when all have
// been tried, or the manager is closed, and is called once.
func (m *Manager) Restore() {
	var wg sync.WaitGroup
	for _, record := range m.committed {
		wg.Go(func() { m.restore(record) })
	}
	wg.Wait()
}

func (m *Manager) restore(record *modelRecord) {
	log := m.host.Log.With("model", record.Name, "version", record.Serving.Version)
	m.mu.Lock()
	observation := m.resumed[record.Name]
	m.mu.Unlock()
	served, err := m.reload(m.ctx, record.Name, record.Serving)
	switch {
	case err == nil:
		m.activate(served)
		log.Info("committed model serves again")
	case m.ctx.Err() != nil:
		log.Info("committed model was not loaded, since the node stops")
	default:
		log.Error("committed model was not loaded", "err", err)
		m.host.Server.Announce(record.Name, "not loaded: "+fault.Clean(fault.Message(err))) // clients are told too
	}
	if observation != nil && m.ctx.Err() == nil {
		m.resume(observation, record.Serving, served, err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done(record.Name) // not before it serves: a deployment that was faster would be replaced
}

// reload loads a release again.
func (m *Manager) reload(ctx context.Context, model string, rel *release) (*Served, error) {
	file, err := rel.file()
	if err != nil {
		return nil, err
	}
	bytes, err := m.reopen(ctx, rel.Artifacts, rel.variant())
	if err != nil {
		return nil, err
	}
	if rel.Way != nil {
		rel.Runtime = rel.Way.Runtime
	}
	if rel.Runtime == "" { // an earlier version has written it
		info, err := modelfile.Inspect(bytes.file(), modelfile.DefaultLimits())
		if err != nil {
			bytes.close() //nolint:errcheck,gosec // only read
			return nil, err
		}
		rel.Runtime = runtimeOf(file, info)
	}
	return m.load(ctx, loading{model: model, file: file, bytes: bytes, release: rel, threads: (&Findings{}).threads(file, m.host.Machine)})
}

// activate lets a loaded version serve. It returns the one before it, which is still
// loaded, and to be released; nil for none.
func (m *Manager) activate(s *Served) (before *Served) {
	s.cases, s.tested = nil, s.Monitor.Snapshot()
	m.mu.Lock()
	before = m.serving[s.Model]
	m.serving[s.Model] = s // who is answered by it can find it from here on
	m.mu.Unlock()
	m.host.Server.Activate(s.Version)
	m.host.Server.Withdraw(s.Model)
	m.host.Served(s)
	m.settle(s)
	return before
}

// Serving returns what serves, in no useful order.
func (m *Manager) Serving() []*Served {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]*Served, 0, len(m.serving))
	for _, s := range m.serving {
		all = append(all, s)
	}
	return all
}

// Undeploy stops serving a model, after the requests that it is answering, and
// forgets that it was committed. Its version numbers go on from where they are.
// It fails with fault.NotFound for a model that is not deployed, and with
// fault.Conflict while it is being deployed.
func (m *Manager) Undeploy(model string, by client.Actor) error {
	const op = "deploy.undeploy"
	m.mu.Lock()
	model = m.named(model)
	record, err := m.undeployable(op, model)
	if err == nil {
		gone := record.Serving
		record.Before, record.Serving = gone, nil
		act := client.AuditEntry{
			Time: m.host.Now(), Act: client.ActUndeploy, Model: model, Version: gone.Version, Deployment: gone.Deployment, Digest: gone.Artifacts[roleModel],
		}
		err = m.store.save(change{model: record, acts: []client.AuditEntry{act}, by: by})
	}
	if err != nil {
		m.mu.Unlock()
		return err
	}
	served := m.serving[model]
	delete(m.serving, model)
	m.busy[model] = "the undeployment"
	m.mu.Unlock()

	m.host.Gone(model)
	m.host.Server.Withdraw(model)
	if served != nil {
		m.release(served)
	}
	m.host.Log.Info("model undeployed", "model", model)

	m.mu.Lock()
	m.done(model)
	err = m.collect()
	m.mu.Unlock()
	m.tidy(err)
	return nil
}

// undeployable returns the record of a model that may be undeployed. m.mu is held.
func (m *Manager) undeployable(op, model string) (*modelRecord, error) {
	if err := m.free(op, model); err != nil {
		return nil, err
	}
	record, err := m.store.model(model)
	if err == nil && (record == nil || record.Serving == nil) {
		err = NotDeployed(op, model)
	}
	return record, err
}

// NotDeployed is the error of kind fault.NotFound for a model of which no version
// is deployed; op names the operation that looked for it.
func NotDeployed(op, model string) error {
	return fault.New(fault.NotFound, op, "model %q is not deployed", model).
		WithHint("verge status lists the models that are.")
}
