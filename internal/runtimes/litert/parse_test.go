package litert_test

import (
	"bytes"
	"slices"
	"testing"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/runtimes/litert"
)

func FuzzOutline(f *testing.F) {
	for _, data := range [][]byte{tflitemodel.OldJoin(), tflitemodel.Sum(1), tflitemodel.Previous(), tflitemodel.Detections(), tflitemodel.Unknown()} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		spec := func() []inference.Spec { return []inference.Spec{{Shape: []int64{1, 2}}, {Shape: []int64{3, 4}}} }
		s := inference.Signature{Inputs: spec(), Outputs: spec()}
		litert.Declare(data, s)
		for i, spec := range slices.Concat(s.Inputs, s.Outputs) {
			for k, n := range spec.Shape {
				if want := int64(2*(i%2) + k + 1); n != -1 && n != want {
					t.Errorf("dimension %d is %d, want -1 or %d", k, n, want)
				}
			}
		}
	})
}

func TestTextsOfTheLibrariesAreCleaned(t *testing.T) {
	for text, want := range map[string]string{
		"tflite/kernels/concatenation.cc:174 t->dims != t0->dims (1 != 2)\nNode number 0 (CONCATENATION) failed to prepare.\n": "t->dims != t0->dims (1 != 2); Node number 0 (CONCATENATION) failed to prepare",
		"[model_load.cc:316] Variable tensors not yet supported.\n\n":                                                          "Variable tensors not yet supported",
		"tensorflow/lite/core/subgraph.cc BytesRequired number of elements overflowed.\n":                                      "BytesRequired number of elements overflowed",
		"Encountered unresolved custom op: Up.\nSee instructions: https://www.tensorflow.org/lite/guide/ops_custom \nNode 0":   "Encountered unresolved custom op: Up; Node 0",
		"Add the dependency. See instructions: https://www.tensorflow.org/lite/guide/ops_select":                               "Add the dependency",
	} {
		if got := litert.Clean(text); got != want {
			t.Errorf("Clean(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestStringsAreABufferAsTheLibraryWritesIt(t *testing.T) {
	in := onnxmodel.Strings("", "ab", "", "c").Data
	want := []byte{3, 0, 0, 0, 20, 0, 0, 0, 22, 0, 0, 0, 22, 0, 0, 0, 23, 0, 0, 0, 'a', 'b', 'c'}
	buffer, err := litert.ToStringBuffer(in, 3)
	if err != nil || !bytes.Equal(buffer, want) {
		t.Errorf("buffer = %v, %v; want %v", buffer, err, want)
	}
	back, err := litert.FromStringBuffer(buffer, 3)
	if err != nil || !bytes.Equal(back, in) {
		t.Errorf("back = %q, %v; want %q", back, err, in)
	}
	if none, err := litert.FromStringBuffer(nil, 0); err != nil || len(none) != 0 {
		t.Errorf("of no buffer = %q, %v; want no strings", none, err)
	}
}

func TestBuffersThatContradictThemselvesAreRefused(t *testing.T) {
	good, err := litert.ToStringBuffer(onnxmodel.Strings("", "ab", "c").Data, 2)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(at int, to byte) []byte {
		buffer := slices.Clone(good)
		buffer[at] = to
		return buffer
	}
	for want, buffer := range map[string][]byte{
		"a buffer of 12 bytes, too few for 2 strings": good[:12],
		"a buffer of 3 strings, want 2":               changed(0, 3),
		"string 0 begins at 15, want 16 to 19":        changed(4, 15),
		"string 2 begins at 20, want 18 to 19":        changed(12, 20),
		"string 1 begins at 255, want 16 to 19":       changed(8, 255),
		"string 2 begins at 17, want 18 to 19":        changed(12, 17),
	} {
		if _, err := litert.FromStringBuffer(buffer, 2); err == nil || err.Error() != want {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
}

func FuzzStrings(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0, 16, 0, 0, 0, 17, 0, 0, 0, 18, 0, 0, 0, 'a', 'b'}, 2)
	f.Fuzz(func(t *testing.T, buffer []byte, n int) {
		if n < 0 {
			return
		}
		data, err := litert.FromStringBuffer(buffer, n)
		if err != nil {
			return
		}
		again, err := litert.ToStringBuffer(data, n)
		if err != nil {
			t.Fatalf("what was read is refused: %v", err)
		}
		if back, err := litert.FromStringBuffer(again, n); err != nil || !bytes.Equal(back, data) {
			t.Fatalf("there and back = %q, %v; want %q", back, err, data)
		}
	})
}
