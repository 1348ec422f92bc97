// Package deployment_test takes real models from their files to answers, through
// a whole node.
package deployment_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"verge/client"
	"verge/internal/dataset"
	"verge/internal/tensor"
	"verge/test/nodetest"
)

const digits = "../../examples/digits/"

func TestMain(m *testing.M) { nodetest.Main(m) }

// verdicts lists gate and outcome.
func verdicts(d *client.Deployment) []string {
	var all []string
	for _, v := range d.Verdicts {
		all = append(all, string(v.Phase)+" "+v.Gate+" "+string(v.Outcome))
	}
	return all
}

func committed(t *testing.T, d *client.Deployment) {
	t.Helper()
	if d.Phase != client.PhaseCommitted {
		t.Fatalf("%s@%d ended as %s: %+v\nverdicts: %+v", d.Model, d.Version, d.Phase, d.Error, d.Verdicts)
	}
}

// npz reads the arrays of a file by their names.
func npz(t *testing.T, path string) map[string]tensor.Tensor {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	arrays, err := dataset.ReadNPZ(data)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]tensor.Tensor{}
	for _, a := range arrays {
		all[a.Name] = a
	}
	return all
}

// images are held-out pictures as the model's input.
func images(t *testing.T) (pixels []float32, labels []uint8) {
	t.Helper()
	data := npz(t, digits+"heldout.npz")
	for _, p := range data["images"].Data {
		pixels = append(pixels, float32(p)/16)
	}
	return pixels, data["labels"].Data
}

// accuracy asks about every held-out picture, and returns how many were read right.
func accuracy(t *testing.T, node *client.Client, model string) (right, asked int) {
	t.Helper()
	pixels, labels := images(t)
	const size = 64
	for i, label := range labels {
		answer, err := node.Infer(t.Context(), client.InferRequest{
			Model:  model,
			Inputs: []client.Tensor{client.FromFloat32s("", []int64{1, 1, 8, 8}, pixels[i*size:(i+1)*size])},
		})
		if err != nil {
			t.Fatal(err)
		}
		scores, err := answer.Outputs[0].Float32s()
		if err != nil {
			t.Fatal(err)
		}
		asked++
		if slices.Index(scores, slices.Max(scores)) == int(label) {
			right++
		}
	}
	return right, asked
}

func TestDigitsFromFileToAnswers(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	spec, files := nodetest.Example(t, digits+"deployment.json")
	d := node.Deploy(spec, files)
	committed(t, d)
	want := []string{
		"preparing optimize skipped",
		"gating signature skipped", "gating cold_start pass", "gating latency pass", "gating memory pass", "gating determinism pass", "gating numbers pass",
		"testing performance pass", "testing functional pass", "testing load pass",
	}
	if got := verdicts(d); !slices.Equal(got, want) {
		t.Errorf("verdicts %q, want %q", got, want)
	}
	for _, v := range d.Verdicts {
		if v.Outcome == client.OutcomePass && (v.Figure == nil || v.Limit == nil && v.Gate != "cold_start" || v.Samples == 0 || v.How == "" || v.Device == "" || v.Time.IsZero()) {
			t.Errorf("verdict %+v lacks a figure, a limit, its samples, how, device or time", v)
		}
	}

	m, err := node.Model(t.Context(), "digits")
	if err != nil {
		t.Fatal(err)
	}
	if got := m.PerformanceStats.TotalRequests; got != 50+1+200 {
		t.Errorf("the candidate was asked %d times during testing, want 251", got)
	}
	if m.State != "ready" || !m.ModelLoaded || m.Worker == nil || m.Worker.PID == os.Getpid() || m.Worker.Memory.PeakBytes == 0 {
		t.Errorf("status %+v with worker %+v, want ready in a process of its own, with its memory", m, m.Worker)
	}
	right, asked := accuracy(t, node.Client, "digits")
	t.Logf("%d of %d held-out pictures were read right", right, asked)
	if right < asked*98/100 {
		t.Errorf("%d of %d held-out pictures were read right, want 98 %%", right, asked)
	}
}

