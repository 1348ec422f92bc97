package gate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"verge/client"
	"verge/internal/fault"
	"verge/internal/stats"
)

// LoadPlan is tests.load_test.
type LoadPlan struct {
	Clients           int           // requests that are in flight at the same time, at most
	RequestsPerClient int           // of the closed loop: each client asks again when it was answered
	MinSuccessRate    float64       // share of requests that must be answered, 0 to 1
	Rate              float64       // above 0: requests a second by a schedule instead (open loop)
	Duration          time.Duration // of the schedule
}

// maxRequests bounds what one load test remembers.
const maxRequests = 10_000_000

// Load asks from several clients at the same time, and holds the share of requests
// that were answered against the least that is wanted. With a rate, requests begin
// by a schedule and their latencies count from there, whether a client was free or
// not, so that a stall is seen by every request that it delayed.
func Load(ctx context.Context, e Env, t Target, p LoadPlan) client.Verdict {
	v := e.verdict(GateLoad)
	l := &load{env: e, target: t, plan: p, begin: e.Now(), errors: map[string]int{}}
	if err := l.prepare(); err != nil {
		return failed(v, "%s", message(err))
	}
	v.How = l.how()
	var clients sync.WaitGroup
	for range p.Clients {
		clients.Go(func() { l.client(ctx) })
	}
	clients.Wait()
	took := l.env.Now().Sub(l.begin)

	v.Samples = len(l.took) + l.failures
	if v.Samples == 0 {
		return failed(v, "no request was made in %s", seconds(took))
	}
	rate := float64(len(l.took)) / float64(v.Samples)
	v.Figures, v.Histogram = latencyFigures(stats.Summarize(l.took)), histogram(l.took)
	v.Figures["requests"], v.Figures["answered"] = float64(v.Samples), float64(len(l.took))
	v.Figures["clients"], v.Figures["seconds"] = float64(p.Clients), took.Seconds()
	if took > 0 {
		v.Figures["throughput_rps"] = float64(len(l.took)) / took.Seconds()
	}
	v.Detail = l.why()
	v.Figure, v.Limit, v.Unit, v.Outcome = &rate, &p.MinSuccessRate, "ratio", client.OutcomePass
	if rate < p.MinSuccessRate {
		v.Outcome = client.OutcomeFail
	}
	return v
}

// load is one load test in progress.
type load struct {
	env    Env
	target Target
	plan   LoadPlan
	begin  time.Time
	total  int64        // requests
	next   atomic.Int64 // of the schedule

	mu       sync.Mutex     // guards what follows
	took     []float64      // latencies of answered requests, in ms
	failures int            //
	errors   map[string]int // what was answered instead → how often
}

func (l *load) prepare() error {
	p := l.plan
	invalid := func(format string, args ...any) error { return fault.New(fault.Invalid, "gate.load", format, args...) }
	switch {
	case p.Clients < 1:
		return invalid("%d clients, want 1 or more", p.Clients)
	case p.Rate > 0 && p.Duration <= 0:
		return invalid("a rate of %g requests a second without a duration", p.Rate)
	case p.Rate > 0:
		n := math.Ceil(p.Rate * p.Duration.Seconds())
		if n > maxRequests {
			return invalid("%g requests, at most %d are made", n, maxRequests)
		}
		l.total = max(int64(n), 1)
	case p.RequestsPerClient < 1 || p.RequestsPerClient > maxRequests/p.Clients:
		return invalid("%d requests for each of %d clients, want 1 or more, and %d at most together", p.RequestsPerClient, p.Clients, maxRequests)
	default:
		l.total = int64(p.Clients) * int64(p.RequestsPerClient)
	}
	return nil
}

func (l *load) how() string {
	p := l.plan
	const tail = "through the node's HTTP interface; "
	if p.Rate > 0 {
		return fmt.Sprintf("%d requests, %g a second by schedule for %s, at most %d at a time, %s%s", l.total, p.Rate, p.Duration, p.Clients, tail, l.target.Source)
	}
	return fmt.Sprintf("%d clients with %d requests each, one at a time, %s%s", p.Clients, p.RequestsPerClient, tail, l.target.Source)
}

// client makes requests until none is left. A closed loop gives each client its own
// share, so that a slow answer does not pass its work to the others.
func (l *load) client(ctx context.Context) {
	req := l.target.request(l.target.Inputs)
	for mine := 0; ctx.Err() == nil; mine++ {
		due := l.env.Now()
		if p := l.plan; p.Rate > 0 {
			i := l.next.Add(1) - 1
			if i >= l.total {
				return
			}
			due = l.begin.Add(time.Duration(float64(i) / p.Rate * float64(time.Second)))
			if !l.wait(ctx, due) {
				return
			}
		} else if mine >= p.RequestsPerClient {
			return
		}
		_, err := l.target.infer(ctx, req)
		if ctx.Err() != nil {
			return // it was not the candidate that failed
		}
		l.record(l.env.Now().Sub(due), err)
	}
}

// wait waits until a request is due.
func (l *load) wait(ctx context.Context, due time.Time) bool {
	rest := due.Sub(l.env.Now())
	if rest <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *load) record(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failures++
		text := reason(err)
		if _, known := l.errors[text]; known || len(l.errors) < 16 {
			l.errors[text]++
		}
	} else {
		l.took = append(l.took, ms(took))
	}
	l.env.progress(GateLoad, len(l.took)+l.failures, int(l.total), ms(took), "ms")
}

// reason is a failed request, in words that many of them share.
func reason(err error) string {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return fmt.Sprintf("%s (%s)", e.Message, e.Kind)
	}
	return message(err)
}

// why tells the most frequent failures.
func (l *load) why() string {
	if l.failures == 0 {
		return ""
	}
	texts := make([]string, 0, len(l.errors))
	for text := range l.errors {
		texts = append(texts, text)
	}
	slices.SortFunc(texts, func(a, b string) int {
		if l.errors[a] != l.errors[b] {
			return l.errors[b] - l.errors[a]
		}
		return strings.Compare(a, b)
	})
	const shown = 3
	for i, text := range texts[:min(shown, len(texts))] {
		texts[i] = fmt.Sprintf("%d × %s", l.errors[text], text)
	}
	return fmt.Sprintf("%d of %d failed: %s", l.failures, l.failures+len(l.took), strings.Join(texts[:min(shown, len(texts))], "; "))
}
