package monitor

import (
	"math/bits"
	"time"
)

// Histogram counts latencies in buckets whose bounds are the same everywhere, so
// that two are merged by adding the counts of equal bounds. A bucket is at most a
// sixteenth of its upper bound wide.
type Histogram struct {
	Count   int64    `json:"count"`
	SumMS   float64  `json:"sum_ms"`
	Buckets []Bucket `json:"buckets"` // in ascending order, without empty ones
}

// Bucket is a range of latencies: above the bound of the bucket below, which need
// not be in the list, and up to UpToMS.
type Bucket struct {
	UpToMS float64 `json:"up_to_ms"`
	Count  int64   `json:"count"`
}

// counter is a Histogram that is being filled. Its resolution is a microsecond.
// It takes memory up to its highest bucket: 4 KB for a second, 8 KB for hours.
type counter struct {
	buckets []int64
	count   int64
	sum     time.Duration
}

func (c *counter) record(d time.Duration) {
	i := bucketOf(d)
	if i >= len(c.buckets) {
		c.buckets = append(c.buckets, make([]int64, i+1-len(c.buckets))...)
	}
	c.buckets[i]++
	c.count++
	c.sum += d
}

func (c *counter) histogram() Histogram {
	h := Histogram{Count: c.count, SumMS: ms(c.sum), Buckets: []Bucket{}}
	for i, n := range c.buckets {
		if n > 0 {
			h.Buckets = append(h.Buckets, Bucket{UpToMS: ms(boundOf(i)), Count: n})
		}
	}
	return h
}

// steps is the number of buckets for each doubling, but for the first two
// doublings of it, where a bucket is a microsecond.
const steps = 16

// bucketOf returns the bucket of d: 0 up to 1 µs, one for each microsecond up to
// 32 µs, from there 16 for each doubling.
func bucketOf(d time.Duration) int {
	us := uint64(max(d-1, 0) / time.Microsecond) // not negative
	if us < 2*steps {
		return int(us)
	}
	shift := bits.Len64(us) - bits.Len64(2*steps-1) // us>>shift lies in [steps, 2 steps)
	return shift*steps + int(us>>shift)             //nolint:gosec // at most 63·16 + 32
}

// boundOf returns the highest latency of a bucket.
func boundOf(i int) time.Duration {
	shift := max(i/steps-1, 0)
	return time.Duration((i-shift*steps+1)<<shift) * time.Microsecond
}

// ms returns d in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
