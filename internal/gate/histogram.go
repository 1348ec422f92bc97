package gate

import (
	"slices"

	"verge/client"
	"verge/internal/stats"
)

// histogramBuckets is how many bounds a histogram has at most.
const histogramBuckets = 24

// histogram counts latencies in buckets of one width, from the least of them to their
// 99th percentile. What is above that is in the last bucket, which is as wide as it must
// be: one stall does not press all others into the first. It is nil where there are none.
func histogram(took []float64) *client.Histogram {
	if len(took) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(took))
	from, to, last := sorted[0], stats.Percentile(sorted, 99), sorted[len(sorted)-1]
	h := &client.Histogram{FromMS: from}
	if width := (to - from) / (histogramBuckets - 1); width > 0 {
		for i := range histogramBuckets - 2 {
			h.BoundsMS = append(h.BoundsMS, from+width*float64(i+1))
		}
	}
	h.BoundsMS = append(h.BoundsMS, to)
	if last > to {
		h.BoundsMS = append(h.BoundsMS, last)
	}
	h.Counts = make([]int, len(h.BoundsMS))
	at := 0
	for _, t := range sorted {
		for t > h.BoundsMS[at] {
			at++
		}
		h.Counts[at]++
	}
	return h
}
