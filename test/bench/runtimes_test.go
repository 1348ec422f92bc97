package bench_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"verge/client"
	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/inference/inferencetest"
	"verge/internal/native"
	"verge/internal/runtimes/litert"
	"verge/internal/runtimes/onnxruntime"
	"verge/internal/runtimes/openvino"
	"verge/internal/tensor"
	"verge/internal/worker"
	"verge/test/nodetest"
)

// way is a model in a runtime. Its files are below examples.
type way struct{ model, runtime, file, weights string }

// ways are the digits model and the larger one, in each runtime that has it.
var ways = []way{
	{"digits", onnxruntime.Name, "digits/digits.onnx", ""},
	{"digits", litert.Name, "digits/digits.tflite", ""},
	{"digits", litert.ClassicName, "digits/digits.tflite", ""},
	{"digits", openvino.Name, "digits/digits.xml", "digits/digits.bin"},
	{"mid", onnxruntime.Name, "mid/mid.onnx", ""},
	{"mid", litert.Name, "mid/mid.tflite", ""},
	{"mid", litert.ClassicName, "mid/mid.tflite", ""},
	{"mid", openvino.Name, "mid/mid.onnx", ""},
}

func (w way) String() string { return w.model + "/" + w.runtime }

// opened opens the library of a runtime in this process.
func opened(runtime, library string) (inference.Runtime, error) {
	log := slog.New(slog.DiscardHandler)
	switch runtime {
	case onnxruntime.Name:
		return onnxruntime.Open(library, log)
	case openvino.Name:
		return openvino.Open(library, log)
	}
	return litert.Open(library, log)
}

// source reads the model, as bytes of this process.
func (w way) source(root string) (inference.Model, error) {
	data, err := os.ReadFile(filepath.Join(root, "examples", w.file))
	if err != nil {
		return inference.Model{}, err
	}
	m := inference.Model{Name: w.model, Data: data, FD: -1}
	if w.weights != "" {
		weights, err := os.ReadFile(filepath.Join(root, "examples", w.weights))
		if err != nil {
			return inference.Model{}, err
		}
		m.Weights = &inference.Memory{Data: weights, FD: -1}
	}
	return m, nil
}

// sealed is source, in memory files, as a node hands a model to a worker.
func (w way) sealed(b *testing.B) inference.Model {
	b.Helper()
	m, err := w.source(inferencetest.Root(b))
	if err != nil {
		b.Fatal(err)
	}
	seal := func(data []byte) *native.Memory {
		memory, err := native.NewReadOnlyMemory(w.model, len(data), func(to []byte) error { copy(to, data); return nil })
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { memory.Close() })
		return memory
	}
	memory := seal(m.Data)
	m.Data, m.FD = memory.Bytes(), memory.FD()
	if m.Weights != nil {
		memory = seal(m.Weights.Data)
		m.Weights = &inference.Memory{Data: memory.Bytes(), FD: memory.FD()}
	}
	return m
}

// zeros are inputs for a session, with 1 for each open dimension.
func zeros(g inference.Signature) []tensor.Tensor {
	var inputs []tensor.Tensor
	for _, spec := range g.Inputs {
		t := tensor.Tensor{Name: spec.Name, DType: spec.DType}
		for _, n := range spec.Shape {
			t.Shape = append(t.Shape, max(n, 1))
		}
		size, _ := tensor.ByteSize(t.DType, t.Shape)
		t.Data = make([]byte, size)
		inputs = append(inputs, t)
	}
	return inputs
}

// use runs a session once, in a slot of its own.
func use(ctx context.Context, session inference.Session) error {
	const most = 64 << 20
	memory := arena.New("bench", most, most)
	defer memory.Close()
	slot, err := session.NewSlot(memory)
	if err != nil {
		return err
	}
	defer slot.Close()
	_, err = inference.Run(ctx, session.Signature(), slot, zeros(session.Signature()))
	return err
}

