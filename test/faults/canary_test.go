package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"verge/client"
	"verge/test/nodetest"
)

// visitor is a client that says who it is.
type visitor struct {
	name            string
	met             sync.Map // versions
	answers, failed atomic.Int64
	lastError       atomic.Value
}

// ask asks once, and notes which version answers.
func (v *visitor) ask(ctx context.Context, node *nodetest.Node) {
	pixels := make([]float32, 64)
	answer, err := node.Infer(ctx, client.InferRequest{
		Model: "digits", Header: http.Header{"x-visitor": {v.name}},
		Inputs: []client.Tensor{client.FromFloat32s("image", []int64{1, 1, 8, 8}, pixels)},
	})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		v.failed.Add(1)
		v.lastError.Store(err.Error())
	default:
		v.met.Store(answer.Version, true)
		v.answers.Add(1)
	}
}

// versions are those that it has met.
func (v *visitor) versions() (all []string) {
	v.met.Range(func(version, _ any) bool {
		all = append(all, fmt.Sprint(version))
		return true
	})
	return all
}

func TestACanaryWhoseWorkerDiesIsSeenByNoClient(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	deploy(t, node, "digits")
	before := worker(t, node, "digits")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all []*visitor
	var clients sync.WaitGroup
	defer clients.Wait()
	defer stop()
	for i := range 16 { // one in 65,000 times all of them meet the same version
		v := &visitor{name: fmt.Sprint("visitor-", i)}
		all = append(all, v)
		clients.Go(func() {
			for ctx.Err() == nil {
				v.ask(ctx, node)
			}
		})
	}
	asked := func(more int64) func() bool {
		from := make([]int64, len(all))
		for i, v := range all {
			from[i] = v.answers.Load()
		}
		return func() bool {
			for i, v := range all {
				if v.answers.Load() < from[i]+more {
					return false
				}
			}
			return true
		}
	}
	_, files := nodetest.Example(t, digits+"deployment.json")
	const spec = `{"name":"digits","model":{"path":"digits.onnx"},"deployment":{"cpu_threads":1,"max_latency_ms":30000},
		"canary":{"share":0.5,"duration":"1h","header":"X-Visitor"},"observe":{}}`
	d := begin(t, node, spec, files["model"])
	nodetest.Wait(t, "it is a canary", func() bool { return at(t, node, d) == client.PhaseCanary })
	for _, v := range all {
		v.met.Clear()
	}
	nodetest.Wait(t, "all visitors have been answered", asked(1)) // by the old version, since it was on its way
	for _, v := range all {
		v.met.Clear()
	}
	nodetest.Wait(t, "all visitors have been answered ten times", asked(10))
	met := map[string]int{}
	for _, v := range all {
		versions := v.versions()
		if len(versions) != 1 {
			t.Errorf("%s met the versions %v", v.name, versions)
		}
		met[versions[0]]++
	}
	if met["1"] == 0 || met["2"] == 0 {
		t.Errorf("versions by visitors: %v, want both", met)
	}
	for _, pid := range workers(t) {
		if pid != before.PID {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
	}
	nodetest.Wait(t, "the deployment ends", func() bool { return at(t, node, d).Final() })
	end, err := node.Deployment(t.Context(), d)
	if err != nil || end.Phase != client.PhaseFailed || end.Error == nil || end.Error.Message != "canary: its worker died once, the limit is 0" {
		t.Errorf("it ended as %s %+v (%v)", end.Phase, end.Error, err)
	}
	for _, v := range all {
		v.met.Clear()
	}
	nodetest.Wait(t, "all visitors have been answered again", asked(2))
	stop()
	clients.Wait()
	answers := int64(0)
	for _, v := range all {
		answers += v.answers.Load()
		if n := v.failed.Load(); n > 0 {
			t.Errorf("%s saw %d errors: %v", v.name, n, v.lastError.Load())
		}
	}
	if after := worker(t, node, "digits"); after.PID != before.PID {
		t.Errorf("the worker that served is process %d now, was %d", after.PID, before.PID)
	}
	t.Logf("%d answers, visitors by version %v", answers, met)
}
