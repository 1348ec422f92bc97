package manage_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"verge/client"
	"verge/internal/api/httpapi"
	"verge/internal/api/manage"
	"verge/internal/artifact"
	"verge/internal/fault"
	"verge/internal/serve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// instant is when everything of the fakes happened.
func instant() time.Time { return time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC) }

// deployments are a few known ones, of which running goes on.
type deployments struct {
	mu        sync.Mutex // guards all below
	submitted []client.DeploymentRequest
	canceled  []string
	gone      []string
	rollbacks []string

	promotions []string
	pins       []string
	actors     []client.Actor      // who asked for any of it
	audit      []client.AuditEntry // nil for a log that is right
	refuse     error
}

const (
	ended   = "digits-20261125-aaaa"
	running = "digits-20261125-bbbb"
)

// full is a deployment in which every field says something.
func full(id string, phase client.Phase) *client.Deployment {
	return &client.Deployment{
		ID: id, Model: "digits", Version: 3, Stage: "testing", Phase: phase, Digest: "sha256:" + strings.Repeat("a", 64),
		Created: instant(), Updated: instant(), Reason: "a test",
		Phases: []client.PhaseRecord{{Phase: client.PhaseChecking, Started: instant(), Ended: instant()}, {Phase: client.PhaseGating, Started: instant()}},
		Verdicts: []client.Verdict{{
			Gate: "latency", Phase: client.PhaseGating, Outcome: client.OutcomeFail, Figure: new(float64(31)), Limit: new(float64(30)), Unit: "ms", Samples: 20,
			How: "p95", Detail: "slow", Figures: map[string]float64{"p50": 20}, Device: "board", Time: instant(), Celsius: new(float64(41.5)),
		}, {Gate: "accuracy", Outcome: client.OutcomeSkipped}},
		Warnings: []string{"hot"},
		Error:    &client.Failure{Kind: "invalid", Message: "no", Hint: "Do.", Problems: []client.Problem{{Path: "a", Line: 1, Message: "m", Hint: "h"}}},
		Spec:     json.RawMessage(`{"model":{"path":"digits.onnx"}}`), Serves: "digits@2",
	}
}

func (d *deployments) Submit(req client.DeploymentRequest, by client.Actor) (*client.Deployment, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.actors = append(d.actors, by)
	d.submitted = append(d.submitted, req)
	if d.refuse != nil {
		return nil, d.refuse
	}
	return full(running, client.PhasePending), nil
}

func (d *deployments) Get(id string) (*client.Deployment, error) {
	switch id {
	case ended:
		return full(id, client.PhaseFailed), nil
	case running:
		return full(id, client.PhaseGating), nil
	}
	return nil, unknown(id)
}

func unknown(id string) error {
	return fault.New(fault.NotFound, "fake.get", "no deployment %q is known", id)
}

// List has 5 deployments, d5 to d1.
func (d *deployments) List(model string, limit int, after string) []*client.Deployment {
	var all []*client.Deployment
	for i := 5; i > 0 && len(all) < limit; i-- {
		id := fmt.Sprintf("d%d", i)
		if model != "" && model != "digits" || after != "" && id >= after {
			continue
		}
		all = append(all, full(id, client.PhaseCommitted))
	}
	return all
}