// bare is a process that does nothing but load a model and run it once. It prints how
// long the load took, in ms, and waits for its input to end.
func bare(root, runtime, library, model string) error {
	at := slices.IndexFunc(ways, func(w way) bool { return w.runtime == runtime && w.model == model })
	m, err := ways[at].source(root)
	if err != nil {
		return err
	}
	begin := time.Now()
	rt, err := opened(runtime, library)
	if err != nil {
		return err
	}
	session, err := rt.Load(context.Background(), m, inference.Options{Threads: 1, OptimizationLevel: 1})
	if err != nil {
		return err
	}
	took := time.Since(begin)
	if err = use(context.Background(), session); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, took.Seconds()*1000)
	_, err = bufio.NewReader(os.Stdin).ReadByte()
	return err
}

// footprint reads a process's memory from proc_pid_status(5), in MB of 2^20 bytes.
func footprint(b *testing.B, pid int) (peak, anonymous float64) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		switch {
		case err != nil:
		case key == "VmHWM":
			peak = kib / 1024
		case key == "RssAnon":
			anonymous = kib / 1024
		}
	}
	return peak, anonymous
}

// proportional reads a process's share of the memory that it maps, Pss of
// proc_pid_smaps_rollup, in MB of 2^20 bytes.
func proportional(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "Pss:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib / 1024
		}
	}
	b.Fatal("smaps_rollup has no Pss")
	return 0
}

// BenchmarkLibraryAlone is a process that loads a model and runs it once: the time of
// the load, with opening the library, and its memory.
func BenchmarkLibraryAlone(b *testing.B) {
	self := selfPath(b)
	for _, w := range ways {
		b.Run(w.String(), func(b *testing.B) {
			library := inferencetest.Library(b, w.runtime)
			var took, peak, anonymous float64
			for b.Loop() {
				cmd := exec.Command(self, "bare", inferencetest.Root(b), w.runtime, library, w.model)
				in, err := cmd.StdinPipe()
				if err != nil {
					b.Fatal(err)
				}
				out, err := cmd.StdoutPipe()
				if err != nil {
					b.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					b.Fatal(err)
				}
				if _, err := fmt.Fscan(out, &took); err != nil {
					b.Fatal(err)
				}
				peak, anonymous = footprint(b, cmd.Process.Pid)
				in.Close()
				_ = cmd.Wait()
			}
			b.ReportMetric(took, "load-ms")
			b.ReportMetric(peak, "peak-MB")
			b.ReportMetric(anonymous, "private-MB")
		})
	}
}

