package enemy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"verge/client"
	"verge/internal/config"
	"verge/internal/inference/inferencetest"
	"verge/test/nodetest"
)

// badly is a node on which models turn bad that say so: testdata/badlibrary.c.
func badly(t *testing.T) config.Config {
	t.Helper()
	nodetest.Require(t)
	source, err := os.ReadFile("testdata/badlibrary.c")
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("#define REAL %q\n", inferencetest.Library(t, "onnxruntime"))
	library := inferencetest.Compile(t, "libonnxruntime.so.9.9.9", path+string(source))
	settings := nodetest.Settings(t)
	settings.RuntimeDir = t.TempDir()
	folder := filepath.Join(settings.RuntimeDir, "onnxruntime", "9.9.9")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(library, filepath.Join(folder, filepath.Base(library))); err != nil {
		t.Fatal(err)
	}
	return settings
}

// bad is the model of plus that turns bad in a mode of the library, after what.
func bad(c float32, mode string, after any) []byte {
	m := plusModel(c)
	m.Metadata = map[string]string{"note": fmt.Sprintf("verge-bad:%s:%v:", mode, after)}
	return m.Encode()
}

// begin submits a deployment of a model, with a data set of its right answers.
func begin(t *testing.T, node *nodetest.Node, spec string, model []byte) string {
	t.Helper()
	return node.Begin(t.Context(), spec, map[string]string{"model": file(t, "m.onnx", model), "golden": file(t, "g.npz", golden(t))}).ID
}

// ended waits for the end of a deployment.
func ended(t *testing.T, node *nodetest.Node, id string) (d *client.Deployment) {
	t.Helper()
	nodetest.Wait(t, "the deployment ends", func() bool {
		var err error
		d, err = node.Deployment(t.Context(), id)
		return err == nil && d.Phase.Final()
	})
	return d
}

const badSpec = `{"name":"m","model":{"path":"m.onnx"},
	"deployment":{"cpu_threads":1,"batch_size":8,"max_latency_ms":150,"memory_limit_mb":256},
	"tests":{"performance_test":true,"functional_test":{"golden":"g.npz"},"load_test":true},
	"observe":{"duration":"30m","max_p95_ms":150,"max_memory_growth_mb":64}}`

func TestABadCandidateIsRefusedWithItsFigures(t *testing.T) {
	node := nodetest.Start(t, badly(t))
	deploy(t, node, "m", plus(1))
	w := watch(t, node, "m", 2, map[string]float32{"1": 1})
	before := worker(t, node, "m")
	there := file(t, "there", []byte("x"))
	for _, tt := range []struct {
		mode  string
		after any
		want  string
	}{
		{"noload", there, "loading: "},
		{"crash", 20, "gating: latency could not be measured: "}, // in the gate that asks it then
		{"fail", 0, "loading: warm up: "},
		{"slow", 10, "gating: latency is "},
		{"wrong", 30, "testing: functional is "}, // it begins as soon as the first gate has passed
		{"nan", 0, "gating: numbers is "},
		{"hog", 0, "gating: "}, // the gate of memory, or the control group where there is one
	} {
		t.Run(tt.mode, func(t *testing.T) {
			d := ended(t, node, begin(t, node, badSpec, bad(1, tt.mode, tt.after)))
			if d.Phase != client.PhaseFailed || !strings.HasPrefix(d.Error.Message, tt.want) || tt.mode == "hog" && !strings.Contains(d.Error.Message, "memory") {
				t.Errorf("it ended %s: %+v; want failed: %s", d.Phase, d.Error, tt.want)
			}
			t.Logf("%s: %+v", d.Phase, d.Error)
		})
	}
	w.end()
	if len(w.failed)+len(w.wrong) > 0 {
		t.Errorf("clients of the version that served: failed %v, wrong %.3q", w.failed, w.wrong)
	}
	if after := worker(t, node, "m"); after.PID != before.PID {
		t.Errorf("the worker that served is process %d now, was %d", after.PID, before.PID)
	}
	t.Logf("%d right answers meanwhile", w.right)
}

