package dataset_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"verge/internal/dataset"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

func TestReadLabelsTakesOneClassALine(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string
	}{
		"plain":                 {"zero\none\n", []string{"zero", "one"}},
		"Windows":               {"\xef\xbb\xbfzero\r\none\r\n", []string{"zero", "one"}},
		"blank lines at end":    {"zero\none\n\n \n", []string{"zero", "one"}},
		"a class without name":  {"zero\n\ntwo", []string{"zero", "", "two"}},
		"blanks around, inside": {"  great auk \ngoldfish", []string{"great auk", "goldfish"}},
	}
	for name, tt := range tests {
		got, err := dataset.ReadLabels([]byte(tt.text))
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestReadLabelsRefusesWithAReason(t *testing.T) {
	const utf8 = "Save the labels as UTF-8, one class a line."
	tests := map[string]struct {
		text    string
		kind    fault.Kind
		message string
		hint    string
	}{
		"empty":       {" \n\n", fault.Invalid, "the labels file is empty", "Write one class a line, in the order of the model's scores."},
		"Latin-1":     {"a\nt\xeate", fault.Invalid, `line 2 of the labels file, "t\xeate", is not UTF-8 text`, utf8},
		"an escape":   {"a\x1b[2J", fault.Invalid, `line 1 of the labels file, "a\x1b[2J", is not UTF-8 text`, utf8},
		"a long line": {strings.Repeat("a", 257), fault.TooLarge, "line 1 of the labels file has 257 bytes, the limit is 256", ""},
		"many lines":  {strings.Repeat("a\n", 100_001), fault.TooLarge, "the labels file has 100001 lines, the limit is 100000", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := dataset.ReadLabels([]byte(tt.text))
			checkFault(t, err, tt.kind, tt.message, tt.hint)
		})
	}
}