// newHost is a host of workers with a cache for what runtimes prepare.
func newHost(b *testing.B) *worker.Host {
	b.Helper()
	host, err := worker.NewHost(worker.Default(), worker.Launch{Argv: []string{selfPath(b), "worker"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { host.Close() })
	return host
}

// BenchmarkLibraryInWorker is the same through a worker: the time from nothing to a
// session that is ready, and the worker's memory after a run. Where the runtime keeps
// what it prepared of the model, the first load has made that.
func BenchmarkLibraryInWorker(b *testing.B) {
	for _, w := range ways {
		b.Run(w.String(), func(b *testing.B) {
			rt := newHost(b).Runtime(w.runtime, inferencetest.Library(b, w.runtime))
			model, o := w.sealed(b), inference.Options{Threads: 1, OptimizationLevel: 1, Cache: b.TempDir()}
			load := func() (*worker.Session, time.Duration) {
				begin := time.Now()
				session, err := rt.Load(b.Context(), model, o)
				if err != nil {
					b.Fatal(err)
				}
				took := time.Since(begin)
				if err := use(b.Context(), session); err != nil {
					b.Fatal(err)
				}
				return session.(*worker.Session), took
			}
			first, _ := load()
			first.Close()
			var took []time.Duration
			var peak, anonymous float64
			for b.Loop() {
				session, t := load()
				took = append(took, t)
				peak, anonymous = footprint(b, session.Status().PID)
				session.Close()
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1000, "load-ms")
			b.ReportMetric(peak, "peak-MB")
			b.ReportMetric(anonymous, "private-MB")
		})
	}
}

// BenchmarkWorkerMemory is the memory of one worker of the larger model in which 1, 2
// and 4 requests were computed at the same time, and of four workers of it.
func BenchmarkWorkerMemory(b *testing.B) {
	load := func(b *testing.B, w way, cache string, parallel int) *worker.Session {
		b.Helper()
		session, err := newHost(b).Runtime(w.runtime, inferencetest.Library(b, w.runtime)).
			Load(b.Context(), w.sealed(b), inference.Options{Threads: 1, Parallel: parallel, OptimizationLevel: 1, Cache: cache})
		if err != nil {
			b.Fatal(err)
		}
		var group sync.WaitGroup
		for range parallel {
			group.Go(func() {
				for range 20 {
					if err := use(b.Context(), session); err != nil {
						b.Error(err)
					}
				}
			})
		}
		group.Wait()
		return session.(*worker.Session)
	}
	for _, w := range ways {
		if w.model != "mid" {
			continue
		}
		for _, kept := range []bool{false, true} {
			name := map[bool]string{false: w.runtime, true: w.runtime + ",kept"}[kept]
			cache := func(b *testing.B) string {
				b.Helper()
				if !kept {
					return ""
				}
				dir := b.TempDir()
				load(b, w, dir, 1).Close()
				return dir
			}
			for _, parallel := range []int{1, 2, 4} {
				b.Run(fmt.Sprintf("%s/%d-at-a-time", name, parallel), func(b *testing.B) {
					session := load(b, w, cache(b), parallel)
					defer session.Close()
					peak, anonymous := footprint(b, session.Status().PID)
					for b.Loop() {
						_ = session.Status()
					}
					b.ReportMetric(peak, "peak-MB")
					b.ReportMetric(anonymous, "private-MB")
				})
			}
			b.Run(name+"/4-workers", func(b *testing.B) {
				dir := cache(b)
				sum := 0.0
				var all []*worker.Session
				for range 4 {
					session := load(b, w, dir, 1)
					defer session.Close()
					all = append(all, session)
				}
				for _, session := range all {
					sum += proportional(b, session.Status().PID)
				}
				for b.Loop() {
					_ = all[0].Status()
				}
				b.ReportMetric(sum, "sum-of-Pss-MB")
			})
		}
	}
}

// BenchmarkAdded is one client's p50 in each runtime, one thread: called in this
// process, through the node, and a bare echo of the same bytes.
func BenchmarkAdded(b *testing.B) {
	n := startNode(b)
	target := n.unix + ".echo"
	_, out := start(b, selfPath(b), "echo", "unix", target)
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		b.Fatal(err)
	}
	for _, w := range ways {
		b.Run(w.String(), func(b *testing.B) {
			rt, err := opened(w.runtime, inferencetest.Library(b, w.runtime))
			if err != nil {
				b.Fatal(err)
			}
			session, err := rt.Load(b.Context(), w.sealed(b), inference.Options{Threads: 1, OptimizationLevel: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer session.Close()
			input := zeros(session.Signature())[0]
			b.Run("in-process", func(b *testing.B) { inProcess(b, session, input) })
			deployWay(b, n, w)
			text := wire(w.model+"-"+w.runtime, input)
			for door, address := range map[string]string{"node": n.unix, "echo": target} {
				b.Run(door, func(b *testing.B) { one(b, dial(b, "unix", address, text), nil) })
			}
		})
	}
}

// inProcess measures a session of this process, its input written each time.
func inProcess(b *testing.B, session inference.Session, input tensor.Tensor) {
	b.Helper()
	const most = 64 << 20
	memory := arena.New("bench", most, most)
	defer memory.Close()
	slot, err := session.NewSlot(memory)
	if err != nil {
		b.Fatal(err)
	}
	defer slot.Close()
	request := []inference.Input{{Shape: input.Shape}}
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		views, err := slot.Inputs(request)
		if err != nil {
			b.Fatal(err)
		}
		copy(views[0], input.Data)
		if _, err := slot.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-µs")
}

// deployWay deploys a model in a runtime, on one thread.
func deployWay(b *testing.B, n *node, w way) {
	b.Helper()
	examples := filepath.Join(inferencetest.Root(b), "examples")
	spec := fmt.Sprintf(`{"name":%q,"model":{"path":%q},"deployment":{"runtime":%q,"cpu_threads":1,"max_latency_ms":30000,"optimization_level":1}}`,
		w.model+"-"+w.runtime, filepath.Base(w.file), w.runtime)
	files := map[string]string{"model": filepath.Join(examples, w.file)}
	if w.weights != "" {
		files["weights"] = filepath.Join(examples, w.weights)
	}
	if d := nodetest.At(b, n.client).Deploy(spec, files); d.Phase != client.PhaseCommitted {
		b.Fatalf("%s: %+v", w, d.Error)
	}
}
