package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"verge/client"
	"verge/internal/choice"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/modelfile"
)

// run is one deployment in progress. One goroutine executes it; d is read by
// others, so it is changed under Manager.mu only.
type run struct {
	m      *Manager
	d      *client.Deployment
	file   *deployfile.File
	req    client.DeploymentRequest
	log    *eventLog
	cancel context.CancelCauseFunc
	turn   chan struct{} // closed when nothing else goes on with the model
	back   *release      // to roll back to; nil where the request is deployed

	threads    int         // from checking
	findings   *Findings   // from checking
	way        *choice.Way // from preparing; nil where there was nothing to choose
	remembered string      // key of the choice of an earlier deployment that way is; "" for none
	chosen     string      // key of the choice of this one; "" for none
	model      memory      // the verified files, from checking until loading takes them over
	gap        *gap        // from loading on, until a version serves; nil where one does throughout
	candidate  *Served     // from loading; nil once it serves

	over    bool        // the observation is; guarded by Manager.mu
	retest  bool        // what serves is tested again: a verdict means the same at all stages
	unsplit func()      // ends the canary; nil where there is none
	alone   func()      // ends that another version answers what the one that serves fails; nil where none does
	watched *watched    // what is gathered of the candidate, once it serves and is observed
	before  *Served     // what served before, as long as it is kept; nil for none
	resumed bool        // it goes on with an observation
	lost    error       // why there is nothing to observe then
	asked   chan string // reasons for which somebody wants the version before back

	report     *reporter
	canceledBy client.Actor // the zero Actor where nobody did
}

func newRun(m *Manager, d *client.Deployment, file *deployfile.File, req client.DeploymentRequest) *run {
	r := &run{m: m, d: d, file: file, req: req, log: newEventLog(), turn: make(chan struct{}), asked: make(chan string, 1), report: newReporter(m.host, req)}
	r.log.add(client.Event{Time: d.Created, Deployment: d.ID, Type: client.EventPhase, Phase: d.Phase})
	return r
}

// execute takes the deployment through its phases to an end. The model is free for
// the next deployment before the last event says that this one has ended.
func (r *run) execute(ctx context.Context) {
	log := r.m.host.Log.With("deployment_id", r.d.ID, "model", r.d.Model, "version", r.d.Version)
	log.Info("deployment began", "digest", r.d.Digest, "stage", r.d.Stage)
	err := r.phases(ctx)
	r.model.close() //nolint:errcheck,gosec // only read
	r.endCanary()
	if r.candidate != nil {
		r.look() // the last time that there is something to see
		r.m.release(r.candidate)
		r.candidate = nil
	}
	r.startAgain()
	r.endBackUp()
	if r.before != nil { // the node stops
		r.m.release(r.before)
	}
	if err != nil && !errors.Is(err, errPaused) {
		r.end(ctx, err)
		if ctx.Err() == nil { // a choice that fails its gates is not followed for ever
			r.forgetChoice()
		}
	}
	r.m.finished(r)
	last := endEvent(r.d, r.d.Updated)
	switch {
	case errors.Is(err, errPaused):
		last.Error = &client.Failure{Kind: fault.Canceled.String(), Message: errPaused.Error()}
		log.Info("observation interrupted")
	case err != nil:
		log.Warn("deployment ended", "phase", r.d.Phase, "err", err)
	case r.d.Phase == client.PhaseCommitted:
		log.Info("deployment committed")
	}
	r.log.add(last)
}

// called says whether it is the deployment's turn, or was.
func (r *run) called() bool {
	select {
	case <-r.turn:
		return true
	default:
		return false
	}
}

