package bench_test

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"verge/client"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/native"
	"verge/internal/runtimes/onnxruntime"
	"verge/internal/worker"
	"verge/test/nodetest"
)

func selfPath(b *testing.B) string {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	return self
}

// BenchmarkStart is from the start of the process until the node answers, without
// a model; and what it takes then.
func BenchmarkStart(b *testing.B) {
	path := program(b)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	resident := 0.0
	for b.Loop() {
		b.StopTimer()
		cfg := nodetest.Settings(b)
		node, err := client.New("unix:" + cfg.UnixSocket)
		if err != nil {
			b.Fatal(err)
		}
		cmd := exec.Command(path, "serve", "--state-dir", cfg.StateDir, "--unix-socket", cfg.UnixSocket, "--http-address", "127.0.0.1:0", "--log-level", "error")
		b.StartTimer()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		for node.Ready(b.Context()) != nil {
			time.Sleep(200 * time.Microsecond) //nolint:forbidigo // the resolution of this figure
		}
		b.StopTimer()
		resident = residentMB(b, cmd.Process.Pid)
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		node.Close()
		b.StartTimer()
	}
	b.ReportMetric(resident, "resident-MB")
	b.ReportMetric(float64(info.Size())/(1<<20), "binary-MB")
}

// digits is the demo model in sealed memory.
func digits(b *testing.B) inference.Model {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(inferencetest.Root(b), "examples", "digits", "digits.onnx"))
	if err != nil {
		b.Fatal(err)
	}
	memory, err := native.NewReadOnlyMemory("digits", len(data), func(to []byte) error { copy(to, data); return nil })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { memory.Close() })
	return inference.Model{Name: "digits", Data: memory.Bytes(), FD: memory.FD()}
}

// BenchmarkLoad is from nothing to a session that is ready: in this process, where
// the library is open already, and in a worker that has to start and open it.
func BenchmarkLoad(b *testing.B) {
	library := inferencetest.Library(b, "onnxruntime")
	model := digits(b)
	load := func(b *testing.B, rt inference.Runtime) {
		b.Helper()
		for b.Loop() {
			session, err := rt.Load(b.Context(), model, inference.Options{Threads: 1, Parallel: 1})
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := session.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	}
	b.Run("in-process", func(b *testing.B) {
		rt, err := onnxruntime.Open(library, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		load(b, rt)
	})
	b.Run("worker", func(b *testing.B) {
		host, err := worker.NewHost(worker.Default(), worker.Launch{Argv: []string{selfPath(b), "worker"}}, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		defer host.Close()
		load(b, host.Runtime("onnxruntime", library))
	})
}

// BenchmarkMemory is what a node and the worker of the digits model take.
func BenchmarkMemory(b *testing.B) {
	n := startNode(b)
	idle := residentMB(b, n.pid)
	at := nodetest.At(b, n.client)
	spec, files := nodetest.Example(b, filepath.Join(inferencetest.Root(b), "examples", "digits", "deployment.json"))
	if d := at.Deploy(spec, files); d.Phase != client.PhaseCommitted {
		b.Fatalf("%+v", d.Error)
	}
	m, err := n.client.Model(b.Context(), "digits")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_ = residentMB(b, n.pid)
	}
	b.ReportMetric(idle, "node-idle-MB")
	b.ReportMetric(residentMB(b, n.pid), "node-serving-MB")
	b.ReportMetric(residentMB(b, m.Worker.PID), "worker-resident-MB")
	b.ReportMetric(float64(m.Worker.Memory.CurrentBytes)/(1<<20), "worker-private-MB")
}
