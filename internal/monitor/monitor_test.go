package monitor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"verge/internal/fault"
	"verge/internal/monitor"
)

// clock is a time that a test moves.
type clock struct{ t time.Time }

func newClock() *clock {
	return &clock{t: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
}

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

func TestSnapshotJSON(t *testing.T) {
	c := newClock()
	m := monitor.New(monitor.Default(), c.now)
	c.advance(time.Second)
	for i := range 20 { // 1 ms to 20 ms, not in order
		m.Record(time.Duration((i*7)%20+1)*time.Millisecond, nil)
	}
	m.Record(time.Hour, fault.New(fault.Deadline, "serve.run", "too slow"))
	m.Record(0, errors.New("a bug"))
	m.Record(0, context.Canceled)
	m.Record(0, context.Canceled)
	c.advance(time.Second)
	got, err := json.Marshal(m.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	var stats map[string]any
	if err := json.Unmarshal(got, &stats); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"lifetime", "minutes"} {
		if stats[key] == nil {
			t.Errorf("performance_stats has no %s", key)
		}
		delete(stats, key)
	}
	want := map[string]any{
		"total_requests": 24.0, "error_count": 4.0, "error_rate": 4.0 / 24,
		"avg_latency_ms": 10.5, "min_latency_ms": 1.0, "max_latency_ms": 20.0,
		"p50_latency_ms": 10.0, "p95_latency_ms": 19.0, "p99_latency_ms": 20.0,
		"throughput_rps": 10.0, "uptime_seconds": 2.0,
		"window_count": 20.0, "errors_by_kind": map[string]any{"deadline": 1.0, "internal": 1.0, "canceled": 2.0},
	}
	if diff := cmp.Diff(want, stats); diff != "" {
		t.Errorf("performance_stats (-want +got):\n%s", diff)
	}
}

func TestSnapshotWithoutRequests(t *testing.T) {
	got, err := json.Marshal(monitor.New(monitor.Default(), newClock().now).Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"total_requests":0,"error_count":0,"error_rate":0,"avg_latency_ms":0,"min_latency_ms":0,"max_latency_ms":0,` +
		`"p50_latency_ms":0,"p95_latency_ms":0,"p99_latency_ms":0,"throughput_rps":0,"uptime_seconds":0,` +
		`"window_count":0,"errors_by_kind":{},"lifetime":{"count":0,"sum_ms":0,"buckets":[]},"minutes":[]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("performance_stats (-want +got):\n%s", diff)
	}
}

func TestWindowKeepsTheLastLatencies(t *testing.T) {
	cfg := monitor.Default()
	cfg.Window = 3
	m := monitor.New(cfg, newClock().now)
	for i := 1; i <= 7; i++ {
		m.Record(time.Duration(i)*time.Millisecond, nil)
	}
	got := m.Snapshot()
	if got.WindowCount != 3 || got.MinLatencyMS != 5 || got.MaxLatencyMS != 7 || got.P50LatencyMS != 6 || got.TotalRequests != 7 || got.Lifetime.Count != 7 {
		t.Errorf("Snapshot() = %+v, want the last three of seven", got)
	}
}

func TestThroughput(t *testing.T) {
	c := newClock()
	m := monitor.New(monitor.Default(), c.now)
	want := func(rps float64) {
		t.Helper()
		if got := m.Snapshot().ThroughputRPS; math.Abs(got-rps) > 1e-9 {
			t.Errorf("throughput after %v is %g, want %g", c.t.Sub(newClock().t), got, rps)
		}
	}
	for range 300 { // 10 a second for 30 s
		m.Record(time.Millisecond, nil)
		c.advance(100 * time.Millisecond)
	}
	want(10) // over the uptime
	c.advance(10 * time.Second)
	want(300.0 / 40)
	c.advance(20 * time.Second)
	want(300.0 / 60)
	c.advance(15*time.Second + 500*time.Millisecond) // the first 15.5 s are over
	want(145.0 / 60)
	c.advance(time.Minute)
	want(0)
	c.advance(100 * time.Hour)
	m.Record(time.Millisecond, nil)
	want(1.0 / 60)
	m.Record(time.Millisecond, errors.New("not an answer"))
	want(1.0 / 60)
}

func TestMinutes(t *testing.T) {
	c := newClock()
	cfg := monitor.Default()
	cfg.Minutes = 2
	m := monitor.New(cfg, c.now)
	m.Record(time.Millisecond, nil)
	c.advance(59 * time.Second)
	m.Record(2*time.Millisecond, nil)
	c.advance(time.Second)
	m.Record(0, errors.New("a bug"))
	m.Record(3*time.Millisecond, nil)
	first := newClock().t
	one := func(upTo float64) monitor.Histogram {
		return monitor.Histogram{Count: 1, SumMS: math.Floor(upTo), Buckets: []monitor.Bucket{{UpToMS: upTo, Count: 1}}}
	}
	second := monitor.Minute{Start: first.Add(time.Minute), Histogram: one(3.072), Errors: 1}
	want := []monitor.Minute{
		{Start: first, Histogram: monitor.Histogram{Count: 2, SumMS: 3, Buckets: []monitor.Bucket{{UpToMS: 1.024, Count: 1}, {UpToMS: 2.048, Count: 1}}}},
		second,
	}
	if diff := cmp.Diff(want, m.Snapshot().Minutes); diff != "" {
		t.Errorf("Minutes (-want +got):\n%s", diff)
	}
	c.advance(time.Minute)
	if diff := cmp.Diff([]monitor.Minute{second}, m.Snapshot().Minutes); diff != "" {
		t.Errorf("Minutes a minute later (-want +got):\n%s", diff)
	}
	c.advance(time.Hour)
	m.Record(4*time.Millisecond, nil)
	third := monitor.Minute{Start: first.Add(62 * time.Minute), Histogram: one(4.096)}
	if diff := cmp.Diff([]monitor.Minute{third}, m.Snapshot().Minutes); diff != "" {
		t.Errorf("Minutes an hour later (-want +got):\n%s", diff)
	}
}

// Whatever is recorded, the figures are those of a plain list of it.
func TestFiguresAreThoseOfAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		cfg := monitor.Default()
		cfg.Window = rapid.IntRange(1, 50).Draw(t, "window")
		m := monitor.New(cfg, c.now)
		var all []time.Duration
		failed := 0
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			c.advance(time.Duration(rapid.IntRange(0, 3000).Draw(t, "pause")) * time.Millisecond)
			if rapid.IntRange(0, 9).Draw(t, "fails") == 0 {
				m.Record(time.Hour, errors.New("a bug"))
				failed++
				continue
			}
			d := time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "latency"))
			m.Record(d, nil)
			all = append(all, d)
		}
		got := m.Snapshot()
		if got.TotalRequests != int64(len(all)+failed) || got.ErrorCount != int64(failed) || got.Lifetime.Count != int64(len(all)) {
			t.Fatalf("counts of %d answers and %d errors: %+v", len(all), failed, got)
		}
		if len(all) == 0 {
			return
		}
		window := slices.Sorted(slices.Values(all[max(0, len(all)-cfg.Window):]))
		for percent, figure := range map[float64]float64{0.5: got.P50LatencyMS, 0.95: got.P95LatencyMS, 0.99: got.P99LatencyMS} {
			rank := int(math.Ceil(percent*float64(len(window)) - 1e-9))
			if want := float64(window[rank-1]) / 1e6; figure != want {
				t.Fatalf("percentile %g of %v is %g, want %g", percent, window, figure, want)
			}
		}
		checkBuckets(t, got.Lifetime, all)
	})
}

