package cli_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/client"
	"verge/internal/cli"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/version"
)

// spec is a deployment file beside the demo model.
func spec(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "digits.onnx", read(t, examples+"digits.onnx"))
	write(t, dir, "labels.txt", []byte("zero\none\n"))
	return write(t, dir, "deployment.yaml", []byte("model: {path: digits.onnx, labels: labels.txt}\n"))
}

// deploying is a node on which a deployment goes as a script says.
func deploying(script func(s *stream)) *fakeNode {
	return &fakeNode{
		deployment: client.Deployment{
			ID: "digits-20261123-7f3a", Model: "digits", Version: 2, Stage: "testing", Phase: client.PhasePending, Created: began(), Serves: "digits@1",
		},
		script: script,
	}
}

// gates is a deployment up to its tests.
func gates(s *stream) {
	s.phase(0, client.PhasePending)
	s.phase(0, client.PhaseChecking)
	s.send(0.01, client.Event{Type: client.EventWarning, Message: "deployment.cpu_threads: 9 asked for, this machine has 2: 2 used"})
	s.phase(0.0004, client.PhasePreparing)
	s.phase(0.1, client.PhaseLoading)
	s.phase(1.6, client.PhaseGating)
	s.send(1.7, client.Event{Type: client.EventProgress, Progress: &client.Progress{Step: "latency", Done: 5, Total: 20, Figure: new(0.251), Unit: "ms"}})
	s.send(1.8, client.Event{Type: client.EventVerdict, Verdict: &client.Verdict{
		Gate: "latency", Outcome: client.OutcomePass, Figure: new(0.2512), Limit: new(50.0), Unit: "ms", Samples: 20, How: "p95 of 20 runs after 5",
	}})
	s.phase(2, client.PhaseTesting)
	s.send(2.1, client.Event{Type: client.EventVerdict, Verdict: &client.Verdict{
		Gate: "performance", Outcome: client.OutcomeInconclusive, Detail: "the budget of 10s was used up",
	}})
}

func committed(s *stream) {
	gates(s)
	s.send(3, client.Event{Type: client.EventVerdict, Verdict: &client.Verdict{
		Gate: "load", Outcome: client.OutcomePass, Figure: new(1.0), Limit: new(0.95), Unit: "ratio", Samples: 200, How: "10 clients x 20 requests",
	}})
	s.phase(70.5, client.PhaseActivating)
	s.phase(70.503, client.PhaseCommitted)
	s.send(70.503, client.Event{Type: client.EventEnd, Phase: client.PhaseCommitted})
}

func TestADeploymentIsToldPhaseByPhase(t *testing.T) {
	n := deploying(committed).start(t)
	r := verge(t, "deploy", spec(t), "--node", n.address, "--reason", "a better one", "--name", "numbers", "--ignore-package", "torch")
	golden(t, "deploy", r.transcript())
	if n.request.SpecName != "deployment.yaml" || n.request.Name != "numbers" || n.request.Reason != "a better one" ||
		!cmp.Equal(n.request.IgnorePackages, []string{"torch"}) {
		t.Errorf("request = %+v", n.request)
	}
	var text string
	if err := json.Unmarshal(n.request.Spec, &text); err != nil || text != "model: {path: digits.onnx, labels: labels.txt}\n" {
		t.Errorf("spec = %s, %v: want the text of the file", n.request.Spec, err)
	}
	if got := n.artifacts[n.request.Artifacts["model"]]; string(got) != string(read(t, examples+"digits.onnx")) {
		t.Errorf("the model that was uploaded has %d bytes", len(got))
	}
	if got := n.artifacts[n.request.Artifacts["labels"]]; string(got) != "zero\none\n" {
		t.Errorf("labels = %q", got)
	}
}

