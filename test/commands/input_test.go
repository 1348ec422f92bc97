package commands_test

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
	"verge/test/nodetest"
)

// affine is a model with weights: y = x + w, 64 numbers each.
func affine() []byte {
	const numbers, width = 64, 4
	weights := make([]byte, numbers*width)
	for i := range numbers {
		binary.LittleEndian.PutUint32(weights[i*width:], uint32(i)<<23)
	}
	return onnxmodel.Model{
		Nodes:        []onnxmodel.Node{{Op: "Add", Inputs: []string{"x", "w"}, Outputs: []string{"y"}}},
		Initializers: []tensor.Tensor{{Name: "w", DType: tensor.FP32, Shape: []int64{numbers}, Data: weights}},
		Inputs:       []onnxmodel.Value{{Name: "x", DType: tensor.FP32, Shape: []any{numbers}}},
		Outputs:      []onnxmodel.Value{{Name: "y", DType: tensor.FP32, Shape: []any{numbers}}},
	}.Encode()
}

const (
	schemaHint = `Hint: "verge check --schema" prints every key with its range.`
	again      = "Hint: Copy or export the model again; the file is damaged or was cut off."
	pathsHint  = "Hint: Paths on the command line count from here (DIR), those in a deployment file from its folder."
	tooFew     = "Hint: Give an ONNX or TensorFlow Lite file, the .xml of an OpenVINO model, or a TensorRT engine. If this is one, it is damaged or was cut off: copy or export it again."
)

