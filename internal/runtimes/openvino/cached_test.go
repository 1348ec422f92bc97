package openvino_test

import (
	"bytes"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest/irmodel"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
)

// elements is the number of weights of the models here, of 1 MiB.
const elements = 1 << 18

// adding returns a model that adds addend to its input.
func adding(addend float32) inference.Model {
	m := model(irmodel.Weights(elements))
	one, other := onnxmodel.Floats("", nil, 1).Data, onnxmodel.Floats("", nil, addend).Data
	m.Weights.Data = bytes.ReplaceAll(m.Weights.Data, one, other)
	return m
}

// askAdding loads a model and asks it once.
func askAdding(t *testing.T, m inference.Model, o inference.Options) float32 {
	t.Helper()
	session, err := open(t).Load(t.Context(), m, o)
	if err != nil {
		t.Fatalf("Load = %v, want a session", err)
	}
	defer session.Close()
	got, err := ask(t, session, &plain{}, onnxmodel.Floats("x", []int64{1, elements}, make([]float32, elements)...))
	if err != nil {
		t.Fatalf("Run = %v, want outputs", err)
	}
	values, err := tensor.Floats(got[0])
	if err != nil || slices.Min(values) != slices.Max(values) {
		t.Fatalf("answers are between %v and %v, %v", slices.Min(values), slices.Max(values), err)
	}
	return float32(math.Round(values[0]))
}

// blobs returns the files below a cache that are no check sums. Each is in an entry of
// its own, whose check sums cover it.
func blobs(t *testing.T, cache string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(cache, "*", "openvino-*", "*.blob"))
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range found {
		if i > 0 && filepath.Dir(path) == filepath.Dir(found[i-1]) {
			t.Errorf("%s and %s are in one entry", path, found[i-1])
		}
	}
	return found
}

func TestWhatIsCompiledIsKeptForTheSameModelAndOptions(t *testing.T) {
	cache := t.TempDir()
	o := inference.Options{Cache: cache}
	for _, when := range []string{"when it is compiled", "when it is there"} {
		if got := askAdding(t, adding(1), o); got != 1 {
			t.Errorf("%s the answer is %v, want 1", when, got)
		}
		if found := blobs(t, cache); len(found) != 1 {
			t.Fatalf("%s the cache has %q, want one file", when, found)
		}
	}
	// The graph of the other model is the same to the byte.
	if got := askAdding(t, adding(2), o); got != 2 {
		t.Errorf("with other weights the answer is %v, want 2", got)
	}
	if found := blobs(t, cache); len(found) != 2 {
		t.Errorf("after other weights the cache has %q, want two files", found)
	}
	askAdding(t, adding(1), inference.Options{Cache: cache, Parallel: 2})
	if found := blobs(t, cache); len(found) != 3 {
		t.Errorf("after other options the cache has %q, want three files", found)
	}
}

func TestWhatIsKeptAndIsBrokenIsCompiledAgain(t *testing.T) {
	cache := t.TempDir()
	askAdding(t, adding(1), inference.Options{Cache: cache})
	found := blobs(t, cache)
	if len(found) != 1 {
		t.Fatalf("the cache has %q, want one file", found)
	}
	whole, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(whole)-elements] ^= 0x40 // in a weight
	for name, broken := range map[string][]byte{"cut": whole[:len(whole)/2], "flipped": flipped, "empty": nil} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(found[0], broken, 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
			if got := askAdding(t, adding(1), inference.Options{Cache: cache, Log: log}); got != 1 {
				t.Errorf("the answer is %v, want 1", got)
			}
			if want := `.blob has check sum `; !bytes.Contains(out.Bytes(), []byte(want)) {
				t.Errorf("the log has no %q, it holds\n%s", want, out.String())
			}
			if again := blobs(t, cache); !cmp.Equal(again, found) {
				t.Errorf("the cache has %q, want %q", again, found)
			}
		})
	}
}

func TestModelsAreCompiledAsTheyAreWhereNothingCanBeKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := askAdding(t, adding(1), inference.Options{Cache: file}); got != 1 {
		t.Errorf("the answer is %v, want 1", got)
	}
	cache := t.TempDir()
	load(t, open(t), irmodel.Join(), inference.Options{Cache: cache})
	own := inference.Options{Cache: cache, Providers: []inference.Provider{{Name: "CPU", Options: map[string]string{"CACHE_DIR": t.TempDir()}}}}
	if got := askAdding(t, adding(1), own); got != 1 {
		t.Errorf("the answer is %v, want 1", got)
	}
	if left, err := os.ReadDir(cache); err != nil || len(left) > 0 {
		t.Errorf("a model that is small, or has a cache of its own, left %v, %v", left, err)
	}
}
