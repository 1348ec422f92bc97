package inference_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"verge/internal/inference"
	"verge/internal/tensor"
)

// signature is of a model with a picture and texts.
func signature() inference.Signature {
	return inference.Signature{
		Inputs: []inference.Spec{
			{Name: "image", DType: tensor.FP32, Shape: []int64{-1, 28, -1}, Symbols: []string{"batch", "", "width"}},
			{Name: "texts", DType: tensor.Bytes, Shape: []int64{-1}, Symbols: []string{""}},
		},
		Outputs: []inference.Spec{
			{Name: "y", DType: tensor.FP32, Shape: []int64{-1, -1, 3, -1}, Symbols: []string{"batch", "found", "", ""}},
			{Name: "z", DType: tensor.Int64, Shape: []int64{}},
		},
	}
}

func TestInputsThatDoNotFitAreRefusedByName(t *testing.T) {
	const good = 8
	long := make([]int64, 20)
	for name, tc := range map[string]struct {
		in   []inference.Input
		want string
	}{
		"too few":       {[]inference.Input{{Shape: []int64{1, 28, 4}}}, `request has 1 inputs, want 2`},
		"rank":          {[]inference.Input{{Shape: []int64{28, 4}}, {Shape: []int64{1}, Bytes: good}}, `input "image" has shape [28,4] with 2 dimensions, want 3 as in [-1,28,-1]`},
		"a long rank":   {[]inference.Input{{Shape: long}, {Shape: []int64{1}, Bytes: good}}, `input "image" has shape [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,…] with 20 dimensions, want 3 as in [-1,28,-1]`},
		"dimension":     {[]inference.Input{{Shape: []int64{1, 27, 4}}, {Shape: []int64{1}, Bytes: good}}, `input "image" has shape [1,27,4], want [-1,28,-1]`},
		"negative":      {[]inference.Input{{Shape: []int64{-1, 28, 4}}, {Shape: []int64{1}, Bytes: good}}, `input "image" has shape [-1,28,4], want [-1,28,-1]`},
		"overflow":      {[]inference.Input{{Shape: []int64{1 << 62, 28, 4}}, {Shape: []int64{1}, Bytes: good}}, `input "image" shape [4611686018427387904 28 4] overflows`},
		"size":          {[]inference.Input{{Shape: []int64{1, 28, 4}, Bytes: 447}, {Shape: []int64{1}, Bytes: good}}, `input "image" has 447 bytes, want 448 for FP32[1,28,4]`},
		"no room":       {[]inference.Input{{Shape: []int64{1, 28, 4}}, {Shape: []int64{3}, Bytes: 11}}, `input "texts" has 11 bytes, too few for 3 strings`},
		"no size":       {[]inference.Input{{Shape: []int64{1, 28, 4}}, {Shape: []int64{1}}}, `input "texts" has 0 bytes, too few for 1 strings`},
		"negative size": {[]inference.Input{{Shape: []int64{1, 28, 4}}, {Shape: []int64{1}, Bytes: -4}}, `input "texts" has -4 bytes, too few for 1 strings`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := signature().CheckInputs(tc.in); err == nil || err.Error() != tc.want {
				t.Errorf("CheckInputs = %v\nwant          %s", err, tc.want)
			}
		})
	}
}

func TestSizesAreFilledInWhereTheyFollow(t *testing.T) {
	in := []inference.Input{{Shape: []int64{2, 28, 4}}, {Shape: []int64{0}}}
	if err := signature().CheckInputs(in); err != nil {
		t.Fatal(err)
	}
	if in[0].Bytes != 2*28*4*4 || in[1].Bytes != 0 {
		t.Errorf("sizes are %d and %d, want 896 and 0", in[0].Bytes, in[1].Bytes)
	}
}

func TestOutputShapesFollowFromSymbolsOfTheInputs(t *testing.T) {
	got := signature().ResolveOutputs([]inference.Input{{Shape: []int64{2, 28, 4}}, {Shape: []int64{5}}})
	if diff := cmp.Diff([][]int64{{2, -1, 3, -1}, {}}, got); diff != "" {
		t.Errorf("shapes differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(signature(), func() inference.Signature { s := signature(); s.ResolveOutputs(nil); return s }()); diff != "" {
		t.Errorf("the signature was written to:\n%s", diff)
	}
}

func TestNamesThatSayNothingAreNoSymbols(t *testing.T) {
	got := inference.Symbols([]string{"batch", "?", "", " ", "-1", "*", "…", "None", "null", "unknown", "nan", "undefined", "unk__123", "2*n", "高", "Nonesuch"})
	want := []string{"batch", "", "", "", "", "", "", "", "", "", "", "", "unk__123", "2*n", "高", "Nonesuch"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Symbols differ (-want +got):\n%s", diff)
	}
	for _, names := range [][]string{nil, {}, {"", ""}, {"?", "?", "NONE"}} {
		if got := inference.Symbols(names); got != nil {
			t.Errorf("Symbols(%q) = %q, want nil", names, got)
		}
	}
}

func TestLayoutIsAlignedWithoutOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 10_000), 0, 20).Draw(t, "sizes")
		offsets, total, err := inference.Layout(sizes)
		if err != nil || len(offsets) != len(sizes) {
			t.Fatalf("Layout = %d offsets, %v", len(offsets), err)
		}
		end := 0
		for i, offset := range offsets {
			if offset%inference.Align != 0 || offset < end || offset-end >= inference.Align {
				t.Fatalf("tensor %d begins at %d behind %d", i, offset, end)
			}
			end = offset + sizes[i]
		}
		if end > total || total-end >= inference.Align {
			t.Fatalf("total %d, the last ends at %d", total, end)
		}
	})
	for _, sizes := range [][]int{{-1}, {math.MaxInt}, {math.MaxInt / 2, math.MaxInt / 2, 64}} {
		if _, _, err := inference.Layout(sizes); err == nil || err.Error() != "the tensors together are too large" {
			t.Errorf("Layout(%v) = %v, want a refusal", sizes, err)
		}
	}
}

func TestSpecReadsAsPeopleWriteIt(t *testing.T) {
	specs := signature().Inputs
	if got := specs[0].String(); got != "image FP32[-1,28,-1]" {
		t.Errorf("String = %q", got)
	}
	if specs[0].Fixed() || !(inference.Spec{Shape: []int64{1, 2}}).Fixed() {
		t.Error("Fixed does not tell a dynamic dimension")
	}
	if inference.Index(specs, "texts") != 1 || inference.Index(specs, "none") != -1 {
		t.Error("Index does not find by name")
	}
	for device, want := range map[string]bool{"": true, "cpu": true, "mobile": true, "embedded": true, "gpu": false, "npu": false} {
		if inference.OnCPU(device) != want {
			t.Errorf("OnCPU(%q) = %v, want %v", device, !want, want)
		}
	}
}