func TestAnswersAreThoseOfTheTraining(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	spec, files := nodetest.Example(t, digits+"deployment-extended.yaml")
	committed(t, node.Deploy(spec, files))
	golden := npz(t, digits+"golden.npz")
	in, want := golden["image"], golden["probabilities"]
	const batch, pixels, classes = 4, 64, 10 // the batch is the largest of the deployment file
	in.Data = in.Data[:4*batch*pixels]
	want.Shape, want.Data = []int64{batch, classes}, want.Data[:4*batch*classes]
	for _, asJSON := range []bool{false, true} {
		answer, err := node.Infer(t.Context(), client.InferRequest{
			Model: "digits", JSON: asJSON,
			Inputs: []client.Tensor{{Name: "image", Datatype: "FP32", Shape: []int64{batch, 1, 8, 8}, Data: in.Data}},
		})
		if err != nil {
			t.Fatal(err)
		}
		got := answer.Outputs[0]
		if err := tensor.Agree(want, tensor.Tensor{Name: got.Name, DType: tensor.FP32, Shape: got.Shape, Data: got.Data}, 1e-4); err != nil {
			t.Errorf("JSON %v: %v", asJSON, err)
		}
	}
	answer, err := node.Infer(t.Context(), client.InferRequest{
		Model:   "digits",
		Inputs:  []client.Tensor{{Name: "image", Datatype: "FP32", Shape: []int64{1, 1, 8, 8}, Data: in.Data[:256]}},
		Outputs: []client.Output{{Name: "probabilities", Classes: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	top, err := answer.Outputs[0].Strings()
	if err != nil || len(top) != 2 || !strings.HasSuffix(top[0], ":0:zero") {
		t.Errorf("the two best classes are %q (%v), want the first to end with :0:zero", top, err)
	}
}

func TestIsolationNoneServesInTheNode(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	_, files := nodetest.Example(t, digits+"deployment.json")
	committed(t, node.Deploy(`{"name":"digits","isolation":"none","model":{"path":"digits.onnx"},"deployment":{"cpu_threads":1,"max_latency_ms":30000}}`, files))
	m, err := node.Model(t.Context(), "digits")
	if err != nil {
		t.Fatal(err)
	}
	if m.Worker != nil {
		t.Errorf("worker %+v, want none", m.Worker)
	}
	if right, asked := accuracy(t, node.Client, "digits"); right < asked*98/100 {
		t.Errorf("%d of %d held-out pictures were read right, want 98 %%", right, asked)
	}
}

func TestCommittedModelServesAgainAfterARestart(t *testing.T) {
	nodetest.Require(t)
	cfg := nodetest.Settings(t)
	node := nodetest.Start(t, cfg)
	spec, files := nodetest.Example(t, digits+"deployment.json")
	first := node.Deploy(spec, files)
	committed(t, first)
	node.Stop()

	node = nodetest.Start(t, cfg)
	nodetest.Wait(t, "digits serves again", func() bool { return node.ModelReady(t.Context(), "digits", "") == nil })
	m, err := node.Model(t.Context(), "digits")
	if err != nil || m.Version != 1 || m.Deployment != first.ID || m.Digest != first.Digest {
		t.Fatalf("%+v (%v), want version 1 of %s", m, err, first.ID)
	}
	if right, asked := accuracy(t, node.Client, "digits"); right < asked*98/100 {
		t.Errorf("%d of %d held-out pictures were read right, want 98 %%", right, asked)
	}
	second := node.Deploy(spec, files)
	committed(t, second)
	if second.Version != 2 {
		t.Errorf("the next deployment made version %d, want 2", second.Version)
	}
	if err = node.Undeploy(t.Context(), "digits"); err != nil {
		t.Fatal(err)
	}
	node.Stop()
	node = nodetest.Start(t, cfg)
	models, err := node.Models(t.Context())
	if err != nil || len(models) != 0 {
		t.Errorf("models after undeploy and restart: %+v (%v), want none", models, err)
	}
}
