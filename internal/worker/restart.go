package worker

import (
	"fmt"
	"time"
)

// restarts decides when a process that died is started again, and when no more.
type restarts struct {
	cfg    Config
	deaths []time.Time   // within the window, oldest first; at most MaxDeaths
	delay  time.Duration // the last one; 0 before the first death
}

// died notes a death at now of a process that had served since ready (the zero
// time: never), and returns in how long to start the next, or that there were too
// many deaths.
func (r *restarts) died(now, ready time.Time) (delay time.Duration, failed bool) {
	r.forget(now)
	r.deaths = append(r.deaths, now)
	if len(r.deaths) >= r.cfg.MaxDeaths {
		return 0, true
	}
	if r.delay == 0 || !ready.IsZero() && now.Sub(ready) >= r.cfg.StableAfter {
		r.delay = r.cfg.RestartDelay
	} else {
		r.delay = min(2*r.delay, r.cfg.MaxRestartDelay)
	}
	return r.delay, false
}

// count returns how many deaths count at now.
func (r *restarts) count(now time.Time) int {
	r.forget(now)
	return len(r.deaths)
}

func (r *restarts) forget(now time.Time) {
	old := 0
	for old < len(r.deaths) && now.Sub(r.deaths[old]) > r.cfg.DeathWindow {
		old++
	}
	r.deaths = r.deaths[old:]
}

// verdict says that there were too many deaths, and what the last one was.
func (r *restarts) verdict(last string) string {
	return fmt.Sprintf("its worker died %d times within %v, last: %s", len(r.deaths), r.cfg.DeathWindow, last)
}
