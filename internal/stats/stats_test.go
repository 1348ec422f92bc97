package stats_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"verge/internal/stats"
)

func TestPercentileIsTheNearestRank(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	tests := map[string]struct {
		values  []int
		percent float64
		want    int
	}{
		"the 95th of 20 is the 19th":               {hundred[:20], 95, 19},
		"the 95th of 50 is the 48th":               {hundred[:50], 95, 48},
		"the 95th of 90 is the 86th":               {hundred[:90], 95, 86},
		"the 50th of an odd count is the middle":   {hundred[:5], 50, 3},
		"the 50th of an even count is the lower":   {hundred[:4], 50, 2},
		"the 100th is the highest":                 {hundred, 100, 100},
		"the 0th is the lowest":                    {hundred, 0, 1},
		"of one value every percentile is it":      {hundred[:1], 99, 1},
		"of no values it is zero":                  {nil, 95, 0},
		"a fraction of a percent counts":           {hundred, 99.5, 100},
		"no rounding of fractions moves it a rank": {hundred[:100], 7, 7},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := stats.Percentile(test.values, test.percent); got != test.want {
				t.Errorf("Percentile(1…%d, %g) = %d, want %d", len(test.values), test.percent, got, test.want)
			}
		})
	}
	if got := stats.Rank(1000, 99.9); got != 999 {
		t.Errorf("Rank(1000, 99.9) = %d, want 999", got)
	}
}

func TestPercentileHasEnoughValuesAtOrBelowAndNoMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 10), 1, 200).Draw(t, "values")
		percent := rapid.IntRange(1, 100).Draw(t, "percent")
		slices.Sort(values)
		got := stats.Percentile(values, float64(percent))
		atOrBelow, below := 0, 0
		for _, v := range values {
			if v <= got {
				atOrBelow++
			}
			if v < got {
				below++
			}
		}
		if atOrBelow*100 < percent*len(values) || below*100 >= percent*len(values) {
			t.Fatalf("Percentile(%v, %d) = %g: %d at or below, %d below", values, percent, got, atOrBelow, below)
		}
	})
}

func TestSummaryDescribesTheValuesAndLeavesThem(t *testing.T) {
	values := []float64{4, 1, 3, 2}
	s := stats.Summarize(values)
	if s.Count != 4 || s.Mean != 2.5 || s.Min != 1 || s.Max != 4 || s.Percentile(50) != 2 || s.Percentile(95) != 4 {
		t.Errorf("Summarize(4 1 3 2) = %+v, p50 %g, p95 %g", s, s.Percentile(50), s.Percentile(95))
	}
	if !slices.Equal(values, []float64{4, 1, 3, 2}) {
		t.Errorf("Summarize changed its values to %v", values)
	}
	if none := stats.Summarize(nil); none.Count != 0 || none.Mean != 0 || none.Percentile(95) != 0 {
		t.Errorf("Summarize of nothing = %+v", none)
	}
}

func TestSampleSizeIsWhatMLPerfPublishes(t *testing.T) {
	tests := []struct {
		percent, confidence float64
		over, want          int
	}{
		{95, 0.99, 0, 90},
		{90, 0.99, 0, 44},
		{90, 0.99, 1, 64},
		{99, 0.99, 0, 459},
		{99, 0.99, 1, 662},
		{50, 0.5, 0, 1},
		{99.99999999, 0.99, 0, 0}, // more than can be said
		{100, 0.99, 0, 0},
		{0, 0.99, 0, 0},
		{95, 1, 0, 0},
		{95, 0, 0, 0},
		{95, 0.99, -1, 0},
		{math.NaN(), 0.99, 0, 0},
	}
	for _, test := range tests {
		if got := stats.SampleSize(test.percent, test.confidence, test.over); got != test.want {
			t.Errorf("SampleSize(%g, %g, %d) = %d, want %d", test.percent, test.confidence, test.over, got, test.want)
		}
	}
}

func TestSampleSizeIsTheLeastThatHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		percent := float64(rapid.IntRange(1, 99).Draw(t, "percent"))
		over := rapid.IntRange(0, 5).Draw(t, "over")
		confidence := rapid.Float64Range(0.5, 0.999).Draw(t, "confidence")
		n := stats.SampleSize(percent, confidence, over)
		if !stats.Holds(n, over, percent, confidence) {
			t.Fatalf("%d samples do not hold", n)
		}
		if stats.Holds(n-1, over, percent, confidence) {
			t.Fatalf("%d samples hold as well", n-1)
		}
	})
}

func TestABoundDoesNotHoldWhenEverySampleIsOver(t *testing.T) {
	if stats.Holds(5, 5, 95, 0.99) || stats.Holds(0, 0, 95, 0.99) || stats.Holds(5, -1, 95, 0.99) {
		t.Error("a bound held without a sample within it")
	}
}
