package deploy

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"verge/client"
	"verge/internal/artifact"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/inference"
	"verge/internal/modelname"
	"verge/internal/monitor"
	"verge/internal/native"
	"verge/internal/serve"
)

// Artifacts is the store of model bytes, by digest.
type Artifacts interface {
	Has(digest string) bool
	Load(digest string) (*native.Memory, error)
	Size(digest string) (int64, error)
	Remove(digest string) error
	List() ([]string, error)
}

// Host is what a Manager needs of the node around it.
type Host struct {
	StatePath string // of the state file
	Device    string // what this machine is called in verdicts
	Artifacts Artifacts
	Machine   Machine
	Libraries Libraries
	Celsius   func() *float64 // nil, or a reading that may be nil
	// Facts says for reports what this machine is; nil where that is not wanted.
	Facts func() client.ReportDevice
	// Memory measures the process that holds a session; nil where none can be.
	Memory func(inference.Session) (gate.Usage, error)
	// Runtime returns the runtime of a name, in worker processes or in this one
	// (a deployfile.File's Isolation).
	Runtime func(name, isolation string) (inference.Runtime, error)
	Server  *serve.Server
	// Recorder makes the statistics of one version.
	Recorder func() *monitor.Model
	// Expose opens a private route to one version that is not activated.
	Expose func(v *serve.Version) (address string, stop func(), err error)
	// Served and Gone are told when a version begins and ceases to serve.
	Served func(*Served)
	Gone   func(model string)
	// ProfilePrefix returns where the profile of a version is to be written.
	ProfilePrefix func(model string, version int) string
	// CacheDir is where runtimes keep what they prepare from models, in a folder of
	// the model's digest each; "" for nowhere.
	CacheDir string
	// Deaths counts how often the worker of a session has died lately; nil where there are
	// none.
	Deaths func(inference.Session) int
	// ObserveEvery is how often an observation looks at its limits; 0 means a second.
	ObserveEvery time.Duration
	// Settling is how long the node runs with a version until its death says nothing about
	// that version any more; 0 means ten minutes.
	Settling time.Duration
	// KeepDeployments is how many ended deployments are remembered.
	KeepDeployments int
	Log             *slog.Logger
	Now             func() time.Time
}

// memory measures a session's process, or says why it cannot.
func (h Host) memory(s inference.Session) (gate.Usage, error) {
	if h.Memory == nil {
		return gate.Usage{}, errors.New("the memory of a model cannot be measured on this machine")
	}
	return h.Memory(s)
}

// Manager runs deployments and remembers them.
type Manager struct {
	host  Host
	store *store
	tails *tails // of the log, by what its records are about

	ctx    context.Context //nolint:containedctx // the life of the manager, ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	ended sync.Once // guards end
	end   error     // of the store

	resumed   map[string]*client.Deployment // model → what was observed when the node before ended: for Restore
	committed []*modelRecord                // models that served when the manager was opened: for Restore

	tidying sync.Mutex // held while the cache is tidied; taken before mu

	mu      sync.Mutex // guards all below
	closed  bool
	busy    map[string]string             // model → what goes on with it
	waiting map[string][]*run             // model → deployments that wait for that, the next one first
	runs    map[string]*run               // deployment id → in progress
	known   map[string]*client.Deployment // every deployment that is remembered
	logs    map[string]*eventLog          // of deployments of this process
	serving map[string]*Served            // model → what serves
	used    map[string]bool               // artifacts that a deployment has asked for
	unused  map[string]time.Time          // artifacts that none has asked for yet → first seen
}

// Open reads the state file, ends what a crash interrupted, and returns a Manager that
// serves nothing yet. Names of committed models answer that they are loading, and are
// refused to deployments, until Restore has been called and has tried them.
func Open(host Host) (*Manager, error) {
	s, err := openStore(host.StatePath)
	if err != nil {
		return nil, err
	}
	if s.kept != "" {
		host.Log.Info("state of an older version upgraded", "schema", schema, "copy", s.kept)
	}
	logs := &tails{about: map[subject]*tail{}}
	host.Log = slog.New(&tailing{Handler: host.Log.Handler(), tails: logs})
	m := &Manager{
		host: host, store: s, tails: logs,
		resumed: map[string]*client.Deployment{},
		busy:    map[string]string{}, waiting: map[string][]*run{}, runs: map[string]*run{}, known: map[string]*client.Deployment{},
		logs: map[string]*eventLog{}, serving: map[string]*Served{}, used: map[string]bool{}, unused: map[string]time.Time{},
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	if err := m.begin(); err != nil {
		m.cancel()
		m.store.close() //nolint:errcheck,gosec // the first error counts
		return nil, err
	}
	return m, nil
}

// begin reads what an earlier process left.
func (m *Manager) begin() error {
	died, err := m.store.begin(m.host.Now())
	if err != nil {
		return err
	}
	if err := m.recover(); err != nil {
		return err
	}
	return m.claim(died)
}

// Close ends deployments that have not switched, as canceled, and waits for all.
// Served versions stay with the server.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed = true
	m.cancel()
	m.mu.Unlock()
	m.wg.Wait()
	m.ended.Do(func() { m.end = fault.Join(m.store.end(), m.store.close()) })
	return m.end
}