// checkBuckets compares a histogram with what it was made of.
func checkBuckets(t *rapid.T, h monitor.Histogram, all []time.Duration) {
	below, total := 0.0, int64(0)
	for _, b := range h.Buckets {
		var want, lowest int64
		for _, d := range all {
			if x := float64(d) / 1e6; x <= b.UpToMS && (x > below || below == 0) {
				want++
				lowest = max(lowest, int64(d))
			}
		}
		if b.Count != want || b.Count == 0 {
			t.Fatalf("bucket up to %g ms counts %d, want %d", b.UpToMS, b.Count, want)
		}
		if width := b.UpToMS - float64(lowest)/1e6; width > b.UpToMS/16+0.001 {
			t.Fatalf("bucket up to %g ms holds %v", b.UpToMS, time.Duration(lowest))
		}
		below, total = b.UpToMS, total+b.Count
	}
	if total != int64(len(all)) {
		t.Fatalf("buckets hold %d, want %d", total, len(all))
	}
}

func TestRecordFromManyGoroutines(t *testing.T) {
	m := monitor.New(monitor.Default(), time.Now)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				var err error
				if i%5 == 0 {
					err = errors.New("a bug")
				}
				m.Record(time.Duration(i)*time.Microsecond, err)
				if i%100 == 0 {
					m.Snapshot()
				}
			}
		})
	}
	wg.Wait()
	got := m.Snapshot()
	if got.TotalRequests != 4000 || got.ErrorCount != 800 || got.Lifetime.Count != 3200 || got.WindowCount != 1000 {
		t.Errorf("Snapshot() = %+v, want 3200 answers and 800 errors", got)
	}
}

