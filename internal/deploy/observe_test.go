package deploy_test

import (
	"errors"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"verge/client"
	"verge/internal/deploy"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/serve"
)

// watched is a deployment file whose version is observed, with limits.
func watched(limits string) string {
	return `{"name":"m","model":{"path":"m.onnx"},"observe":{` + limits + `}}`
}

// turning is what a version does once it serves, and turns bad.
type turning struct {
	fails atomic.Bool
	nan   atomic.Bool
	off   atomic.Bool  // it answers 1 more
	grown atomic.Int64 // bytes
	slow  atomic.Int64 // milliseconds of each run
}

func (u *turning) behaviour(add float32) behaviour {
	return behaviour{add: add, nan: &u.nan, off: &u.off, grown: &u.grown, run: func(int) error {
		if slow := u.slow.Load(); slow > 0 {
			<-time.After(time.Duration(slow) * time.Millisecond) // latencies of requests are by the real clock
		}
		if u.fails.Load() {
			return fault.New(fault.Internal, "fake.run", "it broke")
		}
		return nil
	}}
}

// often looks at limits all the time.
func often(h *deploy.Host) { h.ObserveEvery = time.Millisecond }

// observing returns a node whose second version is observed, within limits.
func observing(t *testing.T, limits string, change func(*deploy.Host)) (n *node, second string, bad *turning) {
	t.Helper()
	n = newNodeWith(t, t.TempDir(), func(h *deploy.Host) {
		often(h)
		if change != nil {
			change(h)
		}
	})
	n.set(behaviour{add: 1})
	n.deploy(base, "digits.onnx")
	for range 100 {
		n.ask()
	}
	bad = &turning{}
	n.set(bad.behaviour(2))
	second = n.submit(n.request(watched(limits), "digits-bad.onnx")).ID
	n.until("it is observed", func() bool { return n.phase(second) == client.PhaseObserving })
	if version, y := n.ask(); version != 2 || y != 2 {
		t.Fatalf("version %d answers %g, want the new one", version, y)
	}
	return n, second, bad
}

// try asks once, whatever comes of it.
func (n *node) try() {
	call, err := serve.Admit(n.tb.Context(), n.server, serve.Ask{Model: "m"}, nil)
	if err != nil {
		return
	}
	defer func() { call.End(err) }()
	if _, err = call.Inputs([]inference.Input{{Shape: []int64{1, 4}}}); err == nil {
		_, err = call.Run()
	}
}

// rolledBack waits until a deployment has ended, rolled back for the reason given.
func (n *node) rolledBack(id, reason string) {
	n.tb.Helper()
	d := n.wait(id)
	message := "observing: m@2 was rolled back to version 1: " + reason
	if d.Phase != client.PhaseRolledBack || d.Error == nil || d.Error.Message != message || d.Serves != "m@1" {
		n.tb.Fatalf("it ended %s: %+v, serving %s; want %s", d.Phase, d.Error, d.Serves, message)
	}
	if version, y := n.ask(); version != 1 || y != 1 {
		n.tb.Errorf("version %d answers %g, want 1 and 1", version, y)
	}
	_, err := n.manager.Submit(n.request(base, "digits-bad.onnx"), asker())
	if want := "these bytes were rolled back with deployment " + id + ": m@2 was rolled back to version 1: " + reason; fault.Message(err) != want {
		n.tb.Errorf("Submit = %v, want %s", err, want)
	}
	v := d.Verdicts[len(d.Verdicts)-1]
	if v.Gate != "observation" || v.Outcome != client.OutcomeFail || v.Detail != reason || v.Phase != client.PhaseObserving {
		n.tb.Errorf("the last verdict is %+v", v)
	}
}

func TestAVersionThatFailsAfterTheSwitchIsRolledBack(t *testing.T) {
	n, id, bad := observing(t, `"max_error_rate":0.25`, nil)
	for range 14 {
		n.ask()
	}
	bad.fails.Store(true)
	for range 4 {
		n.try() // 4 of 19: too few to say
	}
	if phase := n.phase(id); phase != client.PhaseObserving {
		t.Fatalf("it is %s after 4 of 19 requests have failed", phase)
	}
	n.try()
	n.try()
	n.rolledBack(id, "6 of 21 requests failed, the limit is 25 %")
}

