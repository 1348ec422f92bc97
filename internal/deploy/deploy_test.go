package deploy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/client"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
)

// check compares an error's kind, text and hint with what is wanted.
func check(tb testing.TB, what string, err error, kind fault.Kind, message, hint string) {
	tb.Helper()
	if err == nil {
		tb.Errorf("%s succeeded, want %q", what, message)
		return
	}
	if fault.KindOf(err) != kind || fault.Message(err) != message || fault.HintOf(err) != hint {
		tb.Errorf("%s =\n%v %q, hint %q, want\n%v %q, hint %q", what,
			fault.KindOf(err), fault.Message(err), fault.HintOf(err), kind, message, hint)
	}
}

func TestAGoodCandidateGoesThroughAllPhasesAndServes(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.set(behaviour{add: 1, takes: 3 * time.Millisecond})
	d := n.deploy(base, "digits.onnx")
	if got, want := phases(d), "pending checking preparing loading gating testing activating committed"; got != want {
		t.Errorf("phases %s, want %s", got, want)
	}
	var got []string
	for _, v := range d.Verdicts {
		got = append(got, fmt.Sprintf("%s %s %s", v.Phase, v.Gate, v.Outcome))
		if v.Device != "test board" || v.Time.IsZero() {
			t.Errorf("verdict %s has device %q and time %v", v.Gate, v.Device, v.Time)
		}
	}
	want := []string{
		"gating signature skipped", "gating cold_start pass", "gating latency pass", "gating memory pass", "gating determinism pass", "gating numbers pass",
		"testing performance pass", "testing functional pass", "testing load pass",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if v := d.Verdicts[2]; *v.Figure < 3 || *v.Limit != 50 || v.Unit != "ms" || v.Samples != 20 {
		t.Errorf("latency verdict %+v", v)
	}
	if d.Serves != "m@1" || d.Error != nil || d.Version != 1 || d.Model != "m" {
		t.Errorf("deployment %+v", d)
	}
	if version, y := n.ask(); version != 1 || y != 1 {
		t.Errorf("version %d answers %g, want 1 and 1", version, y)
	}
	if err := json.Unmarshal(d.Spec, &map[string]any{}); err != nil {
		t.Errorf("spec %s: %v", d.Spec, err)
	}
}

func TestTheTestsAskTheCandidateExactly251Times(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(base, "digits.onnx")
	if got := n.served["m"].Monitor.Snapshot().TotalRequests; got != 50+1+200 {
		t.Errorf("%d requests, want 50 + 1 + 200", got)
	}
}

func TestTestsThatAreNotAskedForAskNothing(t *testing.T) {
	n := newNode(t, t.TempDir())
	d := n.deploy(`{"model":{"path":"m.onnx"},"tests":{"performance_test":false,"functional_test":false}}`, "digits.onnx")
	if got := n.served["m"].Monitor.Snapshot().TotalRequests; got != 0 {
		t.Errorf("%d requests, want none", got)
	}
	for _, v := range d.Verdicts {
		if v.Phase == client.PhaseTesting && (v.Outcome != client.OutcomeSkipped || v.Detail != "not asked for") {
			t.Errorf("verdict %s is %s %q", v.Gate, v.Outcome, v.Detail)
		}
	}
}

func TestKeysOfLaterVersionsGetAVerdictOfTheirOwn(t *testing.T) {
	n := newNode(t, t.TempDir())
	d := n.deploy(`{"model":{"path":"m.onnx","optimize":true,"optimization_config":{"quantize":true}},"deployment":{"optimization_level":3}}`, "digits.onnx")
	want := []string{
		"optimize skipped: not available in this version: original deployed",
		"optimization_level skipped: level 3 is not available in this version: level 2 used",
	}
	var got []string
	for _, v := range d.Verdicts[:2] {
		got = append(got, fmt.Sprintf("%s %s: %s", v.Gate, v.Outcome, v.Detail))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
}

func TestARefusedCandidateLeavesTheVersionThatServes(t *testing.T) {
	const noZ = "golden: \"z\" is neither an input nor an output, the model has [x FP32[-1,4]] and [y FP32[-1,4]]\ninput \"x\" is missing"
	golden := `{"model":{"path":"m.onnx"},"deployment":{"batch_size":2},"tests":{"functional_test":{"golden":"g.npz","tolerance":0.001}}}`
	good := map[string][]float32{"x": make([]float32, 12), "y": {9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}}
	loadFails := func(number int) error {
		if number > 2+25+4+1+50+1 && number%5 == 0 {
			return fault.New(fault.Internal, "fake.run", "out of luck")
		}
		return nil
	}
	tests := map[string]struct {
		spec      string
		behaviour behaviour
		golden    map[string][]float32
		phase     client.Phase
		want      client.Failure
		skipped   []string
	}{
		"a model that cannot be loaded": {
			base,
			behaviour{load: func() error {
				return fault.New(fault.Unsupported, "fake.load", "operator Foo is unknown").WithHint("Convert the model.")
			}},
			nil, client.PhaseLoading,
			client.Failure{Kind: "unsupported", Message: "loading: operator Foo is unknown", Hint: "Convert the model; or set deployment.runtime to openvino, which is installed."},
			nil,
		},
		"a model that fails when it runs": {
			base,
			behaviour{run: func(int) error { return fault.New(fault.Invalid, "fake.run", "index out of range") }},
			nil, client.PhaseLoading,
			client.Failure{
				Kind: "invalid", Message: "loading: warm up: index out of range",
				Hint: "It was asked with seeded inputs (seed 0); where it does not take them, give it some that it takes: tests.functional_test.golden.",
			},
			nil,
		},
		"a slow model that takes too much memory": {
			base,
			behaviour{takes: 80 * time.Millisecond, memory: 100 << 20},
			nil, client.PhaseGating,
			client.Failure{
				Kind:    "invalid",
				Message: "gating: latency is 80 ms, the limit is 50 ms (p95 of 20 runs; mean 80 ms); memory is 100 MB, the limit is 64 MB",
				Hint:    "Deploy a faster model, or raise deployment.max_latency_ms.",
			},
			nil,
		},
		"answers that are not the golden ones": {
			golden,
			behaviour{add: 8.5},
			good, client.PhaseTesting,
			client.Failure{
				Kind:    "invalid",
				Message: "testing: functional is 2 wrong answers, the limit is 0 wrong answers (rows 0 to 1: output \"y\": element 0 is 8.5, want 9 within 0.001)",
				Hint:    "Compare the model with tests.functional_test.golden; widen its tolerance where the difference is rounding.",
			},
			nil,
		},
		"a golden file for another model": {
			golden,
			behaviour{},
			map[string][]float32{"z": make([]float32, 4), "y": make([]float32, 4)},
			client.PhaseChecking,
			client.Failure{
				Kind:     "invalid",
				Message:  "checking: tests.functional_test.golden: " + noZ,
				Hint:     "Name the arrays of the npz file as the model's inputs and outputs; verge inspect shows them.",
				Problems: []client.Problem{{Path: "tests.functional_test.golden", Message: noZ, Hint: "Name the arrays of the npz file as the model's inputs and outputs; verge inspect shows them."}},
			},
			nil,
		},
		"failures under load": {
			base,
			behaviour{run: loadFails},
			nil, client.PhaseTesting,
			client.Failure{
				Kind:    "invalid",
				Message: "testing: load is 80 %, the limit is 95 % (40 of 200 failed: 40 × out of luck (internal))",
				Hint:    "Give the model more threads, or lower what tests.load_test asks for.",
			},
			nil,
		},
		"a failure in the performance test skips the tests behind it": {
			base,
			behaviour{run: func(number int) error {
				if number == 2+25+4+1+10 {
					return fault.New(fault.Internal, "fake.run", "out of luck")
				}
				return nil
			}},
			nil, client.PhaseTesting,
			client.Failure{Kind: "internal", Message: "testing: performance could not be measured: run 10 of 50: out of luck"},
			[]string{"functional", "load"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, t.TempDir())
			n.set(behaviour{add: 1})
			n.deploy(base, "digits.onnx")
			n.set(test.behaviour)
			req := n.request(test.spec, "digits-bad.onnx")
			if test.golden != nil {
				n.golden(req, test.golden)
				req.AllowSignatureChange = true // by the file; the fake keeps its own
			}
			d := n.wait(n.submit(req).ID)
			if d.Phase != client.PhaseFailed || d.Phases[len(d.Phases)-2].Phase != test.phase {
				t.Errorf("phases %s, want failed in %s", phases(d), test.phase)
			}
			if diff := cmp.Diff(&test.want, d.Error); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			var skipped []string
			for _, v := range d.Verdicts {
				if v.Detail == "not run after a test that failed" {
					skipped = append(skipped, v.Gate)
				}
			}
			if !slices.Equal(skipped, test.skipped) {
				t.Errorf("skipped %v, want %v", skipped, test.skipped)
			}
			if version, y := n.ask(); version != 1 || y != 1 || d.Serves != "m@1" {
				t.Errorf("version %d answers %g, Serves is %s; want the old one", version, y, d.Serves)
			}
			if d.Version != 2 || n.artifacts.Has(d.Digest) {
				t.Errorf("version %d, its artifact is there: %v", d.Version, n.artifacts.Has(d.Digest))
			}
			n.set(behaviour{add: 2}) // the next one gets the next number, and serves
			if d := n.deploy(base, "digits.onnx"); d.Version != 3 {
				t.Errorf("next version %d, want 3", d.Version)
			}
		})
	}
}

func TestGoldenCasesPassWithinTheirTolerance(t *testing.T) {
	for batch, want := range map[int]struct {
		requests int
		how      string
	}{
		2: {2, "golden inputs, rows 0 to 1"},
		3: {1, "golden inputs, rows 0 to 2"},
		7: {1, "golden inputs, rows 0 to 2, repeated"}, // the promised batch is measured
	} {
		n := newNode(t, t.TempDir())
		n.set(behaviour{add: 9.0001})
		spec := `{"model":{"path":"m.onnx"},"deployment":{"batch_size":%d},"tests":{"performance_test":false,"functional_test":{"golden":"g.npz","tolerance":0.001}}}`
		req := n.request(fmt.Sprintf(spec, batch), "digits.onnx")
		n.golden(req, map[string][]float32{"x": make([]float32, 12), "y": {9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}})
		d := n.wait(n.submit(req).ID)
		if d.Phase != client.PhaseCommitted {
			t.Fatalf("batch %d: deployment ended %s: %+v", batch, d.Phase, d.Error)
		}
		if got := n.served["m"].Monitor.Snapshot().TotalRequests; got != int64(want.requests) {
			t.Errorf("%d requests for three rows in batches of %d, want %d", got, batch, want.requests)
		}
		if how := d.Verdicts[2].How; how != "20 runs after 5 to warm up, one at a time, inside the node; "+want.how {
			t.Errorf("batch %d: latency was measured by %q, want %s", batch, how, want.how)
		}
	}
}

func TestWhatCannotBeToldWarns(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(base, "digits.onnx")
	n.set(behaviour{unknown: errors.New("isolation is none: the model shares the node's memory")})
	d := n.deploy(base, "digits-bad.onnx")
	want := []string{"memory: inconclusive: isolation is none: the model shares the node's memory"}
	if diff := cmp.Diff(want, d.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestAnotherSignatureIsRefusedUnlessItIsAllowed(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(base, "digits.onnx")
	n.set(behaviour{inputs: []inference.Spec{{Name: "picture", DType: tensor.FP32, Shape: []int64{-1, 4}}}})
	req := n.request(base, "digits-bad.onnx")
	d := n.wait(n.submit(req).ID)
	want := &client.Failure{
		Kind: "invalid", Hint: "Deploy it under another name, or with --allow-signature-change where all clients are ready.",
		Message: `gating: signature is 2 changes, the limit is 0 changes (input "x" is gone; input "picture" is new; clients of the version that serves may not be ready for it)`,
	}
	if diff := cmp.Diff(want, d.Error); diff != "" || d.Phase != client.PhaseFailed {
		t.Errorf("it ended %s (-want +got):\n%s", d.Phase, diff)
	}
	req = n.request(base, "digits-bad.onnx") // what failed is collected
	req.AllowSignatureChange = true
	if d = n.wait(n.submit(req).ID); d.Phase != client.PhaseCommitted {
		t.Errorf("it ended %s: %+v", d.Phase, d.Error)
	}
}

func TestAFileThatDeclaresAnotherSignatureIsRefusedBeforeItIsLoaded(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(base, "digits.onnx")
	req := n.request(base, "digits.onnx")
	req.Artifacts["model"] = n.upload(onnxmodel.Identity(tensor.FP32, "n", 4))
	d := n.wait(n.submit(req).ID)
	const message = `clients of the version that serves may not be ready for it: input "image" is gone; input "x" is new; output "probabilities" is gone`
	want := []client.Problem{{Path: "model.path", Message: message, Hint: "Deploy it under another name, or with --allow-signature-change where all clients are ready."}}
	if diff := cmp.Diff(want, d.Error.Problems); diff != "" || phases(d) != "pending checking failed" {
		t.Errorf("phases %s, problems (-want +got):\n%s", phases(d), diff)
	}
	req.Artifacts["model"] = n.upload(onnxmodel.Identity(tensor.FP32, "n", 4)) // what failed is collected
	req.AllowSignatureChange = true
	if d = n.wait(n.submit(req).ID); d.Phase != client.PhaseCommitted {
		t.Errorf("it ended %s: %+v", d.Phase, d.Error)
	}
}

func TestAccuracyIsAGate(t *testing.T) {
	const spec = `{"model":{"path":"m.onnx"},"accuracy":{"dataset":"set.npz","metric":"exact","min":0.9,"max_drop":30}}`
	x := make([]float32, 4*40) // samples, of which a model that adds nothing answers all but two
	y := append(slices.Repeat([]float32{1}, 8), make([]float32, 4*38)...)
	n := newNode(t, t.TempDir())
	try := func(b behaviour) *client.Deployment {
		n.set(b)
		req := n.request(spec, "digits.onnx")
		req.Artifacts["model"] = n.upload(onnxmodel.Identity(tensor.FP32, "n", 4))
		req.Artifacts["accuracy.dataset"] = n.upload(inferencetest.NPZ(t, 4, map[string][]float32{"x": x, "y": y}))
		return n.wait(n.submit(req).ID)
	}
	find := func(d *client.Deployment, gate string) client.Verdict {
		i := slices.IndexFunc(d.Verdicts, func(v client.Verdict) bool { return v.Gate == gate })
		if i < 0 {
			t.Fatalf("no verdict %s in %+v", gate, d.Verdicts)
		}
		return d.Verdicts[i]
	}
	good := try(behaviour{})
	if v := find(good, "accuracy"); good.Phase != client.PhaseCommitted || v.Detail != "exact: 38 of 40 samples" || find(good, "accuracy_drop").Outcome != client.OutcomeSkipped {
		t.Fatalf("it ended %s, %+v: %+v", good.Phase, good.Error, v)
	}
	bad := try(behaviour{add: 1})
	const message = "gating: accuracy is 5 %, the limit is 90 % (exact: 2 of 40 samples); accuracy_drop is 90 points, the limit is 30 points (38 samples lost, 2 gained: a loss of 90 points, "
	if bad.Phase != client.PhaseFailed || !strings.HasPrefix(bad.Error.Message, message) || bad.Serves != "m@1" {
		t.Errorf("it ended %s: %+v", bad.Phase, bad.Error)
	}
	if same := try(behaviour{}); same.Phase != client.PhaseCommitted || find(same, "accuracy_drop").Outcome != client.OutcomePass {
		t.Errorf("the same again ended %s: %+v, %+v", same.Phase, same.Error, find(same, "accuracy_drop"))
	}
}

func TestADataSetThatDoesNotFitIsFoundBeforeTheLoad(t *testing.T) {
	n := newNode(t, t.TempDir())
	for spec, want := range map[string]string{
		`{"dataset":"set.npz","metric":"exact","min":0.9}`: `array "z" is neither an input of the model nor a known answer`,
		`{"dataset":"set.npz","metric":"top1","min":0.9}`:  `array "z" is neither an input of the model nor a known answer`,
	} {
		req := n.request(`{"model":{"path":"m.onnx"},"accuracy":`+spec+`}`, "digits.onnx")
		req.Artifacts["model"] = n.upload(onnxmodel.Identity(tensor.FP32, "n", 4))
		req.Artifacts["accuracy.dataset"] = n.upload(inferencetest.NPZ(t, 4, map[string][]float32{"x": make([]float32, 4), "z": make([]float32, 4)}))
		if d := n.wait(n.submit(req).ID); phases(d) != "pending checking failed" || !strings.Contains(d.Error.Message, "accuracy.dataset: "+want) {
			t.Errorf("%s: %s, %+v", spec, phases(d), d.Error)
		}
	}
	req := n.request(`{"model":{"path":"m.onnx"},"accuracy":{"dataset":"set.npz","min":0.9}}`, "digits.onnx")
	req.Artifacts["model"] = n.upload(onnxmodel.Identity(tensor.FP32, "n", 4))
	req.Artifacts["accuracy.dataset"] = n.upload(inferencetest.NPZ(t, 4, map[string][]float32{"x": make([]float32, 4), "y": make([]float32, 4)}))
	if d := n.wait(n.submit(req).ID); !strings.Contains(d.Error.Message, "the metric top1 compares with known classes, and the data set has none") {
		t.Errorf("%s, %+v", phases(d), d.Error)
	}
}

func TestTheSameAgainIsNothingToDo(t *testing.T) {
	n := newNode(t, t.TempDir())
	first := n.deploy(base, "digits.onnx")
	same := func(spec, file string) *client.Deployment {
		t.Helper()
		req := n.request(spec, file)
		req.Again = false
		return n.wait(n.submit(req).ID)
	}
	again := n.request(base, "digits.onnx")
	again.Again = false
	if d, err := n.manager.Submit(again, asker()); err != nil || !d.NothingToDo || d.ID != first.ID || d.Serves != "m@1" {
		t.Errorf("the same again is %+v, %v; want %s", d, err, first.ID)
	}
	if d := same(strings.Replace(base, `"max_latency_ms":50`, `"max_latency_ms":49`, 1), "digits.onnx"); d.Version != 2 {
		t.Errorf("another configuration is version %d, want 2", d.Version)
	}
	if d := same(base, "digits-bad.onnx"); d.Version != 3 {
		t.Errorf("other bytes are version %d, want 3", d.Version)
	}
	if d := n.deploy(base, "digits-bad.onnx"); d.Version != 4 {
		t.Errorf("asked for again it is version %d, want 4", d.Version)
	}
}

func TestAModelThatIsLoadedAsAnotherThanItsFileDeclaresIsRefused(t *testing.T) {
	x := inference.Spec{Name: "x", DType: tensor.FP32, Shape: []int64{-1, 4}}
	image := inference.Spec{Name: "image", DType: tensor.FP32, Shape: []int64{-1, 4}}
	for why, inputs := range map[string][]inference.Spec{
		"2 inputs, its file declares 1":                                      {x, image},
		"the input image FP32[-1,4], its file declares image FP32[-1,1,8,8]": {image},
	} {
		n := newNode(t, t.TempDir())
		n.set(behaviour{inputs: inputs})
		d := n.wait(n.submit(n.request(base, "digits.onnx")).ID)
		want := &client.Failure{
			Kind: "unsupported", Message: "loading: onnxruntime loads the model with " + why,
			Hint: "Give each input and output a name of its own, and list it once; or set deployment.runtime to openvino, which is installed.",
		}
		if diff := cmp.Diff(want, d.Error); diff != "" {
			t.Errorf("it ended %s (-want +got):\n%s", d.Phase, diff)
		}
	}
}

func TestASubmissionThatCannotBeginSaysWhy(t *testing.T) {
	n := newNode(t, t.TempDir())
	digest := n.upload(model(t, "digits.onnx"))
	absent := "sha256:" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	const missing = "Upload the files, and name each digest under artifacts."
	tests := map[string]struct {
		spec          string
		artifacts     map[string]string
		name          string
		kind          fault.Kind
		message, hint string
	}{
		"files that were not brought": {
			`{"model":{"path":"m.onnx","labels":"l.txt"},"tests":{"functional_test":{"golden":"g.npz"}}}`, nil, "", fault.Invalid,
			"artifacts.model: is missing: the digest of the file that model.path names\n" +
				"artifacts.labels: is missing: the digest of the file that model.labels names\n" +
				"artifacts.golden: is missing: the digest of the file that tests.functional_test.golden names", missing,
		},
		"an artifact that was not uploaded": {
			base,
			map[string]string{"model": absent},
			"", fault.NotFound,
			"artifact " + absent + " (model) was not uploaded", "PUT /v1/artifacts/" + absent + " first.",
		},
		"artifacts that are none": {
			base,
			map[string]string{"model": "../../x", "weight": digest},
			"", fault.Invalid,
			`artifacts.model: digest "../../x": want sha256: and 64 lower-case hexadecimal digits` + "\n" +
				`artifacts: "weight" is unknown, want model, weights, labels, golden, accuracy.dataset or accuracy.labels`,
			missing,
		},
		"a name that breaks the grammar": {
			base,
			map[string]string{"model": digest},
			"a b", fault.Invalid,
			`model name "a b" breaks the grammar: 1 to 128 of A-Z a-z 0-9 . _ -, first a letter or a digit, no ".."`,
			"Give another name, in the deployment file or with --name.",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := n.manager.Submit(client.DeploymentRequest{Spec: json.RawMessage(test.spec), Artifacts: test.artifacts, Name: test.name}, asker())
			check(t, "Submit", err, test.kind, test.message, test.hint)
		})
	}
	if got := n.manager.List("", 10, ""); len(got) != 0 {
		t.Errorf("%d deployments are known, want none", len(got))
	}
	_, err := n.manager.Submit(client.DeploymentRequest{Spec: json.RawMessage(`{"model":{"pth":"m"},"deployment":{"batch_size":0}}`)}, asker())
	var problems fault.Problems
	if !errors.As(err, &problems) || len(problems) < 2 {
		t.Errorf("Submit of a wrong file = %v, want all its problems", err)
	}
}

// hold stops deployments in one phase until they are released.
func (n *node) hold(phase client.Phase) (reached chan struct{}, release func()) {
	reached, released := make(chan struct{}), make(chan struct{})
	once := false
	n.mu.Lock()
	n.at = func(p client.Phase) {
		if p == phase && !once {
			once = true
			close(reached)
			<-released
		}
	}
	n.mu.Unlock()
	return reached, func() { close(released) }
}

var heldPhases = []client.Phase{client.PhaseChecking, client.PhaseLoading, client.PhaseGating, client.PhaseTesting}

func TestADeploymentIsCanceledInEveryPhaseBeforeTheSwitch(t *testing.T) {
	for _, phase := range heldPhases {
		t.Run(string(phase), func(t *testing.T) {
			n := newNode(t, t.TempDir())
			n.set(behaviour{add: 1})
			n.deploy(base, "digits.onnx")
			n.set(behaviour{add: 2})
			reached, release := n.hold(phase)
			d := n.submit(n.request(base, "digits-bad.onnx"))
			<-reached
			_, err := n.manager.Submit(n.request(base, "digits.onnx"), asker())
			check(t, "second Submit", err, fault.Conflict, "deployment "+d.ID+" of m is in progress", "Wait for it, or cancel it.")
			check(t, "Undeploy", n.manager.Undeploy("m", asker()), fault.Conflict, "deployment "+d.ID+" of m is in progress", "Wait for it, or cancel it.")
			if err := n.manager.Cancel(d.ID, asker()); err != nil {
				t.Fatalf("Cancel: %v", err)
			}
			release()
			d = n.wait(d.ID)
			want := &client.Failure{Kind: "canceled", Message: string(phase) + ": canceled on request"}
			if diff := cmp.Diff(want, d.Error); diff != "" || d.Phase != client.PhaseCanceled {
				t.Errorf("ended %s (-want +got):\n%s", d.Phase, diff)
			}
			if version, y := n.ask(); version != 1 || y != 1 {
				t.Errorf("version %d answers %g, want the old one", version, y)
			}
			check(t, "Cancel again", n.manager.Cancel(d.ID, asker()), fault.Conflict, "deployment "+d.ID+" has ended: canceled", "")
		})
	}
}

func TestAStopOfTheNodeEndsADeploymentInEveryPhaseBeforeTheSwitch(t *testing.T) {
	for _, phase := range heldPhases {
		t.Run(string(phase), func(t *testing.T) {
			dir := t.TempDir()
			n := newNode(t, dir)
			n.set(behaviour{add: 1})
			n.deploy(base, "digits.onnx")
			reached, release := n.hold(phase)
			d := n.submit(n.request(base, "digits-bad.onnx"))
			<-reached
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				n.manager.Close()
			}()
			for fault.KindOf(n.manager.Undeploy("m", asker())) != fault.Unavailable { // until Close has begun
				time.Sleep(time.Millisecond) //nolint:forbidigo // another goroutine gets there soon
			}
			release()
			<-closed
			n.close()
			n = newNode(t, dir)
			d, err := n.manager.Get(d.ID)
			if err != nil {
				t.Fatal(err)
			}
			want := &client.Failure{Kind: "canceled", Message: string(phase) + ": the node was stopped", Hint: "Deploy again."}
			if diff := cmp.Diff(want, d.Error); diff != "" || d.Phase != client.PhaseCanceled {
				t.Errorf("ended %s (-want +got):\n%s", d.Phase, diff)
			}
		})
	}
}

func TestADeploymentThatHasSwitchedIsNotCanceled(t *testing.T) {
	n := newNode(t, t.TempDir())
	reached, release := n.hold(client.PhaseActivating)
	d := n.submit(n.request(base, "digits.onnx"))
	<-reached
	check(t, "Cancel", n.manager.Cancel(d.ID, asker()), fault.Conflict, "deployment "+d.ID+" has switched already", "Take it back: verge rollback m")
	release()
	if d = n.wait(d.ID); d.Phase != client.PhaseCommitted {
		t.Errorf("ended %s", d.Phase)
	}
}

func TestEventsTellEverythingFromAnyNumberOn(t *testing.T) {
	n := newNode(t, t.TempDir())
	d := n.deploy(base, "digits.onnx")
	var all []client.Event
	keep := func(e client.Event) error { all = append(all, e); return nil }
	if err := n.manager.Events(t.Context(), d.ID, 0, keep); err != nil {
		t.Fatal(err)
	}
	progress := map[string]int{}
	for i, e := range all {
		if e.Seq != uint64(i+1) || e.Deployment != d.ID {
			t.Fatalf("event %d is %+v", i, e)
		}
		if e.Progress != nil {
			progress[e.Progress.Step]++
		}
	}
	if last := all[len(all)-1]; last.Type != client.EventEnd || last.Phase != client.PhaseCommitted {
		t.Errorf("last event %+v", last)
	}
	if diff := cmp.Diff(map[string]int{"latency": 20, "performance": 50, "load": 200}, progress); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	from := uint64(len(all) - 2)
	all = nil
	if err := n.manager.Events(t.Context(), d.ID, from, keep); err != nil || len(all) != 3 || all[0].Seq != from {
		t.Errorf("from %d: %d events, %v", from, len(all), err)
	}
	full := errors.New("enough")
	if err := n.manager.Events(t.Context(), d.ID, 0, func(client.Event) error { return full }); !errors.Is(err, full) {
		t.Errorf("Events = %v, want what the callback said", err)
	}
	check(t, "Events", n.manager.Events(t.Context(), "m-1", 0, keep), fault.NotFound, `no deployment "m-1" is known`, "verge history lists those that are.")
	_, err := n.manager.Get("m-1")
	check(t, "Get", err, fault.NotFound, `no deployment "m-1" is known`, "verge history lists those that are.")
	check(t, "Cancel", n.manager.Cancel("m-1", asker()), fault.NotFound, `no deployment "m-1" is known`, "verge history lists those that are.")
}

func TestAFollowerLeavesWhenItsContextEnds(t *testing.T) {
	n := newNode(t, t.TempDir())
	reached, release := n.hold(client.PhaseLoading)
	d := n.submit(n.request(base, "digits.onnx"))
	<-reached
	ctx, cancel := context.WithCancel(t.Context())
	err := n.manager.Events(ctx, d.ID, 0, func(e client.Event) error {
		if e.Phase == client.PhaseLoading {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Events = %v, want canceled", err)
	}
	release()
	n.wait(d.ID)
}

func TestWhatServesIsTestedAgain(t *testing.T) {
	n := newNode(t, t.TempDir())
	bad := &turning{}
	n.set(bad.behaviour(1))
	n.deploy(base, "digits.onnx")
	try := func() (end client.Event, told []string) {
		t.Helper()
		err := n.manager.Test(t.Context(), "m", func(e client.Event) error {
			if e.Type == client.EventVerdict {
				told = append(told, e.Verdict.Gate+" "+string(e.Verdict.Outcome))
			}
			end = e
			return nil
		})
		if err != nil || end.Type != client.EventEnd {
			t.Fatalf("Test = %v, the last event %+v", err, end)
		}
		return end, told
	}
	want := []string{"performance pass", "functional pass", "load pass"}
	if end, told := try(); end.Phase != client.PhaseCommitted || !slices.Equal(told, want) {
		t.Errorf("it ended %s with %q, want %q", end.Phase, told, want)
	}
	bad.fails.Store(true)
	want = []string{"performance error", "functional skipped", "load skipped"}
	if end, told := try(); end.Phase != client.PhaseFailed || !slices.Equal(told, want) || end.Error.Message != "testing: performance could not be measured: run 1 of 50: it broke" {
		t.Errorf("it ended %s with %q: %+v, want %q", end.Phase, told, end.Error, want)
	}
	bad.fails.Store(false)
	if version, y := n.ask(); version != 1 || y != 1 {
		t.Errorf("version %d answers %g, want 1 and 1", version, y)
	}
	check(t, "Test of another", n.manager.Test(t.Context(), "other", func(client.Event) error { return nil }), fault.NotFound, `model "other" is not deployed`, "verge status lists the models that are.")
	enough := errors.New("enough")
	if err := n.manager.Test(t.Context(), "m", func(client.Event) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("Test = %v, want what the callback said", err)
	}
}
