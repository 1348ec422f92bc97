package deploy

import (
	"context"
	"fmt"

	"verge/client"
	"verge/internal/fault"
)

// Test asks what serves under a name as its deployment's tests did, all three of them where
// the file has them, and tells fn of phases, verdicts and the end as Events does: it has
// the phase committed where all passed, else failed, with the reason. What is asked counts
// as requests of the version. It fails with fault.NotFound for a model that is not deployed
// or not loaded, and as fn does.
func (m *Manager) Test(ctx context.Context, model string, fn func(client.Event) error) error {
	const op = "deploy.test"
	m.mu.Lock()
	name := m.named(model)
	served := m.serving[name]
	m.mu.Unlock()
	if served == nil {
		return NotDeployed(op, model)
	}
	cases, err := m.golden(served.File, served.release.Artifacts[roleGolden], served.Version.Signature())
	if err != nil {
		return err
	}
	again := &Served{Model: name, File: served.File, Version: served.Version, Session: served.Session, cases: cases, probe: served.probe, source: served.source, release: served.release}
	now := m.host.Now()
	r := &run{m: m, retest: true, file: served.File, log: newEventLog(), candidate: again, d: &client.Deployment{
		ID: served.Deployment(), Model: name, Version: served.release.Version, Stage: served.File.Stage, Phase: client.PhaseTesting,
		Created: now, Phases: []client.PhaseRecord{{Phase: client.PhaseTesting, Started: now}},
	}}
	r.log.add(client.Event{Time: now, Deployment: r.d.ID, Type: client.EventPhase, Phase: client.PhaseTesting})
	done := make(chan struct{})
	tested, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		<-done
	}()
	go func() {
		defer close(done)
		end := client.Event{Deployment: r.d.ID, Type: client.EventEnd, Phase: client.PhaseCommitted}
		if err := r.test(tested); err != nil {
			end.Phase, end.Error = client.PhaseFailed, failureOf(err)
			end.Error.Message = fmt.Sprintf("%s: %s", client.PhaseTesting, fault.Message(err))
		}
		end.Time = m.host.Now()
		r.log.add(end)
	}()
	return r.log.follow(ctx, 0, fn)
}