func TestAVersionThatTurnsBadGoesBackAndFailsNoRequest(t *testing.T) {
	const hidden = 3000 // runs: more than gates and tests make
	for _, tt := range []struct {
		mode  string
		wants string // in the reason
	}{
		{"crash", "its worker died once, the limit is 0"},
		{"fail", " requests failed, the limit is 5 %"},
		{"refuse", " requests failed, the limit is 5 %"},
		{"slow", " ms, the limit is 150 ms"},
		{"leak", " MB since it answered 20 requests, the limit is 64 MB"},
		{"nan", "NaN"}, // in what clients get, or to the known question: whichever is seen first
		{"wrong", `its answer to a known question changed: output "y"`},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			if testing.Short() && tt.mode != "crash" {
				t.Skip("the others are no other for the race detector")
			}
			node := nodetest.Start(t, badly(t))
			deploy(t, node, "m", plus(1))
			before := worker(t, node, "m")
			w := watch(t, node, "m", 4, map[string]float32{"1": 1, "2": 1})
			d := ended(t, node, begin(t, node, badSpec, bad(1, tt.mode, hidden)))
			answers := w.answers()
			nodetest.Wait(t, "the version before answers", func() bool { return w.answers() > answers+20 })
			w.end()
			if d.Phase != client.PhaseRolledBack || !strings.HasPrefix(d.Error.Message, "observing: m@2 was rolled back to version 1: ") || !strings.Contains(d.Error.Message, tt.wants) {
				t.Errorf("it ended %s: %+v; want it rolled back: %s", d.Phase, d.Error, tt.wants)
			}
			if len(w.failed) > 0 {
				t.Errorf("clients saw %v", w.failed)
			}
			if len(w.wrong) > 0 && tt.mode != "nan" && tt.mode != "wrong" {
				t.Errorf("%d answers were wrong: %.3q", len(w.wrong), w.wrong)
			}
			for _, answer := range w.wrong {
				if !strings.HasPrefix(answer, "version 2 ") {
					t.Errorf("%s", answer)
				}
			}
			if after := worker(t, node, "m"); after.PID != before.PID {
				t.Errorf("the worker that serves is process %d, want %d, which was kept", after.PID, before.PID)
			}
			t.Logf("%d right answers and %d wrong ones: %s", w.right, len(w.wrong), d.Error.Message)
		})
	}
}

func TestAVersionThatDoesNotLoadAgainGoesBack(t *testing.T) {
	settings := badly(t)
	node := nodetest.Start(t, settings)
	deploy(t, node, "m", plus(1))
	there := filepath.Join(t.TempDir(), "there")
	id := begin(t, node, badSpec, bad(1, "noload", there))
	nodetest.Wait(t, "it is observed", func() bool {
		d, err := node.Deployment(t.Context(), id)
		return err == nil && d.Phase == client.PhaseObserving
	})
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	node.Stop()
	node = nodetest.Start(t, settings)
	d := ended(t, node, id)
	if d.Phase != client.PhaseRolledBack || !strings.Contains(d.Error.Message, "it did not load after a start of the node: ") || !strings.Contains(d.Error.Message, "the file is of another kind") {
		t.Errorf("it ended %s: %+v", d.Phase, d.Error)
	}
	y, version, err := ask(t.Context(), node.Client, "m", "x", 3)
	if err != nil || version != "1" || y[0] != 4 {
		t.Errorf("version %s answers %v, %v", version, y, err)
	}
}

// golden is what plus(1) answers to one row.
func golden(t *testing.T) []byte {
	t.Helper()
	return inferencetest.NPZ(t, 4, map[string][]float32{"x": {1, 2, 3, 4}, "y": {2, 3, 4, 5}})
}
