package inferencetest

import (
	"slices"
	"testing"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
)

// refuses checks requests that do not fit the model. After each refusal, the same
// slot answers a good request.
func refuses(t *testing.T, s Suite) {
	t.Helper()
	good, out := join(2, 1)
	for name, edit := range map[string]func(in []tensor.Tensor) []tensor.Tensor{
		"an unknown name":        func(in []tensor.Tensor) []tensor.Tensor { in[0].Name = "c"; return in },
		"a name given twice":     func(in []tensor.Tensor) []tensor.Tensor { in[1].Name = "a"; return in },
		"a missing input":        func(in []tensor.Tensor) []tensor.Tensor { return in[:1] },
		"one input too many":     func(in []tensor.Tensor) []tensor.Tensor { return append(in, named("", in[0])) },
		"another element type":   func(in []tensor.Tensor) []tensor.Tensor { in[0].DType = tensor.Int32; return in },
		"another dimension":      func(in []tensor.Tensor) []tensor.Tensor { in[0].Shape = []int64{1, 4}; return in },
		"another rank":           func(in []tensor.Tensor) []tensor.Tensor { in[0].Shape = []int64{4}; return in },
		"a negative dimension":   func(in []tensor.Tensor) []tensor.Tensor { in[0].Shape = []int64{-2, 2}; return in },
		"a shape that overflows": func(in []tensor.Tensor) []tensor.Tensor { in[0].Shape = []int64{1 << 62, 2}; return in },
		"too few bytes":          func(in []tensor.Tensor) []tensor.Tensor { in[0].Data = in[0].Data[1:]; return in },
		"too many bytes": func(in []tensor.Tensor) []tensor.Tensor {
			in[0].Data = append(slices.Clip(in[0].Data), 0)
			return in
		},
	} {
		t.Run("a request is refused for "+name, func(t *testing.T) {
			session := s.load(t, s.Join, inference.Options{})
			n := slot(t, session)
			_, err := inference.Run(t.Context(), session.Signature(), n, edit(clone(good)))
			wantKind(t, "Run", err, fault.Invalid)
			want(t, run(t, session, n, good...), out...)
		})
	}
}

// refusesLate checks refusals that need more than a look at the request.
func refusesLate(t *testing.T, s Suite) {
	t.Helper()
	good, out := join(2, 1)
	t.Run("a run before its inputs are laid out is refused", func(t *testing.T) {
		session := s.load(t, s.Join, inference.Options{})
		n := slot(t, session)
		_, err := n.Run(t.Context())
		wantKind(t, "Run", err, fault.Invalid)
		want(t, run(t, session, n, good...), out...)
	})
	t.Run("batches that do not match each other are refused", func(t *testing.T) {
		session := s.load(t, s.Join, inference.Options{})
		n := slot(t, session)
		_, err := inference.Run(t.Context(), session.Signature(), n, []tensor.Tensor{good[0], onnxmodel.Floats("b", []int64{1, 3}, 1, 2, 3)})
		wantKind(t, "Run", err, fault.Invalid)
		want(t, run(t, session, n, good...), out...)
	})
	t.Run("strings that are not in their binary form are refused", func(t *testing.T) {
		session := s.load(t, s.Identity[tensor.Bytes], inference.Options{})
		n := slot(t, session)
		two := onnxmodel.Strings("x", "one", "two")
		for _, data := range [][]byte{
			two.Data[:len(two.Data)-1],             // the last is cut
			append(slices.Clip(two.Data), 0),       // something follows
			{1, 0, 0, 0, 'a', 0, 0, 0},             // a length is cut
			{255, 255, 255, 255, 0, 0, 0, 0},       // longer than everything
			append([]byte{5, 0, 0, 0}, "alone"...), // one of two
		} {
			bad := two
			bad.Data = data
			_, err := inference.Run(t.Context(), session.Signature(), n, []tensor.Tensor{bad})
			wantKind(t, "Run", err, fault.Invalid)
		}
		want(t, run(t, session, n, two), named("y", two))
	})
	t.Run("a value that the model refuses is the request's fault", func(t *testing.T) {
		session := s.load(t, s.Lookup, inference.Options{})
		n := slot(t, session)
		_, err := inference.Run(t.Context(), session.Signature(), n, []tensor.Tensor{onnxmodel.Ints("x", []int64{2}, 0, 3)})
		wantKind(t, "Run", err, fault.Invalid)
		want(t, run(t, session, n, onnxmodel.Ints("x", []int64{2}, 2, 0)), onnxmodel.Floats("y", []int64{2}, 30, 10))
	})
	t.Run("inputs over the arena's limit are refused", func(t *testing.T) {
		session := s.load(t, s.Join, inference.Options{})
		n := slotOver(t, session, arena.New("small", 4096, limit))
		_, err := n.Inputs([]inference.Input{{Shape: []int64{1000, 2}}, {Shape: []int64{1000, 3}}})
		wantKind(t, "Inputs", err, fault.TooLarge)
		want(t, run(t, session, n, good...), out...)
	})
	t.Run("outputs over the arena's limit are refused, whoever decides their size", func(t *testing.T) {
		session := s.load(t, s.Repeat, inference.Options{})
		n := slotOver(t, session, arena.New("small", limit, 4096))
		x := onnxmodel.Floats("x", []int64{1}, 3)
		_, err := inference.Run(t.Context(), session.Signature(), n, []tensor.Tensor{x, onnxmodel.Ints("times", []int64{1}, 100_000)})
		wantKind(t, "Run", err, fault.TooLarge)
		want(t, run(t, session, n, x, onnxmodel.Ints("times", []int64{1}, 2)), onnxmodel.Floats("y", []int64{2}, 3, 3))
	})
}