func TestADeploymentIsToldAsEventsForPrograms(t *testing.T) {
	n := deploying(committed).start(t)
	r := verge(t, "deploy", spec(t), "--node", n.address, "--json")
	golden(t, "deploy-json", r.transcript())
	for line := range strings.Lines(r.out) {
		var e client.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestTheEndOfADeploymentIsTheExitStatus(t *testing.T) {
	failure := &client.Failure{
		Kind: "exhausted", Message: "several", Hint: "Lower the limit.",
		Problems: []client.Problem{
			{Path: "deployment.memory_limit_mb", Message: "512 MB must be free before the load, 100 MB are", Hint: "Lower the limit."},
			{Path: "model.format", Message: "the file says tflite, but the bytes are onnx", Hint: "Correct model.format, or leave it out."},
		},
	}
	end := func(p client.Phase, failure *client.Failure) func(s *stream) {
		return func(s *stream) {
			gates(s)
			s.phase(4, p)
			s.send(4, client.Event{Type: client.EventEnd, Phase: p, Error: failure})
		}
	}
	tests := map[string]struct {
		script func(s *stream)
		serves string
		status int
		err    string
	}{
		"failed with problems": {
			end(client.PhaseFailed, failure), "digits@1", 1, `verge: digits@2 was not deployed; digits@1 serves as before
  deployment.memory_limit_mb: 512 MB must be free before the load, 100 MB are
    Hint: Lower the limit.
  model.format: the file says tflite, but the bytes are onnx
    Hint: Correct model.format, or leave it out.
`,
		},
		"failed with a message": {
			end(client.PhaseFailed, &client.Failure{Kind: "invalid", Message: "latency: 60 ms, limit 50 ms"}), "", 1,
			"verge: digits@2 was not deployed\n  latency: 60 ms, limit 50 ms\n",
		},
		"rolled back": {
			end(client.PhaseRolledBack, &client.Failure{Message: "p95 rose"}), "digits@1", 3,
			"verge: digits@2 was rolled back; digits@1 serves as before\n  p95 rose\n",
		},
		"canceled by another": {
			end(client.PhaseCanceled, &client.Failure{Message: "canceled on request"}), "digits@1", 5,
			"verge: digits@2 was canceled; digits@1 serves as before\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := deploying(test.script)
			n.deployment.Serves = test.serves
			r := verge(t, "deploy", spec(t), "--node", n.start(t).address)
			if r.status != test.status || r.err != test.err {
				t.Errorf("status %d, stderr:\n%s\nwant %d:\n%s", r.status, r.err, test.status, test.err)
			}
			if !strings.Contains(r.out, "✗ testing         2.0 s\n") {
				t.Errorf("the phase that failed is not marked:\n%s", r.out)
			}
		})
	}
}

func TestAConnectionThatBreaksIsTakenUpAgain(t *testing.T) {
	n := deploying(func(s *stream) {
		if s.from == 0 {
			gates(s)
			return // cut
		}
		committed(s)
	}).start(t)
	golden(t, "deploy", verge(t, "deploy", spec(t), "--node", n.address).transcript())
}

func TestASignalBeforeTheSwitchCancelsTheDeployment(t *testing.T) {
	for signal, status := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 5} {
		ctx, interrupt := context.WithCancelCause(t.Context())
		n := deploying(func(s *stream) {
			gates(s)
			interrupt(cli.Interrupted{Signal: signal})
			s.await(s.canceled)
			s.send(4, client.Event{Type: client.EventEnd, Phase: client.PhaseCanceled, Error: &client.Failure{Kind: "canceled", Message: "canceled on request"}})
		}).start(t)
		r := vergeWith(ctx, t, cli.IO{}, "deploy", spec(t), "--node", n.address)
		const want = "verge: canceling digits-20261123-7f3a; press Ctrl-C again to leave at once\nverge: digits@2 was canceled; digits@1 serves as before\n"
		if r.status != status || r.err != want {
			t.Errorf("%v: status %d, stderr:\n%s", signal, r.status, r.err)
		}
	}
}

func TestASignalAfterTheSwitchLeavesTheDeploymentToTheNode(t *testing.T) {
	ctx, interrupt := context.WithCancelCause(t.Context())
	done := make(chan struct{})
	n := deploying(func(s *stream) {
		gates(s)
		s.phase(4, client.PhaseActivating)
		interrupt(cli.Interrupted{Signal: os.Interrupt})
		s.await(done)
	})
	n.cancelKind, n.deployment.Phase = "conflict", client.PhaseActivating
	n.start(t)
	r := vergeWith(ctx, t, cli.IO{}, "deploy", spec(t), "--node", n.address)
	close(done)
	if r.status != 130 || r.err != "verge: digits-20261123-7f3a has switched already: it goes on in the node (verge status)\n" {
		t.Errorf("status %d, stderr:\n%s", r.status, r.err)
	}
}

