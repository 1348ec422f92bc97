package deploy_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"verge/client"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// shadows compares m.staging with what clients ask while asks does so, and returns the
// verdict and the end.
func (n *node) shadows(req client.ShadowRequest, asks func()) (v client.Verdict, end client.Event) {
	n.tb.Helper()
	var wg sync.WaitGroup
	err := n.manager.Shadow(n.tb.Context(), "m.staging", req, func(e client.Event) error {
		switch e.Type {
		case client.EventPhase:
			wg.Go(asks)
		case client.EventVerdict:
			v = *e.Verdict
		case client.EventEnd:
			end = e
		case client.EventWarning, client.EventProgress:
		}
		return nil
	})
	wg.Wait()
	if err != nil || end.Type != client.EventEnd {
		n.tb.Fatalf("Shadow = %v, the end %+v", err, end)
	}
	return v, end
}

func TestAShadowIsComparedWithWhatClientsGet(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		b       behaviour
		asks    int
		outcome client.Outcome
		share   float64 // below 0 for any
	}{
		"the same":          {behaviour{add: 1}, 100, client.OutcomePass, 1},
		"another":           {behaviour{add: 2}, 100, client.OutcomePass, 1}, // the highest score is the same
		"another class":     {behaviour{add: 1, low: true}, 100, client.OutcomeFail, 0},
		"one that fails":    {behaviour{add: 1, run: failing(400)}, 100, client.OutcomeFail, -1},
		"too few to tell":   {behaviour{add: 1}, 5, client.OutcomeInconclusive, 1},
		"nobody asks at it": {behaviour{add: 1}, 0, client.OutcomeInconclusive, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, t.TempDir())
			n.set(tt.b)
			n.deploy(staged("staging", ""), "digits.onnx")
			n.set(behaviour{add: 1})
			req := n.request(staged("production", ""), "digits-bad.onnx")
			req.ForceReason = "a test"
			if d := n.wait(n.submit(req).ID); d.Phase != client.PhaseCommitted {
				t.Fatalf("%+v", d.Error)
			}
			before := n.served["m.staging"].Monitor.Snapshot().TotalRequests
			v, end := n.shadows(client.ShadowRequest{Sample: 1, Seconds: 2, MinAgreement: 0.99}, func() {
				for range tt.asks {
					<-time.After(10 * time.Millisecond) // what comes in a burst is left out
					if version, y := n.ask(); version != 2 || y != 1 {
						t.Errorf("version %d answers %g", version, y)
						return
					}
				}
			})
			if v.Outcome != tt.outcome || tt.share >= 0 && *v.Figure != tt.share || v.Figures["compared"]+v.Figures["left_out"] != float64(tt.asks) {
				t.Errorf("verdict %+v", v)
			}
			if first := "; the first that differs: its highest score is that of class 1, want 0"; tt.b.low && !strings.HasSuffix(v.Detail, first) {
				t.Errorf("it says %q, want %q at the end", v.Detail, first)
			}
			if (end.Phase == client.PhaseCommitted) != (tt.outcome == client.OutcomePass) {
				t.Errorf("it ended %s: %+v", end.Phase, end.Error)
			}
			if after := n.served["m.staging"].Monitor.Snapshot().TotalRequests; after != before {
				t.Errorf("%d requests count for the shadow", after-before)
			}
		})
	}
}

// failing fails from a run on.
func failing(from int) func(int) error {
	return func(number int) error {
		if number > from {
			return fault.New(fault.Internal, "fake.run", "it broke")
		}
		return nil
	}
}

func TestWhatCannotBeAShadowSaysWhy(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(staged("testing", ""), "digits.onnx")
	try := func(model string, kind fault.Kind, message, hint string) {
		t.Helper()
		err := n.manager.Shadow(t.Context(), model, client.ShadowRequest{Sample: 1, Seconds: 1}, func(client.Event) error { return nil })
		check(t, model, err, kind, message, hint)
	}
	try("other.staging", fault.NotFound, `model "other" is not deployed`, "verge status lists the models that are.")
	try("m.staging", fault.NotFound, "m.staging is not loaded beside m@1", "Deploy it to another stage: verge deploy FILE --stage staging")
	try("m@7", fault.NotFound, "m@7 is not loaded beside m@1", "Deploy it to another stage: verge deploy FILE --stage staging")
	try("m.testing", fault.Conflict, "m@1 is what clients of m ask: there is nothing to compare it with", "Name another stage, such as m.staging.")
	n.set(behaviour{inputs: []inference.Spec{{Name: "x", DType: tensor.FP16, Shape: []int64{-1, 4}}}})
	req := n.request(staged("development", ""), "digits-bad.onnx")
	if d := n.wait(n.submit(req).ID); d.Phase != client.PhaseCommitted {
		t.Fatalf("%+v", d.Error)
	}
	try("m.development", fault.Invalid, "m.development@2 cannot answer what m@1 is asked: its input is x FP16[-1,4], the model's is x FP32[-1,4]", "")
}
