package deployment_test

import (
	"slices"
	"strings"
	"testing"

	"verge/client"
	"verge/internal/inference/inferencetest"
	"verge/test/nodetest"
)

// choices are the details of a deployment's verdicts on ways to run the model, with
// their outcomes.
func choices(d *client.Deployment) (all []string) {
	for _, v := range d.Verdicts {
		if v.Gate == "choice" {
			all = append(all, string(v.Outcome)+" "+v.Detail)
		}
	}
	return all
}

// allFormats are files for a deployment of digits with both other formats as variants.
func allFormats(t *testing.T, spec string) (string, map[string]string) {
	t.Helper()
	for _, runtime := range formats {
		inferencetest.Library(t, runtime)
	}
	inferencetest.Library(t, "tflite")
	return spec, map[string]string{
		"model": digits + "digits.onnx", "golden": digits + "golden.npz",
		"variants.0": digits + "digits.tflite", "variants.1": digits + "digits.xml", "variants.1.weights": digits + "digits.bin",
	}
}

const withVariants = `"model":{"path":"digits.onnx","variants":[{"path":"digits.tflite"},{"path":"digits.xml"}]},"tests":{"performance_test":false,"functional_test":{"golden":"golden.npz"}}`

func TestAMeasuringLevelTakesTheFastestWayAndRemembersIt(t *testing.T) {
	spec, files := allFormats(t, `{"name":"digits",`+withVariants+`,"deployment":{"optimization_level":2,"cpu_threads":2,"max_latency_ms":30000}}`)
	settings := nodetest.Settings(t)
	node := nodetest.Start(t, settings)
	d := node.Deploy(spec, files)
	committed(t, d)
	got := choices(d)
	// Three files, of which ONNX runs in two runtimes, TFLite in three, the IR in one; threads in two shapes.
	if want := 2 * (2 + 3 + 1); len(got) != want || !strings.HasPrefix(got[0], "pass ") || !strings.Contains(got[0], " of the fastest: ") && !strings.Contains(got[0], ": the fastest: ") {
		t.Errorf("%d ways were told, want %d, the fastest first:\n%s", len(got), want, strings.Join(got, "\n"))
	}
	for _, c := range got {
		if strings.HasPrefix(c, "fail ") {
			t.Errorf("a way failed: %s", c)
		}
	}
	taken, _, _ := strings.Cut(strings.TrimPrefix(got[0], "pass "), ": the ")
	m, err := node.Model(t.Context(), "digits")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(taken, " in "+m.ModelInfo.Runtime+" on cpu, ") {
		t.Errorf("%s was taken, and %s serves", taken, m.ModelInfo.Runtime)
	}
	if right, asked := accuracy(t, node.Client, "digits"); right*100 < asked*98 {
		t.Errorf("%d of %d pictures were read right, want 98 of 100", right, asked)
	}

	again := node.Deploy(spec, files)
	committed(t, again)
	if got := choices(again); len(got) != 1 || !strings.HasPrefix(got[0], "pass "+taken+", as measured on ") {
		t.Errorf("a second deployment says %q, want %s, as measured", got, taken)
	}
	other := node.Deploy(strings.Replace(spec, `"cpu_threads":2`, `"cpu_threads":1`, 1), files)
	committed(t, other)
	if got := choices(other); len(got) != 6 {
		t.Errorf("with another budget of threads %d ways were told, want 6: %q", len(got), got)
	}

	node.Stop()
	node = nodetest.Start(t, settings)
	nodetest.Wait(t, "digits serves again", func() bool { return node.ModelReady(t.Context(), "digits", "") == nil })
	if right, asked := accuracy(t, node.Client, "digits"); right*100 < asked*98 {
		t.Errorf("after a restart, %d of %d pictures were read right, want 98 of 100", right, asked)
	}
}

