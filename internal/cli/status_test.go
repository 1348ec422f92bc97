package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/client"
	"verge/internal/cli"
)

// serving is the status of a node with a model of each kind.
func serving() client.Status {
	checked, celsius := began(), 51.4
	model := client.ModelStatus{
		Model: "digits", Version: 3, Stage: "testing", State: "ready", ModelLoaded: true, Config: json.RawMessage(`{"name":"digits"}`),
		PerformanceStats: client.PerformanceStats{
			TotalRequests: 1234, ErrorCount: 1, ErrorRate: 1.0 / 1234, AvgLatencyMS: 0.25, MinLatencyMS: 0.098, MaxLatencyMS: 1234.5,
			P50LatencyMS: 0.2, P95LatencyMS: 0.41, P99LatencyMS: 12.3456, ThroughputRPS: 20.57, UptimeSeconds: 3723,
			Minutes: json.RawMessage(`[{"start":"2026-11-23T12:00:00Z","count":4,"sum_ms":1,"buckets":[],"errors":0}]`),
		},
		HealthStatus: client.HealthStatus{
			Status: client.Healthy, LastCheck: &checked,
			Checks: client.HealthChecks{Model: &client.ModelCheck{Status: client.Healthy, Message: "answers as it should", LatencyMS: 0.31}},
		},
		ModelInfo: client.ModelInfo{
			Runtime: "onnxruntime", RuntimeVersion: "1.30.0", Device: "cpu", Providers: []string{"CPUExecutionProvider"}, Parallel: 2,
			Fallbacks:     []string{"gpu: no gpu on this machine"},
			InputDetails:  []client.TensorDetail{{Name: "image", DType: "FP32", Shape: []int64{-1, 1, 8, 8}}},
			OutputDetails: []client.TensorDetail{{Name: "probabilities", DType: "FP32", Shape: []int64{-1, 10}}},
			Profile:       "/var/lib/verge/profiles/digits-3",
		},
		Worker: &client.WorkerStatus{
			State: "ready", PID: 4711, Deaths: 1, LastDeath: "signal: killed", LastOutput: "first line\nlast line\n",
			Memory: client.WorkerMemory{CurrentBytes: 30 << 20, PeakBytes: 33 << 20, Enforced: "cgroup1"}, MemoryLimitMB: 256,
		},
		Deployment: "digits-20261123-7f3a", Digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	}
	inside := model
	inside.Model, inside.Worker, inside.Version = "faces", nil, 1
	inside.HealthStatus = client.HealthStatus{Status: client.Unknown}
	return client.Status{
		Node: client.NodeStatus{Version: "0.1.0", PID: 99, Started: began(), UptimeSeconds: 90061.7},
		Models: []client.ModelStatus{model, inside, {
			Model: "voices", State: "failed", Reason: "not loaded: its bytes are gone", ModelInfo: client.ModelInfo{Status: "not_deployed"},
			HealthStatus: client.HealthStatus{Status: client.Unhealthy},
		}},
		SystemResources: client.SystemResources{CPUUsagePercent: 12.3, MemoryUsagePercent: 95.4, AvailableMemoryMB: 512.2, DiskUsagePercent: 40, Celsius: &celsius},
		HealthStatus: client.HealthStatus{Status: client.Unhealthy, LastCheck: &checked, Checks: client.HealthChecks{
			Memory: &client.MemoryCheck{Status: client.Unhealthy, UsagePercent: 95.4, Message: "95.4 % in use, limit 90 %"},
			Disk:   &client.DiskCheck{Status: client.Healthy},
		}},
	}
}

func TestStatusIsShownToPeopleAndPrograms(t *testing.T) {
	n := (&fakeNode{status: serving()}).start(t)
	golden(t, "status", verge(t, "status", "--node", n.address).transcript())
	golden(t, "status-model", verge(t, "status", "digits", "--node", n.address).transcript())

	var all client.Status
	if r := verge(t, "status", "--json", "--node", n.address); json.Unmarshal([]byte(r.out), &all) != nil || !cmp.Equal(n.status, all) {
		t.Errorf("%s(-node +printed):\n%s", r.err, cmp.Diff(n.status, all))
	}
	var one client.ModelStatus
	if r := verge(t, "status", "digits", "--json", "--node", n.address); json.Unmarshal([]byte(r.out), &one) != nil || !cmp.Equal(n.status.Models[0], one) {
		t.Errorf("%s(-node +printed):\n%s", r.err, cmp.Diff(n.status.Models[0], one))
	}
	verge(t, "status", "ghost", "--node", n.address).want(t, 1, "",
		"verge: model \"ghost\" is not deployed\nHint: verge status lists the models that are.\n")
}

