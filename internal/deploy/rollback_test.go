package deploy_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/client"
	"verge/internal/fault"
)

// back rolls back and waits for the end.
func (n *node) back(to int, reason string) *client.Deployment {
	n.tb.Helper()
	d, err := n.manager.Rollback("m", to, reason, asker())
	if err != nil {
		n.tb.Fatalf("Rollback: %v", err)
	}
	return n.wait(d.ID)
}

func TestTheVersionBeforeServesAgainOnRequest(t *testing.T) {
	n, second := deployed(t)
	n.set(behaviour{add: 1})
	d := n.back(0, "it sees ghosts")
	const want = "pending loading activating committed"
	if d.Version != 1 || d.RollsBack != second || d.Reason != "it sees ghosts" || phases(d) != want {
		t.Errorf("it is %+v, want version 1, and phases %s", d, want)
	}
	if version, y := n.ask(); version != 1 || y != 1 {
		t.Errorf("version %d answers %g, want 1 and 1", version, y)
	}
	bad, err := n.manager.Get(second)
	failure := &client.Failure{Kind: "canceled", Message: "rolled back to version 1 on request: it sees ghosts"}
	if err != nil || bad.Phase != client.PhaseRolledBack || !cmp.Equal(failure, bad.Error) {
		t.Errorf("the second deployment: %+v, %v", bad, err)
	}
	_, err = n.manager.Submit(n.request(base, "digits-bad.onnx"), asker())
	check(t, "Submit", err, fault.Conflict, "these bytes were rolled back with deployment "+second+": rolled back to version 1 on request: it sees ghosts",
		"Deploy other bytes, or these again with --retry.")

	n.set(behaviour{add: 2})
	if d = n.back(0, ""); d.Version != 2 || d.Phase != client.PhaseCommitted {
		t.Errorf("and forth again: %+v", d)
	}
	if version, y := n.ask(); version != 2 || y != 2 {
		t.Errorf("version %d answers %g, want 2 and 2", version, y)
	}
	if d := n.deploy(base, "digits-bad.onnx"); d.Phase != client.PhaseCommitted || d.Version != 3 {
		t.Errorf("its bytes ended %s as version %d: %+v", d.Phase, d.Version, d.Error)
	}
}

func TestARollbackThatCannotBeIsRefused(t *testing.T) {
	n := newNode(t, t.TempDir())
	_, err := n.manager.Rollback("m", 0, "", asker())
	check(t, "without a model", err, fault.NotFound, `model "m" is not deployed`, "verge status lists the models that are.")
	n.deploy(base, "digits.onnx")
	_, err = n.manager.Rollback("m", 0, "", asker())
	check(t, "without one before", err, fault.NotFound, "there is no version before m@1", "Deploy what is to serve; verge pin keeps a version that serves for later.")
	n.deploy(base, "digits-bad.onnx")
	_, err = n.manager.Rollback("m", 2, "", asker())
	check(t, "to what serves", err, fault.Conflict, "m@2 serves already", "")
	_, err = n.manager.Rollback("m", 7, "", asker())
	check(t, "to what is not kept", err, fault.NotFound, "version 7 of m is not kept", "These are kept: 1.")
	reached, release := n.hold(client.PhaseTesting)
	id := n.submit(n.request(base, "digits.onnx")).ID
	<-reached
	_, err = n.manager.Rollback("m", 0, "", asker())
	check(t, "during a deployment", err, fault.Conflict, "deployment "+id+" of m is in progress", "Wait for it, or cancel it.")
	release()
	n.wait(id)
}

func TestARollbackThatDoesNotLoadLeavesWhatServes(t *testing.T) {
	n, second := deployed(t)
	n.set(behaviour{load: func() error { return fault.New(fault.Unsupported, "fake.load", "the library is gone") }})
	d := n.back(0, "")
	if d.Phase != client.PhaseFailed || d.Error.Message != "loading: the library is gone" || d.Serves != "m@2" {
		t.Errorf("it ended %s: %+v", d.Phase, d.Error)
	}
	if d, err := n.manager.Get(second); err != nil || d.Phase != client.PhaseCommitted {
		t.Errorf("the second deployment: %+v, %v", d, err)
	}
	if version, y := n.ask(); version != 2 || y != 2 {
		t.Errorf("version %d answers %g, want 2 and 2", version, y)
	}
}

func TestACrashInARollbackLeavesOneVersionOrTheOther(t *testing.T) {
	for phase, serves := range map[client.Phase]int{client.PhaseLoading: 2, client.PhaseActivating: 1} {
		t.Run(string(phase), func(t *testing.T) {
			n, second := deployed(t)
			n.set(behaviour{add: 1})
			reached, release := n.hold(phase)
			d, err := n.manager.Rollback("m", 0, "", asker())
			if err != nil {
				t.Fatal(err)
			}
			<-reached
			after := newNode(t, copyState(t, n.dir))
			release()
			n.wait(d.ID)
			after.set(behaviour{add: float32(serves)})
			after.manager.Restore()
			if version, y := after.ask(); version != serves || y != float32(serves) {
				t.Errorf("version %d answers %g, want %d", version, y, serves)
			}
			bad, err := after.manager.Get(second)
			if want := map[int]client.Phase{1: client.PhaseRolledBack, 2: client.PhaseCommitted}[serves]; err != nil || bad.Phase != want {
				t.Errorf("the second deployment is %s, want %s", bad.Phase, want)
			}
		})
	}
}

