package deploy_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"verge/client"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// canaried is a deployment file whose version is a canary first.
func canaried(canary, more string) string {
	return `{"name":"m","model":{"path":"m.onnx"},"canary":{` + canary + `}` + more + `}`
}

// crowd is clients that ask all the time; each answer has to be that of the version that
// says it.
type crowd struct {
	mu       sync.Mutex // guards what follows
	answered map[int]int

	stop chan struct{}
	wg   sync.WaitGroup
}

// crowd lets clients ask until end, which the test calls before it ends.
func (n *node) crowd() *crowd {
	c := &crowd{answered: map[int]int{}, stop: make(chan struct{})}
	for range 2 {
		c.wg.Go(func() {
			for {
				select {
				case <-c.stop:
					return
				case <-time.After(time.Millisecond):
				}
				version, y := n.ask() // fails the test where there is no answer
				if y != float32(version) {
					n.tb.Errorf("version %d answers %g", version, y)
				}
				c.mu.Lock()
				c.answered[version]++
				c.mu.Unlock()
			}
		})
	}
	n.tb.Cleanup(c.end)
	return c
}

func (c *crowd) end() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.wg.Wait()
}

// counts are the answers of the two versions up to now.
func (c *crowd) counts() (first, second int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answered[1], c.answered[2]
}

// canary returns a node whose second version is a canary, with clients that ask.
func canary(t *testing.T, spec string) (n *node, second string, turns *turning, clients *crowd) {
	t.Helper()
	n = newNodeWith(t, t.TempDir(), often)
	good, bad := &turning{}, &turning{}
	for _, u := range []*turning{good, bad} {
		u.grown.Store(10 << 20)
		u.slow.Store(5) // so that a busy machine makes no ratio
	}
	n.set(good.behaviour(1))
	n.deploy(base, "digits.onnx")
	n.set(bad.behaviour(2))
	clients = n.crowd()
	second = n.submit(n.request(spec, "digits-bad.onnx")).ID
	n.until("it is a canary", func() bool {
		_, seen := clients.counts()
		return n.phase(second) == client.PhaseCanary && seen > 0
	})
	return n, second, bad, clients
}

// last is the verdict of the canary.
func canaryVerdict(t *testing.T, d *client.Deployment) client.Verdict {
	t.Helper()
	for _, v := range d.Verdicts {
		if v.Gate == "canary" {
			return v
		}
	}
	t.Fatalf("no verdict of the canary in %+v", d.Verdicts)
	return client.Verdict{}
}

func TestACanaryThatHoldsServes(t *testing.T) {
	t.Parallel()
	n, id, _, clients := canary(t, canaried(`"share":0.5,"duration":"2s","min_requests":20`, ""))
	d := n.wait(id)
	v := canaryVerdict(t, d)
	if d.Phase != client.PhaseCommitted || v.Outcome != client.OutcomePass || v.Phase != client.PhaseCanary || v.Samples < 20 || v.Figures["serving_requests"] < 20 || v.Figures["errors"] != 0 {
		t.Errorf("it ended %s %+v, verdict %+v", d.Phase, d.Error, v)
	}
	if !strings.HasSuffix(phases(d), "testing canary activating committed") {
		t.Errorf("phases %s", phases(d))
	}
	first, _ := clients.counts()
	n.until("it answers all", func() bool {
		_, second := clients.counts()
		return second > first+100
	})
	clients.end()
	if version, _ := n.ask(); version != 2 {
		t.Errorf("version %d serves", version)
	}
}

