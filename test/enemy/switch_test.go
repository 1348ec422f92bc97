package enemy_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"verge/client"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/test/nodetest"
)

// watchers ask one model, each request with a number of its own, and compare.
type watchers struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex // guards all below
	right  int
	wrong  []string
	failed map[string]int
	offset map[string]float32 // what the model of a version adds; written before it serves
	met    [][]string         // by client: the versions that answered it, one after the other
}

// watch starts clients; offset says what the model of the version that serves adds.
func watch(t *testing.T, node *nodetest.Node, model string, clients int, offset map[string]float32) *watchers {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &watchers{stop: stop, failed: map[string]int{}, offset: offset, met: make([][]string, clients)}
	for c := range clients {
		w.wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				x := float32(c*100_000 + n%50_000)
				y, version, err := ask(ctx, node.Client, model, fmt.Sprintf("%d-%d", c, n), x)
				if ctx.Err() != nil {
					return
				}
				w.note(c, x, y, version, err)
			}
		})
	}
	t.Cleanup(w.end)
	return w
}

func (w *watchers) note(c int, x float32, y []float32, version string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	want := x + w.offset[version]
	switch {
	case err != nil:
		w.failed[err.Error()]++
	case !slices.Equal(y, []float32{want, want, want, want}):
		w.wrong = append(w.wrong, fmt.Sprintf("version %s answers %v to %v", version, y, x))
	default:
		w.right++
	}
	if n := len(w.met[c]); err == nil && (n == 0 || w.met[c][n-1] != version) {
		w.met[c] = append(w.met[c], version)
	}
}

// answers returns how many right ones there have been.
func (w *watchers) answers() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.right
}

func (w *watchers) end() {
	w.stop()
	w.wg.Wait()
}

func TestAWorkerThatIsKilledAgainAndAgainGivesNoWrongAnswer(t *testing.T) {
	nodetest.Require(t)
	cfg := nodetest.Settings(t)
	cfg.Worker.MaxDeaths, cfg.Worker.RestartDelay, cfg.Worker.MaxRestartDelay = 1000, 10*time.Millisecond, 10*time.Millisecond
	node := nodetest.Start(t, cfg)
	kills := 30
	if testing.Short() {
		kills = 5
	}
	deploy(t, node, "victim", plus(1))
	deploy(t, node, "other", plus(2))
	victim, other := watch(t, node, "victim", 3, map[string]float32{"1": 1}), watch(t, node, "other", 2, map[string]float32{"1": 2})
	for range kills {
		seen := victim.answers()
		nodetest.Wait(t, "the victim answers", func() bool { return victim.answers() > seen+5 })
		pid := worker(t, node, "victim").PID
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		nodetest.Wait(t, "another worker serves", func() bool {
			now := worker(t, node, "victim")
			return now.State == "ready" && now.PID != pid
		})
	}
	victim.end()
	other.end()
	if len(other.failed) > 0 || len(other.wrong) > 0 || len(victim.wrong) > 0 {
		t.Errorf("other: failed %v, wrong %.3q; victim: wrong %.3q; want none", other.failed, other.wrong, victim.wrong)
	}
	failed := 0
	for why, n := range victim.failed {
		if failed += n; !strings.Contains(why, "the worker died while it ran this request") {
			t.Errorf("%d requests failed with %q", n, why)
		}
	}
	if most := 3 * kills; failed > most {
		t.Errorf("%d requests failed in %d deaths, want no more than the %d that could run", failed, kills, most)
	}
	t.Logf("%d answers and %d failures in %d deaths; the other model: %d answers", victim.right, failed, kills, other.right)
}

func TestOneModelHasOneDeploymentAtATime(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	req, err := node.Request(t.Context(), `{"name":"m","model":{"path":"m.onnx"},`+untested+`}`, map[string]string{"model": file(t, "m.onnx", plus(1))})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // guards both
	kinds, begun := map[string]int{}, []string{}
	var wg sync.WaitGroup
	for n := range 40 {
		wg.Go(func() {
			var err error
			var d *client.Deployment
			if n%4 == 3 {
				err = node.Undeploy(t.Context(), "m")
			} else if d, err = node.Client.Deploy(t.Context(), req); err == nil {
				mu.Lock()
				defer mu.Unlock()
				begun = append(begun, d.ID)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			kinds[kindOf(err)]++
		})
	}
	wg.Wait()
	for _, id := range begun {
		nodetest.Wait(t, "deployment "+id+" ends", func() bool {
			d, err := node.Deployment(t.Context(), id)
			return err == nil && d.Phase == client.PhaseCommitted
		})
	}
	delete(kinds, "conflict")
	delete(kinds, "not_found") // undeployed before it was there
	delete(kinds, "")
	if len(begun) == 0 || len(kinds) > 0 {
		t.Errorf("%d deployments began, other answers were %v; want conflicts only", len(begun), kinds)
	}
	deploy(t, node, "m", plus(1)) // nothing holds the name
}

// kindOf returns the kind of an error of the client, "" for none.
func kindOf(err error) string {
	var e *client.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Kind
	}
	return err.Error()
}

// A model that takes only some numbers is asked with those of its golden file.
func TestAModelIsAskedWithItsGoldenInputs(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	spec := `{"name":"few","model":{"path":"m.onnx"},"deployment":{"batch_size":4,"cpu_threads":1},"tests":{"load_test":false,"performance_test":{"runs":5},"functional_test":%s}}`
	files := map[string]string{"model": file(t, "m.onnx", onnxmodel.Lookup())}
	d := node.Deploy(fmt.Sprintf(spec, "true"), files)
	const hint = "It was asked with seeded inputs (seed 0); where it does not take them, give it some that it takes: tests.functional_test.golden."
	if d.Phase != client.PhaseFailed || !strings.HasPrefix(d.Error.Message, "loading: warm up: ") || d.Error.Hint != hint {
		t.Errorf("without: %s, %+v; want it failed with the hint %q", d.Phase, d.Error, hint)
	}
	golden, err := filepath.Abs("testdata/few.npz")
	if err != nil {
		t.Fatal(err)
	}
	files["golden"] = golden
	d = node.Deploy(fmt.Sprintf(spec, `{"golden":"few.npz"}`), files)
	if d.Phase != client.PhaseCommitted {
		t.Fatalf("with: %s, %+v", d.Phase, d.Error)
	}
	for _, v := range d.Verdicts {
		if (v.Gate == "latency" || v.Gate == "performance") && !strings.HasSuffix(v.How, "golden inputs, rows 0 to 1, repeated") {
			t.Errorf("%s was measured with %q", v.Gate, v.How)
		}
	}
}