func TestStatusOfANodeWithoutModelsSaysHowToDeployOne(t *testing.T) {
	n := (&fakeNode{}).start(t)
	r := verge(t, "status", "--node", n.address)
	if r.status != 0 || !strings.HasSuffix(r.out, "\nno model is deployed; verge deploy FILE deploys one\n") {
		t.Errorf("%s", r.transcript())
	}
}

// until is a writer that ends a command when it has seen a text so many times.
type until struct {
	bytes.Buffer

	text   string
	times  int
	signal context.CancelCauseFunc
}

func (u *until) Write(p []byte) (int, error) {
	n, err := u.Buffer.Write(p)
	if strings.Count(u.String(), u.text) >= u.times {
		u.signal(cli.Interrupted{Signal: os.Interrupt})
	}
	return n, err
}

func TestWatchShowsTheCourseOfTheLatencyUntilASignal(t *testing.T) {
	n := (&fakeNode{status: serving()}).start(t)
	for _, format := range []string{"", "--json"} {
		ctx, interrupt := context.WithCancelCause(t.Context())
		out := &until{text: "digits-20261123-7f3a", times: 3, signal: interrupt}
		args := append([]string{"status", "digits", "--watch", "--every", "100ms", "--node", n.address}, strings.Fields(format)...)
		if r := vergeWith(ctx, t, cli.IO{Out: out}, args...); r.status != 0 || r.err != "" {
			t.Errorf("%s", r.transcript())
		}
		if format == "" && !strings.Contains(out.String(), "\ndigits  ███  0.25 ms in this minute\n") {
			t.Errorf("no course of three points:\n%s", out.String())
		}
		if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); format != "" && (len(lines) != 3 || !json.Valid([]byte(lines[2]))) {
			t.Errorf("want three documents:\n%s", out.String())
		}
	}
}

func TestExitStatusSaysWhatKindOfFailureItWas(t *testing.T) {
	dir := t.TempDir()
	verge(t, "status", "--unix-socket", dir+"/none").want(t, 4, "",
		"verge: no node answers at unix:"+dir+"/none (no such file or directory): is `verge serve` running?\nHint: Start one: verge serve\n")
	if r := verge(t, "status", "--node", "ftp://x"); r.status != 1 || !strings.HasPrefix(r.err, "verge: ") {
		t.Errorf("%s", r.transcript())
	}
	n := (&fakeNode{status: serving()}).start(t)
	for name, test := range map[string]struct {
		cause  error
		status int
		err    string
	}{
		"SIGINT":           {cli.Interrupted{Signal: os.Interrupt}, 130, "verge: ended by signal: interrupt\n"},
		"SIGTERM":          {cli.Interrupted{Signal: syscall.SIGTERM}, 5, "verge: ended by signal: terminated\n"},
		"no time any more": {context.DeadlineExceeded, 5, "verge: canceled while waiting for " + n.address + "\n"},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(test.cause)
		if got, want := vergeWith(ctx, t, cli.IO{}, "status", "--node", n.address), (result{test.status, "", test.err}); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	vergeWith(ctx, t, cli.IO{}, "status", "--node", n.address).want(t, 5, "", "verge: "+n.address+" did not answer in time\n")
}

// interruptible returns a context, and what ends it as Ctrl-C does.
func interruptible(t *testing.T) (ctx context.Context, interrupt func()) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	return ctx, func() { cancel(cli.Interrupted{Signal: os.Interrupt}) }
}

func TestAVersionThatIsKeptForTwoReasonsIsToldOnce(t *testing.T) {
	n := (&fakeNode{status: client.Status{Models: []client.ModelStatus{{Model: "digits", Version: 3, PreviousVersion: 1, PinnedVersions: []int{1, 2}}}}}).start(t)
	if r := verge(t, "status", "digits", "--node", n.address); r.status != 0 || !strings.Contains(r.out, "version 1, which served before and is pinned; version 2, pinned\n") {
		t.Errorf("%s", r.transcript())
	}
}
