package cli_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"verge/client"
	"verge/internal/artifact"
	"verge/internal/deployfile"
)

// servingFile is a node that serves what a deployment file would deploy, but for change.
func servingFile(t *testing.T, path string, change func(*client.ModelStatus)) *fakeNode {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := deployfile.Parse(text, path)
	if err != nil {
		t.Fatal(err)
	}
	config, err := file.Resolved()
	if err != nil {
		t.Fatal(err)
	}
	m := client.ModelStatus{
		Model: "digits.testing", Version: 3, Config: config, Digest: artifact.Digest(read(t, examples+"digits.onnx")),
		ModelInfo: client.ModelInfo{File: &client.ModelFile{
			Format: "onnx", SizeBytes: int64(len(read(t, examples+"digits.onnx"))), Operators: map[string]int{"Conv": 3, "Relu": 3, "MaxPool": 2, "Flatten": 1, "Gemm": 1, "Softmax": 1},
			Inputs: []client.TensorDetail{{Name: "image", DType: "FP32", Shape: []int64{-1, 1, 8, 8}}}, Outputs: []client.TensorDetail{{Name: "probabilities", DType: "FP32", Shape: []int64{-1, 10}}},
		}},
	}
	change(&m)
	return (&fakeNode{status: client.Status{Models: []client.ModelStatus{m}}}).start(t)
}

func TestADeploymentFileIsComparedWithWhatServes(t *testing.T) {
	path := spec(t)
	n := servingFile(t, path, func(*client.ModelStatus) {})
	r := verge(t, "diff", path, "--node", n.address)
	if r.status != 0 || strings.Contains(r.out, "configuration") || strings.Contains(r.out, "digest") || strings.Contains(r.out, "input") || strings.Contains(r.out, "size") {
		t.Errorf("%s", r.transcript())
	}
	n = servingFile(t, path, func(m *client.ModelStatus) {
		var config map[string]any
		if err := json.Unmarshal(m.Config, &config); err != nil {
			t.Fatal(err)
		}
		config["deployment"].(map[string]any)["max_latency_ms"] = 7
		m.Config, _ = json.Marshal(config)
		m.Digest, m.ModelInfo.File.SizeBytes = "sha256:0", 7
		m.ModelInfo.File.Inputs[0].Name, m.ModelInfo.File.Operators["Conv"] = "picture", 4
	})
	r = verge(t, "diff", path, "--json", "--node", n.address)
	var got struct {
		Serves      string
		Differences []struct{ What, Key, Before, After string }
	}
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || got.Serves != "digits.testing@3" {
		t.Fatalf("%v: %s", err, r.transcript())
	}
	seen := map[string]string{}
	for _, d := range got.Differences {
		seen[strings.TrimSpace(d.What+" "+d.Key)] = d.Before + " → " + d.After
	}
	for key, want := range map[string]string{
		"configuration deployment.max_latency_ms": "7 → 100", "digest": "sha256:0 → " + artifact.Digest(read(t, examples+"digits.onnx")),
		"size": "7 B → 94.4 KB", "input picture": "FP32[-1,1,8,8] → ", "input image": " → FP32[-1,1,8,8]", "operators Conv": "4 → 3",
	} {
		if seen[key] != want {
			t.Errorf("%s is %q, want %q; all are %q", key, seen[key], want, seen)
		}
	}
}
