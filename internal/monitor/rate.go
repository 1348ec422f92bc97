package monitor

import "time"

// rate counts events by the second, over a window of whole seconds.
type rate struct {
	counts []int64 // ring by second of uptime: the window and the second that has begun
	last   int64   // the newest second in it
}

func newRate(seconds int) rate { return rate{counts: make([]int64, seconds+1)} }

// add counts an event at an uptime. One that is older than the newest, by a race
// of two callers, counts as new.
func (r *rate) add(uptime time.Duration) {
	r.advance(uptime)
	r.counts[r.last%int64(len(r.counts))]++
}

// perSecond returns the events of the window before an uptime, over its length:
// the window, or the uptime where that is shorter. Of the oldest second, that part
// counts which still lies in the window.
func (r *rate) perSecond(uptime time.Duration) float64 {
	r.advance(uptime)
	size := int64(len(r.counts))
	total := 0.0
	for _, n := range r.counts {
		total += float64(n)
	}
	length := time.Duration(size-1) * time.Second
	if uptime >= length {
		gone := float64(uptime%time.Second) / float64(time.Second)
		total -= gone * float64(r.counts[(r.last+1)%size])
	} else {
		length = uptime
	}
	if length <= 0 {
		return 0
	}
	return total / length.Seconds()
}

// advance forgets the seconds that an uptime has left behind.
func (r *rate) advance(uptime time.Duration) {
	size := int64(len(r.counts))
	second := int64(uptime / time.Second)
	for s := max(r.last, second-size) + 1; s <= second; s++ {
		r.counts[s%size] = 0
	}
	r.last = max(r.last, second)
}