func TestALadderTakesItsFirstRungThatThisDeviceHas(t *testing.T) {
	spec, files := allFormats(t, `{"name":"digits",`+withVariants+`,"deployment":{"ladder":["npu","gpu fp16","cpu int8","cpu fp32"],"cpu_threads":1,"max_latency_ms":30000}}`)
	node := nodetest.Start(t, nodetest.Settings(t))
	d := node.Deploy(spec, files)
	committed(t, d)
	want := []string{
		"pass digits.onnx (fp32) in onnxruntime on cpu, 1 run of 1 thread: the first that will do: ",
		"skipped digits.tflite (fp32) in litert on cpu, 1 run of 1 thread: one before it was taken",
		"skipped digits.xml (fp32) in openvino on cpu, 1 run of 1 thread: one before it was taken",
	}
	got := choices(d)
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("choices:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAVariantOfAnotherModelIsNotTaken(t *testing.T) {
	inferencetest.Library(t, "onnxruntime")
	node := nodetest.Start(t, nodetest.Settings(t))
	const spec = `{"name":"digits","model":{"path":"digits.onnx","variants":[{"path":"digits-bad.onnx"}]},"tests":{"performance_test":false},` +
		`"deployment":{"optimization_level":2,"cpu_threads":1,"max_latency_ms":30000,"runtime":"onnxruntime"}}`
	d := node.Deploy(spec, map[string]string{"model": digits + "digits.onnx", "variants.0": digits + "digits-bad.onnx"})
	committed(t, d)
	got := choices(d)
	if len(got) != 2 || !strings.HasPrefix(got[0], "pass digits.onnx ") || !strings.HasPrefix(got[1], `fail digits-bad.onnx (fp32) in onnxruntime on cpu, 1 run of 1 thread: input 0: output "probabilities" `) {
		t.Errorf("choices:\n%s\nwant digits.onnx taken, and digits-bad.onnx to be of another opinion", strings.Join(got, "\n"))
	}
}

func TestALadderThatFitsNothingIsRefused(t *testing.T) {
	inferencetest.Library(t, "onnxruntime")
	node := nodetest.Start(t, nodetest.Settings(t))
	d := node.Deploy(`{"name":"digits","model":{"path":"digits.onnx"},"deployment":{"ladder":["cpu int8"],"cpu_threads":1}}`, map[string]string{"model": digits + "digits.onnx"})
	if d.Phase != client.PhaseFailed || d.Error == nil || d.Error.Message != "checking: deployment.ladder: no rung fits: cpu int8: no file is int8, digits.onnx is fp32" {
		t.Errorf("it ended as %s: %+v; want it refused before anything is loaded", d.Phase, d.Error)
	}
}

func TestProvidersAreThoseThatTheFileNames(t *testing.T) {
	inferencetest.Library(t, "onnxruntime")
	node := nodetest.Start(t, nodetest.Settings(t))
	for name, tt := range map[string]struct {
		deployment string
		requested  []string
		fallback   string // in the status; "" for none
		failure    string // of the deployment; "" for none
	}{
		"one": {`"providers":["CPUExecutionProvider"]`, []string{"CPUExecutionProvider"}, "", ""},
		"one that is not there": {
			`"providers":["CUDAExecutionProvider",{"name":"CPUExecutionProvider"}]`,
			[]string{"CUDAExecutionProvider", "CPUExecutionProvider"},
			"provider CUDAExecutionProvider: ONNX Runtime 1.30.0 has ", "",
		},
		"measured": {`"optimization_level":2,"providers":["CPUExecutionProvider"]`, []string{"CPUExecutionProvider"}, "", ""},
		"none but that": {
			`"fallback":"none","providers":["CUDAExecutionProvider"]`, nil, "", "provider CUDAExecutionProvider: ONNX Runtime 1.30.0 has ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := node.Deploy(`{"name":"digits","model":{"path":"digits.onnx"},"deployment":{"max_latency_ms":30000,`+tt.deployment+`}}`, map[string]string{"model": digits + "digits.onnx"})
			if tt.failure != "" {
				if d.Error == nil || !strings.Contains(d.Error.Message, tt.failure) {
					t.Errorf("the deployment ended with %+v, want %s", d.Error, tt.failure)
				}
				return
			}
			committed(t, d)
			m, err := node.Model(t.Context(), "digits")
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(m.ModelInfo.ProvidersRequested, tt.requested) || !strings.HasPrefix(strings.Join(m.ModelInfo.Fallbacks, "; "), tt.fallback) || (tt.fallback == "") != (len(m.ModelInfo.Fallbacks) == 0) {
				t.Errorf("providers %q were asked for, fallbacks %q; want %q and %q", m.ModelInfo.ProvidersRequested, m.ModelInfo.Fallbacks, tt.requested, tt.fallback)
			}
		})
	}
}