// loads checks files and options that cannot be loaded.
func loads(t *testing.T, s Suite) {
	t.Helper()
	refused := func(name string, data func() []byte, o inference.Options, kind fault.Kind) {
		t.Run(name, func(t *testing.T) {
			file := data()
			if file == nil {
				t.Skip("the runtime has no such model")
			}
			session, err := s.Open(t).Load(t.Context(), s.model(t, file), o)
			wantKind(t, "Load", err, kind)
			if err == nil {
				session.Close()
			}
		})
	}
	none := inference.Options{}
	refused("an empty file is corrupt", func() []byte { return []byte{} }, none, fault.Corrupt)
	refused("a file of another kind is corrupt", func() []byte { return []byte("\x89PNG\r\n\x1a\n this is no model") }, none, fault.Corrupt)
	refused("a cut file is corrupt", func() []byte { return s.Join[:len(s.Join)*2/3] }, none, fault.Corrupt)
	refused("an operator that the library lacks is not supported", func() []byte { return s.Unknown }, none, fault.Unsupported)
	refused("a device that the library cannot use is refused", func() []byte { return s.Join }, inference.Options{Device: "tpu"}, fault.Unsupported)
	refused("a provider that the library lacks is refused without fallback", func() []byte { return s.Join },
		inference.Options{Providers: []inference.Provider{{Name: "NoSuchProvider"}}, Fallback: "none"}, fault.Unsupported)
	refused("an unknown device is refused", func() []byte { return s.Join }, inference.Options{Device: "abacus"}, fault.Invalid)

	for name, o := range map[string]inference.Options{
		"a device":   {Device: "tpu", Fallback: "cpu"},
		"a provider": {Providers: []inference.Provider{{Name: "NoSuchProvider"}}},
	} {
		t.Run(name+" that is not there falls back to the cpu where that is allowed, and says so", func(t *testing.T) {
			session := s.load(t, s.Join, o)
			if info := session.Info(); len(info.Fallbacks) != 1 || info.Device != "cpu" {
				t.Errorf("runs on %q, fallbacks %q; want the cpu and one sentence", info.Device, info.Fallbacks)
			}
			in, out := join(1, 1)
			want(t, run(t, session, slot(t, session), in...), out...)
		})
	}
}
