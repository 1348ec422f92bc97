package stats

import "math"

// Cosine is the cosine of the angle between two vectors of the same length; 1 where both
// are zero, and no number where only one is.
func Cosine(a, b []float64) float64 {
	var dot, aa, bb float64
	for i := range a {
		dot += a[i] * b[i]
		aa += a[i] * a[i]
		bb += b[i] * b[i]
	}
	if aa == 0 && bb == 0 {
		return 1
	}
	return dot / math.Sqrt(aa*bb)
}
