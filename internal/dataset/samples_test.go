package dataset_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"strings"
	"testing"

	"verge/internal/dataset"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// signatureOf is a model of one input x and one output y of so many scores.
func signatureOf(d tensor.DType, shape []int64, scores int64) inference.Signature {
	return inference.Signature{
		Inputs:  []inference.Spec{{Name: "x", DType: d, Shape: shape}},
		Outputs: []inference.Spec{{Name: "y", DType: tensor.FP32, Shape: []int64{-1, scores}}},
	}
}

func floatArray(shape string, values ...float32) []byte {
	data, _ := binary.Append(nil, binary.LittleEndian, values)
	return npy(1, head("<f4", "False", shape), data...)
}

// show writes a sample as text.
func show(t *testing.T, s *dataset.Samples, i int) string {
	t.Helper()
	sample, err := s.At(i)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%s: class %d", sample.Name, sample.Label)
	for _, one := range append(sample.Inputs, sample.Outputs...) {
		values, err := tensor.Floats(one)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf(", %s %s%v %.3g", one.Name, one.DType, one.Shape, values)
	}
	return text
}

func TestDataSetsBecomeRequests(t *testing.T) {
	flat := signatureOf(tensor.FP32, []int64{-1, 2}, 3)
	picture := signatureOf(tensor.FP32, []int64{-1, 1, 2, 2}, 2)
	dark, light := image.NewGray(image.Rect(0, 0, 2, 2)), image.NewGray(image.Rect(0, 0, 2, 2))
	light.SetGray(1, 0, color.Gray{Y: 255})
	scale := &deployfile.Preprocess{Scale: []float64{2}}
	for name, tt := range map[string]struct {
		data []byte
		plan dataset.SamplesFor
		last string
	}{
		"inputs and labels": {
			npz(t, member{"x.npy", floatArray("(2, 2)", 1, 2, 3, 4)}, member{"labels.npy", npy(1, head("|u1", "False", "(2,)"), 0, 2)}),
			dataset.SamplesFor{Signature: flat},
			"sample 1: class 2, x FP32[1 2] [3 4]",
		},
		"one input under another name": {
			npz(t, member{"features.npy", floatArray("(1, 2)", 1, 2)}, member{"labels.npy", npy(1, head("|u1", "False", "(1, 1)"), 1)}),
			dataset.SamplesFor{Signature: flat},
			"sample 0: class 1, x FP32[1 2] [1 2]",
		},
		"inputs and outputs": {
			npz(t, member{"x.npy", floatArray("(1, 2)", 1, 2)}, member{"y.npy", floatArray("(1, 3)", 7, 8, 9)}),
			dataset.SamplesFor{Signature: flat},
			"sample 0: class -1, x FP32[1 2] [1 2], y FP32[1 3] [7 8 9]",
		},
		"pixels, by the signature": {
			npz(t, member{"images.npy", npy(1, head("|u1", "False", "(1, 2, 2)"), 0, 255, 0, 51)}, member{"labels.npy", npy(1, head("|u1", "False", "(1,)"), 1)}),
			dataset.SamplesFor{Signature: picture},
			"sample 0: class 1, x FP32[1 1 2 2] [0 1 0 0.2]",
		},
		"pixels, as the file says": {
			npz(t, member{"images.npy", npy(1, head("|u1", "False", "(1, 2, 2, 1)"), 0, 255, 0, 51)}, member{"labels.npy", npy(1, head("|u1", "False", "(1,)"), 1)}),
			dataset.SamplesFor{Signature: picture, Preprocess: map[string]*deployfile.Preprocess{"x": scale}},
			"sample 0: class 1, x FP32[1 1 2 2] [0 510 0 102]",
		},
		"an npy file, and classes as text": {
			floatArray("(3, 2)", 1, 2, 3, 4, 5, 6),
			dataset.SamplesFor{Signature: flat, Labels: []byte("dog\n0\ncat\n"), Classes: []string{"dog", "cat"}},
			"sample 2: class 1, x FP32[1 2] [5 6]",
		},
		"an npy file, and classes in another": {
			floatArray("(1, 2)", 1, 2),
			dataset.SamplesFor{Signature: flat, Labels: npy(1, head("<i8", "False", "(1,)"), 2, 0, 0, 0, 0, 0, 0, 0)},
			"sample 0: class 2, x FP32[1 2] [1 2]",
		},
		"pictures in folders": {
			npz(t, member{"set/", nil}, member{"set/0/a.png", encode(t, dark)}, member{"set/.DS_Store", nil}, member{"set/light/b.png", encode(t, light)}),
			dataset.SamplesFor{Signature: picture, Classes: []string{"dark", "light"}},
			"set/light/b.png: class 1, x FP32[1 1 2 2] [0 1 0 0]",
		},
		"a batch that is fixed": {
			npz(t, member{"x.npy", floatArray("(1, 2)", 1, 2)}, member{"labels.npy", npy(1, head("|u1", "False", "(1,)"), 1)}),
			dataset.SamplesFor{Signature: signatureOf(tensor.FP32, []int64{4, 2}, 3)},
			"sample 0: class 1, x FP32[1 2] [1 2]",
		},
	} {
		s, err := dataset.ReadSamples(tt.data, tt.plan)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		classes, outputs := s.Known()
		if got := show(t, s, s.Len()-1); got != tt.last || classes == strings.Contains(tt.last, "class -1") || outputs != strings.Contains(tt.last, ", y ") {
			t.Errorf("%s: %s, classes %t, outputs %t; want %s", name, got, classes, outputs, tt.last)
		}
	}
}

