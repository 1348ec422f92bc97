package serve

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/arena"
)

// Spec describes a version that is to be added.
type Spec struct {
	Model     string            // its name; protocol grammar
	Version   int               // 1 or more
	Session   inference.Session // what runs it
	Labels    []string          // class names in the order of the output, or nil; only read
	Recorder  Recorder          // told of every request; nil discards
	Parallel  int               // runs that go on at the same time; 0 means what the session says
	BatchSize int               // largest first dimension that the deployment is for; 0 means 1
}

// Recorder is told how each request ended. It is called by many goroutines.
type Recorder interface {
	// Record is given the time from Begin to the end of Run (for a request that
	// did not come to Run, to its end), and nil or why there was no answer.
	Record(latency time.Duration, err error)
}

// Conditioner is implemented by sessions whose model may be away for a while, as
// one in a worker process that died and is started again.
type Conditioner interface {
	// Condition returns "ready", "starting", "restarting", "failed" or "closed";
	// why it is not ready; and, where it will be, in how long the next attempt
	// begins. It does not block.
	Condition() (state, reason string, restartIn time.Duration)
}

// The states of a version.
const (
	StateReady      = "ready"
	StateStarting   = "starting"   // the session's process starts for the first time
	StateRestarting = "restarting" // it died, and is started again; requests wait a moment for it
	StateFailed     = "failed"     // it died too often, and is not started again
	StateUnloading  = "unloading"  // admitted requests end, then it is closed
	StateClosed     = "closed"
)

// Version is one version of a model, loaded. All methods are safe for concurrent use.
type Version struct {
	model       string
	number      int
	cfg         Config
	log         *slog.Logger
	session     inference.Session
	conditioner Conditioner // the session, or nil where it is never away
	labels      []string
	recorder    Recorder // or nil
	batch       int
	signature   inference.Signature
	info        inference.SessionInfo

	pool   *pool
	apart  atomic.Bool             // Warm takes a slot of its own
	taps   atomic.Pointer[[]*Tap]  // replaced as a whole; nil for none
	split  atomic.Pointer[split]   // nil while there is no canary
	backup atomic.Pointer[Version] // that answers what this one fails; nil for none
	usual  atomic.Int64            // what a run takes, in nanoseconds; 0 before the first
	health atomic.Pointer[error]   // the last verdict of SetHealth; nil before the first
}

func newVersion(cfg Config, spec Spec, log *slog.Logger) *Version {
	v := &Version{
		model: spec.Model, number: spec.Version, cfg: cfg, log: log, session: spec.Session, labels: spec.Labels,
		recorder: spec.Recorder, batch: max(spec.BatchSize, 1),
		signature: spec.Session.Signature(), info: spec.Session.Info(),
	}
	v.conditioner, _ = spec.Session.(Conditioner)
	parallel := spec.Parallel
	if parallel < 1 {
		parallel = max(v.info.Parallel, 1)
	}
	limit := parallel * cfg.SlotsPerThread
	if v.info.Stateful {
		limit = 1 // or what is kept would be the slot's that a request happened to get
	}
	v.pool = &pool{
		open: v.newSlot, shut: v.shutSlot, limit: limit, queue: cfg.QueueSize,
		calls: map[*Call]struct{}{},
	}
	return v
}

// Model returns the model's name.
func (v *Version) Model() string { return v.model }

// Number returns the version's number, 1 or more.
func (v *Version) Number() int { return v.number }

// String returns "digits@3".
func (v *Version) String() string { return fmt.Sprintf("%s@%d", v.model, v.number) }

// Signature describes inputs and outputs. It never changes; do not write to it.
func (v *Version) Signature() inference.Signature { return v.signature }

// Info describes what was loaded, and where it runs. It never changes.
func (v *Version) Info() inference.SessionInfo { return v.info }

// Labels returns the class names, or nil. Do not write to it.
func (v *Version) Labels() []string { return v.labels }

// BatchSize returns the largest first dimension that the deployment is for, 1 or more.
func (v *Version) BatchSize() int { return v.batch }

