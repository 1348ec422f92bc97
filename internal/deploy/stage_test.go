package deploy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"verge/client"
	"verge/internal/fault"
)

// staged is a deployment file for a stage.
func staged(stage, more string) string {
	return `{"name":"m","stage":"` + stage + `","model":{"path":"m.onnx"}` + more + `}`
}

// answers returns which version a name stands for, and what it adds to its input; 0 where
// there is none.
func (n *node) answers(name string) int {
	v, err := n.server.Resolve(name, "")
	if err != nil {
		return 0
	}
	return v.Number()
}

func TestStagesOfAModelServeSideBySide(t *testing.T) {
	n := newNode(t, t.TempDir())
	must := func(d *client.Deployment, version int, serves string) {
		t.Helper()
		if d.Phase != client.PhaseCommitted || d.Version != version || d.Serves != serves {
			t.Fatalf("it ended %s: %+v, version %d, serving %s; want %d and %s", d.Phase, d.Error, d.Version, d.Serves, version, serves)
		}
	}
	must(n.deploy(staged("testing", ""), "digits.onnx"), 1, "m@1")
	must(n.deploy(staged("staging", ""), "digits-bad.onnx"), 2, "m.staging@2")
	must(n.deploy(staged("testing", ""), "digits.onnx"), 3, "m@3")
	for name, want := range map[string]int{"m": 2, "m.staging": 2, "m.testing": 3, "m.production": 0, "m.development": 0} {
		if got := n.answers(name); got != want {
			t.Errorf("%s is version %d, want %d", name, got, want)
		}
	}
	for version, want := range map[string]int{"2": 2, "3": 3, "1": 0} {
		v, err := n.server.Resolve("m", version)
		if err == nil && v.Number() != want || err != nil && want != 0 {
			t.Errorf("version %s of m: %v, %v", version, v, err)
		}
	}
	d, err := n.manager.Promote("m", client.PromoteRequest{To: "production"}, asker())
	if err != nil {
		t.Fatal(err)
	}
	d = n.wait(d.ID)
	must(d, 2, "m.production@2")
	if v := d.Verdicts[0]; d.Stage != "production" || d.PromotedFrom != "staging" || v.Gate != "evidence" || !strings.HasPrefix(v.Detail, "staging took these bytes with deployment m.staging-") {
		t.Errorf("deployment %+v, verdict %+v", d, v)
	}
	if all := acts(n.audited()); !slices.Contains(all, "promote m.production@2 by ada") || slices.Contains(all, "deploy m.production@2 by ada") {
		t.Errorf("the audit log has %q", all)
	}
	var names []string
	for _, e := range n.server.Models() {
		names = append(names, e.Version.String()+" as "+e.Model)
	}
	if want := []string{"m.production@2 as m", "m.production@2 as m.production", "m.staging@2 as m.staging"}; !slices.Equal(names, want) {
		t.Errorf("the node serves %q, want %q", names, want)
	}
	if err := n.manager.Undeploy("m", asker()); err != nil { // what the name stands for
		t.Fatal(err)
	}
	if n.answers("m") != 2 || n.answers("m.production") != 0 || n.answers("m.testing") != 3 {
		t.Errorf("after production was undeployed, m is %d, production %d, testing %d", n.answers("m"), n.answers("m.production"), n.answers("m.testing"))
	}
	if all := n.manager.List("m", 10, ""); len(all) != 4 {
		t.Errorf("%d deployments of m, want those of all stages", len(all))
	}
	if all := n.manager.List("m.staging", 10, ""); len(all) != 1 {
		t.Errorf("%d deployments of m.staging, want 1", len(all))
	}
}

func TestStagesComeBackAfterARestart(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(staged("testing", ""), "digits.onnx")
	n.deploy(staged("staging", `,"stages":{"staging":{"deployment":{"max_latency_ms":7}}}`), "digits-bad.onnx")
	n.close()
	after := newNode(t, n.dir)
	after.manager.Restore()
	if after.answers("m") != 2 || after.answers("m.testing") != 1 {
		t.Errorf("m is version %d, m.testing %d; want 2 and 1", after.answers("m"), after.answers("m.testing"))
	}
	if s := after.served["m.staging"]; s.File.Deployment.MaxLatencyMS != 7 {
		t.Errorf("its limit is %v, want that of the stage", s.File.Deployment.MaxLatencyMS)
	}
}

