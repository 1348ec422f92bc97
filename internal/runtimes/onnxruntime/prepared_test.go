package onnxruntime_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
)

// layers returns a model whose output y FP32[n,512] is the product of its input
// x FP32[n,512] and 2 MiB of weights, which kernels read in an order of their own.
func layers() []byte {
	const width = 512
	weights := onnxmodel.Floats("w", []int64{width, width}, make([]float32, width*width)...)
	extra := onnxmodel.Floats("v", []int64{width, width}, make([]float32, width*width)...)
	for i := range width {
		one := onnxmodel.Floats("", nil, float32(i)).Data
		copy(weights.Data[4*(i*width+(i+1)%width):], one) // moves x by one, times the index
		copy(extra.Data[4*(i*width+i):], onnxmodel.Floats("", nil, 2).Data)
	}
	return onnxmodel.Model{
		Producer: "onnxmodel", Graph: "layers", Version: 7, Description: "Two.", Metadata: map[string]string{"größe": "2×"},
		Initializers: []tensor.Tensor{weights, extra},
		Nodes: []onnxmodel.Node{
			{Op: "MatMul", Inputs: []string{"x", "w"}, Outputs: []string{"h"}},
			{Op: "MatMul", Inputs: []string{"h", "v"}, Outputs: []string{"y"}},
		},
		Inputs:  []onnxmodel.Value{value("x", tensor.FP32, "n", width)},
		Outputs: []onnxmodel.Value{value("y", tensor.FP32, "n", width)},
	}.Encode()
}

// askLayers runs the model of layers.
func askLayers(t *testing.T, session inference.Session) {
	t.Helper()
	x, y := make([]float32, 512), make([]float32, 512)
	for i := range x {
		x[i] = float32(i % 7)
		y[(i+1)%512] = 2 * float32(i) * x[i]
	}
	got, err := ask(t, session, &plain{}, onnxmodel.Floats("x", []int64{1, 512}, x...))
	if err != nil {
		t.Fatalf("Run = %v, want outputs", err)
	}
	if want := onnxmodel.Floats("y", []int64{1, 512}, y...); !bytes.Equal(got[0].Data, want.Data) {
		t.Errorf("Run gives other numbers than the model's product")
	}
}

