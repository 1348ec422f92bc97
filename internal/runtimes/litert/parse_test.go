package litert_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/runtimes/litert"
	"verge/internal/tensor"
)

// signed returns a model with two inputs, one output and a signature.
func signed(s tflitemodel.Signature) []byte {
	value := tflitemodel.Tensor{DType: tensor.FP32, Shape: []int{1}}
	return tflitemodel.Model{
		Graphs:     []tflitemodel.Graph{{Tensors: []tflitemodel.Tensor{value, value, value}, Inputs: []int{2, 0}, Outputs: []int{1}}},
		Signatures: []tflitemodel.Signature{s},
	}.Encode()
}

func TestNamesAreTheFirstSignaturesWhereItFitsTheGraph(t *testing.T) {
	type names = []tflitemodel.Name
	in, out := names{{Name: "a", Tensor: 0}, {Name: "b", Tensor: 2}}, names{{Name: "y", Tensor: 1}}
	for name, tc := range map[string]struct {
		data []byte
		want []string
	}{
		"in another order":        {signed(tflitemodel.Signature{Inputs: in, Outputs: out}), []string{"b", "a", "y"}},
		"of another graph":        {signed(tflitemodel.Signature{Inputs: in, Outputs: out, Graph: 1}), nil},
		"with an input too few":   {signed(tflitemodel.Signature{Inputs: in[:1], Outputs: out}), nil},
		"with one twice":          {signed(tflitemodel.Signature{Inputs: names{in[0], in[0]}, Outputs: out}), nil},
		"with an inner tensor":    {signed(tflitemodel.Signature{Inputs: in, Outputs: names{{Name: "y", Tensor: 0}}}), nil},
		"without outputs":         {signed(tflitemodel.Signature{Inputs: in}), nil},
		"none":                    {tflitemodel.Join(), nil},
		"an empty file":           {nil, nil},
		"what is not even a file": {[]byte("\xff\xff\xff\xff"), nil},
	} {
		if diff := cmp.Diff(tc.want, litert.Names(tc.data)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add(signed(tflitemodel.Signature{Inputs: []tflitemodel.Name{{Name: "a"}, {Name: "b", Tensor: 2}}, Outputs: []tflitemodel.Name{{Name: "y", Tensor: 1}}}))
	f.Add(tflitemodel.Join())
	f.Fuzz(func(t *testing.T, data []byte) {
		if names := litert.Names(data); len(names) > 2*256 {
			t.Errorf("%d names, want at most 256 on each side", len(names))
		}
	})
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
