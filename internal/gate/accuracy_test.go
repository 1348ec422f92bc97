package gate_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"verge/client"
	"verge/internal/dataset"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// scorer is a version whose answers a function gives.
type scorer struct {
	g       inference.Signature
	answer  func(x []float64) []float32
	batches []int64 // first dimensions that it was asked with
}

func (s *scorer) Signature() inference.Signature { return s.g }

func (s *scorer) Warm(_ context.Context, inputs []tensor.Tensor, use func([]tensor.Tensor)) error {
	rows := tensor.RowsOf(inputs[0])
	s.batches = append(s.batches, int64(rows.Len()))
	var all []float32
	for i := range rows.Len() {
		values, err := tensor.Floats(rows.Cut(i, i+1))
		if err != nil {
			return err
		}
		y := s.answer(values)
		if y == nil {
			return fault.New(fault.Internal, "test", "it broke")
		}
		all = append(all, y...)
	}
	use([]tensor.Tensor{floats("y", []int64{int64(rows.Len()), int64(len(all) / rows.Len())}, all...)})
	return nil
}

// scores is a scorer of so many classes.
func scores(batch, classes int64, answer func(x []float64) []float32) *scorer {
	return &scorer{answer: answer, g: inference.Signature{
		Inputs:  []inference.Spec{{Name: "x", DType: tensor.FP32, Shape: []int64{batch, 1}}},
		Outputs: []inference.Spec{{Name: "y", DType: tensor.FP32, Shape: []int64{batch, classes}}},
	}}
}

// oneHot scores a class highest.
func oneHot(class, classes int) []float32 {
	y := make([]float32, classes)
	y[class] = 1
	return y
}

// samples is a data set of x = 0, 1, …, each with a class or with answers.
func samples(t *testing.T, g inference.Signature, classes []byte, answers []float32) *dataset.Samples {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	add := func(name, descr, shape string, data any) {
		header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape)
		f, err := w.Create(name + ".npy")
		if err != nil {
			t.Fatal(err)
		}
		head := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
		values, err := binary.Append(append(head, header...), binary.LittleEndian, data)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(values); err != nil {
			t.Fatal(err)
		}
	}
	n := max(len(classes), len(answers))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i)
	}
	add("x", "<f4", fmt.Sprintf("(%d, 1)", n), x)
	if classes != nil {
		add("labels", "|u1", fmt.Sprintf("(%d,)", n), classes)
	}
	if answers != nil {
		add("y", "<f4", fmt.Sprintf("(%d, 1)", n), answers)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	set, err := dataset.ReadSamples(b.Bytes(), dataset.SamplesFor{Signature: g})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func env() gate.Env { return gate.Env{Device: "board", Now: time.Now} }

func TestAccuracyIsTheShareOfRightSamples(t *testing.T) {
	const n = 10
	classes := make([]byte, n) // all of class 0
	for name, tt := range map[string]struct {
		metric  string
		wrong   int // samples whose best class is another; class 0 is then the sixth of seven
		min     float64
		figure  float64
		outcome client.Outcome
		detail  string
	}{
		"all":         {"top1", 0, 1, 1, client.OutcomePass, "top1: 10 of 10 samples"},
		"enough":      {"top1", 2, 0.8, 0.8, client.OutcomePass, "top1: 8 of 10 samples"},
		"too few":     {"top1", 3, 0.8, 0.7, client.OutcomeFail, "top1: 7 of 10 samples"},
		"top 5":       {"top5", 3, 0.8, 0.7, client.OutcomeFail, "top5: 7 of 10 samples"},
		"all of them": {"top5", 0, 1, 1, client.OutcomePass, "top5: 10 of 10 samples"},
	} {
		v := scores(-1, 7, func(x []float64) []float32 {
			if int(x[0]) < tt.wrong {
				return []float32{1, 6, 5, 4, 3, 2, 0}
			}
			return oneHot(0, 7)
		})
		got := gate.Accuracy(t.Context(), env(), v, nil, samples(t, v.g, classes, nil), gate.AccuracyPlan{Metric: tt.metric, Min: &tt.min})
		if len(got) != 1 || got[0].Outcome != tt.outcome || math.Abs(*got[0].Figure-tt.figure) > 1e-9 || *got[0].Limit != tt.min || got[0].Detail != tt.detail || got[0].Samples != n {
			t.Errorf("%s: %+v, want %s of %g, %q", name, got, tt.outcome, tt.figure, tt.detail)
		}
	}
}

func TestOtherMetricsCompareWithKnownAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		plan    gate.AccuracyPlan
		add     float64
		figure  float64
		outcome client.Outcome
	}{
		"exact":               {gate.AccuracyPlan{Metric: "exact", Min: new(1.0)}, 0, 1, client.OutcomePass},
		"not exact":           {gate.AccuracyPlan{Metric: "exact", Min: new(1.0)}, 0.5, 0, client.OutcomeFail},
		"within a tolerance":  {gate.AccuracyPlan{Metric: "exact", Min: new(1.0), Tolerance: 0.5}, 0.5, 1, client.OutcomePass},
		"mse":                 {gate.AccuracyPlan{Metric: "mse", Max: new(0.25)}, 0.5, 0.25, client.OutcomePass},
		"too large an mse":    {gate.AccuracyPlan{Metric: "mse", Max: new(0.2)}, 0.5, 0.25, client.OutcomeFail},
		"cosine":              {gate.AccuracyPlan{Metric: "cosine", Min: new(0.99)}, 0.5, 1, client.OutcomePass},
		"the other direction": {gate.AccuracyPlan{Metric: "cosine", Min: new(0.99)}, -10, -1, client.OutcomeFail},
	} {
		v := scores(-1, 1, func(x []float64) []float32 { return []float32{float32(x[0] + 1 + tt.add)} })
		got := gate.Accuracy(t.Context(), env(), v, nil, samples(t, v.g, nil, []float32{1, 2, 3}), tt.plan)
		if len(got) != 1 || got[0].Outcome != tt.outcome || math.Abs(*got[0].Figure-tt.figure) > 1e-6 {
			t.Errorf("%s: %+v, want %s of %g", name, got, tt.outcome, tt.figure)
		}
	}
}

