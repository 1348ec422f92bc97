package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"verge/client"
	"verge/internal/artifact"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/modelname"
	"verge/internal/serve"
)

// Submit validates the request and starts the deployment; the result is its
// first state. It fails with fault.Invalid (all problems of the file at once),
// fault.NotFound for an artifact that was not uploaded, and fault.Conflict for bytes
// that were rolled back, and while another deployment of the model goes on; one that asks
// to be queued waits for that, and fails with fault.Unavailable where many do. by is who
// asks. Where the same files serve with the same configuration already, nothing is done: the
// result is their deployment, which has ended, unless the request asks for it again.
func (m *Manager) Submit(req client.DeploymentRequest, by client.Actor) (*client.Deployment, error) {
	const op = "deploy.submit"
	if err := checkReasons(op, req.Reason, req.ForceReason); err != nil {
		return nil, err
	}
	file, err := deployfile.ParseSpec(req.Spec, req.SpecName, deployfile.Options{Stage: req.Stage, Ignore: req.IgnorePackages})
	if err != nil {
		return nil, err
	}
	name := req.Name
	if name == "" {
		name = file.ModelName(req.SpecName)
	}
	if err := deployfile.CheckName(name); err != nil {
		return nil, err
	}
	if err := neededArtifacts(file, req.Artifacts).Err(); err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Op: op, Err: err, Hint: "Upload the files, and name each digest under artifacts."}
	}
	served := modelname.Served(name, file.Stage)
	if err := modelname.Check(served); err != nil {
		return nil, fault.New(fault.Invalid, op, "at the stage %s: %w", file.Stage, err).WithHint("Give a shorter name, in the deployment file or with --name.")
	}
	return m.start(served, file, req, promotion{}, by)
}

// neededArtifacts finds files that the deployment file speaks of and that the
// request does not bring, and what it brings that is none.
func neededArtifacts(file *deployfile.File, given map[string]string) (problems fault.Problems) {
	type need struct{ role, key, path string }
	needs := []need{
		{roleModel, "model.path", file.Model.Path},
		{roleWeights, "model.path", ""}, // where the format has them: checking the model will tell
	}
	for _, data := range DataFiles(file) {
		needs = append(needs, need{data.Role, data.Key, data.Path})
	}
	for i, v := range file.Model.Variants {
		model, weights := rolesOf(i + 1)
		key := fmt.Sprintf("model.variants[%d].path", i)
		needs = append(needs, need{model, key, v.Path}, need{weights, key, ""})
	}
	roles := map[string]bool{}
	for _, want := range needs {
		roles[want.role] = true
		if want.path != "" && given[want.role] == "" {
			problems.Add("artifacts."+want.role, 0, "is missing: the digest of the file that %s names", want.key)
		}
	}
	for _, role := range slices.Sorted(maps.Keys(given)) {
		digest := given[role]
		switch err := artifact.CheckDigest(digest); {
		case !roles[role]:
			problems.Add("artifacts", 0, "%.64q is unknown, want model, weights, labels, golden, accuracy.dataset or accuracy.labels", role)
		case err != nil && digest != "":
			problems.Add("artifacts."+role, 0, "%s", fault.Message(err))
		}
	}
	return problems
}

// promotion is the version that is promoted, and from which stage. The zero one is none: then
// a deployment gets the next version.
type promotion struct {
	version int
	from    string
}

// start registers the deployment and runs it in a goroutine of its own. name is that
// under which the stage is served.
func (m *Manager) start(name string, file *deployfile.File, req client.DeploymentRequest, p promotion, by client.Actor) (*client.Deployment, error) {
	version := p.version
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.turn("deploy.submit", name, req.Queue); err != nil {
		return nil, err
	}
	if err := m.buried(name, req); err != nil {
		return nil, err
	}
	for _, role := range slices.Sorted(maps.Keys(req.Artifacts)) {
		if digest := req.Artifacts[role]; !m.host.Artifacts.Has(digest) { // under the mutex, so that collect leaves it
			return nil, fault.New(fault.NotFound, "deploy.submit", "artifact %s (%s) was not uploaded", digest, role).
				WithHint("PUT /v1/artifacts/%s first.", digest)
		}
	}
	resolved, err := file.Resolved()
	if err != nil {
		return nil, fault.New(fault.Internal, "deploy.submit", "write the deployment file: %w", err)
	}
	if _, busy := m.busy[name]; version == 0 && !req.Again && !req.Retry && !busy {
		if d := m.same(name, req.Artifacts, resolved); d != nil {
			return d, nil
		}
	}
	plain, _, _ := modelname.Split(name)
	counter, err := m.store.model(plain) // versions are counted over all stages
	if err != nil {
		return nil, err
	}
	if counter == nil {
		counter = &modelRecord{Name: plain}
	}
	if version == 0 {
		counter.Last++
		version = counter.Last
	}
	record := counter
	if name != plain {
		if record, err = m.store.model(name); err != nil {
			return nil, err
		}
		if record == nil {
			record = &modelRecord{Name: name}
		}
		record.Last = version
	}
	now := m.host.Now()
	d := &client.Deployment{
		ID: m.newID(name, now), Model: name, Version: version, ForceReason: req.ForceReason, Stage: file.Stage, Digest: req.Artifacts[roleModel], Artifacts: req.Artifacts,
		Phase: client.PhasePending, Created: now, Updated: now, Reason: req.Reason, Spec: resolved, PromotedFrom: p.from,
		Phases: []client.PhaseRecord{{Phase: client.PhasePending, Started: now}},
	}
	r := newRun(m, d, file, req)
	r.report.by(by)
	c := change{steps: []step{moved(d, "")}, model: record, counter: counter, report: r.report.record(d, r.log), by: by}
	if err := m.consents(&c, d, req); err != nil {
		return nil, err
	}
	if err := m.store.save(c); err != nil {
		return nil, err
	}
	for _, digest := range req.Artifacts {
		m.used[digest] = true
	}
	return m.launch(r), nil
}

// same returns the deployment of what serves under a name, where that has the same files and
// the same configuration, and nothing is wrong with it; else nil. m.mu is held.
func (m *Manager) same(name string, artifacts map[string]string, resolved json.RawMessage) *client.Deployment {
	served := m.serving[name]
	if served == nil || served.Version.Status().State == serve.StateFailed || !maps.Equal(served.release.Artifacts, artifacts) {
		return nil
	}
	has, err := served.File.Resolved()
	if err != nil || !bytes.Equal(has, resolved) {
		return nil
	}
	d := m.known[served.release.Deployment]
	if d == nil || d.Phase != client.PhaseCommitted {
		return nil // it is forgotten
	}
	d = m.view(d)
	d.NothingToDo = true
	return d
}
