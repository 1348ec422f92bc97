package deploy_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"verge/client"
	"verge/internal/deploy"
	"verge/internal/deployfile"
	"verge/internal/device"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/modelfile"
	"verge/internal/tensor"
)

// loads is a behaviour whose loads fail for as long as there are errors left.
func loads(errs ...error) behaviour {
	return behaviour{load: func() error {
		if len(errs) == 0 {
			return nil
		}
		err := errs[0]
		errs = errs[1:]
		return err
	}}
}

const measured = `{"model":{"path":"m.onnx"},"deployment":{"optimization_level":2,"cpu_threads":1}}`

// died is what loading says of a model that is named twice.
func died() error {
	return &fault.Error{
		Kind: fault.Unavailable, Op: "worker.load", Subject: "m@1", Hint: "Mend it.",
		Err: &fault.Error{Kind: fault.Unavailable, Op: "fake.load", Subject: "model m@1", Err: fault.New(fault.Unavailable, "fake", "it died")},
	}
}

func TestWithoutAnswersOfTheReferenceNothingElseIsTaken(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.set(loads(died()))
	d := n.wait(n.submit(n.request(measured, "digits.onnx")).ID)
	const text = "preparing: m.onnx (fp32) in onnxruntime on cpu, 1 run of 1 thread, with whose answers those of other ways are compared: it died"
	if d.Phase != client.PhaseFailed || d.Error.Message != text || d.Error.Hint != "Mend it." || d.Error.Kind != "unavailable" || len(d.Verdicts) > 0 {
		t.Errorf("it ended %s: %+v, verdicts %v; want it failed with the reference", d.Phase, d.Error, d.Verdicts)
	}
}

func TestGoldenAnswersDoInPlaceOfTheReference(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.set(loads(died(), died()))
	req := n.request(strings.TrimSuffix(measured, "}")+`,"tests":{"functional_test":{"golden":"g.npz"}}}`, "digits.onnx")
	n.golden(req, map[string][]float32{"x": {1, 2, 3, 4}, "y": {1, 2, 3, 4}})
	d := n.wait(n.submit(req).ID)
	const warning = "the reference, m.onnx (fp32) in onnxruntime on cpu, 1 run of 1 thread, gave no answers, so that others were compared with the golden ones: it died"
	if d.Phase != client.PhaseCommitted || !slices.Contains(d.Warnings, warning) {
		t.Fatalf("it ended %s: %+v, warnings %q; want it committed, and %s", d.Phase, d.Error, d.Warnings, warning)
	}
	const taken, failed = "m.onnx (fp32) in openvino on cpu, 1 run of 1 thread: the fastest: ", "m.onnx (fp32) in onnxruntime on cpu, 1 run of 1 thread: it died"
	if got := d.Verdicts; !strings.HasPrefix(got[0].Detail, taken) || got[1].Detail != failed {
		t.Errorf("verdicts %q and %q, want %s and %s", got[0].Detail, got[1].Detail, taken, failed)
	}

	n.golden(req, map[string][]float32{"x": {1, 2, 3, 4}, "y": {9, 9, 9, 9}})
	n.set(loads(died()))
	d = n.wait(n.submit(req).ID)
	if d.Phase != client.PhaseFailed || !strings.Contains(d.Error.Message, `in openvino on cpu, 1 run of 1 thread: input 1: output "y" `) {
		t.Errorf("with other golden answers it ended %s: %+v; want every way refused", d.Phase, d.Error)
	}
}

// tried counts the ways that a deployment has tried.
func tried(d *client.Deployment) (n int) {
	for _, v := range d.Verdicts {
		if v.Gate == "choice" && !strings.Contains(v.Detail, "as measured on") {
			n++
		}
	}
	return n
}

func TestAChoiceIsRememberedAsLongAsItHolds(t *testing.T) {
	n := newNode(t, t.TempDir())
	deploy := func(b behaviour) *client.Deployment {
		n.set(b)
		return n.wait(n.submit(n.request(measured, "digits.onnx")).ID)
	}
	first := deploy(behaviour{})
	again := deploy(behaviour{})
	if first.Phase != client.PhaseCommitted || tried(first) != 2 || again.Phase != client.PhaseCommitted || tried(again) != 0 {
		t.Fatalf("first %s, %d tried; again %s, %d tried; want 2 and none", first.Phase, tried(first), again.Phase, tried(again))
	}

	d := deploy(loads(fault.New(fault.Unavailable, "fake.load", "it died").On("m@3")))
	if d.Phase != client.PhaseCommitted || tried(d) != 2 || len(d.Warnings) != 1 ||
		!strings.HasSuffix(d.Warnings[0], ", 1 run of 1 thread, which an earlier deployment has chosen, is chosen anew: it does not load: it died") {
		t.Fatalf("where it does not load any more: %s, %d tried, warnings %q, error %+v", d.Phase, tried(d), d.Warnings, d.Error)
	}
	if d = deploy(behaviour{}); tried(d) != 0 {
		t.Errorf("after that %d ways were tried, want the new choice remembered", tried(d))
	}

	d = deploy(behaviour{run: func(int) error { return fault.New(fault.Unavailable, "fake.run", "it died") }})
	if d.Phase != client.PhaseFailed || !strings.Contains(d.Error.Message, "with whose answers those of other ways are compared: it died") {
		t.Errorf("where nothing runs: %s: %+v; want the reference's failure", d.Phase, d.Error)
	}
	if d = deploy(behaviour{}); tried(d) != 2 {
		t.Errorf("after that %d ways were tried, want 2", tried(d))
	}
}

