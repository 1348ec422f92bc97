package stats

import (
	"cmp"
	"math"
	"slices"
)

// Rank returns the place, counted from 1, of the nearest-rank percentile among n
// sorted values: ceil(percent · n / 100), at least 1 and at most n.
func Rank(n int, percent float64) int {
	const rounding = 1e-9 // 99.9 % of 1000 is 999, whatever binary fractions say
	rank := int(math.Ceil(percent*float64(n)/100 - rounding))
	return min(max(rank, 1), n)
}

// Percentile returns the nearest-rank percentile of values in ascending order: the
// least of them that is not below percent of all. Of no values it is the zero value.
func Percentile[T cmp.Ordered](sorted []T, percent float64) T {
	if len(sorted) == 0 {
		var none T
		return none
	}
	return sorted[Rank(len(sorted), percent)-1]
}

// Summary describes a set of values; all fields are 0 where there are none.
type Summary struct {
	Count          int
	Mean, Min, Max float64
	sorted         []float64
}

// Summarize describes values, which it does not change.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	sorted := slices.Sorted(slices.Values(values))
	sum := 0.0
	for _, v := range sorted {
		sum += v
	}
	return Summary{
		Count: len(sorted), Mean: sum / float64(len(sorted)),
		Min: sorted[0], Max: sorted[len(sorted)-1], sorted: sorted,
	}
}

// Percentile returns the nearest-rank percentile of the values.
func (s Summary) Percentile(percent float64) float64 { return Percentile(s.sorted, percent) }
