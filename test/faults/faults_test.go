// Package faults_test breaks parts of a whole node on purpose, and looks at what
// its clients see.
package faults_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"verge/client"
	"verge/test/nodetest"
)

const digits = "../../examples/digits/"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "trace" {
		os.Exit(traceMain(os.Args[2:]))
	}
	nodetest.Main(m, func() {
		for _, dir := range leftovers.dirs {
			os.RemoveAll(dir)
		}
	})
}

// deploy deploys the good model under a name, and returns what it answers to ask.
func deploy(t *testing.T, node *nodetest.Node, name string) {
	t.Helper()
	_, files := nodetest.Example(t, digits+"deployment.json")
	d := node.Deploy(fmt.Sprintf(`{"name":%q,"model":{"path":"digits.onnx"},"deployment":{"cpu_threads":1,"max_latency_ms":30000}}`, name), files)
	if d.Phase != client.PhaseCommitted {
		t.Fatalf("%s ended as %s: %+v", name, d.Phase, d.Error)
	}
}

// ask asks for an answer to one picture, whose brightness n varies.
func ask(ctx context.Context, node *nodetest.Node, model string, n int) ([]float32, error) {
	pixels := make([]float32, 64)
	for i := range pixels {
		pixels[i] = float32((i*7+n)%17) / 16
	}
	answer, err := node.Infer(ctx, client.InferRequest{
		Model: model, ID: fmt.Sprint(n),
		Inputs: []client.Tensor{client.FromFloat32s("image", []int64{1, 1, 8, 8}, pixels)},
	})
	if err != nil {
		return nil, err
	}
	return answer.Outputs[0].Float32s()
}

// load asks again and again, from several clients, and compares every answer with
// the first one to the same input.
type load struct {
	answers, errors, wrong atomic.Int64
	stop                   context.CancelFunc
	wg                     sync.WaitGroup

	mu  sync.Mutex // guards all below
	why map[string]int
}

const inputs = 17

