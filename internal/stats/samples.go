package stats

import "math"

// mostSamples ends the search of SampleSize: beyond it, floating-point sums say
// nothing about such confidences.
const mostSamples = 10_000_000

// Holds reports whether n samples, of which over lay above a limit, show with the
// given confidence (0.99) that the percentile (95) lies within it.
//
// It is the rule that MLPerf calls early stopping, with a tolerance of zero: were
// the true share of samples above the limit 1 - percent/100 or more, then over or
// fewer of them would be seen with the probability
//
//	sum for k = 0 … over of C(n, k) · (1-p)^k · p^(n-k), p = percent/100,
//
// at most, and the bound holds when that is at most 1 - confidence.
func Holds(n, over int, percent, confidence float64) bool {
	if over < 0 || over >= n {
		return false
	}
	return tail(n, over, percent/100) <= 1-confidence
}

// SampleSize returns the least number of samples for which Holds is true with over
// of them above the limit: 90 for the 95th percentile with none over and the
// confidence 0.99; 44 and 64 for the 90th, and 459 and 662 for the 99th, with none
// and one. It returns 0 where there is no such number: percent or confidence is not
// above 0 and below its 100 or 1, over is negative, or more than ten million
// samples would be needed.
func SampleSize(percent, confidence float64, over int) int {
	if !(percent > 0 && percent < 100 && confidence > 0 && confidence < 1) || over < 0 {
		return 0
	}
	// More samples with the same number over are more convincing: search by halves.
	high := over + 1
	for !Holds(high, over, percent, confidence) {
		if high *= 2; high > mostSamples {
			return 0
		}
	}
	low := max(high/2, over) // does not hold
	for high-low > 1 {
		if middle := low + (high-low)/2; Holds(middle, over, percent, confidence) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// tail is the probability of over or fewer failures in n trials that succeed with
// the probability p. It adds logarithms, so that p^n may be as small as it likes.
func tail(n, over int, p float64) float64 {
	logN, _ := math.Lgamma(float64(n) + 1)
	sum := 0.0
	for k := range over + 1 {
		logK, _ := math.Lgamma(float64(k) + 1)
		logRest, _ := math.Lgamma(float64(n-k) + 1)
		sum += math.Exp(logN - logK - logRest + float64(k)*math.Log(1-p) + float64(n-k)*math.Log(p))
	}
	return sum
}
