package deploy_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"verge/client"
	"verge/internal/deploy"
	"verge/internal/fault"
	"verge/internal/inference"
)

// report returns what is kept of a deployment.
func (n *node) report(id string) *client.Report {
	n.tb.Helper()
	r, err := n.manager.Report(id)
	if err != nil {
		n.tb.Fatal(err)
	}
	return r
}

// board gives a host a device that gets warmer each time it is looked at.
func board(h *deploy.Host) {
	celsius := 40.0
	h.Celsius = func() *float64 {
		celsius++
		now := celsius
		return &now
	}
	h.Facts = func() client.ReportDevice {
		return client.ReportDevice{Label: "test board", CPU: "a processor", Processors: 4}
	}
}

// messages are what was logged.
func messages(r *client.Report) string {
	var all []string
	for _, l := range r.Log {
		all = append(all, l.Message)
	}
	return strings.Join(all, ", ")
}

func TestAReportTellsAllOfADeployment(t *testing.T) {
	n := newNodeWith(t, t.TempDir(), board)
	n.set(behaviour{add: 1, takes: 3 * time.Millisecond})
	first := n.deploy(base, "digits.onnx")
	for range 5 {
		n.ask()
	}
	n.set(behaviour{add: 2, takes: time.Millisecond, memory: 20 << 20})
	req := n.request(`"`+strings.ReplaceAll(base, `"`, `\"`)+`"`, "digits-bad.onnx")
	req.Reason, req.SpecName = "retrained", "digits.yaml"
	id := n.submit(req).ID
	d := n.wait(id)
	r := n.report(id)

	who := asker()
	if !r.Complete || r.Format != 1 || r.VergeVersion == "" || !cmp.Equal(r.AskedBy, &who) || r.File != base || r.FileName != "digits.yaml" || r.Deployment.Reason != "retrained" {
		t.Errorf("report %+v", r)
	}
	d.Serves = ""
	if diff := cmp.Diff(d, &r.Deployment); diff != "" {
		t.Errorf("its deployment (-want +got):\n%s", diff)
	}
	if got := r.Device; got.CPU != "a processor" || got.CelsiusAtBegin == nil || *got.CelsiusAtEnd <= *got.CelsiusAtBegin {
		t.Errorf("device %+v", got)
	}
	var names []string
	total := 0.0
	for _, p := range r.Durations {
		names, total = append(names, string(p.Phase)), total+p.DurationMS
	}
	if got := strings.Join(names, " "); got != "pending checking preparing loading gating testing activating" || total > r.DurationMS || total < r.DurationMS/2 {
		t.Errorf("durations of %s, %g ms of %g", got, total, r.DurationMS)
	}
	before, this := r.Before, r.This
	if before.Version != 1 || before.Deployment != first.ID || *before.GateP95MS < 3 || *before.MemoryPeakBytes != 10<<20 || before.Requests == nil || *before.Requests != 5 || before.ServedP95MS == nil {
		t.Errorf("before %+v", before)
	}
	if this.Version != 2 || this.Deployment != id || *this.GateP95MS >= 3 || *this.MemoryPeakBytes != 20<<20 || this.Requests != nil || this.Digest != d.Digest {
		t.Errorf("this %+v", this)
	}
	if r.Runtime == nil || r.Runtime.Name != "onnxruntime" || r.Runtime.Parallel != 2 {
		t.Errorf("runtime %+v", r.Runtime)
	}
	var timed []string
	for _, v := range d.Verdicts {
		if v.Histogram != nil && len(v.Histogram.Counts) > 0 {
			timed = append(timed, v.Gate)
		}
	}
	if want := []string{"latency", "performance", "load"}; !cmp.Equal(want, timed) {
		t.Errorf("%v have a histogram, want %v", timed, want)
	}
	events := map[client.EventType]int{}
	for _, e := range r.Events {
		events[e.Type]++
	}
	if want := map[client.EventType]int{client.EventPhase: 8, client.EventVerdict: len(d.Verdicts)}; !cmp.Equal(want, events) || r.Events[len(r.Events)-1].Phase != client.PhaseCommitted {
		t.Errorf("events %v, want %v, and committed at the end", events, want)
	}
	if got := messages(r); !strings.HasPrefix(got, "deployment began") {
		t.Errorf("log %q", got)
	}
	if other := n.report(first.ID); other.Before != nil || other.This == nil {
		t.Errorf("the first has before %+v, this %+v", other.Before, other.This)
	}
	_, err := n.manager.Report("m-1")
	check(t, "Report", err, fault.NotFound, `no deployment "m-1" is known`, "verge history lists those that are.")

	n.close()
	after := newNode(t, n.dir).report(id)
	after.Deployment.Spec, r.Deployment.Spec = nil, nil // the same, with other blanks
	if diff := cmp.Diff(r, after); diff != "" {
		t.Errorf("after a start of the node (-before +after):\n%s", diff)
	}
}