// prepared returns the files below a cache, without the names of their directories.
func prepared(t *testing.T, cache string) (names []string) {
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

func TestAPreparedModelIsTheModel(t *testing.T) {
	cache := t.TempDir()
	plain := load(t, layers(), inference.Options{OptimizationLevel: 1})
	for _, when := range []string{"when it is prepared", "when it is there"} {
		t.Run(when, func(t *testing.T) {
			session := load(t, layers(), inference.Options{OptimizationLevel: 1, Cache: cache})
			if diff := cmp.Diff(plain.Signature(), session.Signature()); diff != "" {
				t.Errorf("signature differs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(plain.Info(), session.Info()); diff != "" {
				t.Errorf("info differs (-want +got):\n%s", diff)
			}
			askLayers(t, session)
			if diff := cmp.Diff([]string{"model.onnx", "sums.json", "weights.bin"}, prepared(t, cache)); diff != "" {
				t.Errorf("cache differs (-want +got):\n%s", diff)
			}
		})
	}
	const plainWeights = 2 << 20
	files, err := filepath.Glob(filepath.Join(cache, "*", "onnxruntime-*-aligned-*", "weights.bin")) // not where others were kept
	if err != nil || len(files) != 1 {
		t.Fatalf("weights = %q, %v; want one file", files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Size() < plainWeights*3/2 {
		t.Errorf("the weights have %d bytes, %v; want those for kernels beside the %d of the model", info.Size(), err, plainWeights)
	}
}

func TestAPreparedModelIsUsedAndMadeAgainWhereItIsBroken(t *testing.T) {
	cache := t.TempDir()
	o := inference.Options{OptimizationLevel: 1, Cache: cache}
	load(t, layers(), o)
	found, err := filepath.Glob(filepath.Join(cache, "*", "*", "model.onnx"))
	if err != nil || len(found) != 1 {
		t.Fatalf("prepared models = %q, %v; want one", found, err)
	}
	whole, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(found[0], whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	askLayers(t, load(t, layers(), o))
	if want := `step=check err="model.onnx has check sum `; !strings.Contains(out.String(), want) {
		t.Errorf("the log has no %q, it holds\n%s", want, out.String())
	}
	askLayers(t, load(t, layers(), o))
	if again, err := os.ReadFile(found[0]); err != nil || !bytes.Equal(again, whole) {
		t.Errorf("the prepared model has %d bytes, %v; want the %d from before", len(again), err, len(whole))
	}
}

func TestModelsAreLoadedAsTheyAreWhereNothingCanBePrepared(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	askLayers(t, load(t, layers(), inference.Options{OptimizationLevel: 1, Cache: file}))
	cache := t.TempDir()
	askLayers(t, load(t, layers(), inference.Options{Cache: cache}))
	load(t, onnxmodel.Join(), inference.Options{OptimizationLevel: 1, Cache: cache})
	if got := prepared(t, cache); got != nil {
		t.Errorf("a model that is small, or not to be optimised, left %q", got)
	}
	_, err := open(t).Load(t.Context(), inference.Model{Name: "m@1", Data: make([]byte, 2<<20), FD: -1}, inference.Options{OptimizationLevel: 1, Cache: cache})
	if err == nil || prepared(t, cache) != nil {
		t.Errorf("Load of what is no model = %v, left %q", err, prepared(t, cache))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t).Load(ctx, inference.Model{Name: "m@1", Data: layers(), FD: -1}, inference.Options{OptimizationLevel: 1, Cache: cache}); err == nil || prepared(t, cache) != nil {
		t.Errorf("Load that was canceled = %v, left %q", err, prepared(t, cache))
	}
}

func TestOneOfThoseThatPrepareAModelAtTheSameTimeLeavesIt(t *testing.T) {
	inferencetest.Library(t, "onnxruntime")
	cache := t.TempDir()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { askLayers(t, load(t, layers(), inference.Options{OptimizationLevel: 1, Cache: cache})) })
	}
	group.Wait()
	if diff := cmp.Diff([]string{"model.onnx", "sums.json", "weights.bin"}, prepared(t, cache)); diff != "" {
		t.Errorf("cache differs (-want +got):\n%s", diff)
	}
}

func TestAPreparedModelWithAFlippedBitIsNotUsed(t *testing.T) {
	for _, name := range []string{"model.onnx", "weights.bin"} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			o := inference.Options{OptimizationLevel: 1, Cache: cache}
			load(t, layers(), o)
			found, err := filepath.Glob(filepath.Join(cache, "*", "*", name))
			if err != nil || len(found) != 1 {
				t.Fatalf("files = %q, %v; want one", found, err)
			}
			data, err := os.ReadFile(found[0])
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] ^= 1
			if err := os.WriteFile(found[0], data, 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			o.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
			askLayers(t, load(t, layers(), o))
			if want := name + " has check sum "; !strings.Contains(out.String(), want) {
				t.Errorf("the log has no %q, it holds\n%s", want, out.String())
			}
		})
	}
}

// BenchmarkLoad is loading a model of 32 MiB, as it is and prepared.
func BenchmarkLoad(b *testing.B) {
	const width = 1024
	model := onnxmodel.Model{
		Inputs:  []onnxmodel.Value{value("h0", tensor.FP32, "n", width)},
		Outputs: []onnxmodel.Value{value("h8", tensor.FP32, "n", width)},
	}
	for i := range 8 {
		weights := onnxmodel.Floats(fmt.Sprintf("w%d", i), []int64{width, width}, make([]float32, width*width)...)
		model.Initializers = append(model.Initializers, weights)
		model.Nodes = append(model.Nodes, onnxmodel.Node{Op: "MatMul", Inputs: []string{fmt.Sprintf("h%d", i), weights.Name}, Outputs: []string{fmt.Sprintf("h%d", i+1)}})
	}
	data := model.Encode()
	for name, cache := range map[string]string{"as it is": "", "prepared": b.TempDir()} {
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
