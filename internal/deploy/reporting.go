package deploy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"verge/client"
	"verge/internal/gate"
	"verge/internal/inference"
	"verge/internal/monitor"
	"verge/internal/stats"
	"verge/internal/version"
)

// maxReport bounds what the state file keeps of a deployment beside its record, in
// bytes of JSON.
const maxReport = 256 << 10

// What is kept of a deployment file, in bytes: of its name, and of itself as JSON.
const (
	maxFileName = 255
	maxFile     = 128 << 10
)

// reported is what the state file keeps of a deployment beside its record: with that it
// is a client.Report, whose members these are.
type reported struct {
	VergeVersion string                `json:"verge_version"`
	AskedBy      client.Actor          `json:"asked_by"`
	FileName     string                `json:"file_name"`
	File         string                `json:"file"`
	Device       client.ReportDevice   `json:"device"`
	Runtime      *client.ReportRuntime `json:"runtime,omitempty"`
	This         *client.ReportVersion `json:"this,omitempty"`
	Before       *client.ReportVersion `json:"before,omitempty"`
	Events       []client.ReportEvent  `json:"events"`
	Log          []client.ReportRecord `json:"log"`
	Cut          []string              `json:"cut,omitempty"`

	records int // of the log, with those that are not in Log any more
}

// reporter gathers the report of one run, which goes to disk with each move.
type reporter struct {
	tail *tail

	seen bool // the machine was looked at; only the run's goroutine asks

	mu   sync.Mutex // guards what follows
	kept reported   // without events and log
	old  reported   // what a node before this one kept of these two
}

func newReporter(host Host, req client.DeploymentRequest) *reporter {
	p := &reporter{tail: &tail{}}
	p.kept = reported{VergeVersion: version.Version, AskedBy: byNode(), FileName: clip(req.SpecName, maxFileName), File: client.GivenFile(req.Spec)}
	p.kept.cutFile(maxFile)
	p.kept.Device.Label = host.Device
	return p
}

// actor is who is behind a move to a phase: who asked for the deployment, who canceled it,
// or the node. m.mu is held.
func (r *run) actor(to client.Phase) client.Actor {
	switch to {
	case client.PhaseFailed, client.PhaseRolledBack:
		return byNode()
	case client.PhaseCanceled:
		return r.canceledBy
	default:
		return r.report.askedBy()
	}
}

// by says who asked for the deployment.
func (p *reporter) by(actor client.Actor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept.AskedBy = actor
}

// askedBy returns who asked for the deployment.
func (p *reporter) askedBy() client.Actor {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kept.AskedBy
}

