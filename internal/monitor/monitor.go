package monitor

import (
	"sync"
	"sync/atomic"
	"time"

	"verge/internal/fault"
)

// Model gathers the figures of one version of a model. All methods are safe for
// concurrent use.
type Model struct {
	cfg     Config
	now     func() time.Time
	started time.Time
	watch   atomic.Pointer[Model] // is told of each request too; nil for none

	mu       sync.Mutex      // guards what follows; held for less than a microsecond by Record
	errors   []int64         // by fault.Kind
	answered int64           // requests without an error
	window   []time.Duration // ring of the last latencies; its capacity is the window
	next     int             // where the ring goes on once it is full
	rate     rate
	lifetime counter
	minutes  []minute // the last ones in which something was recorded, oldest first
}

// minute is one minute of uptime.
type minute struct {
	number int64 // since the start
	counter
	errors int64
}

// New returns a Model whose uptime begins now. cfg is valid.
func New(cfg Config, now func() time.Time) *Model {
	return &Model{
		cfg: cfg, now: now, started: now(),
		errors: make([]int64, len(fault.Kinds())),
		window: make([]time.Duration, 0, cfg.Window),
		rate:   newRate(int(cfg.ThroughputWindow / time.Second)),
	}
}

// Watch returns a Model that gathers the same from now on, until stop is called. There is
// one at a time: the next one takes its place.
func (m *Model) Watch() (w *Model, stop func()) {
	w = New(m.cfg, m.now)
	m.watch.Store(w)
	return w, func() { m.watch.CompareAndSwap(w, nil) }
}

// Record notes one request: how long it took, and nil or why there was no answer.
func (m *Model) Record(latency time.Duration, err error) {
	if watch := m.watch.Load(); watch != nil {
		watch.Record(latency, err)
	}
	uptime, latency := m.now().Sub(m.started), max(latency, 0)
	m.mu.Lock()
	defer m.mu.Unlock()
	minute := m.minute(uptime)
	if err != nil {
		m.errors[fault.KindOf(err)]++
		minute.errors++
		return
	}
	m.answered++
	m.rate.add(uptime)
	m.lifetime.record(latency)
	minute.record(latency)
	if len(m.window) < cap(m.window) {
		m.window = append(m.window, latency)
		return
	}
	m.window[m.next] = latency
	m.next = (m.next + 1) % len(m.window)
}

// minute returns the minute that uptime lies in. m.mu is held.
func (m *Model) minute(uptime time.Duration) *minute {
	number := int64(uptime / time.Minute)
	if n := len(m.minutes); n > 0 && m.minutes[n-1].number >= number {
		return &m.minutes[n-1]
	}
	m.expire(number)
	m.minutes = append(m.minutes, minute{number: number})
	return &m.minutes[len(m.minutes)-1]
}

// expire drops the minutes that are too old when the minute number is current. m.mu is held.
func (m *Model) expire(number int64) {
	keep := m.minutes[:0]
	for _, old := range m.minutes {
		if old.number > number-int64(m.cfg.Minutes) {
			keep = append(keep, old)
		}
	}
	clear(m.minutes[len(keep):])
	m.minutes = keep
}