func TestTopRanksScores(t *testing.T) {
	got := dataset.Top([]float64{0.1, math.NaN(), 0.7, 0.1}, 3, []string{"a", "b", "c"})
	want := []dataset.Class{{Index: 2, Label: "c", Score: 0.7}, {Index: 0, Label: "a", Score: 0.1}, {Index: 3, Score: 0.1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := dataset.Top([]float64{1}, 5, nil); len(got) != 1 {
		t.Errorf("Top(1 score, 5) = %v, want one", got)
	}
	if got := dataset.Top(nil, -1, nil); len(got) != 0 {
		t.Errorf("Top(nil, -1) = %v, want none", got)
	}
}

func signature(specs ...inference.Spec) inference.Signature {
	return inference.Signature{Inputs: specs}
}

func TestShapesFillsInWhatIsDynamic(t *testing.T) {
	image := inference.Spec{Name: "image", DType: tensor.FP32, Shape: []int64{-1, 3, -1, -1}, Symbols: []string{"N", "", "H", "W"}}
	mask := inference.Spec{Name: "mask", DType: tensor.Bool, Shape: []int64{-1, -1, -1}, Symbols: []string{"N", "H", "W"}}
	tests := map[string]struct {
		g      inference.Signature
		batch  int
		shapes map[string][]int64
		want   [][]int64
	}{
		"fixed":                    {signature(inference.Spec{Name: "x", DType: tensor.FP32, Shape: []int64{1, 4}}), 8, nil, [][]int64{{1, 4}}},
		"batch":                    {signature(inference.Spec{Name: "x", DType: tensor.FP32, Shape: []int64{-1, 4}}), 8, nil, [][]int64{{8, 4}}},
		"no batch is 1":            {signature(inference.Spec{Name: "x", DType: tensor.FP32, Shape: []int64{-1, 4}}), 0, nil, [][]int64{{1, 4}}},
		"a scalar":                 {signature(inference.Spec{Name: "x", DType: tensor.FP32}), 8, nil, [][]int64{nil}},
		"given, and by symbol":     {signature(image, mask), 2, map[string][]int64{"image": {-1, 3, 32, 16}}, [][]int64{{2, 3, 32, 16}, {2, 32, 16}}},
		"by a symbol of a later":   {signature(image, mask), 2, map[string][]int64{"mask": {-1, 32, 16}}, [][]int64{{2, 3, 32, 16}, {2, 32, 16}}},
		"given, batch and the all": {signature(image), 2, map[string][]int64{"image": {5, 3, 32, 16}}, [][]int64{{5, 3, 32, 16}}},
	}
	for name, tt := range tests {
		got, err := dataset.Shapes(tt.g, tt.batch, tt.shapes)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestShapesRefusesWithAReason(t *testing.T) {
	text := inference.Spec{Name: "ids", DType: tensor.Int64, Shape: []int64{-1, -1}, Symbols: []string{"N", "L"}}
	mask := inference.Spec{Name: "mask", DType: tensor.Int64, Shape: []int64{-1, -1}, Symbols: []string{"N", "L"}}
	tests := map[string]struct {
		g       inference.Signature
		batch   int
		shapes  map[string][]int64
		kind    fault.Kind
		message string
		hint    string
	}{
		"an open dimension": {
			signature(text), 4, nil, fault.Invalid, "dimension 1 of input \"ids\" (ids INT64[-1,-1]) is dynamic, and nothing says how large it is in a test",
			`Give model.input_shapes, for instance {"ids": [4,16]}.`,
		},
		"an unknown name": {
			signature(text), 1,
			map[string][]int64{"id": {1, 2}},
			fault.Invalid, `model.input_shapes names "id", the model's inputs are [ids INT64[-1,-1]]`,
			"Correct the name in model.input_shapes, or leave it out.",
		},
		"a wrong rank": {
			signature(text), 1,
			map[string][]int64{"ids": {2}},
			fault.Invalid, `model.input_shapes: input "ids" has shape [2] with 1 dimensions, want 2 as in [-1,-1]`,
			"Give one number for each dimension of the input, as the model has it.",
		},
		"a negative number": {
			signature(text), 1,
			map[string][]int64{"ids": {1, -2}},
			fault.Invalid, `model.input_shapes: input "ids" has shape [1,-2], want [-1,-1]`,
			"Give one number for each dimension of the input, as the model has it.",
		},
		"two values": {
			signature(text, mask), 1,
			map[string][]int64{"ids": {1, 8}, "mask": {1, 9}},
			fault.Invalid, `dimension "L" is 8 for one input and 9 for input "mask"`,
			"Give the dimension one value in model.input_shapes.",
		},
		"too large": {
			signature(text), 1,
			map[string][]int64{"ids": {1 << 20, 1 << 20}},
			fault.TooLarge,
			`input "ids" with shape [1048576,1048576] brings the inputs over 268435456 bytes`, "Lower deployment.batch_size, or the dimensions in model.input_shapes.",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := dataset.Shapes(tt.g, tt.batch, tt.shapes)
			checkFault(t, err, tt.kind, tt.message, tt.hint)
		})
	}
}

func TestSeededInputsStayInTheirRange(t *testing.T) {
	const elements = 4000
	ranges := map[tensor.DType][2]float64{
		tensor.Bool: {0, 1}, tensor.Uint8: {0, 255}, tensor.Int8: {-128, 127},
		tensor.Uint16: {0, 9}, tensor.Uint32: {0, 9}, tensor.Uint64: {0, 9}, tensor.Int16: {0, 9}, tensor.Int32: {0, 9}, tensor.Int64: {0, 9},
	}
	for _, d := range tensor.DTypes() {
		in := dataset.Seeded(inference.Spec{Name: "x", DType: d, Shape: []int64{-1}}, []int64{elements}, 0)
		if err := tensor.CheckData(d, in.Shape, in.Data); err != nil {
			t.Errorf("%s: %v", d, err)
			continue
		}
		if d == tensor.Bytes {
			words, err := tensor.Strings(in.Data, elements)
			for _, w := range words {
				if len(w) < 1 || len(w) > 8 || strings.Trim(string(w), "abcdefghijklmnopqrstuvwxyz") != "" {
					t.Errorf("string %q, want 1 to 8 small letters", w)
				}
			}
			if err != nil {
				t.Error(err)
			}
			continue
		}
		values, err := tensor.Floats(in)
		if err != nil {
			t.Fatal(err)
		}
		low, high := math.Inf(1), math.Inf(-1)
		for _, v := range values {
			low, high = min(low, v), max(high, v)
		}
		if want, ok := ranges[d]; ok && want != [2]float64{low, high} {
			t.Errorf("%s: range [%v, %v], want %v", d, low, high, want)
		} else if !ok && (low < 0 || low > 0.1 || high >= 1 || high < 0.9) {
			t.Errorf("%s: range [%v, %v], want [0, 1)", d, low, high)
		}
	}
}

func TestSeededInputsAreTheSameEverywhere(t *testing.T) {
	spec := inference.Spec{Name: "image", DType: tensor.FP32, Shape: []int64{4}}
	seed0 := dataset.Seeded(spec, spec.Shape, 0)
	values, err := tensor.Floats(seed0)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%.4f", values), seededImage; got != want {
		t.Errorf("Seeded(image, 0) = %s, want %s", got, want)
	}
	other := spec
	other.Name = "mask"
	for what, in := range map[string]tensor.Tensor{"seed": dataset.Seeded(spec, spec.Shape, 1), "name": dataset.Seeded(other, spec.Shape, 0)} {
		if string(in.Data) == string(seed0.Data) {
			t.Errorf("another %s gives the same numbers", what)
		}
	}
}

// seededImage is written down once; a change of it changes every report.
const seededImage = "[0.0829 0.8967 0.0319 0.0277]"

func TestTopAgreesWithItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scores := rapid.SliceOfN(rapid.Float64Range(0, 3), 0, 20).Draw(t, "scores")
		k := rapid.IntRange(0, 25).Draw(t, "k")
		top := dataset.Top(scores, k, nil)
		if len(top) != min(k, len(scores)) {
			t.Fatalf("%d classes, want %d", len(top), min(k, len(scores)))
		}
		for i, c := range top {
			if c.Score != scores[c.Index] || i > 0 && (c.Score > top[i-1].Score || c.Score == top[i-1].Score && c.Index < top[i-1].Index) {
				t.Fatalf("top = %v of %v", top, scores)
			}
		}
	})
}

func FuzzReadLabels(f *testing.F) {
	f.Add([]byte("zero\r\none\n"))
	f.Add(example(f, "labels.txt"))
	f.Fuzz(func(t *testing.T, data []byte) {
		labels, err := dataset.ReadLabels(data)
		if (err == nil) != (len(labels) > 0) {
			t.Fatalf("ReadLabels = %q, %v", labels, err)
		}
	})
}
