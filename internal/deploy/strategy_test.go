package deploy_test

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"verge/client"
	"verge/internal/deploy"
	"verge/internal/fault"
)

const stopping = `{"name":"m","model":{"path":"m.onnx"},"deployment":{"strategy":"stop-then-start","memory_limit_mb":64}}`

// gapOf returns the verdict on the time in which no version served.
func gapOf(d *client.Deployment) client.Verdict {
	i := slices.IndexFunc(d.Verdicts, func(v client.Verdict) bool { return v.Gate == "gap" })
	if i < 0 {
		return client.Verdict{}
	}
	return d.Verdicts[i]
}

// loaded returns how many sessions there are.
func (n *node) loaded() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

func TestOldAndNewAreNotLoadedTogetherWhereTheFileSaysSo(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.set(behaviour{add: 1})
	first := n.deploy(stopping, "digits.onnx")
	if gapOf(first).Gate != "" {
		t.Errorf("the first version has a gap: %+v", gapOf(first))
	}
	most, said := 0, ""
	var mu sync.Mutex // guards both: requests run at a time
	n.set(behaviour{add: 2, run: func(int) error {
		mu.Lock()
		defer mu.Unlock()
		most = max(most, n.loaded())
		if _, err := n.server.Resolve("m", ""); err != nil && said == "" {
			said = fault.Message(err)
		}
		return nil
	}})
	d := n.deploy(stopping, "digits-bad.onnx")
	v := gapOf(d)
	if most != 1 || v.Outcome != client.OutcomePass || *v.Figure <= 0 || v.Detail != "version 2 serves in the place of the one that was stopped" {
		t.Errorf("%d were loaded, verdict %+v", most, v)
	}
	if want := "being replaced by version 2 (deployment.strategy: stop-then-start)"; !strings.Contains(said, want) {
		t.Errorf("meanwhile clients are told %q, want %s", said, want)
	}
	if len(d.Warnings) != 1 || !regexp.MustCompile(`^no version of m served for [0-9.]+ ms: version 2 serves in`).MatchString(d.Warnings[0]) {
		t.Errorf("warnings %q", d.Warnings)
	}
	if version, y := n.ask(); version != 2 || y != 2 {
		t.Errorf("version %d answers %g, want 2 and 2", version, y)
	}
}

func TestAStoppedVersionServesAgainWhereTheNextOneDoesNot(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.set(behaviour{add: 1})
	n.deploy(stopping, "digits.onnx")
	loads := 0
	n.set(behaviour{add: 2, memory: 100 << 20})
	n.at = func(p client.Phase) {
		if p == client.PhaseLoading {
			if loads++; loads == 2 {
				n.set(behaviour{add: 1})
			}
		}
	}
	d := n.wait(n.submit(n.request(stopping, "digits-bad.onnx")).ID)
	if d.Phase != client.PhaseFailed || gapOf(d).Detail != "version 1 was stopped, and serves again" || d.Serves != "m@1" {
		t.Errorf("it ended %s: %+v, gap %+v", d.Phase, d.Error, gapOf(d))
	}
	if version, y := n.ask(); version != 1 || y != 1 || n.loaded() != 1 {
		t.Errorf("version %d answers %g, %d are loaded; want the old one alone", version, y, n.loaded())
	}
}

func TestAStoppedVersionThatDoesNotLoadAgainSaysSo(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(stopping, "digits.onnx")
	gone := fault.New(fault.Unsupported, "fake.load", "the library is gone")
	n.set(loads(gone, gone))
	d := n.wait(n.submit(n.request(stopping, "digits-bad.onnx")).ID)
	const text = "version 1 was stopped and does not load again: the library is gone"
	if d.Phase != client.PhaseFailed || len(d.Warnings) != 1 || d.Warnings[0] != text {
		t.Errorf("it ended %s, warnings %q", d.Phase, d.Warnings)
	}
	if _, err := n.server.Resolve("m", ""); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("clients are told %v, want %s", err, text)
	}
	n.set(behaviour{add: 1})
	n = n.die(nil)
	n.set(behaviour{add: 1})
	n.manager.Restore()
	if version, _ := n.ask(); version != 1 {
		t.Errorf("version %d serves after a restart, want 1", version)
	}
}

func TestTheMemoryOfAStoppedVersionCounts(t *testing.T) {
	var free atomic.Int64
	free.Store(100 << 20)
	n := newNodeWith(t, t.TempDir(), func(h *deploy.Host) { h.Machine = scarce{machine{cpus: 4}, &free} })
	n.set(behaviour{memory: 40 << 20})
	n.deploy(stopping, "digits.onnx")
	free.Store(30 << 20)
	sideBySide := strings.Replace(stopping, `"strategy":"stop-then-start",`, "", 1)
	d := n.wait(n.submit(n.request(sideBySide, "digits-bad.onnx")).ID)
	const hint = "Lower the limit, undeploy a model that is no longer needed, or, to replace a version that serves, set deployment.strategy to stop-then-start."
	if d.Phase != client.PhaseFailed || d.Error.Message != "checking: deployment.memory_limit_mb: 64 MB must be free before the load, 30 MB are" || d.Error.Hint != hint {
		t.Errorf("side by side it ended %s: %+v", d.Phase, d.Error)
	}
	d = n.wait(n.submit(n.request(stopping, "digits-bad.onnx")).ID) // it does not free what it took
	if d.Phase != client.PhaseFailed || d.Error.Message != "loading: 64 MB must be free before the load, 30 MB are, after m@1 was stopped" || d.Serves != "m@1" {
		t.Errorf("where it frees nothing it ended %s: %+v, serving %s", d.Phase, d.Error, d.Serves)
	}
	n.mu.Lock()
	n.onGone = func() { free.Store(70 << 20) }
	n.mu.Unlock()
	if d = n.wait(n.submit(n.request(stopping, "digits-bad.onnx")).ID); d.Phase != client.PhaseCommitted {
		t.Errorf("where it frees its memory it ended %s: %+v", d.Phase, d.Error)
	}
}

func TestAStoppedVersionComesBackFromAnObservation(t *testing.T) {
	const observed = `{"name":"m","model":{"path":"m.onnx"},"deployment":{"strategy":"stop-then-start"},"observe":{"duration":"1h"}}`
	n := newNodeWith(t, t.TempDir(), often)
	n.set(behaviour{add: 1})
	n.deploy(stopping, "digits.onnx")
	bad := &turning{}
	n.set(bad.behaviour(2))
	id := n.submit(n.request(observed, "digits-bad.onnx")).ID
	n.until("it is observed", func() bool { return n.phase(id) == client.PhaseObserving })
	n.set(behaviour{add: 1})
	bad.fails.Store(true)
	for range 30 {
		n.try()
	}
	d := n.wait(id)
	if d.Phase != client.PhaseRolledBack || n.loaded() != 1 {
		t.Errorf("it ended %s: %+v, %d are loaded", d.Phase, d.Error, n.loaded())
	}
	if version, y := n.ask(); version != 1 || y != 1 {
		t.Errorf("version %d answers %g, want 1 and 1", version, y)
	}
}