func TestAChoiceThatFailsItsGatesIsForgotten(t *testing.T) {
	n := newNode(t, t.TempDir())
	const limited = `{"model":{"path":"m.onnx"},"deployment":{"optimization_level":2,"cpu_threads":1,"memory_limit_mb":20}}`
	deploy := func(b behaviour) *client.Deployment {
		n.set(b)
		return n.wait(n.submit(n.request(limited, "digits.onnx")).ID)
	}
	const small, large = 10 << 20, 100 << 20
	loads := 0
	n.at = func(p client.Phase) {
		if p == client.PhaseLoading {
			if loads++; loads == 4 { // the candidate, after the reference and two ways
				n.set(behaviour{memory: large})
			}
		}
	}
	if d := deploy(behaviour{memory: small}); d.Phase != client.PhaseFailed || tried(d) != 2 {
		t.Fatalf("it ended %s: %+v, %d tried; want the memory gate to fail", d.Phase, d.Error, tried(d))
	}
	n.at = func(client.Phase) {}
	if d := deploy(behaviour{memory: small}); d.Phase != client.PhaseCommitted || tried(d) != 2 {
		t.Fatalf("it ended %s: %+v, %d tried; want nothing remembered of what failed", d.Phase, d.Error, tried(d))
	}
	if d := deploy(behaviour{memory: large}); d.Phase != client.PhaseFailed || tried(d) != 0 {
		t.Fatalf("it ended %s: %+v, %d tried; want the memory gate to fail", d.Phase, d.Error, tried(d))
	}
	if d := deploy(behaviour{memory: small}); d.Phase != client.PhaseCommitted || tried(d) != 2 {
		t.Errorf("it ended %s, %d tried; want 2", d.Phase, tried(d))
	}
}

func TestOnlyWhatTheRuntimeRefusesIsChosenAnew(t *testing.T) {
	n := newNode(t, t.TempDir())
	req := n.request(strings.TrimSuffix(measured, "}")+`,"tests":{"functional_test":{"golden":"g.npz"}}}`, "digits.onnx")
	n.golden(req, map[string][]float32{"x": {1, 2, 3, 4}, "y": {1, 2, 3, 4}})
	if d := n.wait(n.submit(req).ID); d.Phase != client.PhaseCommitted {
		t.Fatalf("it ended %s: %+v", d.Phase, d.Error)
	}
	n.set(behaviour{inputs: []inference.Spec{{Name: "z", DType: tensor.FP32, Shape: []int64{-1, 4}}}}) // the golden cases do not fit
	d := n.wait(n.submit(req).ID)
	if d.Phase != client.PhaseFailed || tried(d) != 0 || !strings.Contains(d.Error.Message, `golden: "x" is neither an input`) {
		t.Errorf("it ended %s: %+v, %d tried; want it failed without another choice", d.Phase, d.Error, tried(d))
	}
}

func TestWaysAreTriedInProcessesOfTheirOwn(t *testing.T) {
	n := newNode(t, t.TempDir())
	d := n.wait(n.submit(n.request(`{"isolation":"none",`+measured[1:], "digits.onnx")).ID)
	want := []string{"process", "process", "process", "none"} // the reference, two ways, and the candidate
	if d.Phase != client.PhaseCommitted || !slices.Equal(n.isolations, want) {
		t.Errorf("it ended %s: %+v, loaded in %q, want %q", d.Phase, d.Error, n.isolations, want)
	}
}

// accelerated is a machine with an accelerator of a kind, and a runtime that uses it.
type accelerated struct {
	machine

	kind, runtime string
}

func (m accelerated) Devices(kind string) (found []device.Accelerator, lookedFor []string) {
	if kind != m.kind {
		return nil, nil
	}
	return []device.Accelerator{{
		Kind: kind, Name: "It", Candidates: []device.Candidate{{Runtime: m.runtime, Provider: "P", Missing: []string{}}},
	}}, nil
}

