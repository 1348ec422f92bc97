package deploy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"verge/client"
	"verge/internal/fault"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/serve"
	"verge/internal/tensor"
)

// forced deploys to production without a word of staging.
func (n *node) forced(spec, file string) *client.Deployment {
	n.tb.Helper()
	req := n.request(spec, file)
	req.ForceReason = "a test"
	return n.wait(n.submit(req).ID)
}

func TestAFigureThatIsNoNumberIsAnError(t *testing.T) {
	n := newNode(t, t.TempDir())
	req := n.request(staged("testing", `,"accuracy":{"dataset":"d.npz","metric":"cosine","min":0.5}`), "digits.onnx")
	req.Artifacts["model"] = n.upload(onnxmodel.Identity(tensor.FP32, "n", 4))
	req.Artifacts["accuracy.dataset"] = n.upload(inferencetest.NPZ(t, 4, map[string][]float32{"x": {0, 0, 0, 0}, "y": {1, 1, 1, 1}}))
	d := n.wait(n.submit(req).ID)
	const message = "gating: accuracy could not be measured: cosine is no finite number: an answer, or a known one, has NaN or infinities, or is zero throughout"
	if d.Phase != client.PhaseFailed || d.Error.Message != message {
		t.Errorf("it ended %s: %+v", d.Phase, d.Error)
	}
	if _, err := json.Marshal(d); err != nil {
		t.Errorf("it cannot be told: %v", err)
	}
}

func TestWhatStagingObservesOrRolledBackIsNoEvidence(t *testing.T) {
	n := newNodeWith(t, t.TempDir(), often)
	n.deploy(staged("staging", ""), "digits.onnx")
	id := n.submit(n.request(staged("staging", `,"observe":{"duration":"1h"}`), "digits-bad.onnx")).ID
	n.until("it is observed", func() bool { return n.phase(id) == client.PhaseObserving })
	_, err := n.manager.Promote("m", client.PromoteRequest{To: "production"}, asker())
	check(t, "Promote", err, fault.Conflict, "version 2 of m is observed at staging still", "Wait for the end of deployment "+id+", or force it with a reason: --force REASON.")
	if _, err := n.manager.Rollback("m.staging", 0, "it is bad", asker()); err != nil {
		t.Fatal(err)
	}
	n.wait(id)
	req := n.request(staged("production", ""), "digits-bad.onnx")
	req.Retry = true
	d := n.wait(n.submit(req).ID)
	if d.Phase != client.PhaseFailed || !strings.Contains(d.Error.Message, "have not passed staging") {
		t.Errorf("production ended %s: %+v", d.Phase, d.Error)
	}
}

func TestAPlainNameIsThatOfTheHighestStageThoughItIsNotLoaded(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(staged("testing", ""), "digits.onnx")
	short := `,"observe":{"duration":"1ms"}`
	n.forced(staged("production", short), "digits-bad.onnx")
	asked := false
	n.at = func(p client.Phase) {
		if p == client.PhaseLoading && !asked { // production is stopped
			asked = true
			if err := n.manager.Undeploy("m", asker()); fault.KindOf(err) != fault.Conflict {
				t.Errorf("Undeploy in the gap = %v, want a conflict", err)
			}
		}
	}
	if d := n.forced(staged("production", short+`,"deployment":{"strategy":"stop-then-start"}`), "digits-bad.onnx"); d.Phase != client.PhaseCommitted || !asked {
		t.Fatalf("production ended %s: %+v", d.Phase, d.Error)
	}
	n.at = func(client.Phase) {}
	digest := n.served["m.production"].Digest()
	n.close()
	n = newNode(t, n.dir)
	if err := n.artifacts.Remove(digest); err != nil { // so that production does not load
		t.Fatal(err)
	}
	n.manager.Restore()
	if err := n.manager.Undeploy("m", asker()); err != nil {
		t.Fatal(err)
	}
	if n.answers("m") != 1 || n.answers("m.testing") != 1 {
		t.Errorf("m is version %d, want the one of testing", n.answers("m"))
	}
}

func TestAStopOfTheNodeDuringARollbackLeavesItToTheNextStart(t *testing.T) {
	n := newNodeWith(t, t.TempDir(), often)
	n.set(behaviour{add: 1})
	n.deploy(stopping, "digits.onnx")
	bad := &turning{}
	n.set(bad.behaviour(2))
	id := n.submit(n.request(strings.TrimSuffix(stopping, "}")+`,"observe":{"duration":"1h"}}`, "digits-bad.onnx")).ID
	n.until("it is observed", func() bool { return n.phase(id) == client.PhaseObserving })
	n.set(behaviour{add: 1})
	loading, goOn := make(chan struct{}), make(chan struct{})
	n.mu.Lock()
	n.at = func(p client.Phase) {
		if p == client.PhaseLoading {
			close(loading)
			<-goOn
		}
	}
	n.mu.Unlock()
	bad.fails.Store(true)
	for range 30 {
		n.try()
	}
	<-loading
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		n.manager.Close()
	}()
	n.until("the node stops", func() bool {
		_, err := n.manager.Submit(n.request(base, "digits.onnx"), asker())
		return fault.KindOf(err) == fault.Unavailable
	})
	close(goOn)
	<-closed
	n.close()
	bad.fails.Store(false) // or it does not load, and there is nothing to go back to
	after := newNodeWith(t, n.dir, often)
	after.set(bad.behaviour(2))
	after.manager.Restore()
	if phase := after.phase(id); phase != client.PhaseObserving {
		t.Errorf("it is %s after the restart, want it observed again", phase)
	}
}