func TestACanaryThatTurnsBadIsSeenByNoClient(t *testing.T) {
	t.Parallel()
	const patient = `"max_p95_ms":30000` // a busy machine is no fault
	for name, tt := range map[string]struct {
		turn   func(*turning)
		limits string
		want   string
	}{
		"it fails":     {func(b *turning) { b.fails.Store(true) }, `"max_error_rate":0.25,` + patient, " requests failed, the limit is 25 %"},
		"it is slow":   {func(b *turning) { b.slow.Store(300) }, `"max_p95_ms":200`, " ms, the limit is 200 ms"},
		"it is slower": {func(b *turning) { b.slow.Store(300) }, `"max_p95_ratio":8,` + patient, " times that of the version before, the limit is 8 times"},
		"it leaks":     {func(b *turning) { b.grown.Store(100 << 20) }, `"max_memory_growth_mb":50,` + patient, " MB since it answered 20 requests, the limit is 50 MB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, id, bad, clients := canary(t, canaried(`"share":0.5,"duration":"1h"`, `,"observe":{`+tt.limits+`}`))
			n.until("it has answered enough", func() bool {
				first, second := clients.counts()
				return first > 150 && second > 20
			})
			if phase := n.phase(id); phase != client.PhaseCanary {
				t.Fatalf("it is %s before it turned bad", phase)
			}
			tt.turn(bad)
			d := n.wait(id)
			v := canaryVerdict(t, d)
			if d.Phase != client.PhaseFailed || !strings.HasPrefix(d.Error.Message, "canary: ") || !strings.HasSuffix(d.Error.Message, tt.want) || d.Serves != "m@1" {
				t.Errorf("it ended %s %+v, and %s serves; want %s", d.Phase, d.Error, d.Serves, tt.want)
			}
			if v.Outcome != client.OutcomeFail || "canary: "+v.Detail != d.Error.Message {
				t.Errorf("verdict %+v", v)
			}
			_, before := clients.counts()
			first, _ := clients.counts()
			n.until("the old version answers all", func() bool {
				now, _ := clients.counts()
				return now > first+50
			})
			clients.end()
			if _, after := clients.counts(); after > before+2 { // what was on its way
				t.Errorf("it answered %d more after its end", after-before)
			}
		})
	}
}

func TestACanaryIsCanceledAndEndsWithTheNode(t *testing.T) {
	t.Parallel()
	n, id, _, clients := canary(t, canaried(`"share":0.5,"duration":"1h"`, ""))
	crashed := copyState(t, n.dir)
	if err := n.manager.Cancel(id, asker()); err != nil {
		t.Fatal(err)
	}
	d := n.wait(id)
	if d.Phase != client.PhaseCanceled || d.Error.Message != "canary: canceled on request" {
		t.Errorf("it ended %s %+v", d.Phase, d.Error)
	}
	clients.end()
	if version, y := n.ask(); version != 1 || y != 1 {
		t.Errorf("version %d answers %g", version, y)
	}

	after := newNode(t, crashed)
	after.set(behaviour{add: 1})
	after.manager.Restore()
	if d, err := after.manager.Get(id); err != nil || d.Phase != client.PhaseFailed || d.Error.Message != "canary: the node stopped before the deployment had switched" {
		t.Errorf("after a crash: %+v, %v", d, err)
	}
	for range 20 {
		if version, y := after.ask(); version != 1 || y != 1 {
			t.Fatalf("after a crash version %d answers %g", version, y)
		}
	}
}

func TestACanaryThatCannotTellSaysWhy(t *testing.T) {
	t.Parallel()
	deploy := func(stage, canary string, b behaviour) *client.Deployment {
		n := newNodeWith(t, t.TempDir(), often)
		n.set(behaviour{add: 1})
		spec := func(more string) string { return staged(stage, more) }
		n.deploy(spec(""), "digits.onnx")
		n.set(b)
		req := n.request(spec(`,"canary":{`+canary+`}`), "digits-bad.onnx")
		req.AllowSignatureChange = true
		return n.wait(n.submit(req).ID)
	}
	few := `"duration":"50ms","share":1`
	d := deploy("testing", few, behaviour{add: 2})
	if v := canaryVerdict(t, d); d.Phase != client.PhaseCommitted || v.Outcome != client.OutcomeInconclusive || v.Detail != "it saw 0 requests, 100 would say something" ||
		len(d.Warnings) != 1 || d.Warnings[0] != "canary: inconclusive: "+v.Detail {
		t.Errorf("at testing: %s %+v, warnings %q", d.Phase, v, d.Warnings)
	}
	d = deploy("staging", few, behaviour{add: 2})
	if d.Phase != client.PhaseFailed || d.Error.Message != "canary: canary is inconclusive (it saw 0 requests, 100 would say something), which the stage staging does not take" {
		t.Errorf("at staging: %s %+v", d.Phase, d.Error)
	}
	d = deploy("testing", few, behaviour{add: 2, inputs: []inference.Spec{{Name: "z", DType: tensor.FP32, Shape: []int64{-1, 4}}}})
	if v := canaryVerdict(t, d); v.Outcome != client.OutcomeInconclusive || v.Detail != "its inputs or outputs are not those of the version that serves, so that clients would meet two kinds of answers" {
		t.Errorf("of another signature: %s %+v", d.Phase, v)
	}

	n := newNode(t, t.TempDir())
	d = n.deploy(canaried(`"duration":"1h"`, ""), "digits.onnx")
	if v := canaryVerdict(t, d); v.Outcome != client.OutcomeSkipped || v.Detail != "no version of m serves" {
		t.Errorf("the first: %+v", v)
	}
}

