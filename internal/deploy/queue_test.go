package deploy_test

import (
	"strings"
	"testing"

	"verge/client"
	"verge/internal/fault"
)

// queued submits a deployment that waits.
func (n *node) queued(model string) *client.Deployment {
	n.tb.Helper()
	req := n.request(base, model)
	req.Queue = true
	return n.submit(req)
}

func (n *node) phase(id string) client.Phase {
	n.tb.Helper()
	d, err := n.manager.Get(id)
	if err != nil {
		n.tb.Fatal(err)
	}
	return d.Phase
}

func TestDeploymentsThatAskToBeQueuedTakeTheirTurn(t *testing.T) {
	n := newNode(t, t.TempDir())
	reached, release := n.hold(client.PhaseTesting)
	first := n.submit(n.request(base, "digits.onnx"))
	<-reached
	second, third, fourth := n.queued("digits-bad.onnx"), n.queued("digits.onnx"), n.queued("digits-bad.onnx")
	for _, d := range []*client.Deployment{second, third, fourth} {
		if phase := n.phase(d.ID); phase != client.PhasePending {
			t.Errorf("%s is %s, want pending", d.ID, phase)
		}
	}
	if err := n.manager.Cancel(third.ID, asker()); err != nil {
		t.Errorf("Cancel of one that waits: %v", err)
	}
	if d := n.wait(third.ID); d.Phase != client.PhaseCanceled || d.Error.Message != "pending: canceled on request" {
		t.Errorf("it ended %s: %+v", d.Phase, d.Error)
	}
	if phase := n.phase(second.ID); phase != client.PhasePending {
		t.Errorf("the second is %s while the first one goes on", phase)
	}
	release()
	for i, d := range []*client.Deployment{first, second, fourth} {
		if d = n.wait(d.ID); d.Phase != client.PhaseCommitted {
			t.Errorf("deployment %d ended %s: %+v", i, d.Phase, d.Error)
		}
	}
	if version, _ := n.ask(); version != 4 {
		t.Errorf("version %d serves, want the last one, 4", version)
	}
	if d := n.deploy(base, "digits.onnx"); d.Version != 5 {
		t.Errorf("the next one has version %d, want 5", d.Version)
	}
	ended, err := n.manager.Get(fourth.ID)
	before, errBefore := n.manager.Get(second.ID)
	if err != nil || errBefore != nil || ended.Phases[1].Started.Before(before.Phases[len(before.Phases)-1].Ended) {
		t.Errorf("the last one began before the one before it had ended: %v, %v", ended.Phases, before.Phases)
	}
}

func TestADeploymentWaitsForTheRestart(t *testing.T) {
	dir := t.TempDir()
	n := newNode(t, dir)
	n.deploy(base, "digits.onnx")
	n.close()
	n = newNode(t, dir)
	d := n.queued("digits-bad.onnx")
	n.manager.Restore()
	if d = n.wait(d.ID); d.Phase != client.PhaseCommitted {
		t.Errorf("it ended %s: %+v", d.Phase, d.Error)
	}
	if version, _ := n.ask(); version != 2 {
		t.Errorf("version %d serves, want 2", version)
	}
}

func TestTheQueueIsBoundedAndEndsWithTheManager(t *testing.T) {
	n := newNode(t, t.TempDir())
	reached, release := n.hold(client.PhaseTesting)
	n.submit(n.request(base, "digits.onnx"))
	<-reached
	var last string
	for range 16 {
		last = n.queued("digits.onnx").ID
	}
	req := n.request(base, "digits.onnx")
	_, err := n.manager.Submit(req, asker())
	if fault.KindOf(err) != fault.Conflict || !strings.HasSuffix(fault.Message(err), " of m is in progress") {
		t.Errorf("Submit of one that does not wait = %v", err)
	}
	req.Queue = true
	_, err = n.manager.Submit(req, asker())
	check(t, "Submit of one too many", err, fault.Unavailable, "16 deployments of m wait already", "Wait for one, or cancel it.")
	release()
	n.close()
	d, err := n.manager.Get(last)
	if err != nil || d.Phase != client.PhaseCanceled && d.Phase != client.PhaseCommitted {
		t.Errorf("the last one: %+v, %v", d, err)
	}
}
