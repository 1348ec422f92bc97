package deploy

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"verge/client"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/monitor"
	"verge/internal/stats"
	"verge/internal/tensor"
)

// What an observation needs before it says anything.
const (
	observeEvery  = time.Second
	observeLeast  = 20                     // requests, for a limit to be broken
	observeEnough = 100                    // requests, for none to be
	observeSample = 100 * time.Millisecond // between two answers whose numbers are looked at
	observeValues = 1 << 16                // numbers of one that are
	observeFree   = 64 << 20               // bytes of memory below which the version before is unloaded
)

// watched is what is gathered of a version that serves, while it is observed. Its own
// figures begin before the switch: the tests count as requests.
type watched struct {
	served *Served
	limits deployfile.Observe
	seen   *monitor.Model // what clients see
	unseen func()         // ends that
	untap  func()         // ends the look at answers
	now    func() time.Time

	last          atomic.Int64 // when an answer was looked at, in nanoseconds
	looked, wrong atomic.Int64 // answers to finite inputs, and those with NaN or infinities

	memory int64 // of the worker when the first requests had been answered, in bytes; 0 before
}

// watchServed begins to gather. end ends it.
func watchServed(s *Served, file *deployfile.File, limits deployfile.Observe, now func() time.Time) *watched {
	w := &watched{served: s, limits: limits, now: now, untap: func() {}}
	w.seen, w.unseen = s.Monitor.Watch()
	if !file.Tests.Functional.AllowNaN {
		w.untap = s.Version.Tap(w.see)
	}
	return w
}

func (w *watched) end() {
	w.unseen()
	w.untap()
}

// see looks at the numbers of some answers.
func (w *watched) see(inputs, outputs []tensor.Tensor) {
	now, last := w.now().UnixNano(), w.last.Load()
	if now-last < int64(observeSample) || !w.last.CompareAndSwap(last, now) {
		return
	}
	if !tensor.Finite(inputs, observeValues) {
		return // the client's own
	}
	w.looked.Add(1)
	if !tensor.Finite(outputs, observeValues) {
		w.wrong.Add(1)
	}
}

// watch looks at the version until its time is over, a limit is broken, or somebody asks
// for the version before. The verdict is empty where ctx ended first.
func (r *run) watch(ctx context.Context) (v client.Verdict, breach string) {
	v = client.Verdict{Gate: gate.GateObservation, Time: r.m.host.Now(), Device: r.m.host.Device, How: "what clients saw, since the switch"}
	if r.watched == nil {
		v.Outcome, v.Detail = client.OutcomeFail, "it did not load after a start of the node: "+fault.Message(r.lost)
		return v, v.Detail
	}
	defer r.watched.end()
	before := 0.0 // of the version before, which answers nothing any more
	if r.before != nil {
		before = baseline(r.before.Monitor)
	}
	st, breach, err := r.follow(ctx, r.watched, time.Duration(r.file.Observe.Duration), func(*monitor.Stats) float64 {
		r.makeRoom()
		return before
	})
	if err != nil {
		return client.Verdict{}, ""
	}
	v.Figures = r.watched.figures(&st)
	r.watched.conclude(&v, &st, breach, observeEnough)
	return v, breach
}

// follow looks at a version that clients ask until its time is over, a limit is broken, or
// somebody asks for the version before. look is called at each look, and returns the 95th
// percentile to compare with, in milliseconds, or 0.
func (r *run) follow(ctx context.Context, w *watched, last time.Duration, look func(*monitor.Stats) float64) (st monitor.Stats, breach string, err error) {
	over := time.NewTimer(last)
	defer over.Stop()
	again := time.NewTicker(cmp.Or(r.m.host.ObserveEvery, observeEvery))
	defer again.Stop()
	known, stop := w.known(ctx)
	defer stop()
	for ended := false; !ended && breach == ""; {
		reason := ""
		select {
		case <-ctx.Done():
			return st, "", ctx.Err()
		case reason = <-r.asked:
			reason = onRequest(reason)
		case reason = <-known:
		case <-again.C:
		case <-over.C:
			ended = true
		}
		st = w.seen.Snapshot()
		beside := look(&st)
		if breach = reason; breach == "" {
			breach = r.broken(w, &st, beside)
		}
	}
	return st, breach, nil
}

