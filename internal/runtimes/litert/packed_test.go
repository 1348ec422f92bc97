package litert_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/tensor"
)

// dense returns a model whose output y FP32[n,512] is its input x FP32[n,512] moved by
// one and multiplied by the index, with 1 MiB of weights.
func dense() []byte {
	const width, fullyConnectedOptions, none = 512, 8, -1
	weights := onnxmodel.Floats("w", []int64{width, width}, make([]float32, width*width)...)
	for i := range width {
		copy(weights.Data[4*((i+1)%width*width+i):], onnxmodel.Floats("", nil, float32(i)).Data)
	}
	return tflitemodel.Model{Graphs: []tflitemodel.Graph{{
		Tensors: []tflitemodel.Tensor{
			{Name: "x", DType: tensor.FP32, Shape: []int{-1, width}},
			{Name: "w", DType: tensor.FP32, Shape: []int{width, width}, Data: weights.Data},
			{Name: "y", DType: tensor.FP32, Shape: []int{-1, width}},
		},
		Operators: []tflitemodel.Operator{{
			Op: tflitemodel.FullyConnected, Inputs: []int{0, 1, none}, Outputs: []int{2}, Options: tflitemodel.Options{Table: fullyConnectedOptions},
		}},
		Inputs: []int{0}, Outputs: []int{2},
	}}}.Encode()
}

// askDense runs the model of dense with batches of several sizes.
func askDense(t *testing.T, session inference.Session) {
	t.Helper()
	for _, n := range []int{1, 3, 1} {
		x, y := make([]float32, n*512), make([]float32, n*512)
		for row := range n {
			for i := range 512 {
				x[row*512+i] = float32((row + i) % 7)
				y[row*512+(i+1)%512] = float32(i) * x[row*512+i]
			}
		}
		got, err := ask(t, session, onnxmodel.Floats("x", []int64{int64(n), 512}, x...))
		if err != nil {
			t.Fatalf("Run = %v, want outputs", err)
		}
		if want := onnxmodel.Floats("y", []int64{int64(n), 512}, y...); !bytes.Equal(got[0].Data, want.Data) {
			t.Errorf("Run of %d gives other numbers than the model's", n)
		}
	}
}