func TestAPinnedVersionIsKept(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.set(behaviour{add: 1})
	first := n.deploy(base, "digits.onnx")
	if err := n.manager.Pin("m", 1, true, asker()); err != nil {
		t.Fatal(err)
	}
	n.set(behaviour{add: 2})
	for range 3 {
		n.deploy(base, "digits-bad.onnx")
	}
	if before, pinned := n.manager.Kept("m"); before != 3 || !slices.Equal(pinned, []int{1}) || !n.artifacts.Has(first.Digest) {
		t.Errorf("kept: %d before, pinned %v, its bytes %v", before, pinned, n.artifacts.Has(first.Digest))
	}
	check(t, "Pin of what is gone", n.manager.Pin("m", 2, true, asker()), fault.NotFound, "version 2 of m is not kept", "verge status lists those that are.")
	check(t, "Pin of nothing", n.manager.Pin("other", 1, true, asker()), fault.NotFound, `model "other" is not deployed`, "verge status lists the models that are.")
	check(t, "unpin of what is not", n.manager.Pin("m", 3, false, asker()), fault.NotFound, "version 3 of m is not pinned", "verge status lists those that are.")
	if err := n.manager.Pin("m", 1, true, asker()); err != nil {
		t.Errorf("Pin once more: %v", err)
	}
	n.set(behaviour{add: 1})
	if d := n.back(1, ""); d.Version != 1 || d.Phase != client.PhaseCommitted {
		t.Fatalf("Rollback to it: %+v", d)
	}
	if version, y := n.ask(); version != 1 || y != 1 {
		t.Errorf("version %d answers %g, want 1 and 1", version, y)
	}
	if err := n.manager.Pin("m", 1, false, asker()); err != nil {
		t.Errorf("unpin: %v", err)
	}
	for i := range 2 { // the second one takes the place of the one before
		req := n.request(base, "digits-bad.onnx")
		req.Retry = true
		if d := n.wait(n.submit(req).ID); d.Phase != client.PhaseCommitted {
			t.Fatalf("deployment %d: %+v", i, d)
		}
	}
	if n.artifacts.Has(first.Digest) {
		t.Error("its bytes are there after it was unpinned, and two were deployed")
	}
}

func TestPinsAreBounded(t *testing.T) {
	n := newNode(t, t.TempDir())
	for version := 1; version <= 17; version++ {
		n.deploy(fmt.Sprintf(`{"name":"m","model":{"path":"m.onnx"},"tests":{"performance_test":false},"deployment":{"cpu_threads":%d}}`, 1+version%2), "digits.onnx")
		err := n.manager.Pin("m", version, true, asker())
		if version <= 16 && err != nil {
			t.Fatalf("pin %d: %v", version, err)
		}
		if version == 17 {
			check(t, "one pin too many", err, fault.Exhausted, "16 versions of m are pinned, which is the limit", "Unpin one: verge pin --remove m@N")
		}
	}
}

func TestBytesAreRefusedToTheModelThatTheyFailedIn(t *testing.T) {
	n, _ := deployed(t)
	n.set(behaviour{add: 1})
	n.back(0, "it sees ghosts")
	for name, refused := range map[string]bool{"m": true, "another": false} {
		req := n.request(base, "digits-bad.onnx")
		req.Name = name
		d, err := n.manager.Submit(req, asker())
		if got := fault.KindOf(err) == fault.Conflict; err != nil != refused || refused && !got {
			t.Errorf("%s: %v", name, err)
		}
		if d != nil {
			n.wait(d.ID)
		}
	}
}

func TestBytesThatServeOnWithAnotherConfigurationAreNotRefused(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(base, "digits.onnx")
	n.deploy(staged("testing", `,"deployment":{"max_latency_ms":99}`), "digits.onnx")
	if d := n.back(0, "the limit is wrong"); d.Phase != client.PhaseCommitted {
		t.Fatalf("%+v", d.Error)
	}
	n.deploy(staged("testing", `,"deployment":{"max_latency_ms":98}`), "digits.onnx")
}

func TestAnObservedVersionIsRolledBackToTheOneBeforeByItsNumber(t *testing.T) {
	n, id, _ := observing(t, `"duration":"1h"`, nil)
	_, err := n.manager.Rollback("m", 7, "", asker())
	check(t, "Rollback to 7", err, fault.Conflict, "deployment "+id+" of m is in progress", "It has switched, and is observed: wait for its end, or take it back with verge rollback m.")
	check(t, "Cancel", n.manager.Cancel(id, asker()), fault.Conflict, "deployment "+id+" has switched already", "Take it back: verge rollback m")
	d, err := n.manager.Rollback("m", 1, "it sees ghosts", asker())
	if err != nil || d.ID != id {
		t.Fatalf("Rollback = %+v, %v", d, err)
	}
	n.rolledBack(id, "it was rolled back on request: it sees ghosts")
}
