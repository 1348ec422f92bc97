package monitor

import (
	"slices"
	"time"

	"verge/internal/fault"
	"verge/internal/stats"
)

// Stats is what a Model has gathered. Counts are since the start, latencies are
// milliseconds over the window of the last answered requests (0 where there is
// none yet). In JSON it is the performance_stats of a status.
type Stats struct {
	TotalRequests int64   `json:"total_requests"` // answered or not
	ErrorCount    int64   `json:"error_count"`    // not answered, for whatever reason
	ErrorRate     float64 `json:"error_rate"`     // ErrorCount / TotalRequests, 0 without requests
	AvgLatencyMS  float64 `json:"avg_latency_ms"`
	MinLatencyMS  float64 `json:"min_latency_ms"`
	MaxLatencyMS  float64 `json:"max_latency_ms"`
	P50LatencyMS  float64 `json:"p50_latency_ms"` // percentiles by the nearest rank
	P95LatencyMS  float64 `json:"p95_latency_ms"`
	P99LatencyMS  float64 `json:"p99_latency_ms"`
	ThroughputRPS float64 `json:"throughput_rps"` // answers in the throughput window, over its length or the uptime
	UptimeSeconds float64 `json:"uptime_seconds"`

	WindowCount  int              `json:"window_count"`   // latencies that the figures rest on
	ErrorsByKind map[string]int64 `json:"errors_by_kind"` // by fault.Kind; only kinds that occurred
	Lifetime     Histogram        `json:"lifetime"`
	Minutes      []Minute         `json:"minutes"` // oldest first, the one that has begun last; none without requests
}

// Minute is what one minute of uptime saw.
type Minute struct {
	Start time.Time `json:"start"`
	Histogram
	Errors int64 `json:"errors"`
}

// Snapshot returns the figures of this instant. They are the caller's.
func (m *Model) Snapshot() Stats {
	uptime := m.now().Sub(m.started)
	m.mu.Lock()
	latencies := slices.Clone(m.window)
	st := Stats{
		TotalRequests: m.answered, UptimeSeconds: uptime.Seconds(), ThroughputRPS: m.rate.perSecond(uptime),
		ErrorsByKind: map[string]int64{}, Lifetime: m.lifetime.histogram(), Minutes: []Minute{},
	}
	for kind, n := range m.errors {
		if n > 0 {
			st.ErrorsByKind[fault.Kinds()[kind].String()] = n
			st.ErrorCount += n
		}
	}
	m.expire(int64(uptime / time.Minute))
	for _, one := range m.minutes {
		start := m.started.Add(time.Duration(one.number) * time.Minute).UTC()
		st.Minutes = append(st.Minutes, Minute{Start: start, Histogram: one.histogram(), Errors: one.errors})
	}
	m.mu.Unlock()

	st.TotalRequests += st.ErrorCount
	if st.TotalRequests > 0 {
		st.ErrorRate = float64(st.ErrorCount) / float64(st.TotalRequests)
	}
	st.latencies(latencies)
	return st
}

// latencies fills in the figures of the window, which it sorts.
func (st *Stats) latencies(window []time.Duration) {
	st.WindowCount = len(window)
	if len(window) == 0 {
		return
	}
	slices.Sort(window)
	var sum time.Duration
	for _, d := range window {
		sum += d
	}
	st.AvgLatencyMS = ms(sum) / float64(len(window))
	st.MinLatencyMS, st.MaxLatencyMS = ms(window[0]), ms(window[len(window)-1])
	st.P50LatencyMS = ms(stats.Percentile(window, 50))
	st.P95LatencyMS = ms(stats.Percentile(window, 95))
	st.P99LatencyMS = ms(stats.Percentile(window, 99))
}