func TestAPromotionNeedsTheFilesOfItsStage(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(staged("staging", `,"stages":{"production":{"tests":{"functional_test":{"golden":"g.npz"}}}}`), "digits.onnx")
	_, err := n.manager.Promote("m", client.PromoteRequest{To: "production"}, asker())
	check(t, "Promote", err, fault.Invalid, "artifacts.golden: is missing: the digest of the file that tests.functional_test.golden names",
		"The stage production wants files that this version was not deployed with: verge deploy FILE --stage production")
}

func TestATestThatFailsIsAFailureAtEveryStage(t *testing.T) {
	n := newNode(t, t.TempDir())
	bad := &turning{}
	n.set(bad.behaviour(0))
	n.deploy(staged("development", ""), "digits.onnx")
	bad.fails.Store(true)
	var end client.Event
	err := n.manager.Test(t.Context(), "m", func(e client.Event) error { end = e; return nil })
	if err != nil || end.Phase != client.PhaseFailed || end.Error == nil {
		t.Errorf("Test = %v, it ended %+v", err, end)
	}
}

func TestARollbackAtOneStageDoesNotPardonAnothers(t *testing.T) {
	n := newNode(t, t.TempDir())
	back := func(name string) {
		t.Helper()
		d, err := n.manager.Rollback(name, 0, "", asker())
		if err != nil {
			t.Fatal(err)
		}
		n.wait(d.ID)
	}
	n.deploy(staged("testing", ""), "digits.onnx")
	n.deploy(staged("development", ""), "digits-bad.onnx")
	n.deploy(staged("development", ""), "digits.onnx")
	back("m.development")
	n.deploy(staged("testing", ""), "digits-slow.onnx")
	back("m.testing") // to the bytes that development has rolled back
	_, err := n.manager.Submit(n.request(staged("development", ""), "digits.onnx"), asker())
	if fault.KindOf(err) != fault.Conflict || !strings.HasPrefix(fault.Message(err), "these bytes were rolled back with deployment m.development-") {
		t.Errorf("Submit = %v, want the bytes refused", err)
	}
}

func TestARollbackAtTheEndOfAnObservationIsCarriedOutOrRefused(t *testing.T) {
	n := newNodeWith(t, t.TempDir(), often)
	n.deploy(base, "digits.onnx")
	old, err := serve.Admit(t.Context(), n.server, serve.Ask{Model: "m"}, nil) // keeps version 1 from being unloaded
	if err != nil {
		t.Fatal(err)
	}
	id := n.submit(n.request(watched(`"duration":"50ms"`), "digits-bad.onnx")).ID
	n.until("it was observed", func() bool {
		d, missing := n.manager.Get(id)
		return missing == nil && len(d.Warnings) > 0 // it saw too little, and is over
	})
	accepted := false
	n.until("a rollback is refused", func() bool {
		if _, err = n.manager.Rollback("m", 0, "late", asker()); err == nil {
			accepted = true // it is carried out then
		}
		return err != nil || n.phase(id) == client.PhaseRolledBack
	})
	old.End(nil)
	d := n.wait(id)
	switch {
	case accepted && d.Phase != client.PhaseRolledBack:
		t.Errorf("a rollback was accepted, and it ended %s: %+v", d.Phase, d.Error)
	case !accepted && d.Phase != client.PhaseCommitted:
		t.Errorf("it ended %s: %+v", d.Phase, d.Error)
	}
}

func TestANameHasRoomForItsStage(t *testing.T) {
	n := newNode(t, t.TempDir())
	req := n.request(strings.Replace(staged("staging", ""), `"name":"m",`, "", 1), "digits.onnx")
	req.Name = strings.Repeat("m", 125)
	_, err := n.manager.Submit(req, asker())
	if fault.KindOf(err) != fault.Invalid || !strings.HasPrefix(fault.Message(err), "at the stage staging: model name ") || fault.HintOf(err) != "Give a shorter name, in the deployment file or with --name." {
		t.Errorf("Submit = %v", err)
	}
	req = n.request(staged("testing", `,"stages":{"production":{"required_packages":["nonsense"]}}`), "digits.onnx")
	req.IgnorePackages = []string{"nonsense"}
	if d, err := n.manager.Submit(req, asker()); err != nil {
		t.Errorf("a package of another stage that is ignored: %v", err)
	} else {
		n.wait(d.ID)
	}
}