func TestAReportCanBeAskedForWhileTheDeploymentGoesOn(t *testing.T) {
	n := newNode(t, t.TempDir())
	reached, release := n.hold(client.PhaseTesting)
	id := n.submit(n.request(base, "digits.onnx")).ID
	<-reached
	r := n.report(id)
	last := r.Events[len(r.Events)-1]
	if r.Complete || r.This == nil || r.Deployment.Phase != client.PhaseTesting || last.Phase != client.PhaseTesting || len(r.Deployment.Verdicts) < 3 || messages(r) != "deployment began" {
		t.Errorf("it is %s, ended: %t, with %d verdicts, log %s, the last event %+v", r.Deployment.Phase, r.Complete, len(r.Deployment.Verdicts), messages(r), last)
	}
	crashed := n.die(nil).report(id)
	release()
	n.wait(id)
	if !crashed.Complete || crashed.AskedBy.Name != "ada" || messages(crashed) != "deployment began" || crashed.Events[len(crashed.Events)-1].Message != "testing: the node stopped before the deployment had switched" {
		t.Errorf("after a crash: %+v", crashed)
	}
}

func TestAReportOfARolledBackVersionHasTheFiguresOfBoth(t *testing.T) {
	n, id, bad := observing(t, `"max_p95_ms":1000,"max_p95_ratio":5`, nil)
	bad.slow.Store(60)
	for range 120 {
		if n.phase(id) != client.PhaseObserving {
			break
		}
		n.ask()
	}
	n.wait(id)
	r := n.report(id)
	if r.Deployment.Phase != client.PhaseRolledBack || r.Before == nil || r.This == nil {
		t.Fatalf("it is %s, before %+v, this %+v", r.Deployment.Phase, r.Before, r.This)
	}
	if r.Before.ServedP95MS == nil || r.This.ServedP95MS == nil || *r.This.ServedP95MS < 5**r.Before.ServedP95MS || *r.Before.Requests < 100 || *r.This.Requests < 20 {
		t.Errorf("before %+v\nthis %+v", r.Before, r.This)
	}
	if last := r.Events[len(r.Events)-1]; last.Type != client.EventEnd || !strings.Contains(last.Message, "times that of the version before") {
		t.Errorf("the last event is %+v", last)
	}
}

func TestAReportKeepsTheFiguresOfAVersionThatWasStoppedAndServesAgain(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(base, "digits.onnx")
	for range 5 {
		n.ask()
	}
	n.set(behaviour{takes: 60 * time.Millisecond})
	d := n.wait(n.submit(n.request(`{"name":"m","model":{"path":"m.onnx"},"deployment":{"max_latency_ms":50,"memory_limit_mb":64,"strategy":"stop-then-start"}}`, "digits-bad.onnx")).ID)
	r := n.report(d.ID)
	if d.Phase != client.PhaseFailed || d.Serves != "m@1" || r.Before == nil || r.Before.Version != 1 || r.Before.Requests == nil || *r.Before.Requests != 5 {
		t.Errorf("it ended %s, %s serves, before %+v", d.Phase, d.Serves, r.Before)
	}
	if r.This == nil || r.This.Version != 2 || r.This.GateP95MS == nil || *r.This.GateP95MS < 60 || *r.This.MemoryPeakBytes != 10<<20 {
		t.Errorf("this %+v", r.This)
	}
}

func TestAnObservationThatGoesOnAfterAStartKeepsItsReport(t *testing.T) {
	n, id, _ := observing(t, `"duration":"300ms"`, nil)
	m := n.die(often)
	m.set(behaviour{add: 2})
	m.manager.Restore()
	m.wait(id)
	r := m.report(id)
	var phases []string
	for _, e := range r.Events {
		if e.Type == client.EventPhase {
			phases = append(phases, string(e.Phase))
		}
	}
	want := "pending checking preparing loading gating testing activating observing committed"
	if strings.Join(phases, " ") != want || r.AskedBy.Name != "ada" || r.Before == nil || r.Before.Version != 1 || !strings.Contains(r.File, "observe") || !strings.HasPrefix(messages(r), "deployment began") {
		t.Errorf("phases %s, report %+v", phases, r)
	}
}