// Status is what a version does at this instant.
type Status struct {
	State     string        // one of the State constants
	Reason    string        // why it is not ready, or not healthy; ""
	RestartIn time.Duration // until the session's process is started again; 0 where none waits
	InFlight  int           // requests that hold a slot
	Waiting   int           // requests in the queue
	Slots     int           // slots that exist; they are made when they are needed
	SlotLimit int           // slots that may exist
}

// Status returns what the version does at this instant.
func (v *Version) Status() Status {
	f := v.pool.figures()
	st := Status{State: StateReady, InFlight: f.running, Waiting: f.waiting, Slots: f.slots, SlotLimit: v.pool.limit}
	if v.conditioner != nil {
		st.State, st.Reason, st.RestartIn = v.conditioner.Condition()
	}
	switch {
	case f.closed:
		st.State, st.Reason, st.RestartIn = StateClosed, "", 0
	case f.refusal != nil:
		st.State, st.Reason, st.RestartIn = StateUnloading, "", 0
	case st.State == StateReady:
		if err := v.unhealthy(); err != nil {
			st.Reason = fault.Message(err)
		}
	}
	return st
}

// Ready says why the version cannot serve now, or nil, as fault.Unavailable: it is
// being unloaded, its session is away, or it was found unhealthy. A candidate is
// ready as any other.
func (v *Version) Ready() error {
	st := v.Status()
	reason := st.Reason
	switch {
	case st.State == StateReady && reason == "":
		return nil
	case reason == "":
		reason = st.State
	case st.State != StateReady:
		reason = st.State + ": " + reason
	}
	err := fault.New(fault.Unavailable, "serve.ready", "%s is not ready: %s", v.title(), reason)
	if st.RestartIn > 0 {
		err.Hint = fmt.Sprintf("Ask again in %v.", st.RestartIn.Round(100*time.Millisecond))
	}
	return err
}

// SetHealth notes the verdict of a health check, nil for healthy. It decides what
// Ready says; requests are admitted all the same.
func (v *Version) SetHealth(err error) { v.health.Store(&err) }

func (v *Version) unhealthy() error {
	if p := v.health.Load(); p != nil {
		return *p
	}
	return nil
}

// title names the version in messages.
func (v *Version) title() string { return fmt.Sprintf("version %d of model %q", v.number, v.model) }

func (v *Version) key() versionKey { return versionKey{v.model, v.number} }

func (v *Version) newSlot() (*slot, error) {
	memory := arena.New(v.String(), v.cfg.InputBytes, v.cfg.OutputBytes)
	s, err := v.session.NewSlot(memory)
	if err != nil {
		return nil, fault.Join(err, memory.Close())
	}
	return &slot{Slot: s, memory: memory}, nil
}

// start makes ready for the requests of clients. A model that keeps values from one
// request to the next starts with its initial ones, and Warm does not touch them from
// now on.
func (v *Version) start() {
	if v.info.Stateful && v.apart.CompareAndSwap(false, true) {
		v.pool.renew()
	}
}

func (v *Version) shutSlot(s *slot) {
	if err := s.close(); err != nil {
		v.log.Warn("slot was not closed cleanly", "model", v.model, "version", v.number, "err", err)
	}
}

// wait waits until no request is left.
func (v *Version) wait(ctx context.Context, op string) error {
	left, err := v.pool.wait(ctx)
	if err == nil {
		return nil
	}
	return fault.New(fault.KindOf(err), op, "%s: %d requests have not ended: %w", v.title(), left, err)
}

// close ends the version, as Server.Remove says.
func (v *Version) close(ctx context.Context) error {
	v.pool.refuse(fault.New(fault.Unavailable, "serve.begin", "%s %w", v.title(), ErrReplaced).WithHint("Repeat the request."))
	waited := v.wait(ctx, "serve.remove")
	if waited != nil {
		v.pool.cut()
	}
	v.pool.close()
	return fault.Join(waited, v.session.Close())
}