func TestAFileThatCannotBeReadIsToldBeforeANodeIsAsked(t *testing.T) {
	p := newPlace(t) // no node runs
	if err := os.Mkdir(p.path("folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.write("empty.json", nil)
	p.write("empty.onnx", nil)
	p.write("m.onnx", affine())
	for name, test := range map[string]struct {
		file string // what x.json holds; "" where args name another
		args []string
		want []string
	}{
		"no deployment file":   {args: []string{"nothing.json"}, want: []string{"nothing.json: no such file", pathsHint}},
		"a directory":          {args: []string{"folder"}, want: []string{"folder: is a directory, want a file", "Hint: Name a file in it."}},
		"an empty file":        {args: []string{"empty.json"}, want: []string{"empty.json: the file is empty", "Hint: Copy or export it again."}},
		"no model":             {file: `{"model":{"path":"no.onnx"}}`, want: []string{"x.json: 1 problem", "  model.path: no.onnx: no such file", pathsHint}},
		"a model that is none": {file: `{"model":{"path":"folder"}}`, want: []string{"x.json: 1 problem", "  model.path: folder: is a directory, want a file", "Hint: Name a file in it."}},
		"an empty model":       {file: `{"model":{"path":"empty.onnx"}}`, want: []string{"x.json: 1 problem", "  model.path: empty.onnx: the file is empty", "Hint: Copy or export it again."}},
		"neither JSON nor YAML": {file: "{\n", want: []string{
			"x.json: 1 problem", "  line 2: neither JSON nor YAML: did not find expected node content", schemaHint,
		}},
		"misspelt keys, wrong types and ranges": {
			file: "{\n\"modle\":{\"path\":\"m.onnx\"},\n\"deployment\":{\"max_latency\":3,\n\"cpu_threads\":\"two\",\n\"memory_limit_mb\":0}}",
			want: []string{
				"x.json: 5 problems", "  line 1: model: is missing", `  line 2: unknown key "modle"; did you mean model?`,
				`  line 3: deployment: unknown key "max_latency"; did you mean max_latency_ms?`,
				`  line 4: deployment.cpu_threads: is "two", want a whole number from 0 to 1024`,
				"  line 5: deployment.memory_limit_mb: is 0, want a whole number from 1 to 1048576", schemaHint,
			},
		},
		"an unknown package": {
			file: `{"model":{"path":"m.onnx"},"required_packages":["torch"]}`,
			want: []string{
				"x.json: 1 problem", `  line 1: required_packages[0]: unknown package "torch"; known are ai-edge-litert, numpy, onnxruntime, ` +
					"onnxruntime-gpu, opencv-python, openvino, pillow, psutil, pycoral, pycuda, tensorflow, tensorrt, tflite-runtime; " +
					"--ignore-package torch leaves it out", schemaHint,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in, args := p.in(t), test.args
			if args == nil {
				in.write("x.json", []byte(test.file))
				args = []string{"x.json"}
			}
			want := outcome{Status: 1, Errors: "verge: " + strings.Join(test.want, "\n") + "\n"}
			in.expect(want, append([]string{"deploy"}, args...)...)
			in.expect(want, append([]string{"run"}, args...)...)
			in.expect(want, append([]string{"check"}, args...)...)
		})
	}
	if _, err := os.Lstat(p.path("state")); !os.IsNotExist(err) {
		t.Errorf("a state directory was made (%v)", err)
	}
}

func TestAFileThatMayNotBeReadIsTold(t *testing.T) {
	needRoot(t, "it runs the program as another user")
	p := newPlace(t)
	p.user = nobody()
	p.write("x.json", []byte(`{"model":{"path":"m.onnx"}}`))
	p.write("m.onnx", affine())
	if err := os.Chmod(p.path("m.onnx"), 0); err != nil {
		t.Fatal(err)
	}
	const hint = "Hint: Make it readable for this user."
	p.expect(refused("verge: x.json: 1 problem", "  model.path: m.onnx: permission denied", hint), "deploy", "x.json")
	p.expect(refused("verge: m.onnx: permission denied", hint), "inspect", "m.onnx")
	if err := os.Chmod(p.path("x.json"), 0); err != nil {
		t.Fatal(err)
	}
	p.expect(refused("verge: x.json: permission denied", hint), "deploy", "x.json")
}

// expectFailed deploys model bytes, and compares why the node refused them.
func (p *place) expectFailed(want ...string) {
	p.t.Helper()
	got := p.run("deploy", "x.json")
	first, rest, _ := strings.Cut(got.Errors, "\n")
	if got.Status != 1 || !strings.HasPrefix(first, "verge: x@") || !strings.HasSuffix(first, " was not deployed") ||
		rest != strings.Join(want, "\n")+"\n" || !strings.Contains(got.Out, "✗ checking") {
		p.t.Errorf("got %+v, want %q", got, want)
	}
}

func TestAModelThatCannotBeServedIsRefusedInChecking(t *testing.T) {
	p := newPlace(t)
	n := p.serve()
	tflite := append([]byte("\x1c\x00\x00\x00TFL3"), make([]byte, 24)...)
	whole := affine()
	for name, test := range map[string]struct {
		file  string
		model []byte
		want  []string
	}{
		"the format contradicts the bytes": {
			`{"name":"x","model":{"path":"m","format":"tflite"}}`, whole,
			[]string{"  model.format: the file says tflite, but the bytes are onnx", "Hint: Correct model.format, or leave it out."},
		},
		"text": {
			`{"name":"x","model":{"path":"m"}}`, []byte("zero\none\ntwo\nthree\nfour\n"),
			[]string{"  model.path: the file is a text file, not a model that can be served", "Hint: Give the model file itself."},
		},
		"TensorFlow Lite, of which only the head is right": {
			`{"name":"x","model":{"path":"m"}}`, tflite,
			[]string{"  model.path: at byte 28: the vtable of a Model has 0 bytes, which is not possible", "Hint: Copy or convert the model again; the file is damaged or was cut off."},
		},
		"more memory than is free": {
			`{"name":"x","model":{"path":"m"},"deployment":{"memory_limit_mb":1048576}}`, whole,
			[]string{"  deployment.memory_limit_mb: 1048576 MB must be free before the load, FREE MB are", "Hint: Lower the limit, undeploy a model that is no longer needed, or, to replace a version that serves, set deployment.strategy to stop-then-start."},
		},
		"a package that is too old": {
			`{"name":"x","model":{"path":"m"},"required_packages":["onnxruntime>=99"]}`, whole,
			[]string{"  required_packages[0]: onnxruntime>=99 wants >=99, onnxruntime VERSION is installed", "Hint: Install a version that fits, or change required_packages."},
		},
		"1 byte": {`{"name":"x","model":{"path":"m"}}`, whole[:1], []string{"  model.path: a file of 1 B is too small for a model", tooFew}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "more memory than is free" || strings.HasPrefix(name, "a package") {
				nodetest.Require(t) // else that is told instead
			}
			in := p.in(t)
			in.write("x.json", []byte(test.file))
			in.write("m", test.model)
			in.expectFailed(test.want...)
		})
	}
	for size := 16; size < len(whole); size += len(whole) / 8 {
		p.write("x.json", []byte(`{"name":"x","model":{"path":"m"}}`))
		p.write("m", whole[:size])
		if got := p.run("deploy", "x.json"); got.Status != 1 || !strings.Contains(got.Errors, "claims ") || !strings.HasSuffix(got.Errors, again+"\n") {
			t.Errorf("%d of %d bytes: %+v, want that the file was cut off", size, len(whole), got)
		}
	}
	if models, err := n.Models(t.Context()); err != nil || len(models) > 0 {
		t.Errorf("models %+v (%v), want none", models, err)
	}
	n.stop()
}

func TestAMissingRuntimeIsToldWithItsCure(t *testing.T) {
	p := newPlace(t)
	p.environ = append(p.environ, "VERGE_RUNTIME_DIR="+p.path("none"))
	p.write("x.json", []byte(`{"name":"x","model":{"path":"m"},"required_packages":["onnxruntime"]}`))
	p.write("m", affine())
	n := p.serve()
	got := p.run("deploy", "x.json")
	if got.Status == 0 {
		t.Skip("needs a machine without an ONNX Runtime of the system")
	}
	const first = "verge: x@1 was not deployed\n  required_packages[0]: onnxruntime is not here: runtime onnxruntime: it is not installed (looked in DIR/none, "
	const last = ")\nHint: Run: verge runtime install onnxruntime\n"
	if got.Status != 1 || !strings.HasPrefix(got.Errors, first) || !strings.HasSuffix(got.Errors, last) {
		t.Errorf("got %+v, want %q and %q", got, first, last)
	}
	n.stop()
}

func TestASlowModelIsRefusedWithItsFigures(t *testing.T) {
	nodetest.Require(t)
	p := newPlace(t)
	p.example("digits.onnx", "digits-slow.onnx", "labels.txt", "deployment-slow.json")
	p.write("fast.json", []byte(fast))
	n := p.serve()
	p.deploys("fast.json")
	before := n.model("digits").Worker.PID
	got := p.run("deploy", "deployment-slow.json")
	want := outcome{Status: 1, Errors: "verge: digits@2 was not deployed; digits@1 serves as before\n" +
		"  gating: latency is N ms, the limit is N ms (p95 of 20 runs; mean N ms)\n" +
		"Hint: Deploy a faster model, or raise deployment.max_latency_ms.\n"}
	got.Errors = figures(got.Errors)
	if got.Status != want.Status || got.Errors != want.Errors || !strings.Contains(got.Out, "✗ gating") {
		t.Errorf("got %+v, want %+v", got, want)
	}
	p.only(n.cmd.Process.Pid, before)
	n.stop()
}