func TestAShadowIsAGate(t *testing.T) {
	t.Parallel()
	const plan = `,"shadow":{"sample":1,"duration":"1s"}`
	for name, tt := range map[string]struct {
		b       behaviour
		asks    bool
		phase   client.Phase
		outcome client.Outcome
	}{
		"it agrees":      {behaviour{add: 2}, true, client.PhaseCommitted, client.OutcomePass},
		"it fails":       {behaviour{add: 2, run: failing(450)}, true, client.PhaseFailed, client.OutcomeFail},
		"nobody asks it": {behaviour{add: 2}, false, client.PhaseFailed, client.OutcomeInconclusive},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, t.TempDir())
			n.set(behaviour{add: 1})
			production := n.request(staged("production", ""), "digits.onnx")
			production.ForceReason = "a test"
			if d := n.wait(n.submit(production).ID); d.Phase != client.PhaseCommitted {
				t.Fatalf("%+v", d.Error)
			}
			n.set(tt.b)
			if tt.asks {
				defer n.crowd().end()
			}
			// At staging, it is compared with what the plain name stands for.
			d := n.wait(n.submit(n.request(staged("staging", plan), "digits-bad.onnx")).ID)
			v := d.Verdicts[len(d.Verdicts)-1]
			if d.Phase != tt.phase || v.Gate != "shadow" || v.Phase != client.PhaseTesting || v.Outcome != tt.outcome || v.How != "m.staging@2 asked what clients asked of m.production@1, 100 % of it; "+how(v) {
				t.Errorf("it ended %s %+v, verdict %+v", d.Phase, d.Error, v)
			}
		})
	}
	n := newNode(t, t.TempDir())
	d := n.deploy(staged("testing", plan), "digits.onnx")
	if v := d.Verdicts[len(d.Verdicts)-1]; v.Gate != "shadow" || v.Outcome != client.OutcomeSkipped || v.Detail != "no version of m serves" {
		t.Errorf("the first: %+v", v)
	}
}

func how(v client.Verdict) string {
	if v.Samples == 0 {
		return "nothing was compared"
	}
	return "the same highest score"
}

func TestAShadowDoesNotGoWithAnotherSignature(t *testing.T) {
	t.Parallel()
	n := newNode(t, t.TempDir())
	n.deploy(base, "digits.onnx")
	n.set(behaviour{inputs: []inference.Spec{{Name: "z", DType: tensor.FP32, Shape: []int64{-1, 4}}}})
	req := n.request(staged("testing", `,"shadow":{"duration":"1h"}`), "digits-bad.onnx")
	req.AllowSignatureChange = true
	d := n.wait(n.submit(req).ID)
	v := d.Verdicts[len(d.Verdicts)-1]
	if want := `it cannot answer what m@1 is asked: it has no input "x"`; v.Outcome != client.OutcomeInconclusive || v.Detail != want {
		t.Errorf("verdict %+v, want %s", v, want)
	}
	if d.Phase != client.PhaseCommitted {
		t.Errorf("it ended %s: %+v", d.Phase, d.Error)
	}
}
