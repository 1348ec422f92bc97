package deploy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"verge/client"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/modelname"
)

// Promote deploys the version that serves at the highest stage below another to that one:
// the same bytes, with their number, through the gates as that stage has them. It fails with
// fault.Invalid for a stage that nothing is promoted to, with fault.NotFound where no lower
// stage has a version, with fault.Conflict where the stage has that version already, and as
// Submit does.
func (m *Manager) Promote(model string, req client.PromoteRequest, by client.Actor) (*client.Deployment, error) {
	const op = "deploy.promote"
	if err := checkReasons(op, req.Reason, req.ForceReason); err != nil {
		return nil, err
	}
	stages := modelname.Stages()
	at := slices.Index(stages, req.To)
	if at < 0 || req.To == modelname.Development {
		return nil, fault.New(fault.Invalid, op, "a version cannot be promoted to %s, want production, staging or testing", fault.Quote(req.To))
	}
	plain, from, named := modelname.Split(model)
	lower := stages[at+1:]
	if named {
		lower = []string{from}
	}
	m.mu.Lock()
	source, stage, err := m.promotable(plain, lower)
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if source == nil {
		return nil, fault.New(fault.NotFound, op, "no version of %s serves at %s", plain, strings.Join(lower, " or ")).
			WithHint("Deploy one there first: verge deploy FILE --stage %s", lower[0])
	}
	name := modelname.Served(plain, req.To)
	m.mu.Lock()
	if d := m.known[source.Deployment]; d != nil && d.Phase == client.PhaseObserving && req.ForceReason == "" {
		m.mu.Unlock()
		return nil, fault.New(fault.Conflict, op, "version %d of %s is observed at %s still", source.Version, plain, stage).WithHint("Wait for the end of deployment %s, or force it with a reason: --force REASON.", d.ID)
	}
	target, err := m.store.model(name)
	m.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case target != nil && target.Serving != nil && target.Serving.Version == source.Version:
		return nil, fault.New(fault.Conflict, op, "version %d of %s serves at %s already", source.Version, plain, req.To)
	}
	asked := client.DeploymentRequest{
		Spec: source.Spec, SpecName: source.SpecName, Artifacts: source.Artifacts, Stage: req.To, IgnorePackages: source.IgnorePackages,
		Reason: req.Reason, ForceReason: req.ForceReason,
	}
	promoted := *source
	promoted.Stage = req.To
	file, err := promoted.file()
	if err != nil {
		return nil, err
	}
	if err := neededArtifacts(file, source.Artifacts).Err(); err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Op: op, Err: err, Hint: "The stage " + req.To + " wants files that this version was not deployed with: verge deploy FILE --stage " + req.To}
	}
	return m.start(name, file, asked, promotion{source.Version, stage}, by)
}

// promotable returns what serves at the first of the stages that has something. m.mu is
// held.
func (m *Manager) promotable(model string, stages []string) (*release, string, error) {
	for _, stage := range stages {
		record, err := m.store.model(modelname.Served(model, stage))
		if err != nil {
			return nil, "", err
		}
		if record != nil && record.Serving != nil {
			return record.Serving, stage, nil
		}
	}
	return nil, "", nil
}

// Named returns the name under which what a name stands for is served: that of the stage
// that it asks for, or of the highest stage that has a version.
func (m *Manager) Named(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.named(name)
}

// named is Named. m.mu is held.
func (m *Manager) named(name string) string {
	order := modelname.Order(name)
	for _, served := range order { // as Server.Resolve: what is not loaded is not skipped for a lower stage
		if m.serving[served] != nil {
			return served
		}
		if record, err := m.store.model(served); err == nil && record != nil && record.Serving != nil {
			return served
		}
	}
	if len(order) == 1 {
		return order[0]
	}
	return name
}