// await waits for the deployment's turn.
func (r *run) await(ctx context.Context) error {
	select {
	case <-r.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// phaseStep is a phase, and what is done in it.
type phaseStep struct {
	phase client.Phase
	do    func(context.Context) error
}

// phases runs every phase up to the commit. What it returns ended the deployment
// before the switch.
func (r *run) phases(ctx context.Context) error {
	if err := r.await(ctx); err != nil {
		return err
	}
	if r.resumed {
		return r.observe(ctx)
	}
	steps := []phaseStep{
		{client.PhaseChecking, r.check},
		{client.PhasePreparing, r.prepare},
		{client.PhaseLoading, r.replace(r.load)},
		{client.PhaseGating, r.gate},
		{client.PhaseTesting, r.testAndShadow},
	}
	if r.file.Canary != nil {
		steps = append(steps, phaseStep{client.PhaseCanary, r.canary})
	}
	if r.back != nil {
		steps = steps[:0]
		steps = append(steps, phaseStep{client.PhaseLoading, r.replace(r.loadBack)})
	}
	for _, step := range steps {
		if err := r.enter(ctx, step.phase, nil); err != nil {
			return err
		}
		if err := step.do(ctx); err != nil {
			return err
		}
	}
	return r.activate(ctx)
}

// replace is a phase before which the version that serves is stopped, where the file says so.
func (r *run) replace(do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := r.stop(); err != nil {
			return err
		}
		return do(ctx)
	}
}

// enter moves the deployment to a phase: on disk first, then in memory. A deployment
// that was canceled moves no further, but to its end: Cancel holds the mutex too, so
// that what it has ended does not switch.
// also adds to what is written with the move, of which the model's record is a part then;
// nil adds nothing.
func (r *run) enter(ctx context.Context, to client.Phase, also func(*change)) error {
	r.look()
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if err := ctx.Err(); err != nil && !to.Final() {
		return err
	}
	if err := checkMove(r.d.Phase, to); err != nil {
		return fault.New(fault.Internal, "deploy.enter", "%w", err)
	}
	now := r.m.host.Now()
	next := clone(r.d)
	moveTo(next, to, now)
	c := change{steps: []step{moved(next, r.d.Phase)}, report: r.report.record(next, r.log), by: r.actor(to)}
	if also != nil {
		record, err := r.m.store.model(r.d.Model)
		if err != nil {
			return err
		}
		c.model = record
		also(&c)
	}
	if err := r.m.store.save(c); err != nil {
		return err
	}
	*r.d = *next
	for _, other := range c.steps[1:] {
		*r.m.known[other.deployment.ID] = *other.deployment
	}
	r.log.add(client.Event{Time: now, Deployment: r.d.ID, Type: client.EventPhase, Phase: to})
	return nil
}

// moveTo writes the times of a move into d.
func moveTo(d *client.Deployment, to client.Phase, now time.Time) {
	d.Phases[len(d.Phases)-1].Ended = now
	record := client.PhaseRecord{Phase: to, Started: now}
	if to.Final() {
		record.Ended = now
	}
	d.Phases = append(d.Phases, record)
	d.Phase, d.Updated = to, now
}

// end writes why the deployment did not switch.
func (r *run) end(ctx context.Context, cause error) {
	to, failure := client.PhaseFailed, failureOf(cause)
	switch {
	case errors.Is(context.Cause(ctx), errCanceled):
		to, failure = client.PhaseCanceled, &client.Failure{Kind: fault.Canceled.String(), Message: "canceled on request"}
	case ctx.Err() != nil:
		to, failure = client.PhaseCanceled, &client.Failure{Kind: fault.Canceled.String(), Message: "the node was stopped", Hint: "Deploy again."}
	}
	failure.Message = fmt.Sprintf("%s: %s", r.d.Phase, failure.Message)
	r.m.mu.Lock()
	r.d.Error = failure
	r.m.mu.Unlock()
	if err := r.enter(ctx, to, nil); err != nil {
		r.m.host.Log.Error("end of a deployment was not written", "deployment_id", r.d.ID, "err", err)
		r.m.mu.Lock() // in memory it ended all the same; the next start ends it on disk
		moveTo(r.d, to, r.m.host.Now())
		r.m.mu.Unlock()
	}
}

// failureOf is err as it is kept and shown.
func failureOf(err error) *client.Failure {
	f := &client.Failure{Kind: fault.KindOf(err).String(), Message: fault.Message(err), Hint: fault.HintOf(err)}
	if problems, ok := errors.AsType[fault.Problems](err); ok {
		for _, p := range problems {
			f.Problems = append(f.Problems, client.Problem(p))
		}
	}
	return f
}

// warn keeps and tells a warning.
func (r *run) warn(message string) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.d.Warnings = append(r.d.Warnings, message)
	r.log.add(client.Event{Time: r.m.host.Now(), Deployment: r.d.ID, Type: client.EventWarning, Phase: r.d.Phase, Message: message})
}