// Submit validates the request and starts the deployment; the result is its
// first state. It fails with fault.Invalid (all problems of the file at once),
// fault.NotFound for an artifact that was not uploaded, and fault.Conflict for bytes
// that were rolled back, and while another deployment of the model goes on; one that asks
// to be queued waits for that, and fails with fault.Unavailable where many do. by is who
// asks. Where the same files serve with the same configuration already, nothing is done: the
// result is their deployment, which has ended, unless the request asks for it again.
func (m *Manager) Submit(req client.DeploymentRequest, by client.Actor) (*client.Deployment, error) {
	const op = "deploy.submit"
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
	return m.start(served, file, req, 0, by)
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

// start registers the deployment and runs it in a goroutine of its own. name is that
// under which the stage is served, version that of a promotion; 0 gives the next one.
func (m *Manager) start(name string, file *deployfile.File, req client.DeploymentRequest, version int, by client.Actor) (*client.Deployment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.turn("deploy.submit", name, req.Queue); err != nil {
		return nil, err
	}
	if err := m.buried(req); err != nil {
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
		ID: m.newID(name, now), Model: name, Version: version, ForceReason: req.ForceReason, Stage: file.Stage, Digest: req.Artifacts["model"],
		Phase: client.PhasePending, Created: now, Updated: now, Reason: req.Reason, Spec: resolved,
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

// launch runs a deployment in a goroutine of its own, as soon as it is its turn. m.mu is
// held.
func (m *Manager) launch(r *run) *client.Deployment {
	m.waiting[r.d.Model] = append(m.waiting[r.d.Model], r)
	m.callNext(r.d.Model)
	m.execute(r)
	return m.view(r.d)
}

// execute runs a deployment in a goroutine of its own. m.mu is held.
func (m *Manager) execute(r *run) {
	ctx, cancel := context.WithCancelCause(m.ctx)
	r.cancel = cancel
	m.runs[r.d.ID], m.known[r.d.ID], m.logs[r.d.ID] = r, r.d, r.log
	m.tails.follow(r.d, r.report.tail)
	m.wg.Go(func() {
		defer cancel(nil)
		r.execute(ctx)
	})
}

// maxWaiting is how many deployments of a model may wait.
const maxWaiting = 16

// turn says why no deployment of a model may be submitted now, or nil. m.mu is held.
func (m *Manager) turn(op, model string, queue bool) error {
	err := m.free(op, model)
	if err == nil || !queue || m.closed {
		return err
	}
	if n := len(m.waiting[model]); n >= maxWaiting {
		return fault.New(fault.Unavailable, op, "%d deployments of %s wait already", n, model).WithHint("Wait for one, or cancel it.")
	}
	return nil
}

// callNext lets the next deployment of a model that nothing goes on with begin. m.mu is
// held.
func (m *Manager) callNext(model string) {
	queue := m.waiting[model]
	if _, busy := m.busy[model]; busy || len(queue) == 0 {
		return
	}
	m.busy[model] = "deployment " + queue[0].d.ID
	close(queue[0].turn)
	if m.waiting[model] = queue[1:]; len(queue) == 1 {
		delete(m.waiting, model)
	}
}

// done says that what went on with a model has ended. m.mu is held.
func (m *Manager) done(model string) {
	delete(m.busy, model)
	m.callNext(model)
}

// free says why nothing may be begun with a model now, or nil. m.mu is held.
func (m *Manager) free(op, model string) error {
	if m.closed {
		return fault.New(fault.Unavailable, op, "the node is stopping")
	}
	if what, busy := m.busy[model]; busy {
		return fault.New(fault.Conflict, op, "%s of %s is in progress", what, model).WithHint("Wait for it, or cancel it.")
	}
	return nil
}

// view is a deployment as others see it. m.mu is held.
func (m *Manager) view(d *client.Deployment) *client.Deployment {
	c := clone(d)
	if s := m.serving[d.Model]; s != nil {
		c.Serves = s.String()
	}
	return c
}

// finished takes a run off the books and forgets the oldest deployments.
func (m *Manager) finished(r *run) {
	m.mu.Lock()
	m.tails.ignore(r.d)
	delete(m.runs, r.d.ID)
	if r.called() {
		m.done(r.d.Model)
	} else {
		queue := slices.DeleteFunc(m.waiting[r.d.Model], func(other *run) bool { return other == r })
		if m.waiting[r.d.Model] = queue; len(queue) == 0 {
			delete(m.waiting, r.d.Model)
		}
	}
	err := m.trim(r.d.ID)
	m.mu.Unlock()
	m.tidy(err)
}

// unknown is the error for an id that no deployment has.
func unknown(op, id string) error {
	return fault.New(fault.NotFound, op, "no deployment %q is known", id).WithHint("verge history lists those that are.")
}

// Get returns one deployment.
func (m *Manager) Get(id string) (*client.Deployment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.known[id]
	if !ok {
		return nil, unknown("deploy.get", id)
	}
	return m.view(d), nil
}

// List returns deployments, newest first: of one model where model is not "", at all its
// stages or at the one that the name asks for,
// at most limit, and only those older than the deployment after where that is
// not "".
func (m *Manager) List(model string, limit int, after string) []*client.Deployment {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*client.Deployment
	for _, d := range m.known {
		if plain, _, _ := modelname.Split(d.Model); model == "" || d.Model == model || plain == model {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, newestFirst)
	if after != "" {
		i := slices.IndexFunc(all, func(d *client.Deployment) bool { return d.ID == after })
		if i < 0 {
			return nil // it was forgotten, and with it all that are older
		}
		all = all[i+1:]
	}
	out := make([]*client.Deployment, 0, min(limit, len(all)))
	for _, d := range all[:min(limit, len(all))] {
		out = append(out, m.view(d))
	}
	return out
}

// Events calls fn for each event of a deployment from number from on, and waits
// for more until the deployment ends.
func (m *Manager) Events(ctx context.Context, id string, from uint64, fn func(client.Event) error) error {
	m.mu.Lock()
	log, running := m.logs[id]
	if d, ok := m.known[id]; ok && !running {
		log = replay(d)
	}
	m.mu.Unlock()
	if log == nil {
		return unknown("deploy.events", id)
	}
	return log.follow(ctx, from, fn)
}

// Cancel ends a deployment that has not switched. It fails with fault.Conflict
// for one that has, or that has ended. by is who asks.
func (m *Manager) Cancel(id string, by client.Actor) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.known[id]
	if !ok {
		return unknown("deploy.cancel", id)
	}
	r, running := m.runs[id]
	if !running || d.Phase.Final() {
		return fault.New(fault.Conflict, "deploy.cancel", "deployment %s has ended: %s", id, d.Phase)
	}
	if switched(d.Phase) {
		return fault.New(fault.Conflict, "deploy.cancel", "deployment %s has switched already", id)
	}
	if r.canceledBy.Kind == "" { // the first who asks does it
		r.canceledBy = by
	}
	r.cancel(errCanceled)
	return nil
}

var errCanceled = errors.New("canceled on request")

// newID returns an identifier such as digits-20261123-7f3a. m.mu is held.
func (m *Manager) newID(model string, now time.Time) string {
	for {
		id := fmt.Sprintf("%s-%s-%s", model, now.UTC().Format("20060102"), strings.ToLower(rand.Text()[:4]))
		if _, taken := m.known[id]; !taken {
			return id
		}
	}
}

func newestFirst(a, b *client.Deployment) int {
	if c := b.Created.Compare(a.Created); c != 0 {
		return c
	}
	return strings.Compare(b.ID, a.ID)
}

// clone copies a deployment deeply enough to be read while the run goes on.
func clone(d *client.Deployment) *client.Deployment {
	c := *d
	c.Phases = slices.Clone(d.Phases)
	c.Verdicts = slices.Clone(d.Verdicts)
	c.Warnings = slices.Clone(d.Warnings)
	c.Spec = slices.Clone(d.Spec)
	return &c
}