func TestASignalWhenTheDeploymentHasJustEndedLetsItsEndBeTold(t *testing.T) {
	ctx, interrupt := context.WithCancelCause(t.Context())
	n := deploying(func(s *stream) {
		gates(s)
		interrupt(cli.Interrupted{Signal: os.Interrupt})
		s.send(5, client.Event{Type: client.EventEnd, Phase: client.PhaseCommitted})
	})
	n.cancelKind, n.deployment.Phase = "conflict", client.PhaseCommitted
	n.start(t)
	r := vergeWith(ctx, t, cli.IO{}, "deploy", spec(t), "--node", n.address)
	if r.status != 0 || r.err != "" || !strings.HasSuffix(r.out, "digits@2 serves\n") {
		t.Errorf("status %d:\n%s%s", r.status, r.out, r.err)
	}
}

func TestASignalDuringTheUploadEndsTheCommand(t *testing.T) {
	ctx, interrupt := context.WithCancelCause(t.Context())
	interrupt(cli.Interrupted{Signal: os.Interrupt})
	n := deploying(committed).start(t)
	r := vergeWith(ctx, t, cli.IO{}, "deploy", spec(t), "--node", n.address)
	r.want(t, 130, "", "verge: ended by signal: interrupt\n")
	if n.request.SpecName != "" {
		t.Error("a deployment was begun")
	}
}

func TestARefusalOfTheNodeIsToldProblemByProblem(t *testing.T) {
	n := deploying(committed)
	n.refuse = map[string]any{
		"error": "two things", "kind": "invalid", "hint": "Look at both.",
		"problems": []client.Problem{{Path: "model.path", Line: 2, Message: "is 7, want a string"}, {Path: "stage", Message: "is missing", Hint: "Name it."}},
	}
	n.start(t)
	path := spec(t)
	verge(t, "deploy", path, "--node", n.address).want(t, 1, "", "verge: "+path+`: 2 problems
  line 2: model.path: is 7, want a string
  stage: is missing
    Hint: Name it.
Hint: Look at both.
`)
	n.refuse = map[string]string{"error": "deployment digits-1 of digits is in progress", "kind": "conflict", "hint": "Wait for it, or cancel it."}
	verge(t, "deploy", path, "--node", n.address).want(t, 1, "", "verge: deployment digits-1 of digits is in progress\nHint: Wait for it, or cancel it.\n")
}

func TestALargeFileThatIsNoModelIsRefusedBeforeItIsSent(t *testing.T) {
	const most = 16 << 20 // of what is sent without a look
	zeros := make([]byte, most+1)
	large := onnxmodel.Weights(most / 4)
	for name, test := range map[string]struct {
		model         []byte
		keys, version string
		sent          bool
	}{
		"no model":                    {zeros, "", version.Version, false},
		"no model, small":             {zeros[:most], "", version.Version, true},
		"another format":              {large, ", format: tflite", version.Version, false},
		"no model, for a newer node":  {zeros, "", "99.1.0", true}, // it may know it
		"no model, for a node unsaid": {zeros, "", "", true},
		"a model":                     {large, "", version.Version, true},
	} {
		dir := t.TempDir()
		write(t, dir, "m.bin", test.model)
		path := write(t, dir, "deployment.yaml", []byte("model: {path: m.bin"+test.keys+"}\ndeployment: {memory_limit_mb: 1, cpu_threads: 1}\n"))
		n := deploying(committed)
		n.version = test.version
		n.start(t)
		r := verge(t, "deploy", path, "--node", n.address)
		if sent := len(n.artifacts) == 1 && n.request.SpecName != ""; sent != test.sent || sent != (r.status == 0) {
			t.Errorf("%s: %d files were sent, request %+v: %s", name, len(n.artifacts), n.request, r.transcript())
		}
		if want := verge(t, "check", path, "--runtime-dir", library(t)); !test.sent && r.err != want.err {
			t.Errorf("%s: it is told %s, want %s", name, r.err, want.err)
		}
	}
}