func TestConfigValidate(t *testing.T) {
	if err := monitor.Default().Validate(); err != nil {
		t.Errorf("Default().Validate() = %v, want nil", err)
	}
	const want = "monitor.window is 0, want 1 to 1000000\n" +
		"monitor.throughput_window is 1.5s, want whole seconds from 1s to 1h0m0s\n" +
		"monitor.minutes is -1, want 1 to 1440"
	got := fmt.Sprint(monitor.Config{ThroughputWindow: 1500 * time.Millisecond, Minutes: -1}.Validate())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Validate() (-want +got):\n%s", diff)
	}
}

func BenchmarkRecord(b *testing.B) {
	m := monitor.New(monitor.Default(), time.Now)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for d := time.Microsecond; pb.Next(); d += time.Microsecond {
			m.Record(d%time.Second, nil)
		}
	})
}

func BenchmarkSnapshot(b *testing.B) {
	m := monitor.New(monitor.Default(), time.Now)
	for i := range 2000 {
		m.Record(time.Duration(i*7919%2000)*time.Microsecond, nil)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Snapshot()
	}
}

func TestAWatchGathersFromItsBeginningToItsEnd(t *testing.T) {
	m := monitor.New(monitor.Default(), time.Now)
	m.Record(time.Millisecond, nil)
	w, stop := m.Watch()
	m.Record(3*time.Millisecond, nil)
	m.Record(0, fault.New(fault.Internal, "test", "it broke"))
	stop()
	stop()
	m.Record(time.Millisecond, nil)
	if got := w.Snapshot(); got.TotalRequests != 2 || got.ErrorCount != 1 || got.P95LatencyMS != 3 {
		t.Errorf("the watch saw %+v, want 2 requests, one of them an error", got)
	}
	first, stopFirst := m.Watch()
	second, stopSecond := m.Watch()
	stopFirst() // it is not the one that is told any more
	m.Record(time.Millisecond, nil)
	stopSecond()
	if first.Snapshot().TotalRequests != 0 || second.Snapshot().TotalRequests != 1 || m.Snapshot().TotalRequests != 5 {
		t.Errorf("the first watch saw %d, the second %d, the model %d; want 0, 1 and 5", first.Snapshot().TotalRequests, second.Snapshot().TotalRequests, m.Snapshot().TotalRequests)
	}
}
