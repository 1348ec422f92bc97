package deploy

import (
	"cmp"
	"fmt"
	"time"

	"verge/client"
	"verge/internal/fault"
)

// A version that takes the node down with it, such as by memory, is not given the
// chance for ever.
const (
	// maxDeaths is how many deaths of the node, before a version has settled, roll it back.
	maxDeaths = 3
	// settling is how long a node runs with a version until a death says nothing about it.
	settling = 10 * time.Minute
)

// mourn counts the death of the node before this one against a version that had not
// settled, and rolls it back where there were too many. Without a version before it,
// nothing is counted: where power comes and goes, a model that serves is better than none.
// It is for the start, before anything else runs.
func (m *Manager) mourn(record *modelRecord) error {
	bad := record.Serving
	if bad.Settled || record.Before == nil {
		return nil
	}
	if bad.Deaths++; bad.Deaths < maxDeaths {
		return m.store.save(change{model: record})
	}
	reason := fmt.Sprintf("the node died %d times before it had run for %v with %s@%d", bad.Deaths, cmp.Or(m.host.Settling, settling), record.Name, bad.Version)
	record.Serving, record.Before = record.Before, nil
	record.Serving.Settled = true // there is none to go back to
	delete(m.resumed, record.Name)
	c := change{model: record, tombstone: m.tombstone(record.Name, bad, reason)}
	if d := m.known[bad.Deployment]; d != nil {
		from := d.Phase
		rolledBack(d, c.tombstone, fault.Internal, "Look for what it takes of this machine, in verge status and in the system's log.")
		c.steps = append(c.steps, moved(d, from))
	}
	if err := m.store.save(c); err != nil {
		return err
	}
	m.host.Log.Error("version rolled back", "model", record.Name, "version", bad.Version, "reason", reason)
	return nil
}

// rolledBack writes into a deployment that it was rolled back.
func rolledBack(d *client.Deployment, why *tombstone, kind fault.Kind, hint string) {
	d.Error = &client.Failure{Kind: kind.String(), Message: why.Reason, Hint: hint}
	moveTo(d, client.PhaseRolledBack, why.Time)
}

// tombstone says of a release that it is not to come back unasked.
func (m *Manager) tombstone(model string, bad *release, reason string) *tombstone {
	return &tombstone{Model: model, Digest: bad.Artifacts[roleModel], Deployment: bad.Deployment, Reason: reason, Time: m.host.Now()}
}

// buried refuses bytes of a model that were rolled back. m.mu is held.
func (m *Manager) buried(model string, req client.DeploymentRequest) error {
	if req.Retry {
		return nil
	}
	t, err := m.store.buried(model, req.Artifacts[roleModel])
	if err != nil || t == nil {
		return err
	}
	return fault.New(fault.Conflict, "deploy.submit", "these bytes were rolled back with deployment %s: %s", t.Deployment, t.Reason).
		WithHint("Deploy other bytes, or these again with --retry.")
}

// settle notes, after a while, that a version has settled. It waits by the time that the
// node runs, whatever the clock says.
func (m *Manager) settle(s *Served) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.release.Settled || m.closed { // Close waits for none that begins after it
		return
	}
	m.wg.Go(func() {
		timer := time.NewTimer(cmp.Or(m.host.Settling, settling))
		defer timer.Stop()
		select {
		case <-timer.C:
			if err := m.settled(s); err != nil {
				m.host.Log.Warn("it was not written that a version has settled", "model", s.Model, "version", s.release.Version, "err", err)
			}
		case <-s.loaded.Done():
		}
	})
}

func (m *Manager) settled(s *Served) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	record, err := m.store.model(s.Model)
	if err != nil || record == nil || record.Serving == nil || record.Serving.Deployment != s.release.Deployment {
		return err // another one serves
	}
	record.Serving.Settled, record.Serving.Deaths = true, 0
	return m.store.save(change{model: record})
}
