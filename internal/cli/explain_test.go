package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/tensor"
)

// withRuntimes is a runtime directory with files that are named as libraries are:
// whoever only looks for them opens none.
func withRuntimes(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		write(t, dir, name, read(t, library(t)+"/onnxruntime/1.30.0/libonnxruntime.so.1.30.0"))
	}
	return dir
}

func TestExplainFollowsTheMachine(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "digits.onnx", read(t, examples+"digits.onnx"))
	write(t, dir, "join.tflite", tflitemodel.Join())
	write(t, dir, "edgetpu.tflite", tflitemodel.CustomOperator("edgetpu-custom-op", tensor.Uint8, 1))
	three := withRuntimes(t, "onnxruntime/1.30.0/libonnxruntime.so.1.30.0", "litert/2.3.0/libLiteRt.so.2.3.0", "openvino/2026.4.1/libopenvino_c.so.2026.4.1")
	const small = `"memory_limit_mb": 1, "cpu_threads": 1`
	var all strings.Builder
	for _, tt := range []struct{ machine, spec, runtimes string }{
		{"intelnpu", `{"model":{"path":"join.tflite"},"deployment":{` + small + `}}`, three},
		{"intelnpu", `{"model":{"path":"join.tflite"},"deployment":{"runtime":"openvino","device_type":"npu",` + small + `}}`, three},
		{"intelnpu", `{"model":{"path":"digits.onnx"},"deployment":{"device_type":"tpu",` + small + `}}`, three},
		{"pc", `{"model":{"path":"join.tflite"},"deployment":{"device_type":"embedded","optimization_level":0,"memory_limit_mb":1}}`, three},
		{"pc", `{"model":{"path":"join.tflite"},"deployment":{` + small + `}}`, t.TempDir()},
		{"pc", `{"model":{"path":"join.tflite","format":"onnx"},"deployment":{"device_type":"npu","fallback":"cpu",` + small + `}}`, three},
		{"pc", `{"model":{"path":"digits.onnx"},"deployment":{"ladder":["gpu","cpu"],` + small + `}}`, three},
		{"coralusb", `{"model":{"path":"edgetpu.tflite"},"deployment":{"device_type":"tpu",` + small + `}}`, three},
	} {
		path := write(t, dir, "spec.json", []byte(tt.spec))
		r := verge(t, "explain", path, "--root", machines+tt.machine, "--runtime-dir", tt.runtimes)
		all.WriteString(tt.machine + " " + tt.spec + "\n" + strings.NewReplacer(tt.runtimes, "RUNTIMES", dir, "DIR").Replace(r.transcript()) + "\n")
	}
	golden(t, "explain", all.String())
}

func TestExplainTellsProgramsTheSame(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "join.tflite", tflitemodel.Join())
	path := write(t, dir, "spec.json", []byte(`{"model":{"path":"join.tflite"}}`))
	r := verge(t, "explain", path, "--json", "--root", machines+"intelnpu", "--runtime-dir", withRuntimes(t, "litert/2.3.0/libLiteRt.so.2.3.0"))
	var got struct {
		Model        string
		Runtime      struct{ Taken, Why string }
		Alternatives []struct {
			Runtime, Device string
			Missing         []string
		}
	}
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || got.Model != "join" || got.Runtime.Taken != "litert 2.3.0" {
		t.Fatalf("%v: %s", err, r.transcript())
	}
	for _, a := range got.Alternatives {
		if a.Runtime == "openvino" && a.Device == "Meteor Lake NPU" {
			if want := "openvino is not installed"; len(a.Missing) == 0 || a.Missing[0] != want {
				t.Errorf("the NPU lacks %q, want %q", a.Missing, want)
			}
			return
		}
	}
	t.Errorf("no NPU among the alternatives: %s", r.out)
}

func TestExplainOfAModelThatCannotBeReadSaysWhy(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "broken.tflite", tflitemodel.Join()[:100])
	path := write(t, dir, "spec.json", []byte(`{"model":{"path":"broken.tflite"},"deployment":{"memory_limit_mb":1,"cpu_threads":1}}`))
	r := verge(t, "explain", path)
	if !strings.Contains(r.out, "\nformat   none: the model cannot be read: at byte ") || !strings.Contains(r.out, "\nproblem  model.path: at byte ") || r.status != 0 {
		t.Errorf("%s", r.transcript())
	}
	verge(t, "explain", path, "--root", "/nowhere").want(t, 1, "", "verge: /nowhere: it is no folder\nHint: Name the root folder of a machine with --root.\n")
}
