package deploy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"verge/client"
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
	Copy(ctx context.Context, w io.Writer, digest string) error
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

	mu        sync.Mutex // guards all below
	closed    bool
	busy      map[string]string             // model → what goes on with it
	waiting   map[string][]*run             // model → deployments that wait for that, the next one first
	runs      map[string]*run               // deployment id → in progress
	known     map[string]*client.Deployment // every deployment that is remembered
	logs      map[string]*eventLog          // of deployments of this process
	serving   map[string]*Served            // model → what serves
	used      map[string]bool               // artifacts that a deployment has asked for
	exporting map[*release]bool             // whose files are being read
	unused    map[string]time.Time          // artifacts that none has asked for yet → first seen
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
		logs: map[string]*eventLog{}, serving: map[string]*Served{}, used: map[string]bool{}, unused: map[string]time.Time{}, exporting: map[*release]bool{},
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
		e := fault.New(fault.Conflict, op, "%s of %s is in progress", what, model).WithHint("Wait for it, or cancel it.")
		if m.observing(model) != nil {
			e.Hint = "It has switched, and is observed: wait for its end, or take it back with verge rollback " + model + "."
		}
		return e
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
		return fault.New(fault.Conflict, "deploy.cancel", "deployment %s has switched already", id).WithHint("Take it back: verge rollback %s", d.Model)
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
