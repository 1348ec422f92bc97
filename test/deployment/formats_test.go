package deployment_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"verge/client"
	"verge/internal/inference/inferencetest"
	"verge/test/nodetest"
)

// formats are the deployment files of the same weights in each format, and the
// runtime that is to serve it.
var formats = map[string]string{"deployment.json": "onnxruntime", "digits-tflite.json": "litert", "digits-openvino.json": "openvino"}

// tolerance is how far apart the probabilities of the same picture may be.
const tolerance = 1e-5

func TestTheSameWeightsAnswerTheSameInEveryFormat(t *testing.T) {
	for _, runtime := range formats {
		inferencetest.Library(t, runtime)
	}
	node := nodetest.Start(t, nodetest.Settings(t))
	var models []string
	for name, runtime := range formats {
		spec, files := nodetest.Example(t, digits+name)
		d := node.Deploy(spec, files)
		committed(t, d)
		models = append(models, d.Model)
		m, err := node.Model(t.Context(), d.Model)
		if err != nil {
			t.Fatal(err)
		}
		if m.ModelInfo.Runtime != runtime || len(m.ModelInfo.Providers) == 0 || len(m.ModelInfo.Fallbacks) > 0 {
			t.Errorf("%s runs in %s with %q, fell back %q; want %s", d.Model, m.ModelInfo.Runtime, m.ModelInfo.Providers, m.ModelInfo.Fallbacks, runtime)
		}
	}
	slices.Sort(models)
	pixels, labels := images(t)
	const size = 64
	right := 0
	for i, label := range labels {
		var first []float32
		for _, model := range models {
			scores := probabilities(t, node.Client, model, pixels[i*size:(i+1)*size])
			if first == nil {
				first = scores
				if slices.Index(scores, slices.Max(scores)) == int(label) {
					right++
				}
			}
			for k := range scores {
				if diff := math.Abs(float64(scores[k] - first[k])); diff > tolerance {
					t.Fatalf("picture %d, class %d: %s says %v, %s says %v, which differ by %.2g, want at most %g", i, k, models[0], first[k], model, scores[k], diff, tolerance)
				}
			}
		}
	}
	if n := len(labels); right*100 < n*98 {
		t.Errorf("%d of %d pictures were read right, want 98 of 100", right, n)
	}
}

// probabilities asks about one picture.
func probabilities(t *testing.T, node *client.Client, model string, pixels []float32) []float32 {
	t.Helper()
	answer, err := node.Infer(t.Context(), client.InferRequest{
		Model: model, Inputs: []client.Tensor{client.FromFloat32s("image", []int64{1, 1, 8, 8}, pixels)},
	})
	if err != nil {
		t.Fatalf("%s: %v", model, err)
	}
	if name := answer.Outputs[0].Name; name != "probabilities" {
		t.Errorf("%s calls its output %q, want probabilities", model, name)
	}
	scores, err := answer.Outputs[0].Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return scores
}

func TestEachFormatTakesBatches(t *testing.T) {
	for name, runtime := range formats {
		t.Run(runtime, func(t *testing.T) {
			inferencetest.Library(t, runtime)
			node := nodetest.Start(t, nodetest.Settings(t))
			spec, files := nodetest.Example(t, digits+name)
			d := node.Deploy(strings.Replace(spec, `"batch_size": 1`, `"batch_size": 8`, 1), files)
			committed(t, d)
			pixels, _ := images(t)
			const size, rows = 64, 7
			answer, err := node.Infer(t.Context(), client.InferRequest{
				Model: d.Model, Inputs: []client.Tensor{client.FromFloat32s("image", []int64{rows, 1, 8, 8}, pixels[:rows*size])},
			})
			if err != nil || !slices.Equal(answer.Outputs[0].Shape, []int64{rows, 10}) {
				t.Fatalf("Infer = %+v, %v; want %d rows", answer, err, rows)
			}
			together, err := answer.Outputs[0].Float32s()
			if err != nil {
				t.Fatal(err)
			}
			for i := range rows {
				alone := probabilities(t, node.Client, d.Model, pixels[i*size:(i+1)*size])
				for k := range alone {
					if diff := math.Abs(float64(alone[k] - together[i*10+k])); diff > tolerance {
						t.Errorf("picture %d, class %d: %v alone, %v in a batch", i, k, alone[k], together[i*10+k])
					}
				}
			}
		})
	}
}

func TestAnOpenVINOModelNeedsItsWeights(t *testing.T) {
	inferencetest.Library(t, "openvino")
	node := nodetest.Start(t, nodetest.Settings(t))
	spec, files := nodetest.Example(t, digits+"digits-openvino.json")
	delete(files, "weights")
	d := node.Deploy(spec, files)
	if d.Phase != client.PhaseFailed || d.Error == nil || !strings.Contains(d.Error.Message, ".bin") {
		t.Errorf("a deployment without weights ended as %s: %+v; want it failed, and to name the .bin", d.Phase, d.Error)
	}
	files["weights"] = digits + "labels.txt" // short
	d = node.Deploy(spec, files)
	if d.Phase != client.PhaseFailed || d.Error == nil || !strings.Contains(d.Error.Message, ".bin") {
		t.Errorf("a deployment with short weights ended as %s: %+v; want it failed, and to name the .bin", d.Phase, d.Error)
	}
}

func TestModelsOfEveryFormatComeBackAfterARestart(t *testing.T) {
	for _, runtime := range formats {
		inferencetest.Library(t, runtime)
	}
	settings := nodetest.Settings(t)
	node := nodetest.Start(t, settings)
	pixels, _ := images(t)
	before := map[string][]float32{}
	for name := range formats {
		spec, files := nodetest.Example(t, digits+name)
		d := node.Deploy(spec, files)
		committed(t, d)
		before[d.Model] = probabilities(t, node.Client, d.Model, pixels[:64])
	}
	node.Stop()
	node = nodetest.Start(t, settings)
	for model, want := range before {
		nodetest.Wait(t, model+" serves again", func() bool {
			return node.ModelReady(t.Context(), model, "") == nil
		})
		if got := probabilities(t, node.Client, model, pixels[:64]); !slices.Equal(got, want) {
			t.Errorf("%s answers %v after a restart, want %v", model, got, want)
		}
	}
}
