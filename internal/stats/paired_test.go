package stats_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"verge/internal/stats"
)

func TestTheBoundOfALossIsTangos(t *testing.T) {
	for _, tc := range []struct {
		n, lost, gained int
		loss, p, upper  float64 // in points, but for p
	}{
		{360, 0, 0, 0, 1, 0.75},
		{360, 1, 0, 0.28, 0.50, 1.24},
		{360, 2, 0, 0.56, 0.25, 1.66},
		{360, 8, 4, 1.11, 0.19, 2.93},
		{360, 10, 2, 2.22, 0.019, 4.11},
		{360, 128, 1, 35.28, 0, 39.56},
		{1000, 0, 0, 0, 1, 0.27},
		{1000, 3, 1, 0.20, 0.31, 0.66},
		{1000, 8, 4, 0.40, 0.19, 1.06},
		{1000, 10, 2, 0.80, 0.019, 1.49},
	} {
		p := stats.Paired{Samples: tc.n, Lost: tc.lost, Gained: tc.gained}
		near := func(got, want float64) bool { return math.Abs(got-want) <= 0.0051 || math.Abs(got-want) <= 0.001*want }
		if !near(100*p.Loss(), tc.loss) || !near(p.Worse(), tc.p) || !near(100*p.Upper(), tc.upper) {
			t.Errorf("%+v: loss %.3f, p %.3f, upper %.3f; want %v, %v, %v", p, 100*p.Loss(), p.Worse(), 100*p.Upper(), tc.loss, tc.p, tc.upper)
		}
	}
}

func TestWithoutADifferenceTheBoundHasAClosedForm(t *testing.T) {
	const z2 = 1.6448536269514722 * 1.6448536269514722
	for _, n := range []int{1, 10, 360, 100_000} {
		p := stats.Paired{Samples: n}
		if got, want := p.Upper(), z2/(float64(n)+z2); math.Abs(got-want) > 1e-9 {
			t.Errorf("%d samples: %v, want %v", n, got, want)
		}
	}
}

func TestTheSamplesThatAreNeeded(t *testing.T) {
	for _, tc := range []struct {
		p     stats.Paired
		limit float64
		want  int
	}{
		{stats.Paired{Samples: 100}, 0.005, 539},
		{stats.Paired{Samples: 100}, 0.01, 268},
		{stats.Paired{Samples: 100}, 0.02, 133},
		{stats.Paired{Samples: 100, Lost: 5}, 0.02, 0},
		{stats.Paired{}, 0.02, 0},
	} {
		if got := tc.p.Needed(tc.limit); got != tc.want {
			t.Errorf("%+v below %v: %d samples, want %d", tc.p, tc.limit, got, tc.want)
		}
	}
}

func TestTheBoundsEncloseTheLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5000).Draw(t, "n")
		lost := rapid.IntRange(0, n).Draw(t, "lost")
		p := stats.Paired{Samples: n, Lost: lost, Gained: rapid.IntRange(0, n-lost).Draw(t, "gained")}
		lower, loss, upper := p.Lower(), p.Loss(), p.Upper()
		if !(-1 <= lower && lower <= loss+1e-9 && loss <= upper+1e-9 && upper <= 1) {
			t.Fatalf("%+v: %v to %v around %v", p, lower, upper, loss)
		}
		if more := p.Needed(loss + 0.05); more > 0 && more < n {
			t.Fatalf("%+v needs %d samples", p, more)
		}
	})
}
