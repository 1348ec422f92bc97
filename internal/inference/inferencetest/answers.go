package inferencetest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
)

// describes checks what a runtime and a session say about themselves.
func describes(t *testing.T, s Suite) {
	t.Helper()
	t.Run("a runtime says what it is", func(t *testing.T) {
		info := s.Open(t).Info()
		if info.Name == "" || info.Version == "" || info.Library == "" || len(info.Providers) == 0 {
			t.Errorf("Info = %+v, want name, version, library and providers", info)
		}
	})
	t.Run("a signature has every input and output in the model's order", func(t *testing.T) {
		session := s.load(t, s.Join, inference.Options{})
		if diff := cmp.Diff(s.JoinSpec, session.Signature()); diff != "" {
			t.Errorf("signature differs (-want +got):\n%s", diff)
		}
	})
	t.Run("a session says what was loaded and where it runs", func(t *testing.T) {
		session := s.load(t, s.Join, inference.Options{Threads: 2, Parallel: 3})
		info, is := session.Info(), s.Open(t).Info()
		if info.Runtime != is.Name || info.RuntimeVersion != is.Version {
			t.Errorf("runtime is %s %s, want %s %s", info.Runtime, info.RuntimeVersion, is.Name, is.Version)
		}
		if info.Device != "cpu" || len(info.Providers) == 0 || len(info.Fallbacks) != 0 {
			t.Errorf("runs on %q with %q, fell back %q; want the cpu, some provider, no fallback", info.Device, info.Providers, info.Fallbacks)
		}
		if info.Threads != 2 || info.Parallel != 3 || info.ModelBytes != int64(len(s.Join)) {
			t.Errorf("threads %d, parallel %d, %d bytes; want 2, 3, %d", info.Threads, info.Parallel, info.ModelBytes, len(s.Join))
		}
	})
}

// join returns the inputs and the outputs of Join for n rows, which count up from first.
func join(n int, first float32) (inputs, outputs []tensor.Tensor) {
	var a, b, joined []float32
	for row := range n {
		for column := range 5 {
			v := first + float32(10*row+column)
			joined = append(joined, v)
			if column < 2 {
				a = append(a, v)
			} else {
				b = append(b, v)
			}
		}
	}
	rows := int64(n)
	return []tensor.Tensor{onnxmodel.Floats("a", []int64{rows, 2}, a...), onnxmodel.Floats("b", []int64{rows, 3}, b...)},
		[]tensor.Tensor{onnxmodel.Floats("joined", []int64{rows, 5}, joined...), onnxmodel.Ints("count", []int64{2}, rows, 2)}
}

// answers checks how inputs become a run, and runs follow each other.
func answers(t *testing.T, s Suite) {
	t.Helper()
	t.Run("inputs are matched by name, in any order", func(t *testing.T) {
		session := s.load(t, s.Join, inference.Options{})
		in, out := join(2, 1)
		want(t, run(t, session, slot(t, session), in[1], in[0]), out...)
	})
	t.Run("inputs without names are matched by order", func(t *testing.T) {
		session := s.load(t, s.Join, inference.Options{})
		in, out := join(2, 1)
		want(t, run(t, session, slot(t, session), named("", in[0]), named("", in[1])), out...)
	})
	t.Run("a batch may have another size in every request, and be empty", func(t *testing.T) {
		session := s.load(t, s.Join, inference.Options{})
		n := slot(t, session)
		for _, rows := range []int{1, 7, 1, 0, 3, 1000, 3} {
			in, out := join(rows, float32(rows))
			if s.empty(t, session, n, in...) {
				continue
			}
			want(t, run(t, session, n, in...), out...)
		}
	})
	t.Run("a run may be repeated with the same inputs", func(t *testing.T) {
		session := s.load(t, s.Join, inference.Options{})
		n := slot(t, session)
		in, out := join(3, 5)
		want(t, run(t, session, n, in...), out...)
		for range 3 {
			outputs, err := n.Run(t.Context())
			if err != nil {
				t.Fatalf("Run again = %v, want outputs", err)
			}
			want(t, outputs, out...)
		}
	})
	t.Run("views that were filled hold until other inputs are laid out", func(t *testing.T) {
		session := s.load(t, s.Join, inference.Options{})
		n := slot(t, session)
		in, out := join(1, 3)
		want(t, run(t, session, n, in...), out...)
		views, err := n.Inputs([]inference.Input{{Shape: []int64{1, 2}}, {Shape: []int64{1, 3}}})
		if err != nil {
			t.Fatal(err)
		}
		for i, view := range views {
			if !bytes.Equal(view, in[i].Data) {
				t.Errorf("view %d holds %x, want what the last request left: %x", i, view, in[i].Data)
			}
		}
	})
}

