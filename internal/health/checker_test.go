package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"verge/internal/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probe is a check whose answer can be set, and whose runs are counted.
type probe struct {
	mu     sync.Mutex // guards what follows
	result health.Result
	at     []time.Duration // when it ran, after start
	start  time.Time
}

func newProbe(status health.Status) *probe {
	return &probe{result: health.Result{Status: status}, start: time.Now()}
}

func (p *probe) run(context.Context) health.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = append(p.at, time.Since(p.start))
	return p.result
}

func (p *probe) set(status health.Status, message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.result = health.Result{Status: status, Message: message}
}

func (p *probe) want(t *testing.T, at ...time.Duration) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if diff := cmp.Diff(at, p.at); diff != "" {
		t.Errorf("check ran at (-want +got):\n%s", diff)
	}
}

// changes keeps what OnChange is told.
type changes struct {
	mu  sync.Mutex
	all []string
}

func (c *changes) add(ch health.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, fmt.Sprintf("%s/%s %s→%s %s", ch.Model, ch.Check, ch.Before, ch.After, ch.Message))
}

func (c *changes) want(t *testing.T, all ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if diff := cmp.Diff(all, c.all); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// start runs a checker in a goroutine, until the returned function is called.
func start(t *testing.T, c *health.Checker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		c.Run(ctx)
		close(ended)
	}()
	synctest.Wait()
	return func() {
		cancel()
		<-ended
	}
}

func TestChecksRunAtOnceAndThenEveryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ch := newProbe(health.Healthy), &changes{}
		c := health.New(health.Default(), []health.Check{{Name: "memory", Run: p.run}}, ch.add, time.Now, slog.New(slog.DiscardHandler))
		if got := c.Report(""); got.Status != health.Unknown || got.LastCheck != nil || got.Checks["memory"].Status != health.Unknown {
			t.Errorf("Report before the first check = %+v, want unknown", got)
		}
		began := time.Now()
		stop := start(t, c)
		if got := c.Report(""); got.Status != health.Healthy || got.LastCheck == nil || !got.LastCheck.Equal(began) {
			t.Errorf("Report = %+v, want healthy since just now", got)
		}
		<-time.After(61 * time.Second)
		c.Trigger()
		synctest.Wait()
		p.want(t, 0, 30*time.Second, 60*time.Second, 61*time.Second)
		ch.want(t, "/memory unknown→healthy ")
		<-time.After(31 * time.Second)
		stop()
		<-time.After(time.Hour)
		p.want(t, 0, 30*time.Second, 60*time.Second, 61*time.Second, 91*time.Second)
	})
}

func TestUnhealthyCheckIsRepeatedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ch := newProbe(health.Healthy), &changes{}
		c := health.New(health.Default(), []health.Check{{Name: "memory", Run: p.run}}, ch.add, time.Now, slog.New(slog.DiscardHandler))
		defer start(t, c)()
		p.set(health.Unhealthy, "memory at 93.0%")
		<-time.After(33 * time.Second)
		if got := c.Report(""); got.Status != health.Unhealthy {
			t.Errorf("Report = %+v, want unhealthy", got)
		}
		p.set(health.Healthy, "")
		<-time.After(32 * time.Second)
		p.want(t, 0, 30*time.Second, 32*time.Second, 34*time.Second, 64*time.Second)
		ch.want(t, "/memory unknown→healthy ", "/memory healthy→unhealthy memory at 93.0%", "/memory unhealthy→healthy ")
	})
}

func TestModelsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := &changes{}
		c := health.New(health.Default(), []health.Check{{Name: "disk", Run: newProbe(health.Healthy).run}}, ch.add, time.Now, slog.New(slog.DiscardHandler))
		defer start(t, c)()
		<-time.After(time.Second)
		digits, faces := newProbe(health.Healthy), newProbe(health.Unhealthy)
		c.Add(health.Check{Model: "digits", Name: "model", Run: digits.run})
		c.Add(health.Check{Model: "faces", Name: "model", Run: faces.run})
		synctest.Wait()
		digits.want(t, 0) // at once
		for model, want := range map[string]health.Status{"": health.Healthy, "digits": health.Healthy, "faces": health.Unhealthy, "other": health.Healthy} {
			if got := c.Report(model).Status; got != want {
				t.Errorf("Report(%q) is %s, want %s", model, got, want)
			}
		}
		if got := len(c.Report("digits").Checks); got != 2 {
			t.Errorf("Report(digits) has %d checks, want disk and model", got)
		}
		again := newProbe(health.Unhealthy)
		c.Add(health.Check{Model: "digits", Name: "model", Run: again.run}) // the next version
		synctest.Wait()
		c.Remove("faces")
		<-time.After(time.Minute)
		faces.want(t, 0)
		digits.want(t, 0)
		if got := c.Report("faces"); got.Status != health.Healthy || len(got.Checks) != 1 {
			t.Errorf("Report(faces) = %+v, want the device only", got)
		}
		ch.want(t, "/disk unknown→healthy ", "digits/model unknown→healthy ", "faces/model unknown→unhealthy ", "digits/model unknown→unhealthy ")
	})
}

func TestCheckThatHangsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		runs := 0
		hung := health.Check{Name: "disk", Run: func(context.Context) health.Result {
			runs++
			<-release // whatever its context says
			return health.Result{Status: health.Healthy}
		}}
		p := newProbe(health.Healthy)
		ch := &changes{}
		c := health.New(health.Default(), []health.Check{hung, {Name: "memory", Run: p.run}}, ch.add, time.Now, slog.New(slog.DiscardHandler))
		defer start(t, c)()
		if got := c.Report("").Status; got != health.Unknown {
			t.Errorf("status is %s, want unknown while the first check runs", got)
		}
		<-time.After(11 * time.Second)
		got := c.Report("").Checks["disk"]
		if want := "the check did not answer within 10s"; got.Status != health.Unhealthy || got.Message != want {
			t.Errorf("disk = %+v, want unhealthy: %s", got, want)
		}
		<-time.After(10 * time.Second)
		got = c.Report("").Checks["disk"]
		if want := "the check before this one has not come back"; got.Message != want {
			t.Errorf("disk = %+v, want %s", got, want)
		}
		p.want(t, 10*time.Second) // the others go on
		if runs != 1 {
			t.Errorf("the check was begun %d times, want once while it hangs", runs)
		}
		close(release)
		<-time.After(3 * time.Second)
		if got := c.Report("").Status; got != health.Healthy {
			t.Errorf("status is %s, want healthy when it came back", got)
		}
		ch.want(t, "/disk unknown→unhealthy the check did not answer within 10s", "/memory unknown→healthy ", "/disk unhealthy→healthy ")
	})
}

func TestRunWaitsForTheCheckThatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, ch := false, &changes{}
		slow := health.Check{Name: "model", Run: func(ctx context.Context) health.Result {
			<-ctx.Done()
			<-time.After(time.Second) // it takes a moment to stop
			ended = true
			return health.Result{Status: health.Unhealthy, Message: "canceled"}
		}}
		c := health.New(health.Default(), []health.Check{slow}, ch.add, time.Now, slog.New(slog.DiscardHandler))
		start(t, c)()
		if !ended {
			t.Error("Run returned before its check")
		}
		ch.want(t) // a stop is no finding
	})
}

func TestResultOfARemovedModelIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := &changes{}
		slow := health.Check{Model: "m", Name: "model", Run: func(context.Context) health.Result {
			<-time.After(time.Second)
			return health.Result{Status: health.Unhealthy}
		}}
		c := health.New(health.Default(), []health.Check{slow}, ch.add, time.Now, slog.New(slog.DiscardHandler))
		defer start(t, c)()
		c.Remove("m")
		<-time.After(time.Minute)
		ch.want(t)
		if got := c.Report("m"); got.Status != health.Unknown || len(got.Checks) != 0 {
			t.Errorf("Report = %+v, want nothing", got)
		}
	})
}

