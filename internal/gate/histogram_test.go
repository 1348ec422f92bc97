package gate_test

import (
	"math"
	"testing"

	"verge/internal/gate"
)

func TestAHistogramHasEveryLatencyOnce(t *testing.T) {
	even := make([]float64, 1000)
	for i := range even {
		even[i] = 1 + float64(i)/1000
	}
	stalled := append(make([]float64, 0, 1001), even...)
	stalled = append(stalled, 5000)
	for name, tc := range map[string]struct {
		took     []float64
		buckets  int
		from, to float64
	}{
		"one":                            {[]float64{3}, 1, 3, 3},
		"all the same":                   {[]float64{2, 2, 2, 2}, 1, 2, 2},
		"two":                            {[]float64{4, 1}, 23, 1, 4},
		"spread evenly":                  {even, 24, 1, 1.999},
		"with one that stands far apart": {stalled, 24, 1, 5000},
		"zeros of a coarse clock":        {[]float64{0, 0, 0}, 1, 0, 0},
	} {
		h := gate.HistogramOf(tc.took)
		if len(h.BoundsMS) != tc.buckets || len(h.Counts) != tc.buckets || len(h.BoundsMS) > gate.HistogramBuckets {
			t.Errorf("%s: %d bounds and %d counts, want %d", name, len(h.BoundsMS), len(h.Counts), tc.buckets)
		}
		total, below := 0, math.Inf(-1)
		for i, bound := range h.BoundsMS {
			if bound <= below {
				t.Errorf("%s: bound %d is %g after %g", name, i, bound, below)
			}
			total, below = total+h.Counts[i], bound
		}
		if total != len(tc.took) || h.FromMS != tc.from || below != tc.to {
			t.Errorf("%s: %d latencies from %g to %g, want %d from %g to %g", name, total, h.FromMS, below, len(tc.took), tc.from, tc.to)
		}
	}
	if h := gate.HistogramOf(stalled); h.Counts[23] != 10 || h.Counts[0] < 30 {
		t.Errorf("one stall changed the other buckets: %v", h.Counts)
	}
	if gate.HistogramOf(nil) != nil {
		t.Error("there is a histogram of nothing")
	}
}
