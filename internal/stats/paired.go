package stats

import "math"

// z95 is the 95 % quantile of the normal distribution.
const z95 = 1.6448536269514722

// Paired counts how two classifiers answered the same samples.
type Paired struct {
	Samples int
	Lost    int // that only the first one answers right
	Gained  int // that only the second one answers right
}

// Loss is the share of right answers that the second one loses.
func (p Paired) Loss() float64 { return float64(p.Lost-p.Gained) / float64(p.Samples) }

// Upper is the bound that the true loss does not exceed with a confidence of 95 %: Tango's
// score bound for a difference of paired proportions (T. Tango, Statistics in Medicine 17,
// 1998, 891–908). Without samples it is 1.
func (p Paired) Upper() float64 {
	return scoreBound(float64(p.Samples), float64(p.Lost), float64(p.Gained))
}

// Lower is the bound that the true loss does not fall below with a confidence of 95 %.
func (p Paired) Lower() float64 {
	return -scoreBound(float64(p.Samples), float64(p.Gained), float64(p.Lost))
}

// Worse is the probability, where both were equally good, that among the samples on which
// they differ so many or more are lost: McNemar's exact test. A small one says that the
// second is worse; a large one says nothing.
func (p Paired) Worse() float64 {
	n := p.Lost + p.Gained
	if n == 0 {
		return 1
	}
	return min(tail(n, n-p.Lost, 0.5), 1)
}

// Needed is about how many samples bring Upper below a limit where they turn out as these
// did, or 0 where none do: the loss is not below the limit.
func (p Paired) Needed(limit float64) int {
	if p.Samples < 1 || p.Loss() >= limit {
		return 0
	}
	at := func(n float64) float64 {
		times := n / float64(p.Samples)
		return scoreBound(n, times*float64(p.Lost), times*float64(p.Gained))
	}
	low, high := float64(p.Samples), float64(p.Samples)
	for at(high) >= limit {
		if low, high = high, 2*high; high > mostSamples {
			return 0
		}
	}
	for high-low > 1 {
		if middle := math.Floor((low + high) / 2); at(middle) < limit {
			high = middle
		} else {
			low = middle
		}
	}
	return int(high)
}

// scoreBound finds the difference d, above the observed one, at which the score statistic
// of n pairs, b of them lost and c gained, is -z95. Counts may be fractions.
func scoreBound(n, b, c float64) float64 {
	if n <= 0 {
		return 1
	}
	statistic := func(d float64) float64 {
		// The likeliest share of gained samples, were the loss d.
		a, linear, constant := 2*n, -(b+c)+(2*n-b+c)*d, -c*d*(1-d)
		gained := (math.Sqrt(max(linear*linear-4*a*constant, 0)) - linear) / (2 * a)
		return (b - c - n*d) / math.Sqrt(n*max(2*gained+d*(1-d), 0))
	}
	low, high := (b-c)/n, 1.0
	for range 60 { // halves the interval to less than a float tells
		if middle := (low + high) / 2; statistic(middle) > -z95 {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