// computes checks the values that special models give.
func computes(t *testing.T, s Suite) {
	t.Helper()
	t.Run("a scalar has no dimensions", func(t *testing.T) {
		session := s.load(t, s.Scalar, inference.Options{})
		in := onnxmodel.Floats("x", []int64{}, 42)
		want(t, run(t, session, slot(t, session), in), named("y", in))
	})
	t.Run("an output's shape may follow from the values", func(t *testing.T) {
		session := s.load(t, s.NonZero, inference.Options{})
		n := slot(t, session)
		for _, tc := range []struct {
			x []float32
			y []int64
		}{
			{[]float32{0, 5, 0, 7}, []int64{1, 3}},
			{[]float32{0, 0, 0, 0}, nil},
			{[]float32{1, 1, 1, 1}, []int64{0, 1, 2, 3}},
			{nil, nil},
		} {
			in, out := onnxmodel.Floats("x", []int64{int64(len(tc.x))}, tc.x...), onnxmodel.Ints("y", []int64{1, int64(len(tc.y))}, tc.y...)
			if !s.empty(t, session, n, in) {
				want(t, run(t, session, n, in), out)
			}
		}
	})
	t.Run("a known model gives its known answer", func(t *testing.T) {
		if s.Known == nil {
			t.Skip("the runtime has no such model")
		}
		for level := range 3 {
			session := s.load(t, s.Known.Model, inference.Options{Threads: 2, OptimizationLevel: level})
			got := run(t, session, slot(t, session), s.Known.Inputs...)
			for i, w := range s.Known.Want {
				if err := tensor.Agree(w, got[i], s.Known.Tolerance); err != nil {
					t.Errorf("optimisation level %d: output %q: %v", level, w.Name, err)
				}
			}
		}
	})
}

// types checks every element type that the runtime has.
func types(t *testing.T, s Suite) {
	t.Helper()
	for _, d := range tensor.DTypes() {
		t.Run(fmt.Sprintf("every value of %s comes back as it is", d), func(t *testing.T) {
			session := s.load(t, s.Identity[d], inference.Options{})
			n := slot(t, session)
			for _, elements := range []int{0, 1, 5, 256, 5} {
				in := pattern(d, elements)
				if !s.empty(t, session, n, in) {
					want(t, run(t, session, n, in), named("y", in))
				}
			}
		})
	}
}

// pattern returns n elements of a type with bytes of every value; booleans are 0 or 1.
func pattern(d tensor.DType, n int) tensor.Tensor {
	t := tensor.Tensor{Name: "x", DType: d, Shape: []int64{int64(n)}}
	switch d {
	case tensor.Bytes:
		for i := range n { // strings of 0 to 9 bytes, zero bytes and broken UTF-8 among them
			t.Data = tensor.AppendString(t.Data, bytes.Repeat([]byte{byte(i)}, i%10))
		}
	case tensor.Bool:
		for i := range n {
			t.Data = append(t.Data, byte(i%3%2))
		}
	default:
		for i := range n * d.Size() {
			t.Data = append(t.Data, byte(i*7))
		}
	}
	return t
}