func TestHowVerdictsWereComeToIsSaidOnce(t *testing.T) {
	way := func(outcome client.Outcome, detail, how string) client.Event {
		return client.Event{Type: client.EventVerdict, Verdict: &client.Verdict{Gate: "choice", Outcome: outcome, Detail: detail, How: how}}
	}
	n := deploying(func(s *stream) {
		s.phase(0, client.PhasePreparing)
		s.send(0.1, way(client.OutcomePass, "a", "as it is measured"))
		s.send(0.1, way(client.OutcomeFail, "b", "as it is measured"))
		s.send(0.1, way(client.OutcomeSkipped, "c", "otherwise"))
		s.send(1, client.Event{Type: client.EventEnd, Phase: client.PhaseCommitted})
	}).start(t)
	const want = "    pass          choice              a  as it is measured\n    fail          choice              b\n    skipped       choice              c  otherwise\n"
	if r := verge(t, "deploy", spec(t), "--node", n.address); !strings.Contains(r.out, want) {
		t.Errorf("%s\nwant\n%s", r.out, want)
	}
}

func TestAReaderThatHasGoneIsNoError(t *testing.T) {
	n := deploying(committed).start(t)
	r, w := io.Pipe()
	r.Close() // that is the test
	if got := vergeWith(t.Context(), t, cli.IO{Out: w}, "deploy", spec(t), "--node", n.address); got.status != 0 {
		t.Errorf("status = %d: %s", got.status, got.err)
	}
}

func TestUndeployNamesTheModel(t *testing.T) {
	n := (&fakeNode{}).start(t)
	verge(t, "undeploy", "digits", "--node", n.address).want(t, 0, "digits is not served any more\n", "")
	if !cmp.Equal(n.undeploys, []string{"digits"}) {
		t.Errorf("undeploys = %v", n.undeploys)
	}
}

func TestANameThatIsNoneIsWrongUsage(t *testing.T) {
	n := (&fakeNode{}).start(t)
	for _, name := range []string{"", "..", "a/b", "@2", strings.Repeat("n", 129)} {
		for _, args := range [][]string{{"undeploy"}, {"rollback"}, {"test"}, {"promote", "--to", "staging"}, {"shadow"}, {"export"}} {
			r := verge(t, append(args, name, "--node", n.address)...)
			if r.status != 2 || r.out != "" || !strings.HasPrefix(r.err, "verge: <model>: model name ") || !strings.Contains(r.err, "breaks the grammar: 1 to 128 of") {
				t.Errorf("%v %q: %s", args, name, r.transcript())
			}
		}
	}
	if len(n.undeploys)+len(n.changes) > 0 {
		t.Errorf("asked %v, %v", n.undeploys, n.changes)
	}
}

func TestARollbackIsFollowedToItsEnd(t *testing.T) {
	n := deploying(committed).start(t)
	r := verge(t, "rollback", "digits", "--to", "2", "--reason", "it sees ghosts", "--node", n.address)
	if r.status != 0 || !strings.HasSuffix(r.out, "digits@2 serves\n") || !cmp.Equal(n.changes, []string{`digits rollback {"to":2,"reason":"it sees ghosts"}`}) {
		t.Errorf("asked %q:\n%s", n.changes, r.transcript())
	}
}

func TestARollbackOfAnObservedVersionIsNoFailure(t *testing.T) {
	n := deploying(func(s *stream) {
		s.phase(0, client.PhaseObserving)
		s.send(1, client.Event{Type: client.EventEnd, Phase: client.PhaseRolledBack, Error: &client.Failure{Message: "observing: it was rolled back on request"}})
	}).start(t)
	r := verge(t, "rollback", "digits", "--node", n.address)
	if r.status != 0 || !strings.HasSuffix(r.out, "digits@1 serves\n") || r.err != "" {
		t.Errorf("%s", r.transcript())
	}
}

func TestWhatServesAlreadyIsNothingToDo(t *testing.T) {
	n := (&fakeNode{deployment: client.Deployment{ID: "digits-1", Model: "digits", Version: 1, Phase: client.PhaseCommitted, Serves: "digits@1", NothingToDo: true}}).start(t)
	verge(t, "deploy", spec(t), "--node", n.address).want(t, 0, "digits@1 serves already, with the same files and the same configuration: nothing to do (--again deploys them anew)\n", "")
}