func TestWhatAnObservedVersionFailsIsSeenByNoClient(t *testing.T) {
	n, id, bad := observing(t, `"max_error_rate":0.9`, nil)
	clients := n.crowd() // an answer that is missing fails the test
	defer clients.end()
	bad.fails.Store(true)
	d := n.wait(id)
	if d.Phase != client.PhaseRolledBack || !strings.HasSuffix(d.Error.Message, " requests failed, the limit is 90 %") {
		t.Errorf("it ended %s: %+v", d.Phase, d.Error)
	}
	first, _ := clients.counts()
	n.until("the version before answers all", func() bool {
		now, _ := clients.counts()
		return now > first+20
	})
}

func TestAVersionWhoseKnownAnswerChangesIsRolledBack(t *testing.T) {
	n, id, bad := observing(t, `"duration":"1h"`, nil)
	bad.off.Store(true)
	d := n.wait(id)
	want := regexp.MustCompile("^observing: m@2 was rolled back to version 1: its answer to a known question changed: output \"y\": ")
	if d.Phase != client.PhaseRolledBack || !want.MatchString(d.Error.Message) {
		t.Errorf("it ended %s: %+v", d.Phase, d.Error)
	}
}

func TestWhatClientsSpoilIsNoFault(t *testing.T) {
	n, id, bad := observing(t, `"max_error_rate":0,"duration":"1h"`, nil)
	for range 50 {
		call, err := serve.Admit(t.Context(), n.server, serve.Ask{Model: "m"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		call.End(fault.New(fault.Invalid, "test", "a wrong shape"))
		n.ask()
	}
	if phase := n.phase(id); phase != client.PhaseObserving {
		t.Fatalf("it is %s after clients have erred", phase)
	}
	bad.fails.Store(true)
	n.try()
	n.rolledBack(id, "1 of 52 requests failed, the limit is 0 %")
}

func TestAVersionThatIsSlowAfterTheSwitchIsRolledBack(t *testing.T) {
	for limit, reason := range map[string]string{
		`"max_p95_ms":5`:      ` requests is [0-9.]+ ms, the limit is 5 ms$`,
		`"max_p95_ratio":1.5`: ` requests is [0-9.]+ ms, [0-9.]+ times that of the version before, the limit is 1.5 times$`,
	} {
		n, id, bad := observing(t, limit, nil)
		bad.slow.Store(30) // within max_latency_ms, which is 100
		n.until("it is rolled back", func() bool {
			n.try()
			return n.phase(id).Final()
		})
		d := n.wait(id)
		if d.Phase != client.PhaseRolledBack || !regexp.MustCompile("^observing: m@2 was rolled back to version 1: the p95 of 2[0-9]"+reason).MatchString(d.Error.Message) {
			t.Errorf("%s: it ended %s: %+v", limit, d.Phase, d.Error)
		}
	}
}

func TestAVersionWhoseWorkerDiesIsRolledBack(t *testing.T) {
	var deaths atomic.Int64
	n, id, _ := observing(t, `"max_worker_deaths":1`, func(h *deploy.Host) {
		h.Deaths = func(inference.Session) int { return int(deaths.Load()) }
	})
	deaths.Store(1)
	for range 20 {
		n.ask()
	}
	if phase := n.phase(id); phase != client.PhaseObserving {
		t.Fatalf("it is %s after one death", phase)
	}
	deaths.Store(2)
	n.rolledBack(id, "its worker died 2 times, the limit is 1")
}

func TestAnObservationEndsWithACommit(t *testing.T) {
	n, id, _ := observing(t, `"duration":"1s"`, nil)
	for range 120 {
		n.ask()
	}
	d := n.wait(id)
	v := d.Verdicts[len(d.Verdicts)-1]
	if d.Phase != client.PhaseCommitted || v.Gate != "observation" || v.Outcome != client.OutcomePass || v.Samples != 121 || v.Figures["requests"] != 121 || len(d.Warnings) != 0 {
		t.Errorf("it ended %s: %+v, verdict %+v", d.Phase, d.Error, v)
	}
	if !strings.HasSuffix(phases(d), "activating observing committed") {
		t.Errorf("phases %s", phases(d))
	}
	n.until("the version before is unloaded", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.open == 1
	})

	n, id, _ = observing(t, `"duration":"50ms"`, nil)
	d = n.wait(id)
	v = d.Verdicts[len(d.Verdicts)-1]
	if d.Phase != client.PhaseCommitted || v.Outcome != client.OutcomeInconclusive || v.Detail != "it saw 1 requests, 100 would say something" || len(d.Warnings) != 1 {
		t.Errorf("it ended %s: %+v, verdict %+v, warnings %q", d.Phase, d.Error, v, d.Warnings)
	}
}

func TestAnObservedVersionIsRolledBackOnRequest(t *testing.T) {
	n, id, _ := observing(t, `"duration":"1h"`, nil)
	check(t, "Cancel", n.manager.Cancel(id, asker()), fault.Conflict, "deployment "+id+" has switched already", "Take it back: verge rollback m")
	d, err := n.manager.Rollback("m", 0, "it sees ghosts", asker())
	if err != nil || d.ID != id {
		t.Fatalf("Rollback = %+v, %v", d, err)
	}
	n.rolledBack(id, "it was rolled back on request: it sees ghosts")
}

func TestWithoutAVersionBeforeNothingIsObserved(t *testing.T) {
	n := newNodeWith(t, t.TempDir(), often)
	if d := n.deploy(watched(`"duration":"1h"`), "digits.onnx"); d.Phase != client.PhaseCommitted || strings.Contains(phases(d), "observing") {
		t.Errorf("it went through %s", phases(d))
	}
}

func TestAnObservationGoesOnAfterARestart(t *testing.T) {
	for name, end := range map[string]func(*node) string{
		"after a crash": func(n *node) string { return copyState(t, n.dir) },
		"after a stop":  func(n *node) string { n.close(); return n.dir },
	} {
		t.Run(name, func(t *testing.T) {
			n, id, _ := observing(t, `"duration":"1h"`, nil)
			after := newNodeWith(t, end(n), often)
			bad := &turning{}
			loads := 0
			after.at = func(p client.Phase) {
				if p == client.PhaseLoading {
					if loads++; loads == 2 { // the version before, for the rollback
						after.set(behaviour{add: 1})
					}
				}
			}
			after.set(bad.behaviour(2))
			after.manager.Restore()
			if phase := after.phase(id); phase != client.PhaseObserving {
				t.Fatalf("it is %s after the restart", phase)
			}
			_, err := after.manager.Submit(after.request(base, "digits.onnx"), asker())
			check(t, "Submit", err, fault.Conflict, "deployment "+id+" of m is in progress", "It has switched, and is observed: wait for its end, or take it back with verge rollback m.")
			bad.fails.Store(true)
			for range 20 {
				after.try()
			}
			d := after.wait(id)
			if d.Phase != client.PhaseRolledBack || !strings.Contains(d.Error.Message, " of 20 requests failed") && !strings.Contains(d.Error.Message, " requests failed, the limit is 5 %") {
				t.Fatalf("it ended %s: %+v", d.Phase, d.Error)
			}
			if version, y := after.ask(); version != 1 || y != 1 {
				t.Errorf("version %d answers %g, want 1 and 1", version, y)
			}
		})
	}
}

func TestAnObservedVersionThatDoesNotLoadAgainIsRolledBack(t *testing.T) {
	n, id, _ := observing(t, `"duration":"1h"`, nil)
	after := newNodeWith(t, copyState(t, n.dir), often)
	after.set(loads(errors.New("it is gone")))
	after.manager.Restore()
	d := after.wait(id)
	if want := "observing: m@2 was rolled back to version 1: it did not load after a start of the node: it is gone"; d.Phase != client.PhaseRolledBack || d.Error.Message != want {
		t.Errorf("it ended %s: %+v, want %s", d.Phase, d.Error, want)
	}
	if version, _ := after.ask(); version != 1 {
		t.Errorf("version %d serves, want 1", version)
	}
}

func TestWhatCannotBeRolledBackStays(t *testing.T) {
	n, id, _ := observing(t, `"duration":"1h"`, nil)
	after := newNodeWith(t, copyState(t, n.dir), often)
	bad := &turning{}
	count := 0
	b := bad.behaviour(2)
	b.load = func() error {
		if count++; count > 1 {
			return fault.New(fault.Unsupported, "fake.load", "the library is gone")
		}
		return nil
	}
	after.set(b)
	after.manager.Restore()
	bad.fails.Store(true)
	for range 20 {
		after.try()
	}
	d := after.wait(id)
	if d.Phase != client.PhaseCommitted || len(d.Warnings) != 1 || !strings.HasPrefix(d.Warnings[0], "it was not rolled back although ") || !strings.HasSuffix(d.Warnings[0], ": the library is gone") {
		t.Errorf("it ended %s: %+v, warnings %q", d.Phase, d.Error, d.Warnings)
	}
	bad.fails.Store(false)
	if version, y := after.ask(); version != 2 || y != 2 {
		t.Errorf("version %d answers %g, want 2 still", version, y)
	}
}

func TestThreeDeathsOfTheNodeEndAnObservationToo(t *testing.T) {
	n, id, _ := observing(t, `"duration":"1h"`, nil)
	for range 3 {
		n = n.die(often)
	}
	n.set(behaviour{add: 1})
	n.manager.Restore()
	d, err := n.manager.Get(id)
	if err != nil || d.Phase != client.PhaseRolledBack || !strings.HasPrefix(d.Error.Message, "the node died 3 times") {
		t.Errorf("it is %+v, %v", d, err)
	}
	if version, _ := n.ask(); version != 1 {
		t.Errorf("version %d serves, want 1", version)
	}
}

func TestAVersionThatAnswersNaNIsRolledBack(t *testing.T) {
	n, id, bad := observing(t, `"duration":"1h","max_nan_rate":0.5`, nil)
	ask := func(times int) {
		for range times {
			n.clock.pass(time.Second) // or it is not looked at
			n.try()
		}
	}
	ask(8)
	bad.nan.Store(true)
	ask(9)
	if phase := n.phase(id); phase != client.PhaseObserving {
		t.Fatalf("it is %s after 9 of 18 answers with NaN", phase)
	}
	ask(2)
	n.rolledBack(id, "11 of 20 answers that were looked at have NaN or infinities where the inputs are finite, the limit is 50 %")
}

func TestNaNThatIsAllowedOrTheClientsOwnIsNoFault(t *testing.T) {
	n, id, bad := observing(t, `"duration":"1h","max_nan_rate":0},"tests":{"functional_test":{"allow_nan":true}`, nil)
	bad.nan.Store(true)
	for range 30 {
		n.clock.pass(time.Second)
		n.try()
	}
	if phase := n.phase(id); phase != client.PhaseObserving {
		t.Fatalf("it is %s where NaN is allowed", phase)
	}
	n, id, _ = observing(t, `"duration":"1h","max_nan_rate":0`, nil)
	for range 30 {
		n.clock.pass(time.Second)
		call, err := serve.Admit(t.Context(), n.server, serve.Ask{Model: "m"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		views, err := call.Inputs([]inference.Input{{Shape: []int64{1, 4}, Bytes: 16}})
		if err != nil {
			t.Fatal(err)
		}
		copy(views[0], []byte{0, 0, 0xc0, 0x7f}) // NaN
		_, err = call.Run()
		call.End(err)
	}
	if phase := n.phase(id); phase != client.PhaseObserving {
		t.Fatalf("it is %s where clients send NaN", phase)
	}
}

func TestAVersionWhoseMemoryGrowsIsRolledBack(t *testing.T) {
	n, id, bad := observing(t, `"duration":"1h","max_memory_growth_mb":64`, nil)
	bad.grown.Store(100 << 20)
	for range 30 {
		n.ask()
	}
	looked := n.looked.Load()
	n.until("its memory was looked at", func() bool { return n.looked.Load() > looked+1 })
	bad.grown.Store(164 << 20)
	if phase := n.phase(id); phase != client.PhaseObserving {
		t.Fatalf("it is %s after it has grown by the limit", phase)
	}
	bad.grown.Store(165 << 20)
	n.rolledBack(id, "its worker's memory grew by 65 MB since it answered 20 requests, the limit is 64 MB")
}

// scarce is a machine whose memory goes.
type scarce struct {
	machine

	free *atomic.Int64
}

func (m scarce) AvailableMemory() (int64, error) { return m.free.Load(), nil }

func TestTheVersionBeforeIsUnloadedWhereMemoryIsShort(t *testing.T) {
	var free atomic.Int64
	free.Store(1 << 30)
	n, id, bad := observing(t, `"duration":"1h"`, func(h *deploy.Host) { h.Machine = scarce{machine{cpus: 4}, &free} })
	free.Store(60 << 20)
	n.until("it is unloaded", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.open == 1
	})
	n.set(behaviour{add: 1})
	bad.fails.Store(true)
	for range 30 {
		n.try()
	}
	d := n.wait(id)
	want := "version 1, which would serve again, was unloaded: 60 MB of memory are free, 64 MB are wanted; it is loaded where it is needed"
	if d.Phase != client.PhaseRolledBack || len(d.Warnings) != 1 || d.Warnings[0] != want {
		t.Errorf("it ended %s, warnings %q", d.Phase, d.Warnings)
	}
	if version, y := n.ask(); version != 1 || y != 1 {
		t.Errorf("version %d answers %g, want 1 and 1", version, y)
	}
}
