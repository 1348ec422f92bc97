package vendorprobe_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/internal/device/vendorprobe"
)

func TestAProcessThatIsNoProbeIsAText(t *testing.T) {
	const good = `{"name":"nvml","library":"/lib/libnvidia-ml.so.1","devices":[]}`
	for name, tc := range map[string]struct {
		role []string
		want string
	}{
		"text":                     {[]string{"print", "}{ garbage", "0"}, "its answer cannot be read: invalid character '}' looking for beginning of value"},
		"nothing":                  {[]string{"print", "", "0"}, "the probe ended without an answer"},
		"more behind it":           {[]string{"print", good + "{}", "0"}, "its answer goes on behind its end"},
		"another question's":       {[]string{"print", strings.Replace(good, "nvml", "cuda", 1), "0"}, "the probe answered another question"},
		"another file's":           {[]string{"print", strings.Replace(good, "/lib/", "/tmp/", 1), "0"}, "the probe answered another question"},
		"an answer, but no end":    {[]string{"print", good, "3"}, "the probe ended with status 3: [31mlast"},
		"more than an answer has":  {[]string{"flood"}, "the probe wrote more than 1048576 bytes, and was killed"},
		"killed by somebody":       {[]string{"killed"}, "the probe died of SIGKILL"},
		"with another environment": {[]string{"environment"}, "the probe ended with status 5: GORACE=atexit_sleep_ms=0"},
		"an answer":                {[]string{"print", good, "0"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := prober(t, tc.role...).Ask(t.Context(), []vendorprobe.Query{{Name: "nvml", Paths: []string{"/lib/libnvidia-ml.so.1"}}})
			want := vendorprobe.Answer{Name: "nvml", Library: "/lib/libnvidia-ml.so.1", Devices: []vendorprobe.Device{}}
			if tc.want != "" {
				want.Error = "libnvidia-ml.so.1: " + tc.want
			}
			if diff := cmp.Diff([]vendorprobe.Answer{want}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAProgramThatIsNotThereIsAText(t *testing.T) {
	got := vendorprobe.New([]string{"/nonexistent"}, nil).Ask(t.Context(), []vendorprobe.Query{{Name: "cuda", Paths: []string{"/lib/libcuda.so.1"}}})[0]
	if want := "libcuda.so.1: the probe was not started: fork/exec /nonexistent: no such file or directory"; got.Error != want {
		t.Errorf("error %q, want %q", got.Error, want)
	}
}

func TestALibraryThatIsMissedIsAText(t *testing.T) {
	got := prober(t, "hang").Ask(t.Context(), []vendorprobe.Query{{Name: "nvml"}})
	want := []vendorprobe.Answer{{Name: "nvml", Devices: []vendorprobe.Device{}, Error: "libnvidia-ml.so.1: it is in none of the system's folders of libraries"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProbesEndWithTheirCaller(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the user has gone"))
	got := prober(t, "hang").Ask(ctx, []vendorprobe.Query{{Name: "cuda", Paths: []string{"/lib/libcuda.so.1"}}})[0]
	if !strings.HasPrefix(got.Error, "libcuda.so.1: the probe was ") || !strings.HasSuffix(got.Error, "context canceled") && !strings.HasSuffix(got.Error, "the user has gone") {
		t.Errorf("error %q", got.Error)
	}
}

func TestALibraryWhoseProbeCannotBeKilledIsNotAskedAgain(t *testing.T) {
	release := make(chan struct{})
	p := prober(t, "probe").WithLimit(time.Millisecond).WithRun(func(context.Context) { <-release })
	queries := []vendorprobe.Query{{Name: "cuda", Paths: []string{"/lib/libcuda.so.1"}}}
	for _, want := range []string{
		"libcuda.so.1: no answer in 1ms, and the probe does not end, although it was killed: its driver hangs",
		"libcuda.so.1: an earlier probe does not end, although it was killed: its driver hangs",
	} {
		if got := p.Ask(t.Context(), queries)[0].Error; got != want {
			t.Errorf("error %q, want %q", got, want)
		}
	}
	close(release)
	const want = "libcuda.so.1: the probe was not started: no program"
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if got := p.WithLimit(patience).Ask(t.Context(), queries)[0].Error; got == want {
			return
		}
	}
	t.Error("it is never asked again, although the process has ended")
}

func TestLibrariesAreAskedOnceAMinute(t *testing.T) {
	var asked atomic.Int64
	p := prober(t, "probe").WithRun(func(context.Context) { asked.Add(1) })
	now := time.Unix(1000, 0)
	c := vendorprobe.NewCached(p, time.Minute, func() time.Time { return now })
	queries := []vendorprobe.Query{{Name: "cuda", Paths: []string{"/lib/libcuda.so.1"}}}
	for _, step := range []struct {
		after time.Duration
		times int64
	}{{0, 1}, {59 * time.Second, 1}, {time.Second, 2}, {time.Second, 2}} {
		now = now.Add(step.after)
		if got := c.Ask(t.Context(), queries); len(got) != 1 || asked.Load() != step.times {
			t.Errorf("asked %d times, want %d; answers %v", asked.Load(), step.times, got)
		}
	}
	now = now.Add(time.Minute)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	c.Ask(gone, queries)
	c.Ask(t.Context(), queries) // what was said to one who had gone is not remembered
	if got := asked.Load(); got != 4 {
		t.Errorf("asked %d times, want 4", got)
	}
	if got := c.Ask(t.Context(), nil); got != nil {
		t.Errorf("answers without a question: %v", got)
	}
}