func TestARollbackOnRequestShowsInBothReports(t *testing.T) {
	n, second := deployed(t)
	n.set(behaviour{add: 1})
	d := n.back(0, "it sees ghosts")
	r := n.report(d.ID)
	if r.Before.Version != 2 || r.This.Version != 1 || r.File != base || r.This.GateP95MS == nil {
		t.Errorf("report %+v, before %+v, this %+v", r, r.Before, r.This)
	}
	r = n.report(second)
	last := r.Events[len(r.Events)-1]
	if r.Deployment.Phase != client.PhaseRolledBack || last.Phase != client.PhaseRolledBack || last.Message != "rolled back to version 1 on request: it sees ghosts" || r.This.Version != 2 {
		t.Errorf("report of the other: %+v", r)
	}
	if took := r.Deployment.Updated.Sub(r.Deployment.Created); r.DurationMS >= float64(took.Milliseconds())+1 {
		t.Errorf("it took %g ms, want the time up to the commit", r.DurationMS)
	}
}

// stored returns what the state file keeps for reports, by the deployments' ids.
func stored(tb testing.TB, dir string) map[string][]byte {
	tb.Helper()
	all := map[string][]byte{}
	edit(tb, copyState(tb, dir), func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("reports")).ForEach(func(k, v []byte) error {
			all[string(k)] = append([]byte(nil), v...)
			return nil
		})
	})
	return all
}

func TestReportsGoWithTheirDeployments(t *testing.T) {
	n := newNodeWith(t, t.TempDir(), func(h *deploy.Host) { h.KeepDeployments = 2 })
	first := n.deploy(base, "digits.onnx").ID
	for range 2 {
		n.deploy(base, "digits.onnx")
	}
	n.until("the first is forgotten", func() bool { return len(stored(t, n.dir)) == 2 })
	if _, err := n.manager.Report(first); fault.KindOf(err) != fault.NotFound {
		t.Errorf("Report of a forgotten deployment: %v", err)
	}
}

func TestReportsOfForgottenDeploymentsGoAtTheStart(t *testing.T) {
	n, second := deployed(t)
	n.close()
	edit(t, n.dir, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("deployments")).Delete([]byte(second)) })
	newNode(t, n.dir).close()
	if all := stored(t, n.dir); len(all) != 1 || all[second] != nil {
		t.Errorf("%d reports are left", len(all))
	}
}

// chatty is a runtime that logs so much while it loads.
type chatty struct {
	inference.Runtime

	records, bytes int
}

func (c chatty) Load(ctx context.Context, m inference.Model, o inference.Options) (inference.Session, error) {
	for i := range c.records {
		o.Log.Warn("message of the inference library", "text", strings.Repeat("\x01", c.bytes), "number", i)
	}
	o.Log.Debug("not kept")
	return c.Runtime.Load(ctx, m, o)
}

func TestReportsAreBounded(t *testing.T) {
	talk := chatty{records: 500, bytes: 10}
	change := func(h *deploy.Host) {
		runtime := h.Runtime
		h.Runtime = func(name, isolation string) (inference.Runtime, error) {
			r, err := runtime(name, isolation)
			talk.Runtime = r
			return talk, err
		}
		h.Log = slog.New(slog.DiscardHandler)
	}
	n := newNodeWith(t, t.TempDir(), change)
	r := n.report(n.deploy(base, "digits.onnx").ID)
	if len(r.Log) != 200 || !cmp.Equal(r.Cut, []string{"of the log, the last 200 of 501 are here"}) || !strings.HasSuffix(r.Log[199].Attrs, " number=499") {
		t.Errorf("%d records, the last %+v, cut %q", len(r.Log), r.Log[len(r.Log)-1], r.Cut)
	}

	talk = chatty{records: 300, bytes: 3000}
	r = n.report(n.deploy(base, "digits-bad.onnx").ID)
	weight := 0
	for _, l := range r.Log {
		weight += len(l.Message) + len(l.Attrs)
	}
	if weight > 64<<10 || len(r.Log) < 5 {
		t.Errorf("%d records of %d bytes", len(r.Log), weight)
	}

	file, err := json.Marshal("# " + strings.Repeat("<long>", 50_000) + "\nname: m\nmodel: {path: m.onnx}\n")
	if err != nil {
		t.Fatal(err)
	}
	req := n.request(string(file), "digits.onnx")
	id := n.submit(req).ID
	if d := n.wait(id); d.Phase != client.PhaseCommitted {
		t.Fatalf("it ended %s: %+v", d.Phase, d.Error)
	}
	r = n.report(id)
	if len(r.Log) == 0 || len(r.Events) < 14 || !strings.HasPrefix(r.File, "# <long>") || len(r.Cut) != 2 || !strings.HasPrefix(r.Cut[0], "of the deployment file, the first ") {
		t.Errorf("%d records, %d events, file of %d bytes, cut %q", len(r.Log), len(r.Events), len(r.File), r.Cut)
	}
	for id, raw := range stored(t, n.dir) {
		if len(raw) > deploy.MaxReport {
			t.Errorf("%s takes %d bytes, want %d at most", id, len(raw), deploy.MaxReport)
		}
	}
}