func TestADeploymentThatTakesTooLongIsCanceled(t *testing.T) {
	n := deploying(func(s *stream) {
		s.send(0, client.Event{Type: client.EventPhase, Phase: client.PhaseLoading})
		s.await(s.canceled)
		s.send(1, client.Event{Type: client.EventEnd, Phase: client.PhaseCanceled})
	}).start(t)
	r := verge(t, "deploy", spec(t), "--timeout", "50ms", "--node", n.address)
	if r.status != 5 || !strings.Contains(r.err, "verge: canceling digits-20261123-7f3a: --timeout is over\n") {
		t.Errorf("%s", r.transcript())
	}
}

func TestWhatServesIsTestedAgain(t *testing.T) {
	limit, slow := 50.0, 61.5
	for phase, want := range map[client.Phase]string{client.PhaseCommitted: "", client.PhaseFailed: "verge: testing: performance is 61.5 ms, the limit is 50 ms\nHint: Deploy a faster model.\n"} {
		n := deploying(func(s *stream) {
			s.send(0, client.Event{Type: client.EventPhase, Phase: client.PhaseTesting})
			v := client.Verdict{Gate: "performance", Outcome: client.OutcomePass, Figure: &limit, Limit: &limit, Unit: "ms"}
			end := client.Event{Type: client.EventEnd, Phase: phase}
			if phase == client.PhaseFailed {
				v.Outcome, v.Figure = client.OutcomeFail, &slow
				end.Error = &client.Failure{Kind: "invalid", Message: "testing: performance is 61.5 ms, the limit is 50 ms", Hint: "Deploy a faster model."}
			}
			s.send(1, client.Event{Type: client.EventVerdict, Verdict: &v})
			s.send(2, end)
		}).start(t)
		r := verge(t, "test", "digits", "--node", n.address)
		mark, outcome := "✓", "pass          performance         50 ms (limit 50)"
		status := 0
		if phase == client.PhaseFailed {
			mark, outcome, status = "✗", "fail          performance         61.5 ms (limit 50)", 1
		}
		r.want(t, status, mark+" testing         2.0 s\n    "+outcome+"\n", want)
	}
}

func TestAVersionToReturnToIsOneOrMore(t *testing.T) {
	n := (&fakeNode{}).start(t)
	r := verge(t, "rollback", "digits", "--to", "0", "--node", n.address)
	if r.status != 2 || !strings.Contains(r.err, "--to is 0, want a version, 1 or more") || len(n.changes) > 0 {
		t.Errorf("asked %q:\n%s", n.changes, r.transcript())
	}
}

func TestAVersionIsPinnedByItsName(t *testing.T) {
	n := (&fakeNode{}).start(t)
	verge(t, "pin", "digits@2", "--node", n.address).want(t, 0, "digits@2 is kept\n", "")
	verge(t, "pin", "digits@3", "--remove", "--node", n.address).want(t, 0, "digits@3 is kept no longer than it is needed\n", "")
	if want := []string{`digits pin {"version":2}`, `digits pin {"version":3,"remove":true}`}; !cmp.Equal(n.changes, want) {
		t.Errorf("asked %q, want %q", n.changes, want)
	}
	for _, name := range []string{"digits", "digits@", "digits@x", "@2", "digits@0"} {
		verge(t, "pin", name, "--node", n.address).want(t, 1, "", "verge: \""+name+"\" is no version of a model\nHint: Give name and version, as in digits@2.\n")
	}
}

func TestAModelIsNotTakenForItsDeploymentFile(t *testing.T) {
	for name, format := range map[string]string{"digits.onnx": "onnx", "digits.tflite": "tflite", "digits.xml": "openvino"} {
		path := "../../examples/digits/" + name
		verge(t, "check", path).want(t, 1, "", "verge: "+path+": it is a model ("+format+"), want the file that describes its deployment\n"+
			`Hint: Write one beside it, such as deployment.json with {"model": {"path": "`+name+`"}}, and name that.`+"\n")
	}
}

func TestWhatIsNamedLikeAModelIsNoDeploymentFile(t *testing.T) {
	path := write(t, t.TempDir(), "digits.onnx", []byte("Sorry, this page was moved.\n"))
	inspected := verge(t, "inspect", path)
	for _, command := range []string{"explain", "check"} {
		if r := verge(t, command, path); r.status != 1 || r.err != inspected.err || !strings.Contains(r.err, "model") {
			t.Errorf("%s:\n%s\nwant what inspect says:\n%s", command, r.transcript(), inspected.transcript())
		}
	}
}