// cached returns the files below a cache, without the names of their directories.
func cached(t *testing.T, cache string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(cache, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestPackedWeightsAreKeptAndMapped(t *testing.T) {
	cache := t.TempDir()
	plain := load(t, dense(), inference.Options{OptimizationLevel: 1})
	var file string
	for _, when := range []string{"when they are packed", "when they are there"} {
		t.Run(when, func(t *testing.T) {
			session := load(t, dense(), inference.Options{OptimizationLevel: 1, Cache: cache})
			if diff := cmp.Diff(plain.Info(), session.Info()); diff != "" {
				t.Errorf("info differs (-want +got):\n%s", diff)
			}
			askDense(t, session)
			if diff := cmp.Diff([]string{"sums.json", "weights.xnnpack"}, cached(t, cache)); diff != "" {
				t.Fatalf("cache differs (-want +got):\n%s", diff)
			}
			found, err := filepath.Glob(filepath.Join(cache, "*", "litert-*", "weights.xnnpack"))
			if err != nil || len(found) != 1 {
				t.Fatalf("packed weights = %q, %v; want one file", found, err)
			}
			file = found[0]
			maps, err := os.ReadFile("/proc/self/maps")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(maps, []byte(file)) {
				t.Errorf("%s is not mapped", file)
			}
		})
	}
	const weights = 1 << 20
	if info, err := os.Stat(file); err != nil || info.Size() < weights {
		t.Errorf("the packed weights have %v bytes, %v; want %d at least", info, err, weights)
	}
}

func TestPackedWeightsThatAreBrokenAreMadeAgain(t *testing.T) {
	cache := t.TempDir()
	o := inference.Options{OptimizationLevel: 1, Cache: cache}
	load(t, dense(), o)
	found, err := filepath.Glob(filepath.Join(cache, "*", "*", "weights.xnnpack"))
	if err != nil || len(found) != 1 {
		t.Fatalf("packed weights = %q, %v; want one file", found, err)
	}
	whole, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(whole)/2] ^= 0x40
	for name, broken := range map[string][]byte{"cut": whole[:len(whole)/2], "flipped": flipped, "empty": nil} {
		t.Run(name, func(t *testing.T) {
			if err := os.Remove(found[0]); err != nil { // a session may have it mapped
				t.Fatal(err)
			}
			if err := os.WriteFile(found[0], broken, 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			o.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
			askDense(t, load(t, dense(), o))
			if want := `step=check err="weights.xnnpack has check sum `; !bytes.Contains(out.Bytes(), []byte(want)) {
				t.Errorf("the log has no %q, it holds\n%s", want, out.String())
			}
			if again, err := os.ReadFile(found[0]); err != nil || len(again) != len(whole) {
				t.Errorf("the packed weights have %d bytes, %v; want the %d from before", len(again), err, len(whole))
			}
		})
	}
}

func TestModelsAreCompiledAsTheyAreWhereNothingCanBePacked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	askDense(t, load(t, dense(), inference.Options{OptimizationLevel: 1, Cache: file}))
	cache := t.TempDir()
	askDense(t, load(t, dense(), inference.Options{Cache: cache}))
	load(t, tflitemodel.Join(), inference.Options{OptimizationLevel: 1, Cache: cache})
	if got := cached(t, cache); got != nil {
		t.Errorf("a model that is small, or not to be optimised, left %q", got)
	}
	if _, err := open(t).Load(t.Context(), inference.Model{Name: "m@1", Data: make([]byte, 2<<20), FD: -1}, inference.Options{OptimizationLevel: 1, Cache: cache}); err == nil || cached(t, cache) != nil {
		t.Errorf("Load of what is no model = %v, left %q", err, cached(t, cache))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t).Load(ctx, inference.Model{Name: "m@1", Data: dense(), FD: -1}, inference.Options{OptimizationLevel: 1, Cache: cache}); err == nil || cached(t, cache) != nil {
		t.Errorf("Load that was canceled = %v, left %q", err, cached(t, cache))
	}
}

func TestPackedWeightsThatAreTakenAwayAreNotMissed(t *testing.T) {
	cache := t.TempDir()
	session := load(t, dense(), inference.Options{OptimizationLevel: 1, Cache: cache})
	if err := os.RemoveAll(cache); err != nil {
		t.Fatal(err)
	}
	for range 3 { // slots of their own, each compiled anew
		askDense(t, session)
	}
	if _, err := os.Stat(cache); err == nil {
		t.Errorf("the cache is there again: %q", cached(t, cache))
	}
}

func TestOneOfThoseThatPackWeightsAtTheSameTimeLeavesThem(t *testing.T) {
	inferencetest.Library(t, "litert")
	cache := t.TempDir()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { askDense(t, load(t, dense(), inference.Options{OptimizationLevel: 1, Cache: cache})) })
	}
	group.Wait()
	if diff := cmp.Diff([]string{"sums.json", "weights.xnnpack"}, cached(t, cache)); diff != "" {
		t.Errorf("cache differs (-want +got):\n%s", diff)
	}
}

// BenchmarkCompile is loading a model of 32 MiB, as it is and with packed weights.
func BenchmarkCompile(b *testing.B) {
	const width, layers, fullyConnectedOptions = 1024, 8, 8
	var g tflitemodel.Graph
	g.Tensors = append(g.Tensors, tflitemodel.Tensor{Name: "h0", DType: tensor.FP32, Shape: []int{1, width}})
	g.Inputs = []int{0}
	for i := range layers {
		h := len(g.Tensors)
		g.Tensors = append(g.Tensors,
			tflitemodel.Tensor{Name: fmt.Sprintf("w%d", i), DType: tensor.FP32, Shape: []int{width, width}, Data: make([]byte, 4*width*width)},
			tflitemodel.Tensor{Name: fmt.Sprintf("h%d", i+1), DType: tensor.FP32, Shape: []int{1, width}})
		g.Operators = append(g.Operators, tflitemodel.Operator{
			Op: tflitemodel.FullyConnected, Inputs: []int{max(h-1, 0), h, -1}, Outputs: []int{h + 1}, Options: tflitemodel.Options{Table: fullyConnectedOptions},
		})
		g.Outputs = []int{h + 1}
	}
	data := tflitemodel.Model{Graphs: []tflitemodel.Graph{g}}.Encode()
	for name, cache := range map[string]string{"as it is": "", "packed": b.TempDir()} {
		b.Run(name, func(b *testing.B) {
			rt := open(b)
			for b.Loop() {
				session, err := rt.Load(b.Context(), inference.Model{Name: "m@1", Data: data, FD: -1, Digest: "known"}, inference.Options{OptimizationLevel: 1, Cache: cache})
				if err != nil {
					b.Fatal(err)
				}
				session.Close()
			}
		})
	}
}