func TestTheLogOfAReportIsThatOfItsDeployment(t *testing.T) {
	hold := make(chan *slog.Logger, 1)
	n := newNodeWith(t, t.TempDir(), func(h *deploy.Host) {
		runtime := h.Runtime
		h.Runtime = func(name, isolation string) (inference.Runtime, error) {
			r, err := runtime(name, isolation)
			return listening{r, hold}, err
		}
	})
	id := n.deploy(base, "digits.onnx").ID
	log := <-hold
	log.Info("of the version that serves")
	reached, release := n.hold(client.PhaseTesting)
	second := n.submit(n.request(base, "digits-bad.onnx")).ID
	<-reached
	log.Info("of the version that serves, again")
	other := <-hold
	other.WithGroup("a").With("b", "c d").Error("of the candidate", "e", 1)
	r := n.report(second)
	release()
	n.wait(second)
	if got := r.Log[len(r.Log)-1]; messages(r) != "deployment began, of the candidate" || got.Attrs != `a.b="c d" a.e=1` || got.Level != "ERROR" {
		t.Errorf("log %+v", r.Log)
	}
	if got := messages(n.report(id)); strings.Contains(got, "serves") {
		t.Errorf("the log of the first is %s", got)
	}
}

// listening is a runtime that tells where a session would log.
type listening struct {
	inference.Runtime

	log chan *slog.Logger
}

func (l listening) Load(ctx context.Context, m inference.Model, o inference.Options) (inference.Session, error) {
	l.log <- o.Log
	return l.Runtime.Load(ctx, m, o)
}

func TestStateOfAVersionWithoutReportsIsTakenOver(t *testing.T) {
	n, second := deployed(t)
	n.close()
	edit(t, n.dir, func(tx *bbolt.Tx) error { // as the version before left it
		for _, name := range []string{"reports", "audit"} {
			if err := tx.DeleteBucket([]byte(name)); err != nil {
				return err
			}
		}
		if err := tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("1")); err != nil {
			return err
		}
		return tx.Bucket([]byte("meta")).Delete([]byte("audit_head"))
	})
	m := newNode(t, n.dir)
	m.set(behaviour{add: 2})
	m.manager.Restore()
	r := m.report(second)
	if !r.Complete || r.AskedBy != nil || r.File != "" || len(r.Deployment.Verdicts) < 6 || len(r.Deployment.Spec) == 0 || len(r.Events) != 8+len(r.Deployment.Verdicts) || r.Device.Label != "test board" || r.DurationMS == 0 {
		t.Errorf("who %v, file %q, %d verdicts, %d events", r.AskedBy, r.File, len(r.Deployment.Verdicts), len(r.Events))
	}
	if got := m.audited(); len(got) != 0 {
		t.Errorf("the audit log begins with %v", acts(got))
	}
	m.deploy(base, "digits.onnx")
	if got := m.audited(); len(got) != 2 || got[0].Sequence != 1 {
		t.Errorf("the audit log has %v", acts(got))
	}
	m.close()
	edit(t, n.dir, func(tx *bbolt.Tx) error {
		if got := string(tx.Bucket([]byte("meta")).Get([]byte("schema"))); got != "4" {
			t.Errorf("the schema is %s, want 4", got)
		}
		return nil
	})
}

func TestTheLogIsCutBeforeTheEvents(t *testing.T) {
	log, events := make([]client.ReportRecord, 100), make([]client.ReportEvent, 100)
	for i := range log {
		log[i].Message, events[i].Message = strings.Repeat("<", 100), strings.Repeat("x", 100)
	}
	for name, tc := range map[string]struct {
		most, log, events int
		cut               []string
	}{
		"all of it":           {1 << 20, 100, 100, nil},
		"a part of the log":   {60_000, 67, 100, []string{"of the log, the last 67 of 400 are here"}},
		"none of it":          {10_000, 0, 62, []string{"of the log, the last 0 of 400 are here", "of the events, the last 62 of 100 are here"}},
		"nothing fits at all": {1, 0, 0, []string{"of the log, the last 0 of 400 are here", "of the events, the last 0 of 100 are here"}},
	} {
		kept, said, bytes, cut := deploy.Fit(log, events, 400, tc.most)
		if kept != tc.log || said != tc.events || bytes > tc.most && tc.most > 1 || !cmp.Equal(cut, tc.cut) {
			t.Errorf("%s: %d records and %d events in %d bytes, %q; want %d and %d, %q", name, kept, said, bytes, cut, tc.log, tc.events, tc.cut)
		}
	}
}