// goOn continues the report that a node before this one has begun.
func (p *reporter) goOn(d *client.Deployment, old *reported) {
	if old == nil {
		return
	}
	if n := len(old.Events); n == 0 || old.Events[n-1].Phase != d.Phase {
		old.Events = append(old.Events, client.ReportEvent{Time: d.Updated.UTC(), Type: client.EventPhase, Phase: d.Phase})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.old = *old
	p.kept, p.kept.Events, p.kept.Log = *old, nil, nil
}

// look takes down what can be seen of the candidate, of what serves and of the machine.
// It is for the run's goroutine, without m.mu: what it asks may take a while.
func (r *run) look() {
	host, p := r.m.host, r.report
	var facts *client.ReportDevice // they do not change while a deployment goes on
	if host.Facts != nil && !p.seen {
		now := host.Facts()
		facts, p.seen = &now, true
	}
	var celsius *float64
	if host.Celsius != nil {
		celsius = host.Celsius()
	}
	subject, seen := r.candidate, (*monitor.Model)(nil)
	if r.watched != nil {
		subject, seen = r.watched.served, r.watched.seen
	}
	this := r.seenVersion(subject)
	if this != nil && seen != nil {
		askedSince(this, seen.Snapshot(), monitor.Stats{})
	}
	var before *client.ReportVersion
	if serving := r.m.servingNow(r.d.Model); r.watched == nil && serving != nil {
		before = r.seenVersion(serving)
		askedSince(before, serving.Monitor.Snapshot(), serving.tested)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	begin := p.kept.Device.CelsiusAtBegin
	if facts != nil {
		p.kept.Device = *facts
	}
	if begin == nil {
		begin = celsius
	}
	p.kept.Device.CelsiusAtBegin, p.kept.Device.CelsiusAtEnd = begin, celsius
	if this != nil {
		p.kept.This, p.kept.Runtime = this, this.Runtime
	}
	if before != nil && (before.Requests != nil || p.kept.Before == nil) { // else it was stopped and loaded again
		p.kept.Before = before
	}
}

// servingNow returns what serves a model, or nil.
func (m *Manager) servingNow(model string) *Served {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.serving[model]
}

// seenVersion is what can be said about a loaded version; nil for none.
func (r *run) seenVersion(s *Served) *client.ReportVersion {
	if s == nil {
		return nil
	}
	info := s.Version.Info()
	v := &client.ReportVersion{
		Version: s.release.Version, Deployment: s.release.Deployment, Digest: s.Digest(), ModelBytes: info.ModelBytes, Runtime: runtimeReport(info),
	}
	if used, err := r.m.host.memory(s.Session); err == nil {
		v.MemoryPeakBytes = &used.PeakBytes
	}
	v.GateP50MS, v.GateP95MS = r.m.gated(s)
	return v
}

// askedSince says how a version answered clients: between two looks at its figures.
func askedSince(v *client.ReportVersion, now, then monitor.Stats) {
	requests, failed := now.TotalRequests-then.TotalRequests, now.ErrorCount-then.ErrorCount
	if requests <= 0 {
		return
	}
	v.Requests, v.Errors = &requests, &failed
	if requests > failed {
		p50, p95 := percentileSince(now.Lifetime, then.Lifetime, 50), percentileSince(now.Lifetime, then.Lifetime, 95)
		v.ServedP50MS, v.ServedP95MS = &p50, &p95
	}
}

// percentileSince is a percentile of the latencies that now has and then had not, in
// milliseconds: the upper bound of its bucket, which is a sixteenth above it at most.
func percentileSince(now, then monitor.Histogram, percent float64) float64 {
	old := map[float64]int64{}
	for _, b := range then.Buckets {
		old[b.UpToMS] = b.Count
	}
	rank, counted, upTo := int64(stats.Rank(int(now.Count-then.Count), percent)), int64(0), 0.0
	for _, b := range now.Buckets {
		if counted += b.Count - old[b.UpToMS]; counted >= rank {
			return b.UpToMS
		}
		upTo = b.UpToMS
	}
	return upTo
}

func runtimeReport(info inference.SessionInfo) *client.ReportRuntime {
	return &client.ReportRuntime{
		Name: info.Runtime, Version: info.RuntimeVersion, Device: info.Device, ProvidersRequested: info.ProvidersRequested,
		Providers: info.Providers, Fallbacks: info.Fallbacks, Threads: info.Threads, Parallel: info.Parallel,
	}
}

// gated returns what the latency gate measured of a version: in its deployment, or, for
// one that was rolled back to, in the one that brought it first.
func (m *Manager) gated(s *Served) (p50, p95 *float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.known {
		if d.Model != s.Model || d.Version != s.release.Version {
			continue
		}
		for _, v := range d.Verdicts {
			if v.Gate == gate.GateLatency && len(v.Figures) > 0 {
				x, y := v.Figures["p50_ms"], v.Figures["p95_ms"]
				return &x, &y
			}
		}
	}
	return nil, nil
}

// record is the report so far, with the move that is about to be made where d is in a
// phase that the events do not have yet. m.mu is held.
func (p *reporter) record(d *client.Deployment, log *eventLog) *reported {
	records, seen := p.tail.snapshot()
	p.mu.Lock()
	kept, old := p.kept, p.old
	p.mu.Unlock()
	events := log.report()
	if len(old.Events) > 0 && len(events) > 0 {
		events = events[1:] // the phase that goes on, which old has
	}
	kept.Events = append(append([]client.ReportEvent{}, old.Events...), events...)
	if n := len(kept.Events); n > 0 && kept.Events[n-1].Phase != d.Phase {
		kept.Events = append(kept.Events, client.ReportEvent{Time: d.Updated.UTC(), Type: client.EventPhase, Phase: d.Phase})
	}
	if d.Phase.Final() && d.Error != nil {
		kept.Events = append(kept.Events, client.ReportEvent{Time: d.Updated.UTC(), Type: client.EventEnd, Phase: d.Phase, Message: d.Error.Message})
	}
	kept.Log = append(append([]client.ReportRecord{}, old.Log...), records...)
	kept.Cut = slices.Clone(kept.Cut)
	if kept.records = len(old.Log) + seen; seen > len(records) {
		kept.cut("log", len(kept.Log), kept.records)
	}
	kept.fit(maxReport)
	return &kept
}

// report are the events as reports have them.
func (l *eventLog) report() (all []client.ReportEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.events {
		e := &l.events[i]
		out := client.ReportEvent{Time: e.Time.UTC(), Type: e.Type, Phase: e.Phase, Message: e.Message}
		switch e.Type {
		case client.EventVerdict:
			out.Message = sayVerdict(e.Verdict)
		case client.EventPhase, client.EventWarning:
		case client.EventProgress, client.EventEnd:
			continue
		}
		all = append(all, out)
	}
	return all
}

// sayVerdict is a verdict in a few words.
func sayVerdict(v *client.Verdict) string {
	text := fmt.Sprintf("%s: %s", v.Gate, v.Outcome)
	if v.Figure != nil {
		text += ", " + figure(v.Figure, v.Unit)
	}
	if v.Limit != nil {
		text += " (limit " + figure(v.Limit, v.Unit) + ")"
	}
	return text
}

// cut notes that a list was shortened.
func (k *reported) cut(what string, kept, of int) {
	prefix := "of the " + what + ", "
	for i, text := range k.Cut { // the log may be cut twice
		if strings.HasPrefix(text, prefix) {
			k.Cut[i] = fmt.Sprintf("%sthe last %d of %d are here", prefix, kept, of)
			return
		}
	}
	k.Cut = append(k.Cut, fmt.Sprintf("%sthe last %d of %d are here", prefix, kept, of))
}

// fit shortens the log, then the events, until the whole takes no more than so many
// bytes, and says so. All else is small, or was shortened before.
func (k *reported) fit(most int) {
	const note = 256 // bytes for what says so
	over := size(k) - most
	if over <= 0 {
		return
	}
	over += note
	n := len(k.Log)
	if k.Log, over = dropOldest(k.Log, over); len(k.Log) < n {
		k.cut("log", len(k.Log), max(n, k.records))
	}
	n = len(k.Events)
	if k.Events, _ = dropOldest(k.Events, over); len(k.Events) < n {
		k.cut("events", len(k.Events), n)
	}
}

// cutFile shortens the deployment file to so many bytes of JSON, and says so.
func (k *reported) cutFile(most int) {
	whole := len(k.File)
	for is := size(k.File); is > most; is = size(k.File) {
		k.File = clip(k.File, len(k.File)*most/is-len("…")) // what is escaped is spread over all of it, more or less
	}
	if len(k.File) < whole {
		k.Cut = append(k.Cut, fmt.Sprintf("of the deployment file, the first %d of %d bytes are here", len(k.File), whole))
	}
}

func size(value any) int {
	raw, err := json.Marshal(value)
	if err != nil {
		return 0 // then it cannot be written either, which tells
	}
	return len(raw)
}

// dropOldest leaves out as many of the first elements as have so many bytes, and
// returns how many bytes are still too many.
func dropOldest[T any](all []T, over int) (kept []T, still int) {
	i := 0
	for ; i < len(all) && over > 0; i++ {
		over -= size(all[i]) + len(",")
	}
	return all[i:], over
}

// report returns what is kept of a deployment, or nil.
func (s *store) report(id string) (*reported, error) {
	return readOne[reported](s, bucketReports, id)
}

// forgetReports removes reports of deployments that are not known: an earlier build, which
// knows no reports, has forgotten them.
func (s *store) forgetReports(known func(id string) bool) error {
	var gone [][]byte
	err := s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketReports)).ForEach(func(id, _ []byte) error {
			if !known(string(id)) {
				gone = append(gone, slices.Clone(id))
			}
			return nil
		})
	})
	if err != nil || len(gone) == 0 {
		return storageFault(err)
	}
	return s.update(func(tx *bbolt.Tx) error {
		for _, id := range gone {
			if err := tx.Bucket([]byte(bucketReports)).Delete(id); err != nil {
				return fmt.Errorf("forget the report of %s: %w", id, err)
			}
		}
		return nil
	})
}