func TestExactComparesNumbersOfAnotherType(t *testing.T) {
	v := scores(-1, 1, func(x []float64) []float32 { return []float32{float32(x[0]) + 0.25} })
	for kind, want := range map[string]client.Outcome{"<f8": client.OutcomePass, "<i4": client.OutcomeFail} {
		var known any = []float64{0.25, 1.25}
		if kind == "<i4" {
			known = []int32{0, 1}
		}
		got := gate.Accuracy(t.Context(), env(), v, nil, samplesOf(t, v.g, kind, known), gate.AccuracyPlan{Metric: "exact", Min: new(1.0)})
		if got[0].Outcome != want {
			t.Errorf("%s: %+v, want %s", kind, got[0], want)
		}
	}
}

// samplesOf is a data set of x = 0 and 1 with answers of a type.
func samplesOf(t *testing.T, g inference.Signature, kind string, answers any) *dataset.Samples {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, array := range map[string]struct {
		kind string
		data any
	}{"x": {"<f4", []float32{0, 1}}, "y": {kind, answers}} {
		f, err := w.Create(name + ".npy")
		if err != nil {
			t.Fatal(err)
		}
		header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (2, 1), }", array.kind)
		data, err := binary.Append(append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8)), binary.LittleEndian, []byte(header))
		if err == nil {
			data, err = binary.Append(data, binary.LittleEndian, array.data)
		}
		if err == nil {
			_, err = f.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	set, err := dataset.ReadSamples(b.Bytes(), dataset.SamplesFor{Signature: g})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestALossIsHeldAgainstTheVersionThatServes(t *testing.T) {
	const n = 360
	classes := make([]byte, n)
	right := scores(-1, 2, func([]float64) []float32 { return oneHot(0, 2) })
	for name, tt := range map[string]struct {
		lost    int
		drop    float64
		serving *scorer
		outcome client.Outcome
		detail  string
	}{
		"none is lost":             {0, 1, right, client.OutcomePass, "0 samples lost, 0 gained: a loss of 0 points, 0.746 at the most"},
		"too few samples to tell":  {0, 0.5, right, client.OutcomeInconclusive, "0 samples lost, 0 gained: a loss of 0 points, 0.746 at the most; about 539 samples would tell"},
		"one, within two points":   {1, 2, right, client.OutcomePass, "1 samples lost, 0 gained: a loss of 0.278 points, 1.24 at the most"},
		"one, and a point":         {1, 1, right, client.OutcomeInconclusive, "1 samples lost, 0 gained: a loss of 0.278 points, 1.24 at the most; about 514 samples would tell"},
		"many":                     {145, 2, right, client.OutcomeFail, "145 samples lost, 0 gained: a loss of 40.3 points, 44.6 at the most"},
		"nothing serves":           {1, 2, nil, client.OutcomeSkipped, "no version serves now"},
		"it does not answer these": {0, 2, scores(-1, 2, func([]float64) []float32 { return nil }), client.OutcomeInconclusive, "the version that serves now does not answer the samples: sample 0: it broke"},
	} {
		v := scores(-1, 2, func(x []float64) []float32 {
			if int(x[0]) < tt.lost {
				return oneHot(1, 2)
			}
			return oneHot(0, 2)
		})
		var serving gate.Version
		if tt.serving != nil {
			serving = tt.serving
		}
		got := gate.Accuracy(t.Context(), env(), v, serving, samples(t, v.g, classes, nil), gate.AccuracyPlan{Metric: "top1", MaxDrop: &tt.drop})
		if len(got) != 2 || got[0].Outcome != client.OutcomePass || got[1].Gate != "accuracy_drop" || got[1].Outcome != tt.outcome || got[1].Detail != tt.detail {
			t.Errorf("%s: %+v, want %s, %q", name, got[len(got)-1], tt.outcome, tt.detail)
		}
	}
}

func TestASampleFillsAFixedBatch(t *testing.T) {
	v := scores(4, 2, func(x []float64) []float32 { return oneHot(int(x[0])%2, 2) })
	got := gate.Accuracy(t.Context(), env(), v, nil, samples(t, v.g, []byte{0, 1, 0}, nil), gate.AccuracyPlan{Metric: "top1", Min: new(1.0)})
	if got[0].Outcome != client.OutcomePass || !slices.Equal(v.batches, []int64{4, 4, 4}) {
		t.Errorf("%+v, asked with batches of %v", got[0], v.batches)
	}
}

func TestASampleThatCannotBeAskedIsNamed(t *testing.T) {
	v := scores(-1, 2, func(x []float64) []float32 {
		if x[0] == 2 {
			return nil
		}
		return oneHot(0, 2)
	})
	for want, classes := range map[string][]byte{"sample 2: it broke": {0, 0, 0}, `sample 1: its class is 7, output "y" has 2 scores`: {0, 7, 0}} {
		got := gate.Accuracy(t.Context(), env(), v, nil, samples(t, v.g, classes, nil), gate.AccuracyPlan{Metric: "top1", Min: new(1.0)})
		if len(got) != 1 || got[0].Outcome != client.OutcomeError || got[0].Detail != want {
			t.Errorf("%+v, want an error: %s", got, want)
		}
	}
}
