package deploy_test

import (
	goruntime "runtime"
	"testing"
	"time"

	"verge/client"
	"verge/internal/deploy"
	"verge/internal/fault"
)

// die starts a node where this one died.
func (n *node) die(change func(*deploy.Host)) *node {
	n.tb.Helper()
	return newNodeWith(n.tb, copyState(n.tb, n.dir), change)
}

// deployed returns a node with two versions, of which the second serves.
func deployed(t *testing.T) (n *node, second string) {
	t.Helper()
	n = newNode(t, t.TempDir())
	n.set(behaviour{add: 1})
	n.deploy(base, "digits.onnx")
	n.set(behaviour{add: 2})
	return n, n.deploy(base, "digits-bad.onnx").ID
}

const threeDeaths = "the node died 3 times before it had run for 10m0s with m@2"

func TestThreeDeathsOfTheNodeRollAVersionBack(t *testing.T) {
	n, second := deployed(t)
	for deaths := 1; deaths <= 3; deaths++ {
		n = n.die(nil)
		n.set(behaviour{add: float32(2 - deaths/3)})
		n.manager.Restore()
		if version, _ := n.ask(); version != 2-deaths/3 {
			t.Errorf("after %d deaths version %d serves", deaths, version)
		}
	}
	d, err := n.manager.Get(second)
	if err != nil || d.Phase != client.PhaseRolledBack || d.Error == nil || d.Error.Message != threeDeaths || d.Serves != "m@1" {
		t.Fatalf("the second deployment: %+v, %v", d, err)
	}
	lines, err := n.manager.JournalLines()
	if last := lines[len(lines)-1]; err != nil || last != [2]client.Phase{client.PhaseCommitted, client.PhaseRolledBack} {
		t.Errorf("the journal ends with %v, %v", last, err)
	}
	for range 3 { // there is nothing before that one
		n = n.die(nil)
		n.set(behaviour{add: 1})
		n.manager.Restore()
	}
	if version, _ := n.ask(); version != 1 {
		t.Errorf("version %d serves, want 1 still", version)
	}
}

func TestBytesThatWereRolledBackComeBackOnRequestOnly(t *testing.T) {
	n, second := deployed(t)
	for range 3 {
		n = n.die(nil)
	}
	n.set(behaviour{add: 1})
	n.manager.Restore()
	req := n.request(base, "digits-bad.onnx")
	for range 2 {
		_, err := n.manager.Submit(req, asker())
		check(t, "Submit", err, fault.Conflict, "these bytes were rolled back with deployment "+second+": "+threeDeaths,
			"Deploy other bytes, or these again with --retry.")
	}
	if d := n.deploy(base, "digits.onnx"); d.Phase != client.PhaseCommitted {
		t.Errorf("other bytes ended %s: %+v", d.Phase, d.Error)
	}
	req = n.request(base, "digits-bad.onnx") // nothing needed them
	req.Retry = true
	if d := n.wait(n.submit(req).ID); d.Phase != client.PhaseCommitted {
		t.Errorf("a retry ended %s: %+v", d.Phase, d.Error)
	}
	req.Retry = false
	if d := n.wait(n.submit(req).ID); d.Phase != client.PhaseCommitted {
		t.Errorf("after a retry it ended %s: %+v", d.Phase, d.Error)
	}
}

func TestADeathCountsOnlyAgainstAVersionThatHasNotSettled(t *testing.T) {
	t.Run("the node ended by itself", func(t *testing.T) {
		n, _ := deployed(t)
		for range 4 {
			n.close()
			n = newNode(t, n.dir)
			n.set(behaviour{add: 2})
			n.manager.Restore()
		}
		if version, _ := n.ask(); version != 2 {
			t.Errorf("version %d serves, want 2", version)
		}
	})
	t.Run("it had settled", func(t *testing.T) {
		n, _ := deployed(t)
		n = n.die(func(h *deploy.Host) { h.Settling = time.Millisecond })
		n.set(behaviour{add: 2})
		n.manager.Restore()
		n.until("it has settled", func() bool { return n.manager.HasSettled("m") })
		for range 4 {
			n = n.die(nil)
			n.set(behaviour{add: 2})
			n.manager.Restore()
		}
		if version, _ := n.ask(); version != 2 {
			t.Errorf("version %d serves, want 2", version)
		}
	})
	t.Run("another version serves when it would settle", func(t *testing.T) {
		n := newNodeWith(t, t.TempDir(), func(h *deploy.Host) { h.Settling = time.Hour })
		n.deploy(base, "digits.onnx")
		n.deploy(base, "digits-bad.onnx")
		if n.manager.HasSettled("m") {
			t.Error("it has settled at once")
		}
	})
}

func TestAVersionWithoutOneBeforeItStays(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.set(behaviour{add: 1})
	id := n.deploy(base, "digits.onnx").ID
	for range 4 {
		n = n.die(nil)
	}
	n.set(behaviour{add: 1})
	n.manager.Restore()
	if version, y := n.ask(); version != 1 || y != 1 {
		t.Errorf("version %d answers %g, want 1 and 1", version, y)
	}
	if d, err := n.manager.Get(id); err != nil || d.Phase != client.PhaseCommitted {
		t.Errorf("its deployment: %+v, %v", d, err)
	}
}

func TestAVersionThatIsUnloadedIsNotWaitedFor(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(base, "digits.onnx")
	n.deploy(base, "digits-bad.onnx")
	before := goruntime.NumGoroutine()
	for range 10 {
		n.deploy(base, "digits.onnx")
		n.deploy(base, "digits-bad.onnx")
	}
	n.until("nothing waits for the versions of before", func() bool { return goruntime.NumGoroutine() <= before+5 })
}