// finite leaves out of a verdict what is no finite number: JSON has no others, and nothing
// of the deployment could be written with it.
func finite(v client.Verdict) client.Verdict {
	bad := func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }
	if v.Figure != nil && bad(*v.Figure) {
		v.Figure = nil
	}
	maps.DeleteFunc(v.Figures, func(_ string, x float64) bool { return bad(x) })
	return v
}

// verdict keeps and tells a verdict.
func (r *run) verdict(v client.Verdict) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	v.Phase = r.d.Phase
	v = finite(v)
	r.d.Verdicts = append(r.d.Verdicts, v)
	r.log.add(client.Event{Time: r.m.host.Now(), Deployment: r.d.ID, Type: client.EventVerdict, Phase: r.d.Phase, Verdict: &v})
}

// progress tells how far a step has come; it is not kept with the deployment.
func (r *run) progress(p client.Progress) {
	r.log.add(client.Event{Time: r.m.host.Now(), Deployment: r.d.ID, Type: client.EventProgress, Phase: r.d.Phase, Progress: &p})
}

// check is the phase that looks at everything which needs no load.
func (r *run) check(context.Context) error {
	bytes, err := r.m.open(r.req.Artifacts, 0)
	if err != nil {
		return err
	}
	r.model = bytes
	variants, err := r.variants()
	for _, v := range variants {
		defer v.close() //nolint:errcheck // only looked at
	}
	if err != nil {
		return err
	}
	looks := make([]modelfile.File, len(variants))
	for i, v := range variants {
		looks[i] = v.file()
	}
	findings := Check(r.file, bytes.file(), looks, r.machine(), r.m.host.Libraries)
	findings.CheckDigests(r.file, r.req.Artifacts)
	if err := r.checkData(findings); err != nil {
		return err
	}
	r.checkSignature(findings)
	r.checkEvidence(findings)
	r.findings = findings
	for _, w := range findings.Warnings {
		r.warn(w)
	}
	r.threads = findings.Threads
	return findings.Err()
}

// checkSignature refuses a model whose file declares other inputs and outputs than that of
// the version that serves now, before it is loaded. What files do not tell, or the node not
// know since it started, the gate looks at. Where there is something to choose, another
// file may be taken.
func (r *run) checkSignature(findings *Findings) {
	_, serving := r.clientsKnow()
	declared := findings.Model
	if serving == nil || len(serving.Signature.Inputs) == 0 || declared == nil || len(declared.Signature.Inputs) == 0 || chooses(r.file) || r.req.AllowSignatureChange {
		return
	}
	if breaks := gate.SignatureBreaks(serving.Signature, declared.Signature); len(breaks) > 0 {
		findings.problem(fault.Invalid, "model.path", gate.Hint(gate.GateSignature),
			"clients of the version that serves may not be ready for it: %s", strings.Join(breaks, "; "))
	}
}

// checkData looks at the files beside the model.
func (r *run) checkData(findings *Findings) error {
	data := map[string][]byte{}
	for _, of := range DataFiles(r.file) {
		if digest := r.req.Artifacts[of.Role]; digest != "" && of.Path != "" {
			memory, err := r.m.data(of.Role, digest)
			if err != nil {
				return err
			}
			defer memory.Close() //nolint:errcheck // only looked at
			data[of.Role] = memory.Bytes()
		}
	}
	findings.CheckData(r.file, data)
	return nil
}

// variants brings the other files of the model into memory. Those that were are
// returned beside an error too.
func (r *run) variants() ([]memory, error) {
	var all []memory
	for i := range r.file.Model.Variants {
		files, err := r.m.open(r.req.Artifacts, i+1)
		if err != nil {
			return all, err
		}
		all = append(all, files)
	}
	return all, nil
}

// prepare says what became of an optimisation that was asked for, and chooses how
// the model is to be run. The bytes are in the store already: they were hashed while
// they were uploaded.
func (r *run) prepare(ctx context.Context) error {
	for _, u := range undone(r.file) {
		r.verdict(client.Verdict{Gate: u.gate, Outcome: client.OutcomeSkipped, Time: r.m.host.Now(), Device: r.m.host.Device, Detail: u.detail})
	}
	return r.choose(ctx)
}