// checkEvidence refuses bytes for production that staging has not seen, on this device or by
// the report that comes with them, unless that is forced.
func (r *run) checkEvidence(findings *Findings) {
	if r.file.Stage != modelname.Production {
		return
	}
	r.m.mu.Lock()
	seen := ""
	for _, d := range r.m.known {
		if d.Stage == modelname.Staging && d.Phase == client.PhaseCommitted && ofSameModel(d, r.d) {
			seen = d.ID
		}
	}
	if record, err := r.m.store.model(modelname.Served(plainOf(r.d.Model), modelname.Staging)); seen == "" && err == nil && record != nil {
		buried, _ := r.m.store.buried(r.d.Model, r.d.Digest)
		for _, one := range record.kept() { // of deployments that are forgotten
			if sameModel(one.Artifacts, r.d.Artifacts) && r.m.known[one.Deployment] == nil && (buried == nil || buried.Deployment != one.Deployment) {
				seen = one.Deployment
			}
		}
	}
	r.m.mu.Unlock()
	v := client.Verdict{Gate: gate.GateEvidence, Outcome: client.OutcomePass, Time: r.m.host.Now(), Device: r.m.host.Device}
	switch {
	case seen != "":
		v.Detail, v.How = "staging took these bytes with deployment "+seen, "what this device remembers"
		r.verdict(v)
	case proves(r.req.Evidence, r.d):
		told := func(text string) string { return fault.Clip(fault.Clean(text)) } // it is somebody else's
		v.Detail = fmt.Sprintf("%s took these bytes with deployment %s", r.req.Evidence.Deployment.Stage, told(r.req.Evidence.Deployment.ID))
		v.How = "what the report says that came with the request, of " + cmp.Or(told(r.req.Evidence.Device.Label), "another device")
		r.verdict(v)
	case r.req.ForceReason != "":
		findings.warn("stage: these bytes have not passed staging on this device, and are forced: %s", r.req.ForceReason)
	default:
		findings.problem(fault.Invalid, "stage", "Deploy them to staging first, and promote them: verge promote "+plainOf(r.d.Model)+" --to production; deploy what verge export has written of them where they have passed it; or force it with a reason: --force REASON.",
			"these bytes have not passed staging on this device, which production wants")
	}
}

// proves says whether a report is that of a deployment in which staging has taken the same
// files of the same model, or production that had seen them there.
func proves(report *client.Report, d *client.Deployment) bool {
	if report == nil || report.Format != client.ReportFormat {
		return false
	}
	seen := &report.Deployment
	if seen.Phase != client.PhaseCommitted || plainOf(seen.Model) != plainOf(d.Model) || !ofSameModel(seen, d) {
		return false
	}
	switch seen.Stage {
	case modelname.Staging:
		return true
	case modelname.Production:
		return slices.ContainsFunc(seen.Verdicts, func(v client.Verdict) bool {
			return v.Gate == gate.GateEvidence && v.Outcome == client.OutcomePass
		})
	}
	return false
}

// ofSameModel says whether two deployments are of the same files of a model.
func ofSameModel(seen, d *client.Deployment) bool {
	if seen.Artifacts == nil { // its model alone is known
		return seen.Digest == d.Digest && len(modelFiles(d.Artifacts)) == 1
	}
	return sameModel(seen.Artifacts, d.Artifacts)
}

func sameModel(a, b map[string]string) bool { return maps.Equal(modelFiles(a), modelFiles(b)) }

// modelFiles are the artifacts of a deployment that are loaded, or may be.
func modelFiles(artifacts map[string]string) map[string]string {
	all := map[string]string{}
	for role, digest := range artifacts {
		if digest != "" && (role == roleModel || role == roleWeights || strings.HasPrefix(role, "variants.")) {
			all[role] = digest
		}
	}
	return all
}

func plainOf(name string) string {
	plain, _, _ := modelname.Split(name)
	return plain
}

// judge keeps a verdict and says what it means at the stage: fail and error refuse the
// candidate, but in development, where they warn; inconclusive warns, but in staging and
// production, where it refuses unless it is forced.
func (r *run) judge(v client.Verdict) error {
	r.verdict(v)
	err := r.refusal(v)
	switch {
	case err == nil, r.retest:
	case r.file.Lenient():
		r.warn(fmt.Sprintf("%s; the stage development deploys it all the same", fault.Message(err)))
		return nil
	case v.Outcome == client.OutcomeInconclusive && r.req.ForceReason != "":
		r.warn(fmt.Sprintf("%s; forced: %s", fault.Message(err), r.req.ForceReason))
		return nil
	}
	return err
}