// The document of the management API, key by key.
func TestReportJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checks := []health.Check{
			health.Memory(90, func() (health.MemoryReading, error) {
				return health.MemoryReading{UsagePercent: 41.237, AvailableMB: 2411.5}, nil
			}),
			health.Disk(95, "/var/lib/verge", func() (health.DiskReading, error) { return health.DiskReading{UsagePercent: 95, FreeGB: 3.25}, nil }),
			health.CPU(95, func() (health.CPUReading, error) {
				return health.CPUReading{UsagePercent: 12.5, LoadAverage: []float64{0.5, 0.25, 0.1}}, nil
			}),
			health.Temperature(85, func() (float64, error) { return 51.5, nil }),
			health.Model("digits", func(context.Context) (time.Duration, error) { return 1234567 * time.Nanosecond, nil }),
		}
		c := health.New(health.Default(), checks, nil, time.Now, slog.New(slog.DiscardHandler))
		const unknown = `{"status":"unknown","last_check":null,"checks":{"cpu":{"status":"unknown"},"disk":{"status":"unknown"},"memory":{"status":"unknown"},"temperature":{"status":"unknown"}}}`
		wantJSON(t, c.Report(""), unknown)
		defer start(t, c)()
		wantJSON(t, c.Report("digits"), `{"status":"unhealthy","last_check":"2000-01-01T00:00:00Z","checks":{`+
			`"cpu":{"load_average":[0.5,0.25,0.1],"status":"healthy","usage_percent":12.5},`+
			`"disk":{"free_gb":3.25,"message":"disk at 95.0%, want less than 95%","path":"/var/lib/verge","status":"unhealthy","usage_percent":95},`+
			`"memory":{"available_mb":2411.5,"status":"healthy","usage_percent":41.24},`+
			`"model":{"latency_ms":1.234,"message":"the known input was answered as expected","status":"healthy"},`+
			`"temperature":{"celsius":51.5,"limit":85,"status":"healthy"}}}`)
	})
}

func wantJSON(t *testing.T, r health.Report, want string) {
	t.Helper()
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestChecks(t *testing.T) {
	broken := errors.New("read /proc/stat: permission denied")
	for name, tc := range map[string]struct {
		check health.Check
		want  health.Status
		msg   string
	}{
		"memory at its limit": {
			health.Memory(90, func() (health.MemoryReading, error) { return health.MemoryReading{UsagePercent: 90}, nil }),
			health.Unhealthy, "memory at 90.0%, want less than 90%",
		},
		"a reading that fails says nothing": {
			health.CPU(95, func() (health.CPUReading, error) { return health.CPUReading{}, broken }),
			health.Unknown, "read /proc/stat: permission denied",
		},
		"processors over the limit": {
			health.CPU(95, func() (health.CPUReading, error) { return health.CPUReading{UsagePercent: 99.96}, nil }),
			health.Unhealthy, "processor time at 100.0%, want less than 95%",
		},
		"temperature without a limit": {health.Temperature(0, func() (float64, error) { return 120, nil }), health.Healthy, ""},
		"temperature over the limit": {
			health.Temperature(85, func() (float64, error) { return 85.04, nil }),
			health.Unhealthy, "temperature at 85.0 °C, want less than 85 °C",
		},
		"a model that does not answer": {
			health.Model("m", func(context.Context) (time.Duration, error) { return time.Second, errors.New("no answer") }),
			health.Unhealthy, "no answer",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.check.Run(t.Context())
			if got.Status != tc.want || got.Message != tc.msg {
				t.Errorf("Run() = %s %q, want %s %q", got.Status, got.Message, tc.want, tc.msg)
			}
		})
	}
}

func TestConfigValidate(t *testing.T) {
	if err := health.Default().Validate(); err != nil {
		t.Errorf("Default().Validate() = %v, want nil", err)
	}
	const want = "health.interval is 1ms, want 100ms to 1h0m0s\n" +
		"health.retry is 2s, want 100ms to health.interval (1ms)\n" +
		"health.timeout is 0s, want 1ms to 10m0s"
	got := fmt.Sprint(health.Config{Interval: time.Millisecond, Retry: 2 * time.Second}.Validate())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Validate() (-want +got):\n%s", diff)
	}
}