func TestTheReferenceIsTheModelOnTheCPUWhereItRunsThere(t *testing.T) {
	engine := append([]byte("ftrt"), make([]byte, 1000)...)
	edgeTPU := tflitemodel.CustomOperator("edgetpu-custom-op", tensor.Uint8, 1)
	digits := model(t, "digits.onnx")
	for name, tt := range map[string]struct {
		keys    string
		model   []byte
		machine deploy.Machine
		want    string
		ways    int
	}{
		"the default runtime":       {"", digits, machine{cpus: 1}, "m (fp32) in onnxruntime on cpu, 1 run of 1 thread", 2},
		"the runtime that is named": {`,"runtime":"openvino"`, digits, machine{cpus: 1}, "m (fp32) in openvino on cpu, 1 run of 1 thread", 1},
		"on another device": {
			`,"device_type":"gpu"`, digits, accelerated{machine{cpus: 1}, "gpu", "openvino"}, "m (fp32) in onnxruntime on cpu, 1 run of 1 thread", 1,
		},
		"no device, and the CPU in its place": {
			`,"device_type":"gpu","fallback":"cpu"`, digits, machine{cpus: 1}, "m (fp32) in onnxruntime on cpu, 1 run of 1 thread", 2,
		},
		"no device, and nothing in its place": {
			`,"device_type":"gpu","fallback":"none"`, digits, machine{cpus: 1}, "m (fp32) in onnxruntime on cpu, 1 run of 1 thread", 0,
		},
		"an engine": {`,"device_type":"gpu"`, engine, accelerated{machine{cpus: 1}, "gpu", "tensorrt"}, "m () in tensorrt on gpu (P), 1 run of 1 thread", 1},
		"a model of the Edge TPU": {
			`,"device_type":"tpu"`, edgeTPU, accelerated{machine{cpus: 1}, "tpu", "tflite"}, "m (fp32) in tflite on tpu (P), 1 run of 1 thread", 1,
		},
	} {
		file, err := deployfile.Parse([]byte(`{"model":{"path":"m"},"deployment":{"optimization_level":2`+tt.keys+`}}`), "deployment.json")
		if err != nil {
			t.Fatal(err)
		}
		installed := func(string) (string, error) { return "1.20.0", nil }
		f := deploy.Check(file, modelfile.File{Bytes: bytes.NewReader(tt.model), Size: int64(len(tt.model))}, nil, tt.machine, installed)
		if f.Model == nil {
			t.Errorf("%s: %v", name, f.Problems)
			continue
		}
		p := f.Plan(file, tt.machine, installed)
		if got := p.Reference.String(); got != tt.want || len(p.Rungs) != 1 || len(p.Rungs[0]) != tt.ways {
			t.Errorf("%s: the reference is %s, ways %v; want %s, and %d ways", name, got, p.Rungs, tt.want, tt.ways)
		}
	}
}

func TestVariantsDoWhereTheRuntimeOfTheModelIsMissing(t *testing.T) {
	file, err := deployfile.Parse([]byte(`{"model":{"path":"m.onnx","variants":[{"path":"m.tflite"}]},"deployment":{"cpu_threads":1}}`), "d.json")
	if err != nil {
		t.Fatal(err)
	}
	only := func(runtime string) deploy.Libraries {
		return func(name string) (string, error) {
			if name != runtime {
				return "", fault.New(fault.NotFound, "test", "%s is not installed", name)
			}
			return "1.0.0", nil
		}
	}
	m := machine{cpus: 1, memory: 1 << 32}
	variants := []modelfile.File{look(tflitemodel.Join())}
	f := deploy.Check(file, look(model(t, "digits.onnx")), variants, m, only("litert"))
	p := f.Plan(file, m, only("litert"))
	const way = "m.tflite (fp32) in litert on cpu, 1 run of 1 thread"
	if len(f.Problems) > 0 || !slices.Contains(f.Warnings, "deployment.runtime: onnxruntime is not installed: model.path itself is not tried") ||
		len(p.Rungs[0]) != 1 || p.Rungs[0][0].String() != way || p.Reference.String() != way {
		t.Errorf("problems %v, warnings %q, ways %v, reference %s; want %s", f.Problems, f.Warnings, p.Rungs, p.Reference, way)
	}
	f = deploy.Check(file, look(model(t, "digits.onnx")), variants, m, only("tensorrt"))
	if len(f.Problems) != 1 || f.Problems[0].Message != "onnxruntime is not installed" {
		t.Errorf("with no runtime for any of them: %v", f.Problems)
	}
}
