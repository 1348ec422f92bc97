package deploy_test

import (
	"errors"
	"testing"
	"time"

	"verge/client"
	"verge/internal/deploy"
)

// A device without a battery for its clock begins in 1970, and is told the time later; or
// somebody sets it wrong.
func TestAClockThatJumpsChangesNoDeployment(t *testing.T) {
	const day, years = 24 * time.Hour, 365 * 24 * time.Hour
	for _, jump := range []time.Duration{day, -day, 10 * years, -56 * years} { // from 2026
		t.Run(jump.String(), func(t *testing.T) {
			dir := t.TempDir()
			n := newNode(t, dir)
			n.set(behaviour{add: 1})
			first := n.deploy(base, "digits.onnx")
			n.set(behaviour{add: 2})
			var reached []client.Phase
			n.mu.Lock()
			n.at = func(phase client.Phase) {
				reached = append(reached, phase)
				if len(reached)%2 == 1 {
					n.clock.pass(jump)
				} else {
					n.clock.pass(-jump)
				}
			}
			n.mu.Unlock()
			d := n.deploy(watched(`"duration":"100ms"`), "digits-bad.onnx")
			if d.Phase != client.PhaseCommitted || len(reached) < 2 {
				t.Errorf("it ended %s with %+v after %v", d.Phase, d.Error, reached)
			}
			if version, y := n.ask(); version != 2 || y != 2 {
				t.Errorf("version %d answers %g", version, y)
			}
			n.close()

			after := newNode(t, dir) // its clock is that of the beginning
			after.clock.pass(jump)
			after.set(behaviour{add: 2})
			after.manager.Restore()
			if version, y := after.ask(); version != 2 || y != 2 {
				t.Errorf("after a start version %d answers %g", version, y)
			}
			if d := after.deploy(base, "digits.onnx"); d.Phase != client.PhaseCommitted || d.Version != 3 {
				t.Errorf("the next one is version %d, %s: %+v", d.Version, d.Phase, d.Error)
			}
			if d, err := after.manager.Get(first.ID); err != nil || d.Phase != client.PhaseCommitted {
				t.Errorf("the first one is %+v, %v", d, err)
			}
		})
	}
}

func TestAClockThatIsSetBackForgetsNothingThatIsOfUse(t *testing.T) {
	n := newNodeWith(t, t.TempDir(), func(h *deploy.Host) { h.KeepDeployments = 2 })
	for range 3 {
		n.deploy(base, "digits.onnx")
	}
	n.clock.pass(-24 * time.Hour)
	serving := n.deploy(base, "digits.onnx")
	n.set(behaviour{load: func() error { return errors.New("no") }})
	failed := n.wait(n.submit(n.request(base, "digits-bad.onnx")).ID)
	for _, d := range []*client.Deployment{serving, failed} {
		if got, err := n.manager.Get(d.ID); err != nil || got.Phase != d.Phase {
			t.Errorf("%s: %+v, %v", d.ID, got, err)
		}
	}
}