// Report returns what is kept of a deployment; while it goes on, what is known so far. Of
// one that an earlier version of Verge ran, it is what the deployment's record has. It
// fails with fault.NotFound for a deployment that is not known.
func (m *Manager) Report(id string) (*client.Report, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.known[id]
	if !ok {
		return nil, unknown("deploy.report", id)
	}
	var kept *reported
	if r := m.runs[id]; r != nil && !known.Phase.Final() {
		kept = r.report.record(r.d, r.log)
	} else {
		var err error
		if kept, err = m.store.report(id); err != nil {
			return nil, err
		}
	}
	return reportOf(clone(known), kept, m.host.Device), nil
}

// reportOf joins what is kept of a deployment to a report. kept is nil where an earlier
// version has kept nothing.
func reportOf(d *client.Deployment, kept *reported, label string) *client.Report {
	r := &client.Report{
		Format: client.ReportFormat, Complete: d.Phase.Final(), Deployment: *d,
		Device: client.ReportDevice{Label: label}, Events: []client.ReportEvent{}, Log: []client.ReportRecord{},
	}
	if d.Verdicts == nil {
		r.Deployment.Verdicts = []client.Verdict{}
	}
	r.DurationMS, r.Durations = ms(ended(d).Sub(d.Created)), durations(d)
	if kept == nil {
		for _, e := range replay(d).report() {
			e.Time = e.Time.UTC()
			r.Events = append(r.Events, e)
		}
		return r
	}
	r.VergeVersion, r.AskedBy, r.FileName, r.File = kept.VergeVersion, &kept.AskedBy, kept.FileName, kept.File
	r.Device, r.Runtime, r.This, r.Before, r.Cut = kept.Device, kept.Runtime, kept.This, kept.Before, kept.Cut
	r.Events, r.Log = append(r.Events, kept.Events...), append(r.Log, kept.Log...)
	if n := len(r.Events); r.Complete && n > 0 && r.Events[n-1].Phase != d.Phase { // it was ended from outside
		end := client.ReportEvent{Time: d.Updated.UTC(), Type: client.EventEnd, Phase: d.Phase}
		if d.Error != nil {
			end.Message = d.Error.Message
		}
		r.Events = append(r.Events, end)
	}
	return r
}

// ended is when a deployment came to an end for who asked for it: being rolled back later
// does not make it longer. While it goes on, it is the last move.
func ended(d *client.Deployment) time.Time {
	for _, p := range d.Phases {
		if p.Phase.Final() {
			return p.Started
		}
	}
	return d.Updated
}

// durations are those of the phases that have ended and took time.
func durations(d *client.Deployment) []client.PhaseDuration {
	all := []client.PhaseDuration{}
	for _, p := range d.Phases {
		if !p.Phase.Final() && !p.Ended.IsZero() {
			all = append(all, client.PhaseDuration{Phase: p.Phase, DurationMS: ms(p.Ended.Sub(p.Started))})
		}
	}
	return all
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