func TestProductionTakesWhatStagingHasSeen(t *testing.T) {
	n := newNode(t, t.TempDir())
	d := n.wait(n.submit(n.request(staged("production", ""), "digits.onnx")).ID)
	want := []client.Problem{{
		Path: "stage", Message: "these bytes have not passed staging on this device, which production wants",
		Hint: "Deploy them to staging first, and promote them: verge promote m --to production; deploy what verge export has written of them where they have passed it; or force it with a reason: --force REASON.",
	}}
	if phases(d) != "pending checking failed" || !slices.Equal(d.Error.Problems, want) {
		t.Errorf("phases %s, %+v", phases(d), d.Error)
	}
	req := n.request(staged("production", ""), "digits.onnx")
	req.ForceReason = "the mast is on fire"
	d = n.wait(n.submit(req).ID)
	const warning = "stage: these bytes have not passed staging on this device, and are forced: the mast is on fire"
	if d.Phase != client.PhaseCommitted || d.ForceReason != "the mast is on fire" || !slices.Contains(d.Warnings, warning) {
		t.Errorf("it ended %s: %+v, warnings %q", d.Phase, d.Error, d.Warnings)
	}
}

func TestAStageSaysWhatAVerdictMeans(t *testing.T) {
	slow, random := behaviour{takes: 200 * time.Millisecond}, behaviour{unknown: fault.New(fault.Unsupported, "fake", "no memory of its own")}
	for name, tt := range map[string]struct {
		stage   string
		b       behaviour
		force   string
		phase   client.Phase
		message string // the error, or a warning
	}{
		"what fails, in development":          {"development", slow, "", client.PhaseCommitted, "latency is 200 ms, the limit is 100 ms (p95 of 20 runs; mean 200 ms); the stage development deploys it all the same"},
		"what fails, in testing":              {"testing", slow, "", client.PhaseFailed, "gating: latency is 200 ms, the limit is 100 ms (p95 of 20 runs; mean 200 ms)"},
		"what cannot be told, in testing":     {"testing", random, "", client.PhaseCommitted, "memory: inconclusive: no memory of its own"},
		"what cannot be told, in staging":     {"staging", random, "", client.PhaseFailed, "gating: memory is inconclusive (no memory of its own), which the stage staging does not take"},
		"what cannot be told, and is forced":  {"staging", random, "we know it", client.PhaseCommitted, "memory is inconclusive (no memory of its own), which the stage staging does not take; forced: we know it"},
		"what fails, and is forced all alike": {"staging", slow, "we know it", client.PhaseFailed, "gating: latency is 200 ms, the limit is 100 ms ("},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, t.TempDir())
			n.set(tt.b)
			req := n.request(staged(tt.stage, ""), "digits.onnx")
			req.ForceReason = tt.force
			d := n.wait(n.submit(req).ID)
			said := strings.Join(d.Warnings, "\n")
			if d.Error != nil {
				said = d.Error.Message
			}
			if d.Phase != tt.phase || !strings.Contains(said, tt.message) {
				t.Errorf("it ended %s: %s; want %s: %s", d.Phase, said, tt.phase, tt.message)
			}
		})
	}
}

func TestWhatCannotBePromotedSaysWhy(t *testing.T) {
	n := newNode(t, t.TempDir())
	try := func(what, model, to string, kind fault.Kind, message, hint string) {
		t.Helper()
		_, err := n.manager.Promote(model, client.PromoteRequest{To: to}, asker())
		check(t, what, err, kind, message, hint)
	}
	try("a stage that is none", "m", "live", fault.Invalid, `a version cannot be promoted to "live", want production, staging or testing`, "")
	try("the lowest stage", "m", "development", fault.Invalid, `a version cannot be promoted to "development", want production, staging or testing`, "")
	try("nothing below", "m", "staging", fault.NotFound, "no version of m serves at testing or development", "Deploy one there first: verge deploy FILE --stage testing")
	n.deploy(staged("testing", ""), "digits.onnx")
	d, err := n.manager.Promote("m", client.PromoteRequest{To: "staging"}, asker())
	if err != nil {
		t.Fatal(err)
	}
	if d = n.wait(d.ID); d.Phase != client.PhaseCommitted || d.Version != 1 {
		t.Fatalf("it ended %s: %+v", d.Phase, d.Error)
	}
	try("the same again", "m", "staging", fault.Conflict, "version 1 of m serves at staging already", "")
}