// notDone is something that a deployment file asks for in vain.
type notDone struct{ key, gate, detail string }

// undone is what this version reads and does not do.
func undone(file *deployfile.File) (all []notDone) {
	if file.Model.Optimize {
		all = append(all, notDone{"model.optimize", "optimize", "not available in this version: original deployed"})
	}
	if level := file.Deployment.OptimizationLevel; level > levelMeasured {
		all = append(all, notDone{
			"deployment.optimization_level", "optimization_level",
			fmt.Sprintf("level %d is not available in this version: level %d used", level, levelMeasured),
		})
	}
	return all
}

// Undone says what of a deployment file this version does not do; a deployment has a
// verdict on each.
func Undone(file *deployfile.File) (all []string) {
	for _, u := range undone(file) {
		all = append(all, u.key+": "+u.detail)
	}
	return all
}

// load is the phase that starts a worker with the candidate in it. Where the way of an
// earlier choice does not load any more, it is chosen anew.
func (r *run) load(ctx context.Context) error {
	err := r.loadCandidate(ctx)
	if !isRefused(err) || r.remembered == "" || ctx.Err() != nil {
		return err
	}
	r.warn(fmt.Sprintf("%s, which an earlier deployment has chosen, is chosen anew: it does not load: %s", r.way, choice.Reason(r.version(), err)))
	key := r.remembered
	r.forgetChoice()
	if err := r.chooseAnew(ctx, r.findings.plan(r.file, r.m.host.Machine, r.m.host.Libraries), key); err != nil {
		return err
	}
	return r.loadCandidate(ctx)
}

// loadCandidate loads the model in the way that was chosen.
func (r *run) loadCandidate(ctx context.Context) error {
	variant, runtime := 0, r.findings.Runtime
	if r.way != nil {
		variant, runtime = r.way.Variant, r.way.Runtime
	}
	files := r.model
	r.model = memory{}
	if variant > 0 || files.model == nil {
		if err := files.close(); err != nil {
			return err
		}
		var err error
		if files, err = r.m.open(r.req.Artifacts, variant); err != nil {
			return err
		}
	}
	served, err := r.m.load(ctx, loading{
		model: r.d.Model, file: r.file, bytes: files, threads: r.threads, declared: r.findings.files()[variant],
		release: &release{
			Version: r.d.Version, Deployment: r.d.ID, Spec: r.req.Spec, SpecName: r.req.SpecName, Stage: r.req.Stage, Artifacts: r.req.Artifacts,
			IgnorePackages: r.req.IgnorePackages, Runtime: runtime, Way: r.way,
		},
	})
	switch {
	case err != nil && r.way != nil: // what else there is, is known
		return err
	case err != nil:
		return r.findings.elsewhere(err, r.file, r.m.host.Libraries)
	}
	r.candidate = served
	for _, fallback := range served.Version.Info().Fallbacks {
		r.warn(fallback)
	}
	return nil
}

// activate switches to the candidate: the record of what serves is on disk, with
// the move, before the first request sees it.
func (r *run) activate(ctx context.Context) error {
	if err := r.candidate.Version.Ready(); err != nil { // a worker that has died meanwhile does not take over
		return err
	}
	now := r.m.host.Now()
	r.candidate.release.Activated = now
	returnable := false
	switchTo := func(c *change) {
		before := c.model.Serving
		returnable = before != nil
		c.model.Before, c.model.Serving = before, r.candidate.release
		if r.back != nil {
			r.bury(before, c)
		}
	}
	if err := r.enter(ctx, client.PhaseActivating, switchTo); err != nil {
		return err
	}
	r.watched = watchServed(r.candidate, r.file, r.file.Limits(), r.m.host.Now) // before the first request
	observed := r.back == nil && r.file.Observe != nil && returnable
	if observed {
		r.backUp()
	}
	r.before, r.candidate = r.m.activate(r.candidate), nil
	r.endCanary()
	r.tellGap(fmt.Sprintf("version %d serves in the place of the one that was stopped", r.d.Version))
	r.rememberChoice()
	if observed {
		if err := r.enter(ctx, client.PhaseObserving, nil); err != nil {
			r.watched.end()
			return errPaused // it serves; the next start goes on
		}
		return r.observe(ctx)
	}
	r.watched.end()
	return r.commit(ctx)
}
