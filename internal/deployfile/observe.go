package deployfile

import (
	"time"

	"verge/internal/document"
)

// Observe says how a version is watched after the switch, while the one before it stays at
// hand. Where a limit is broken, that one serves again.
type Observe struct {
	Duration          Duration `json:"duration" jsonschema_description:"How long, such as 90s; at most 1h. 5m where it is not given."`
	MaxErrorRate      float64  `json:"max_error_rate" jsonschema:"minimum=0,maximum=1" jsonschema_description:"Share of the requests that may fail for another reason than the client's. 0.05 where it is not given."`
	MaxP95MS          float64  `json:"max_p95_ms,omitempty" jsonschema:"exclusiveMinimum=0,maximum=3600000" jsonschema_description:"Limit on the 95th percentile of the latency, in milliseconds; without it, deployment.max_latency_ms."`
	MaxP95Ratio       float64  `json:"max_p95_ratio,omitempty" jsonschema:"minimum=1,maximum=1000" jsonschema_description:"Limit on the ratio of the 95th percentile to that of the version before, where that answered enough requests."`
	MaxNaNRate        float64  `json:"max_nan_rate" jsonschema:"minimum=0,maximum=1" jsonschema_description:"Share of the answers to finite inputs that may have NaN or infinities, of those that are looked at: ten a second at the most. None are where tests.functional_test.allow_nan is set. 0.05 where it is not given."`
	MaxMemoryGrowthMB float64  `json:"max_memory_growth_mb,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1048576" jsonschema_description:"How much the worker's memory may grow after its first 20 answers; without it, it may."`
	MaxWorkerDeaths   int      `json:"max_worker_deaths" jsonschema:"minimum=0,maximum=100" jsonschema_description:"Deaths of the version's worker that are borne. 0 where it is not given."`
}

// defaultObserve is an observation of which the file says nothing: the latency is limited
// as that of the deployment, in milliseconds.
func defaultObserve(maxLatencyMS float64) Observe {
	const duration, rate = 5 * time.Minute, 0.05
	return Observe{Duration: Duration(duration), MaxErrorRate: rate, MaxNaNRate: rate, MaxP95MS: maxLatencyMS}
}

// observe fills in what the file does not say.
func (c *checker) observe() {
	n, o := c.root.Get("observe"), c.file.Observe
	if o == nil {
		return
	}
	unsaid := defaultObserve(c.file.Deployment.MaxLatencyMS)
	unlessGiven(n, "duration", &o.Duration, unsaid.Duration)
	unlessGiven(n, "max_error_rate", &o.MaxErrorRate, unsaid.MaxErrorRate)
	unlessGiven(n, "max_nan_rate", &o.MaxNaNRate, unsaid.MaxNaNRate)
	unlessGiven(n, "max_p95_ms", &o.MaxP95MS, unsaid.MaxP95MS)
}

// unlessGiven sets what a map does not say.
func unlessGiven[T any](n *document.Node, key string, to *T, value T) {
	if n.Get(key) == nil {
		*to = value
	}
}

// Limits are what a version that clients ask is held to: those of observe, or what these
// are by default.
func (f *File) Limits() Observe {
	if f.Observe != nil {
		return *f.Observe
	}
	return defaultObserve(f.Deployment.MaxLatencyMS)
}
