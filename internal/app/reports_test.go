package app_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"verge/client"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/tensor"
	"verge/test/nodetest"
)

// flattened is a TensorFlow Lite model whose output is its picture, as integers
// that stand for real numbers, with a file of labels.
func flattened(t *testing.T) string {
	t.Helper()
	const reshapeOptions = 17
	pixels := func(name string, shape ...int) tflitemodel.Tensor {
		return tflitemodel.Tensor{Name: name, DType: tensor.Int8, Shape: shape, Scales: []float32{1.0 / 256}, ZeroPoints: []int64{-128}}
	}
	shape := tflitemodel.Tensor{Name: "shape", DType: tensor.Int32, Shape: []int{2}, Data: []byte{1, 0, 0, 0, 12, 0, 0, 0}}
	model := bytes.NewBuffer(tflitemodel.Model{Graphs: []tflitemodel.Graph{{
		Tensors:   []tflitemodel.Tensor{pixels("picture", 1, 2, 2, 3), shape, pixels("scores", 1, 12)},
		Operators: []tflitemodel.Operator{{Op: tflitemodel.Reshape, Inputs: []int{0, 1}, Outputs: []int{2}, Options: tflitemodel.Options{Table: reshapeOptions}}},
		Inputs:    []int{0}, Outputs: []int{2},
	}}}.Encode())
	w := zip.NewWriter(model)
	labels, err := w.Create("labels.txt")
	if err == nil {
		_, err = labels.Write([]byte("cat\ndog\n"))
	}
	if err == nil {
		err = w.Close()
	}
	path := filepath.Join(t.TempDir(), "flat.tflite")
	if err == nil {
		err = os.WriteFile(path, model.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheStatusOfOneModelTellsWhatItsFileSays(t *testing.T) {
	inferencetest.Library(t, "litert")
	node := nodetest.Start(t, nodetest.Settings(t))
	spec := `{"model":{"path":"flat.tflite"},"deployment":{"max_latency_ms":30000},"tests":{"performance_test":false}}`
	if d := node.Deploy(spec, map[string]string{"model": flattened(t)}); d.Phase != client.PhaseCommitted {
		t.Fatalf("the deployment ended as %s: %+v", d.Phase, d.Error)
	}
	status, err := node.Model(t.Context(), "flat")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"cat", "dog"}, status.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	want := map[string]client.Preprocess{"picture": {Mean: []float64{127.5}, Scale: []float64{256.0 / 255}}}
	if diff := cmp.Diff(want, status.Preprocess, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Errorf("preprocess (-want +got):\n%s", diff)
	}
	quantization := json.RawMessage(`{"scales":[0.00390625],"zero_points":[-128],"axis":0}`)
	details := []client.TensorDetail{{Name: "scores", Shape: []int64{1, 12}, DType: "INT8", Quantization: quantization}}
	if diff := cmp.Diff(details, status.ModelInfo.OutputDetails); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	all, err := node.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m := all.Models[0]; m.Labels != nil || m.Preprocess != nil {
		t.Errorf("the status of all models has labels %q and preprocess %v, want neither", m.Labels, m.Preprocess)
	}
}