func TestTheHeldOutDigitsAreADataSet(t *testing.T) {
	g := signatureOf(tensor.FP32, []int64{-1, 1, 8, 8}, 10)
	s, err := dataset.ReadSamples(example(t, "heldout.npz"), dataset.SamplesFor{Signature: g})
	if err != nil || s.Len() != 360 {
		t.Fatalf("ReadSamples = %v, %v", s, err)
	}
	sample, err := s.At(359)
	if err != nil || sample.Inputs[0].Name != "x" || len(sample.Inputs[0].Data) != 4*64 {
		t.Errorf("At = %+v, %v", sample, err)
	}
}

func TestDataSetsThatDoNotFitSayWhy(t *testing.T) {
	const hint = `Give an npz file with the model's inputs, a row for each sample, and "labels" or the model's outputs; an npy file with accuracy.labels; or a zip file of pictures in folders that are named by their class.`
	flat := signatureOf(tensor.FP32, []int64{-1, 2}, 3)
	x := member{"x.npy", floatArray("(2, 2)", 1, 2, 3, 4)}
	labels := func(shape string, values ...byte) member {
		return member{"labels.npy", npy(1, head("|u1", "False", shape), values...)}
	}
	for name, tt := range map[string]struct {
		data          []byte
		plan          dataset.SamplesFor
		message, hint string
	}{
		"no archive":       {[]byte("a,b\n1,2\n"), dataset.SamplesFor{Signature: flat}, "the data set is no npz, npy or zip file: zip: not a valid zip file", hint},
		"no answers":       {npz(t, x), dataset.SamplesFor{Signature: flat}, "the data set has no right answers", hint},
		"fewer labels":     {npz(t, x, labels("(1,)", 1)), dataset.SamplesFor{Signature: flat}, "there are 1 labels for 2 samples", ""},
		"labels of a rank": {npz(t, x, labels("(1, 2)", 1, 1)), dataset.SamplesFor{Signature: flat}, "the labels are UINT8[1,2], want one integer for each sample", hint},
		"broken labels":    {npz(t, x, member{"labels.npy", floatArray("(2,)", 1, 1.5)}), dataset.SamplesFor{Signature: flat}, "label 1 is 1.5, want an integer from 0 to 99999", ""},
		"another array":    {npz(t, x, member{"z.npy", floatArray("(2,)", 1, 2)}), dataset.SamplesFor{Signature: flat}, `array "z" is neither an input of the model nor a known answer`, hint},
		"another shape": {
			npz(t, member{"x.npy", floatArray("(1, 3)", 1, 2, 3)}, labels("(1,)", 1)),
			dataset.SamplesFor{Signature: flat},
			`the rows of array "x" are FP32[3], want those of input x FP32[-1,2]`, hint,
		},
		"pictures without pixels": {
			npz(t, member{"x.npy", npy(1, head("|u1", "False", "(1, 0, 0)"))}, labels("(1,)", 1)),
			dataset.SamplesFor{Signature: signatureOf(tensor.FP32, []int64{-1, 1, 2, 2}, 3)},
			`the rows of array "x" are pictures of 0 rows and 0 columns, want 1 or more of each`, "",
		},
		"fewer answers": {
			npz(t, x, member{"y.npy", floatArray("(1, 3)", 1, 2, 3)}), dataset.SamplesFor{Signature: flat}, `array "y" has 1 rows, input "x" has 2`, "",
		},
		"an npy file alone":      {x.data, dataset.SamplesFor{Signature: flat}, "an npy file has no right answers", "Name the file that has them: accuracy.labels."},
		"labels beside":          {npz(t, x, labels("(2,)", 0, 0)), dataset.SamplesFor{Signature: flat, Labels: []byte("0\n0\n")}, "accuracy.labels goes with an npy file only: the data set has its classes in itself", "Leave accuracy.labels out."},
		"a class without a name": {x.data, dataset.SamplesFor{Signature: flat, Labels: []byte("cat\n1\n")}, `line 1 of the labels is "cat", which is neither a number nor one of the model's 0 labels`, "Write the number of the class, counted from 0, or its name in model.labels."},
		"a picture in no folder": {
			npz(t, member{"a.png", nil}),
			dataset.SamplesFor{Signature: signatureOf(tensor.FP32, []int64{1, 1, 2, 2}, 2)},
			`picture "a.png" is in no folder that is named by its class: neither a number nor one of the model's 0 labels`, hint,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dataset.ReadSamples(tt.data, tt.plan)
			checkFault(t, err, fault.Invalid, tt.message, tt.hint)
		})
	}
	s, err := dataset.ReadSamples(npz(t, member{"1/a.png", []byte("<html>")}), dataset.SamplesFor{Signature: signatureOf(tensor.FP32, []int64{1, 1, 2, 2}, 2)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.At(0); err == nil || !strings.HasPrefix(fault.Message(err), `picture "1/a.png": `) {
		t.Errorf("a picture that is none: %v", err)
	}
}

func FuzzSamples(f *testing.F) {
	g := signatureOf(tensor.FP32, []int64{-1, 1, 2, 2}, 2)
	f.Add(npz(f, member{"x.npy", floatArray("(1, 1, 2, 2)", 1, 2, 3, 4)}, member{"labels.npy", npy(1, head("|u1", "False", "(1,)"), 1)}), []byte(nil))
	f.Add(npz(f, member{"images.npy", npy(1, head("|u1", "False", "(1, 2, 2, 3)"), make([]byte, 12)...)}, member{"y.npy", floatArray("(1, 2)", 1, 2)}), []byte(nil))
	f.Add(npz(f, member{"1/a.png", encode(f, image.NewGray(image.Rect(0, 0, 2, 2)))}), []byte(nil))
	f.Add(floatArray("(1, 4)", 1, 2, 3, 4), []byte("1\n"))
	f.Fuzz(func(t *testing.T, data, labels []byte) {
		if len(labels) == 0 {
			labels = nil
		}
		if bytes.Count(data, []byte("PK\x01\x02")) > 64 {
			return // only slow
		}
		s, err := dataset.ReadSamples(data, dataset.SamplesFor{Signature: g, Labels: labels})
		if err != nil {
			return
		}
		for i := range min(s.Len(), 8) {
			sample, err := s.At(i)
			if err != nil {
				continue
			}
			for _, in := range sample.Inputs {
				if err := g.Inputs[0].CheckShape(in.Shape); err != nil || tensor.CheckData(in.DType, in.Shape, in.Data) != nil {
					t.Fatalf("sample %d: %v, %d bytes", i, err, len(in.Data))
				}
			}
		}
	})
}
