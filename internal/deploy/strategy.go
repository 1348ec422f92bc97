package deploy

import (
	"fmt"
	"time"

	"verge/client"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/inference"
	"verge/internal/modelfile"
	"verge/internal/stats"
)

// gap is a time in which no version of a model serves: the one before was stopped so that
// the next one has its memory.
type gap struct {
	since     time.Time
	release   *release // that was stopped, and serves again where the next one does not
	signature inference.Signature
	declared  *modelfile.Info
}

// reclaiming is a machine with the memory of the version that will be stopped.
type reclaiming struct {
	Machine

	bytes int64
}

// AvailableMemory implements Machine.
func (m reclaiming) AvailableMemory() (int64, error) {
	free, err := m.Machine.AvailableMemory()
	return free + m.bytes, err
}

// stops says whether the version that serves is stopped before the next one is loaded.
func stops(file *deployfile.File) bool {
	return file.Deployment.Strategy == deployfile.StopThenStart
}

// machine is this machine as checking sees it: where the version that serves is stopped
// first, its memory counts as free.
func (r *run) machine() Machine {
	machine, served := r.m.host.Machine, r.m.servingNow(r.d.Model)
	if served == nil || !stops(r.file) {
		return machine
	}
	used, err := r.m.host.memory(served.Session)
	if err != nil {
		return machine // it shares the node's memory
	}
	return reclaiming{machine, used.PeakBytes}
}

// stop unloads the version that serves, where the deployment file says so: its requests
// are finished, later ones are told that it is being replaced. It fails where the memory
// that this gives is not enough.
func (r *run) stop() error {
	if !stops(r.file) {
		return nil
	}
	served := r.m.take(r.d.Model, fmt.Sprintf("being replaced by version %d (deployment.strategy: stop-then-start)", r.d.Version))
	if served == nil {
		return nil
	}
	r.gap = &gap{since: r.m.host.Now(), release: served.release, signature: served.Version.Signature(), declared: served.declared}
	r.m.release(served)
	const mib = 1 << 20
	need := r.file.Deployment.MemoryLimitMB
	if free, err := r.m.host.Machine.AvailableMemory(); err == nil && int64(need)*mib > free {
		return fault.New(fault.Exhausted, "deploy.stop", "%d MB must be free before the load, %d MB are, after %s was stopped", need, free/mib, served).
			WithHint("Lower deployment.memory_limit_mb, or undeploy a model that is no longer needed.")
	}
	return nil
}

// take stops a model from being served, and returns the version that was, which is still
// loaded; nil for none. Who asks is told why.
func (m *Manager) take(model, why string) *Served {
	m.mu.Lock()
	served := m.serving[model]
	delete(m.serving, model)
	m.mu.Unlock()
	if served != nil {
		m.host.Server.Announce(model, why)
		m.host.Gone(model)
	}
	return served
}

// startAgain lets the version that was stopped serve again, since the next one does not.
// Where the node stops, its next start does.
func (r *run) startAgain() {
	if r.gap == nil || r.m.ctx.Err() != nil {
		return
	}
	was := r.gap
	served, err := r.m.reload(r.m.ctx, r.d.Model, was.release)
	if err != nil {
		text := fmt.Sprintf("version %d was stopped and does not load again: %s", was.release.Version, fault.Message(err))
		r.warn(text)
		r.m.host.Server.Announce(r.d.Model, "not loaded: "+fault.Clean(text))
		r.m.host.Log.Error("stopped version was not loaded again", "model", r.d.Model, "version", was.release.Version, "deployment_id", r.d.ID, "err", err)
		return
	}
	r.m.activate(served)
	r.tellGap(fmt.Sprintf("version %d was stopped, and serves again", was.release.Version))
}

// tellGap keeps how long no version served.
func (r *run) tellGap(detail string) {
	if r.gap == nil {
		return
	}
	took := ms(r.m.host.Now().Sub(r.gap.since))
	r.verdict(client.Verdict{
		Gate: gate.GateGap, Outcome: client.OutcomePass, Figure: &took, Unit: "ms", Samples: 1, Time: r.m.host.Now(), Device: r.m.host.Device,
		Detail: detail, How: "from the stop of the one to the switch (deployment.strategy: stop-then-start)",
	})
	r.warn(fmt.Sprintf("no version of %s served for %s ms: %s", r.d.Model, stats.Figure(took, 4), detail))
	r.gap = nil
}

// clientsKnow is the signature that clients of the model know, and what its file says;
// nil where no version serves, or did until it was stopped.
func (r *run) clientsKnow() (*inference.Signature, *modelfile.Info) {
	if r.gap != nil {
		return &r.gap.signature, r.gap.declared
	}
	if s := r.m.servingNow(r.d.Model); s != nil {
		g := s.Version.Signature()
		return &g, s.declared
	}
	return nil, nil
}