func startLoad(t *testing.T, node *nodetest.Node, model string, clients int) *load {
	t.Helper()
	want := make([][]float32, inputs)
	for n := range want {
		var err error
		if want[n], err = ask(t.Context(), node, model, n); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{stop: cancel, why: map[string]int{}}
	for c := range clients {
		l.wg.Go(func() {
			for i := c; ctx.Err() == nil; i++ {
				got, err := ask(ctx, node, model, i%inputs)
				if ctx.Err() != nil {
					return
				}
				l.count(got, want[i%inputs], err)
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) count(got, want []float32, err error) {
	if err != nil {
		l.errors.Add(1)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.why[err.Error()]++
		return
	}
	l.answers.Add(1)
	for i := range want {
		if d := got[i] - want[i]; d > 1e-4 || d < -1e-4 {
			l.wrong.Add(1)
			return
		}
	}
}

func (l *load) end() {
	l.stop()
	l.wg.Wait()
}

func worker(t *testing.T, node *nodetest.Node, model string) client.WorkerStatus {
	t.Helper()
	m, err := node.Model(t.Context(), model)
	if err != nil || m.Worker == nil {
		t.Fatalf("worker of %s: %+v (%v)", model, m, err)
	}
	return *m.Worker
}

func TestAKilledWorkerHurtsNobodyElse(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	deploy(t, node, "victim")
	deploy(t, node, "other")
	for name, signal := range map[string]syscall.Signal{"kill": syscall.SIGKILL, "abort": syscall.SIGABRT, "segmentation fault": syscall.SIGSEGV} {
		t.Run(name, func(t *testing.T) {
			victim, other := startLoad(t, node, "victim", 3), startLoad(t, node, "other", 3)
			nodetest.Wait(t, "both answer", func() bool { return victim.answers.Load() > 20 && other.answers.Load() > 20 })
			before := worker(t, node, "victim")
			if err := syscall.Kill(before.PID, signal); err != nil {
				t.Fatal(err)
			}
			nodetest.Wait(t, "another worker serves", func() bool {
				w := worker(t, node, "victim")
				return w.State == "ready" && w.PID != before.PID
			})
			served := victim.answers.Load()
			nodetest.Wait(t, "the victim answers again", func() bool { return victim.answers.Load() > served+20 })
			victim.end()
			other.end()
			if n := other.errors.Load() + other.wrong.Load(); n != 0 || victim.wrong.Load() != 0 {
				t.Errorf("the other model: %d errors or wrong answers (%v); the victim: %d wrong answers; want none", n, other.why, victim.wrong.Load())
			}
			if victim.errors.Load() > 3 {
				t.Errorf("%d requests failed, want no more than the 3 that could run: %v", victim.errors.Load(), victim.why)
			}
			after := worker(t, node, "victim")
			if after.LastDeath == "" || after.Deaths == 0 {
				t.Errorf("status %+v does not tell of the death", after)
			}
			t.Logf("%d requests failed: %v", victim.errors.Load(), victim.why)
		})
	}
}

func TestARefusedCandidateLeavesTheOldVersionUntouched(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	spec, files := nodetest.Example(t, digits+"deployment.json")
	if d := node.Deploy(spec, files); d.Phase != client.PhaseCommitted {
		t.Fatalf("%+v", d.Error)
	}
	before := worker(t, node, "digits")
	clients := startLoad(t, node, "digits", 2)
	for file, want := range map[string]struct{ gate, text string }{
		"deployment-bad.json":  {"functional", "testing: "},
		"deployment-slow.json": {"latency", "gating: "},
	} {
		spec, files := nodetest.Example(t, digits+file)
		d := node.Deploy(spec, files)
		if d.Phase != client.PhaseFailed || d.Error == nil || !strings.HasPrefix(d.Error.Message, want.text) || d.Error.Hint == "" {
			t.Errorf("%s ended as %s with %+v, want failed at %q with a hint", file, d.Phase, d.Error, want.text)
			continue
		}
		found := false
		for _, v := range d.Verdicts {
			found = found || v.Gate == want.gate && v.Outcome == client.OutcomeFail && v.Figure != nil && v.Limit != nil && *v.Figure > *v.Limit
		}
		if !found {
			t.Errorf("%s: verdicts %+v, want a failed %s with its figure over its limit", file, d.Verdicts, want.gate)
		}
	}
	clients.end()
	if clients.errors.Load()+clients.wrong.Load() != 0 {
		t.Errorf("clients saw %d errors and %d wrong answers: %v", clients.errors.Load(), clients.wrong.Load(), clients.why)
	}
	if after := worker(t, node, "digits"); after.PID != before.PID {
		t.Errorf("the worker that served is process %d now, was %d", after.PID, before.PID)
	}
}

func TestASwitchIsSeenByNoClient(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	deploy(t, node, "digits")
	clients := startLoad(t, node, "digits", 3)
	for range 5 {
		deploy(t, node, "digits")
	}
	clients.end()
	if clients.errors.Load()+clients.wrong.Load() != 0 {
		t.Errorf("clients saw %d errors and %d wrong answers in %d: %v", clients.errors.Load(), clients.wrong.Load(), clients.answers.Load(), clients.why)
	}
}

func TestARollbackIsSeenByNoClient(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	deploy(t, node, "digits")
	deploy(t, node, "digits")
	clients := startLoad(t, node, "digits", 3)
	for i, want := range []int{1, 2, 1} {
		d, err := node.Rollback(t.Context(), "digits", client.RollbackRequest{Reason: fmt.Sprint("try ", i)})
		if err != nil {
			t.Fatal(err)
		}
		nodetest.Wait(t, "the rollback ends", func() bool {
			d, err = node.Deployment(t.Context(), d.ID)
			return err != nil || d.Phase.Final()
		})
		m, failed := node.Model(t.Context(), "digits")
		if err != nil || failed != nil || d.Phase != client.PhaseCommitted || d.Version != want || m.Version != want || m.PreviousVersion != 3-want {
			t.Fatalf("rollback %d: %+v, %v; serving %+v, %v; want version %d", i, d, err, m, failed, want)
		}
	}
	clients.end()
	if clients.errors.Load()+clients.wrong.Load() != 0 {
		t.Errorf("clients saw %d errors and %d wrong answers in %d: %v", clients.errors.Load(), clients.wrong.Load(), clients.answers.Load(), clients.why)
	}
}

func TestAVersionWhoseWorkerDiesAfterTheSwitchIsRolledBack(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	deploy(t, node, "digits")
	before := worker(t, node, "digits")
	_, files := nodetest.Example(t, digits+"deployment.json")
	req, err := node.Request(t.Context(), `{"name":"digits","model":{"path":"digits.onnx"},"deployment":{"cpu_threads":1,"max_latency_ms":30000},"observe":{"duration":"10m"}}`, files)
	if err != nil {
		t.Fatal(err)
	}
	d, err := node.Client.Deploy(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	phase := func() client.Phase {
		now, err := node.Deployment(t.Context(), d.ID)
		if err != nil {
			t.Fatal(err)
		}
		d = now
		return d.Phase
	}
	nodetest.Wait(t, "it is observed", func() bool { return phase() == client.PhaseObserving })
	clients := startLoad(t, node, "digits", 2)
	nodetest.Wait(t, "clients are answered", func() bool { return clients.answers.Load() > 50 })
	if err := syscall.Kill(worker(t, node, "digits").PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	nodetest.Wait(t, "it is rolled back", func() bool { return phase().Final() })
	answered := clients.answers.Load()
	nodetest.Wait(t, "clients are answered again", func() bool { return clients.answers.Load() > answered+50 })
	clients.end()
	const want = "observing: digits@2 was rolled back to version 1: its worker died once, the limit is 0"
	if d.Phase != client.PhaseRolledBack || d.Error.Message != want {
		t.Errorf("it ended %s: %+v, want %s", d.Phase, d.Error, want)
	}
	if clients.errors.Load()+clients.wrong.Load() != 0 { // the version before answered what it failed
		t.Errorf("clients saw %d errors and %d wrong answers: %v", clients.errors.Load(), clients.wrong.Load(), clients.why)
	}
	if after := worker(t, node, "digits"); after.PID != before.PID {
		t.Errorf("the worker that serves is process %d, want %d, which was kept", after.PID, before.PID)
	}
}

func TestStoppingAnswersWhatWasAdmitted(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	deploy(t, node, "digits")
	clients := startLoad(t, node, "digits", 4)
	nodetest.Wait(t, "clients are answered", func() bool { return clients.answers.Load() > 50 })
	node.Stop()
	clients.end()
	for why, n := range clients.why {
		if !strings.Contains(why, "is stopping") && !strings.Contains(why, "no node answers") {
			t.Errorf("%d requests failed with %q, want only refusals", n, why)
		}
	}
}

func TestTheManagementAPIIsOnTheUnixSocketOnly(t *testing.T) {
	node := nodetest.Start(t, nodetest.Settings(t))
	for _, path := range []string{"/v1/status", "/v1/models", "/v1/openapi.json", "/v1/no-such-path", "/v1"} {
		resp, err := http.Get(node.HTTP + path)
		if err != nil {
			t.Fatal(err)
		}
		var body map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized || body["error"] == "" {
			t.Errorf("%s over TCP: %d %v, want 401", path, resp.StatusCode, body)
		}
	}
	overTCP, err := client.New(node.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	var e *client.Error
	if err := overTCP.Undeploy(t.Context(), "digits"); !errors.As(err, &e) || e.Kind != "unauthenticated" {
		t.Errorf("undeploy over TCP: %v, want unauthenticated", err)
	}
	if err := overTCP.Live(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAHangingWorkerIsReplaced(t *testing.T) {
	nodetest.Require(t)
	cfg := nodetest.Settings(t)
	cfg.Worker.PingInterval, cfg.Worker.PingTimeout = 100*time.Millisecond, time.Second
	cfg.Worker.StopGrace = 100 * time.Millisecond
	node := nodetest.Start(t, cfg)
	deploy(t, node, "digits")
	before := worker(t, node, "digits")
	if err := syscall.Kill(before.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	nodetest.Wait(t, "another worker serves", func() bool {
		w := worker(t, node, "digits")
		return w.State == "ready" && w.PID != before.PID
	})
	if err := syscall.Kill(before.PID, 0); !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process that hung is still there: %v", err)
	}
	if _, err := ask(t.Context(), node, "digits", 1); err != nil {
		t.Error(err)
	}
}