// Events has 3 events; those of running go on until ctx ends.
func (d *deployments) Events(ctx context.Context, id string, from uint64, fn func(client.Event) error) error {
	verdict, failure := full(id, "").Verdicts[0], full(id, "").Error
	events := []client.Event{
		{Seq: 1, Time: instant(), Deployment: id, Type: client.EventPhase, Phase: client.PhaseGating},
		{Seq: 2, Time: instant(), Deployment: id, Type: client.EventVerdict, Verdict: &verdict, Progress: &client.Progress{Step: "x", Done: 1, Total: 2, Figure: new(float64(1)), Unit: "ms"}},
		{Seq: 3, Time: instant(), Deployment: id, Type: client.EventEnd, Phase: client.PhaseFailed, Message: "line 1\nline 2", Error: failure},
	}
	for _, e := range events {
		if id == running && e.Type == client.EventEnd {
			<-ctx.Done()
			return ctx.Err()
		}
		if e.Seq >= from {
			if err := fn(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *deployments) Cancel(id string, by client.Actor) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.actors = append(d.actors, by)
	switch id {
	case running:
		d.canceled = append(d.canceled, id)
		return nil
	case ended:
		return fault.New(fault.Conflict, "fake.cancel", "deployment %q has ended", id)
	}
	return unknown(id)
}

func (d *deployments) Rollback(model string, to int, reason string, by client.Actor) (*client.Deployment, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.actors = append(d.actors, by)
	if model != "digits" {
		return nil, fault.New(fault.NotFound, "fake.rollback", "unknown model %q", model)
	}
	d.rollbacks = append(d.rollbacks, fmt.Sprintf("%d %s", to, reason))
	return full(running, client.PhasePending), nil
}

func (d *deployments) Test(ctx context.Context, model string, fn func(client.Event) error) error {
	if model != "digits" {
		return fault.New(fault.NotFound, "fake.test", "unknown model %q", model)
	}
	return d.Events(ctx, ended, 0, fn)
}

func (d *deployments) Shadow(ctx context.Context, model string, req client.ShadowRequest, fn func(client.Event) error) error {
	if model != "digits.staging" && model != "digits" {
		return fault.New(fault.NotFound, "fake.shadow", "unknown model %q", model)
	}
	d.mu.Lock()
	d.promotions = append(d.promotions, fmt.Sprintf("shadow %+v", req))
	d.mu.Unlock()
	return d.Events(ctx, ended, 0, fn)
}

func (d *deployments) Promote(model string, req client.PromoteRequest, by client.Actor) (*client.Deployment, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.actors = append(d.actors, by)
	if model != "digits" {
		return nil, fault.New(fault.NotFound, "fake.promote", "unknown model %q", model)
	}
	d.promotions = append(d.promotions, fmt.Sprintf("%s %s %s", req.To, req.Reason, req.ForceReason))
	return full(running, client.PhasePending), nil
}

func (d *deployments) Pin(model string, version int, pinned bool, by client.Actor) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.actors = append(d.actors, by)
	if model != "digits" {
		return fault.New(fault.NotFound, "fake.pin", "unknown model %q", model)
	}
	d.pins = append(d.pins, fmt.Sprint(version, " ", pinned))
	return nil
}

func (d *deployments) Export(_ context.Context, model string, version int, w io.Writer) error {
	if model != "digits" {
		return fault.New(fault.NotFound, "fake.export", "unknown model %q", model)
	}
	if version == 8 { // a large one
		for range 64 {
			if _, err := w.Write(make([]byte, 256<<10)); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := fmt.Fprintf(w, "version %d", version); err != nil || version != 9 {
		return err
	}
	return fault.New(fault.Corrupt, "fake.export", "a bit has flipped")
}

func (d *deployments) Undeploy(model string, by client.Actor) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.actors = append(d.actors, by)
	if model != "digits" {
		return fault.New(fault.NotFound, "fake.undeploy", "unknown model %q", model)
	}
	d.gone = append(d.gone, model)
	return nil
}

// reports tell something in every field, or, where bare, in none that may be left out.
type reports struct{ bare bool }

func (r reports) Status() client.Status {
	return client.Status{
		Node:   client.NodeStatus{Version: "1", PID: 7, Started: instant(), UptimeSeconds: 1},
		Models: r.Models(), SystemResources: client.SystemResources{CPUUsagePercent: 1, Celsius: new(float64(40))}, HealthStatus: r.Health(),
	}
}

func (r reports) Models() []client.ModelStatus {
	if r.bare {
		return nil
	}
	m, _ := r.Model("digits")
	return []client.ModelStatus{m}
}

func (r reports) Model(name string) (client.ModelStatus, error) {
	if name != "digits" {
		return client.ModelStatus{}, fault.New(fault.NotFound, "fake.model", "unknown model %q", name)
	}
	if r.bare {
		return client.ModelStatus{Model: "digits", HealthStatus: r.Health()}, nil
	}
	detail := []client.TensorDetail{{Name: "x", Shape: []int64{-1, 2}, DType: "FP32", Quantization: json.RawMessage(`{"scale":1}`)}}
	return client.ModelStatus{
		Model: "digits", Version: 3, Stage: "testing", State: "ready", Reason: "r", ModelLoaded: true, Config: json.RawMessage(`{}`),
		PerformanceStats: client.PerformanceStats{TotalRequests: 1, Lifetime: json.RawMessage(`{}`), Minutes: json.RawMessage(`[]`)},
		HealthStatus:     r.Health(),
		ModelInfo: client.ModelInfo{
			Runtime: "onnxruntime", Providers: []string{"CPU"}, InputDetails: detail, OutputDetails: detail, Metadata: map[string]string{"a": "b"},
		},
		Worker: &client.WorkerStatus{
			State: "ready", PID: 8, Started: instant(), Deaths: 1, LastDeath: "killed",
			Memory: client.WorkerMemory{CurrentBytes: 1, PeakBytes: 2, Enforced: "no"},
		},
		Deployment: ended, Digest: "sha256:x", Labels: []string{"zero"},
	}, nil
}

func (r reports) Device() client.Device {
	if r.bare {
		return client.Device{
			OS: "linux", CPU: client.CPU{Features: []string{}}, LoadAverage: []float64{}, Temperatures: []client.Temperature{}, Accelerators: []client.Accelerator{},
			Frequencies: []client.Frequency{}, Throttling: client.Throttling{Active: []string{}, Past: []string{}}, LookedFor: map[string][]string{},
		}
	}
	return client.Device{
		Board: client.Board{Model: "board", Vendor: "v", Compatible: []string{"a,b"}, Release: "L4T 36.4.3", PowerMode: "15W"}, OS: "linux", CPU: client.CPU{Model: "cpu", Features: []string{"avx2"}, Logical: 2, Quota: 1.5},
		Disk: &client.Disk{Path: "/"}, LoadAverage: []float64{1, 2, 3}, Temperatures: []client.Temperature{{Sensor: "s", Celsius: 1, CPU: true}},
		Frequencies:  []client.Frequency{{CPUs: []int{0, 1}, Governor: "performance", CurrentMHz: 1, LimitMHz: 2, MaxMHz: 3}},
		Throttling:   client.Throttling{Active: []string{"throttled"}, Past: []string{"throttled"}, Count: new(int64)},
		Accelerators: []client.Accelerator{accelerator()},
		LookedFor:    map[string][]string{"gpu": {"/dev/x"}},
	}
}

func accelerator() client.Accelerator {
	return client.Accelerator{
		Kind: "gpu", Name: "n", Vendor: "v", ID: "1:2", Bus: "pci", Address: "0", Driver: "d", DriverVersion: "1", FirmwareVersion: "2",
		Nodes: []string{"/dev/x"}, State: "ready", Problem: "p", MemoryTotalBytes: 2, MemoryFreeBytes: 1, Celsius: new(float64),
		Candidates: []client.Candidate{{Runtime: "r", Provider: "p", Missing: []string{"m"}}},
	}
}

func (r reports) Runtimes() []client.Runtime {
	if r.bare {
		return nil
	}
	return []client.Runtime{{Name: "onnxruntime", Version: "1.30.0", Path: "/lib", Source: "installed", SHA256: "00", Error: "e"}}
}

func (r reports) Health() client.HealthStatus {
	if r.bare {
		return client.HealthStatus{Status: client.Unknown}
	}
	at := instant()
	return client.HealthStatus{Status: client.Healthy, LastCheck: &at, Checks: client.HealthChecks{
		Memory: &client.MemoryCheck{Status: client.Healthy}, Disk: &client.DiskCheck{Status: client.Healthy, Path: "/"},
		CPU: &client.CPUCheck{Status: client.Healthy, LoadAverage: []float64{1}}, Temperature: &client.TemperatureCheck{Status: client.Healthy, Limit: 90},
		Model: &client.ModelCheck{Status: client.Unhealthy, Message: "wrong"},
	}}
}

// node is both APIs on a Unix socket.
type node struct {
	path        string // of the socket
	artifacts   *artifact.Store
	deployments *deployments
	models      *serve.Server
	log         *lines
}

// start starts a node. Its limits are small.
func start(t *testing.T, change func(*httpapi.Config, *manage.Node)) *node {
	t.Helper()
	store, err := artifact.Open(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{
		path: filepath.Join(t.TempDir(), "s"), artifacts: store, deployments: &deployments{}, log: &lines{},
		models: serve.New(serve.Default(), slog.New(slog.DiscardHandler)),
	}
	cfg := httpapi.Default()
	parts := manage.Node{Artifacts: store, Deployments: n.deployments, Reports: reports{}}
	if change != nil {
		change(&cfg, &parts)
	}
	log := slog.New(slog.NewTextHandler(n.log, nil))
	management := manage.New(manage.Config{SpecBytes: 4096, PageSize: 3}, parts, log)
	inference := httpapi.New(cfg, n.models, log)
	server := httpapi.NewServer(cfg, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, manage.Prefix) {
			management.ServeHTTP(w, r)
			return
		}
		inference.ServeHTTP(w, r)
	}), log)
	listener, err := httpapi.ListenUnix(n.path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1) // of Serve
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		<-done
		if err := n.models.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return n
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	close  bool // the server said that it closes the connection
}

// ask sends a request on a connection of its own. The body is sent with its length.
func (n *node) ask(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", method, path)
	if body != "" {
		fmt.Fprintf(&text, "Content-Length: %d\r\n", len(body))
	}
	for _, h := range headers {
		text.WriteString(h + "\r\n")
	}
	return n.raw(t, method, text.String()+"\r\n"+body)
}

func (n *node) dial(t *testing.T) *net.UnixConn {
	t.Helper()
	conn, err := net.Dial("unix", n.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.UnixConn)
}

func (n *node) raw(t *testing.T, method, text string) answer {
	t.Helper()
	conn := n.dial(t)
	go io.WriteString(conn, text)
	return receive(t, conn, method)
}

func receive(t *testing.T, conn net.Conn, method string) answer {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("the answer was cut: %v", err)
	}
	return answer{resp.StatusCode, resp.Header, string(got), resp.Close}
}

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