// known asks the version the question of its health check again and again, until stop, which
// waits for that. Where it answers another thing than before, it says so, once. That costs
// the version a hundredth of its time at the most.
func (w *watched) known(ctx context.Context) (changed <-chan string, stop func()) {
	const rarely = 100
	told := make(chan string, 1)
	if w.served.answer == nil {
		return told, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	asking.Go(func() {
		for pause := observeEvery; ; {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			begin := time.Now()
			got, err := w.served.ask(ctx) // what fails is counted with what clients ask
			pause = max(observeEvery, rarely*time.Since(begin))
			if err != nil {
				continue
			}
			if err := agree(w.served.answer, got); err != nil {
				told <- fmt.Sprintf("its answer to a known question changed: %v", err)
				return
			}
		}
	})
	return told, func() {
		cancel()
		asking.Wait()
	}
}

// figures are what a verdict keeps of what was gathered.
func (w *watched) figures(st *monitor.Stats) map[string]float64 {
	return map[string]float64{
		"requests": float64(st.TotalRequests), "errors": float64(st.ErrorCount), "p50_ms": st.P50LatencyMS, "p95_ms": st.P95LatencyMS,
		"answers_looked_at": float64(w.looked.Load()), "not_finite": float64(w.wrong.Load()),
	}
}

// conclude fills in what a verdict says; enough is how many requests say something, without
// those that clients spoil.
func (w *watched) conclude(v *client.Verdict, st *monitor.Stats, breach string, enough int) {
	_, of := faults(st)
	v.Samples = int(of)
	switch v.Outcome = client.OutcomePass; {
	case breach != "":
		v.Outcome, v.Detail = client.OutcomeFail, breach
	case v.Samples < enough:
		v.Outcome, v.Detail = client.OutcomeInconclusive, fmt.Sprintf("it saw %d requests, %d would say something", of, enough)
	}
}

// baseline is the 95th percentile of another version, in milliseconds, or 0 where that has
// answered too little.
func baseline(of *monitor.Model) float64 {
	st := of.Snapshot()
	if st.WindowCount < observeEnough {
		return 0
	}
	return st.P95LatencyMS
}

// makeRoom unloads the version before where memory is short: it can be loaded again.
func (r *run) makeRoom() {
	if r.before == nil {
		return
	}
	free, err := r.m.host.Machine.AvailableMemory()
	if err != nil || free >= observeFree {
		return
	}
	const mib = 1 << 20
	r.warn(fmt.Sprintf("version %d, which would serve again, was unloaded: %d MB of memory are free, %d MB are wanted; it is loaded where it is needed", r.before.release.Version, free/mib, observeFree/mib))
	r.endBackUp()
	r.m.release(r.before)
	r.before = nil
}

// broken says which limit is broken, with the figures, or "".
func (r *run) broken(w *watched, st *monitor.Stats, beside float64) string {
	limits := w.limits
	if r.m.host.Deaths != nil {
		if n := r.m.host.Deaths(w.served.Session); n > limits.MaxWorkerDeaths {
			return fmt.Sprintf("its worker died %s, the limit is %d", times(n), limits.MaxWorkerDeaths)
		}
	}
	if failed, of := faults(st); of >= observeLeast && float64(failed) > limits.MaxErrorRate*float64(of) {
		return fmt.Sprintf("%d of %d requests failed, the limit is %s %%", failed, of, stats.Figure(100*limits.MaxErrorRate, 3))
	}
	if wrong, of := w.wrong.Load(), w.looked.Load(); of >= observeLeast && float64(wrong) > limits.MaxNaNRate*float64(of) {
		return fmt.Sprintf("%d of %d answers that were looked at have NaN or infinities where the inputs are finite, the limit is %s %%", wrong, of, stats.Figure(100*limits.MaxNaNRate, 3))
	}
	if st.WindowCount < observeLeast {
		return ""
	}
	if grown := r.grown(w); limits.MaxMemoryGrowthMB > 0 && grown > limits.MaxMemoryGrowthMB {
		return fmt.Sprintf("its worker's memory grew by %s MB since it answered %d requests, the limit is %g MB", stats.Figure(grown, 4), observeLeast, limits.MaxMemoryGrowthMB)
	}
	if st.P95LatencyMS > limits.MaxP95MS {
		return fmt.Sprintf("the p95 of %d requests is %s ms, the limit is %g ms", st.WindowCount, stats.Figure(st.P95LatencyMS, 3), limits.MaxP95MS)
	}
	if ratio := st.P95LatencyMS / beside; limits.MaxP95Ratio > 0 && beside > 0 && ratio > limits.MaxP95Ratio {
		return fmt.Sprintf("the p95 of %d requests is %s ms, %s times that of the version before, the limit is %g times",
			st.WindowCount, stats.Figure(st.P95LatencyMS, 3), stats.Figure(ratio, 3), limits.MaxP95Ratio)
	}
	return ""
}

// times is "once", or how many times.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// grown is by how much the worker's memory grew since the first look, in megabytes; 0 where
// that cannot be measured.
func (r *run) grown(w *watched) float64 {
	used, err := r.m.host.memory(w.served.Session)
	if err != nil {
		return 0
	}
	if w.memory == 0 {
		w.memory = used.CurrentBytes
	}
	return float64(used.CurrentBytes-w.memory) / (1 << 20)
}

// faults counts the requests that failed for another reason than the client's, and those
// that the client did not spoil.
func faults(st *monitor.Stats) (failed, of int64) {
	of = st.TotalRequests
	for name, n := range st.ErrorsByKind {
		if kind, known := fault.ParseKind(name); known && kind.OfAsked() {
			failed += n
		} else {
			of -= n
		}
	}
	return failed, of
}
