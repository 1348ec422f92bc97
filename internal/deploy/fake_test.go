package deploy_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"verge/client"
	"verge/internal/artifact"
	"verge/internal/deploy"
	"verge/internal/device"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/monitor"
	"verge/internal/serve"
	"verge/internal/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that only passes when a model runs.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Microsecond)
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// behaviour is what the fake model does. It answers every float plus add.
type behaviour struct {
	add     float32
	takes   time.Duration          // each run
	load    func() error           // nil succeeds
	run     func(number int) error // nil succeeds; numbers count from 1
	inputs  []inference.Spec       // nil: x FP32[-1,4]
	nan     *atomic.Bool           // whether it answers NaN; nil for never
	memory  int64                  // peak
	low     bool                   // it answers 5 less to the first number
	off     *atomic.Bool           // whether it answers 1 more; nil for never
	grown   *atomic.Int64          // bytes that it takes now; nil for none
	unknown error                  // why memory cannot be measured
}

// node is a Host around a fake runtime, with a real store, server and state file.
type node struct {
	logged    bytes.Buffer // read when nothing runs any more
	tb        testing.TB
	dir       string
	clock     *clock
	looked    atomic.Int64 // how often memory was asked for
	onGone    func()       // called when a model is not served any more; nil for nothing
	artifacts *artifact.Store
	server    *serve.Server
	manager   *deploy.Manager
	machine   machine

	mu         sync.Mutex // guards what follows
	behaviour  behaviour  // of the next load
	at         func(client.Phase)
	served     map[string]*deploy.Served
	gone       []string
	open       int      // sessions
	isolations []string // that were asked for
}

// newNode opens a node over a directory, or over a new one.
func newNode(tb testing.TB, dir string) *node {
	tb.Helper()
	return newNodeWith(tb, dir, nil)
}

// newNodeWith is newNode with a Host that is changed, where change is not nil.
func newNodeWith(tb testing.TB, dir string, change func(*deploy.Host)) *node {
	tb.Helper()
	n := &node{
		tb: tb, dir: dir, clock: &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)},
		machine: machine{cpus: 4, memory: 1 << 30}, served: map[string]*deploy.Served{},
		at: func(client.Phase) {}, behaviour: behaviour{memory: 10 << 20},
	}
	var err error
	if n.artifacts, err = artifact.Open(dir, 0); err != nil {
		tb.Fatal(err)
	}
	n.server = serve.New(serve.Default(), slog.New(slog.DiscardHandler))
	host := n.host()
	if change != nil {
		change(&host)
	}
	if n.manager, err = deploy.Open(host); err != nil {
		tb.Fatalf("Open: %v", err)
	}
	tb.Cleanup(n.close)
	return n
}

func (n *node) host() deploy.Host {
	return deploy.Host{
		StatePath: filepath.Join(n.dir, "state.db"), Device: "test board", Artifacts: n.artifacts,
		Machine: n.machine, Server: n.server, KeepDeployments: 20,
		Libraries: func(string) (string, error) {
			n.reach(client.PhaseChecking)
			return "1.30.0", nil
		},
		Runtime: func(_, isolation string) (inference.Runtime, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.isolations = append(n.isolations, isolation)
			return runtime{n}, nil
		},
		Recorder: func() *monitor.Model { return monitor.New(monitor.Default(), n.clock.Now) },
		Memory: func(s inference.Session) (gate.Usage, error) {
			b := s.(*session).behaviour
			n.looked.Add(1)
			used := gate.Usage{PeakBytes: b.memory, How: "faked"}
			if b.grown != nil {
				used.CurrentBytes = b.grown.Load()
			}
			return used, b.unknown
		},
		Expose: n.expose,
		Served: func(s *deploy.Served) {
			n.mu.Lock()
			n.served[s.Model] = s
			n.mu.Unlock()
			n.reach(client.PhaseActivating)
		},
		Gone: func(model string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.gone = append(n.gone, model)
			if n.onGone != nil {
				n.onGone()
			}
		},
		ProfilePrefix: func(string, int) string { return "" },
		Log:           slog.New(slog.NewTextHandler(&n.logged, nil)), Now: n.clock.Now,
	}
}

// reach calls what the test wants to happen in a phase.
func (n *node) reach(phase client.Phase) {
	n.mu.Lock()
	at := n.at
	n.mu.Unlock()
	at(phase)
}

func (n *node) set(b behaviour) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b.memory == 0 {
		b.memory = 10 << 20
	}
	n.behaviour = b
}

// until waits until what holds.
func (n *node) until(what string, holds func() bool) {
	n.tb.Helper()
	const ceiling, pause = 30 * time.Second, 5 * time.Millisecond
	for deadline := time.Now().Add(ceiling); !holds(); <-time.After(pause) {
		if time.Now().After(deadline) {
			n.tb.Fatalf("%s: not within %v", what, ceiling)
		}
	}
}

// close ends the node as SIGTERM does. It is safe to repeat.
func (n *node) close() {
	if err := n.manager.Close(); err != nil {
		n.tb.Errorf("Close: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.server.Close(ctx); err != nil {
		n.tb.Errorf("close the server: %v", err)
	}
	for _, s := range n.manager.Serving() {
		_ = s // their memory ends with the process
	}
	n.artifacts.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open != 0 {
		n.tb.Errorf("%d sessions are still open", n.open)
	}
}

// expose answers inference requests for one version, in binary, over TCP.
func (n *node) expose(v *serve.Version) (string, func(), error) {
	n.reach(client.PhaseTesting)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, status := answer(r, v)
		if status == http.StatusOK {
			w.Header().Set("Inference-Header-Content-Length", strconv.Itoa(bytes.IndexByte(body, '\n')))
		}
		w.WriteHeader(status)
		w.Write(bytes.Replace(body, []byte("\n"), nil, 1))
	}))
	return server.URL, server.Close, nil
}

// answer runs one request on v. The JSON part ends with a line feed.
func answer(r *http.Request, v *serve.Version) ([]byte, int) {
	refuse := func(err error) ([]byte, int) {
		text, _ := json.Marshal(map[string]string{"error": fault.Message(err)})
		return append(text, '\n'), http.StatusInternalServerError
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return refuse(err)
	}
	n, err := strconv.Atoi(r.Header.Get("Inference-Header-Content-Length"))
	if err != nil {
		return refuse(err)
	}
	var request struct {
		Inputs []struct {
			Shape []int64 `json:"shape"`
		} `json:"inputs"`
	}
	if err = json.Unmarshal(body[:n], &request); err != nil {
		return refuse(err)
	}
	call, err := v.Begin(r.Context(), 0)
	if err != nil {
		return refuse(err)
	}
	defer func() { call.End(err) }()
	in := make([]inference.Input, len(request.Inputs))
	for i := range in {
		in[i].Shape = request.Inputs[i].Shape
	}
	views, err := call.Inputs(in)
	if err != nil {
		return refuse(err)
	}
	rest := body[n:]
	for _, view := range views {
		rest = rest[copy(view, rest):]
	}
	outputs, err := call.Run()
	if err != nil {
		return refuse(err)
	}
	out := outputs[0]
	shape, _ := json.Marshal(out.Shape)
	head := fmt.Sprintf(`{"model_name":%q,"model_version":"%d","outputs":[{"name":%q,"datatype":%q,"shape":%s,"parameters":{"binary_data_size":%d}}]}`,
		v.Model(), v.Number(), out.Name, out.DType, shape, len(out.Data))
	return append([]byte(head+"\n"), out.Data...), http.StatusOK
}

// runtime loads fake models.
type runtime struct{ n *node }

func (r runtime) Info() inference.RuntimeInfo { return inference.RuntimeInfo{Name: "onnxruntime"} }

func (r runtime) Load(ctx context.Context, _ inference.Model, _ inference.Options) (inference.Session, error) {
	r.n.reach(client.PhaseLoading)
	if err := ctx.Err(); err != nil {
		return nil, fault.New(fault.KindOf(err), "fake.load", "%w", err)
	}
	r.n.mu.Lock()
	defer r.n.mu.Unlock()
	if load := r.n.behaviour.load; load != nil {
		if err := load(); err != nil {
			return nil, err
		}
	}
	r.n.open++
	return &session{n: r.n, behaviour: r.n.behaviour}, nil
}

type session struct {
	n         *node
	behaviour behaviour

	mu   sync.Mutex // guards what follows
	runs int
	shut bool
}

func (s *session) Signature() inference.Signature {
	inputs := s.behaviour.inputs
	if inputs == nil {
		inputs = []inference.Spec{{Name: "x", DType: tensor.FP32, Shape: []int64{-1, 4}}}
	}
	return inference.Signature{Inputs: inputs, Outputs: []inference.Spec{{Name: "y", DType: tensor.FP32, Shape: []int64{-1, 4}}}}
}

func (s *session) Info() inference.SessionInfo {
	return inference.SessionInfo{Runtime: "onnxruntime", Parallel: 2}
}

func (s *session) NewSlot(arena inference.Arena) (inference.Slot, error) {
	return &slot{session: s, arena: arena}, nil
}

func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shut {
		s.shut = true
		s.n.mu.Lock()
		s.n.open--
		s.n.mu.Unlock()
	}
	return nil
}

type slot struct {
	session *session
	arena   inference.Arena
	input   []byte
	shape   []int64
}

func (s *slot) Inputs(in []inference.Input) ([][]byte, error) {
	if err := s.session.Signature().CheckInputs(in); err != nil {
		return nil, fault.New(fault.Invalid, "fake.inputs", "%w", err)
	}
	memory, err := s.arena.Input(in[0].Bytes)
	s.input, s.shape = memory.Data[:in[0].Bytes], append([]int64(nil), in[0].Shape...)
	return [][]byte{s.input}, err
}

func (s *slot) Run(ctx context.Context) ([]tensor.Tensor, error) {
	s.session.mu.Lock()
	s.session.runs++
	number := s.session.runs
	s.session.mu.Unlock()
	if number == 3 { // two to warm up, then the first gate
		s.session.n.reach(client.PhaseGating)
	}
	if err := ctx.Err(); err != nil {
		return nil, fault.New(fault.KindOf(err), "fake.run", "%w", err)
	}
	if run := s.session.behaviour.run; run != nil {
		if err := run(number); err != nil {
			return nil, err
		}
	}
	s.session.n.clock.pass(s.session.behaviour.takes)
	memory, err := s.arena.Output(len(s.input))
	if err != nil {
		return nil, err
	}
	out := memory.Data[:len(s.input)]
	for i := 0; i < len(out); i += 4 {
		x := math.Float32frombits(binary.LittleEndian.Uint32(s.input[i:]))
		if s.session.behaviour.nan != nil && s.session.behaviour.nan.Load() {
			x = float32(math.NaN())
		}
		if s.session.behaviour.low && i == 0 {
			x -= 5
		}
		if s.session.behaviour.off != nil && s.session.behaviour.off.Load() {
			x++
		}
		binary.LittleEndian.PutUint32(out[i:], math.Float32bits(x+s.session.behaviour.add))
	}
	return []tensor.Tensor{{Name: "y", DType: tensor.FP32, Shape: s.shape, Data: out}}, nil
}

func (s *slot) Close() error { return nil }

// machine is a device that never changes.
type machine struct {
	cpus   int
	memory int64
	err    error
	gpus   []string
}

func (m machine) CPUs() int                       { return m.cpus }
func (m machine) AvailableMemory() (int64, error) { return m.memory, m.err }
func (m machine) Devices(kind string) (found []device.Accelerator, lookedFor []string) {
	for _, name := range m.gpus {
		a := device.Accelerator{Kind: "gpu", Name: name}
		switch name {
		case "Good GPU":
			a.Candidates = []device.Candidate{{Runtime: "onnxruntime", Provider: "CUDAExecutionProvider", Missing: []string{}}}
		case "Bare GPU":
			a.Candidates = []device.Candidate{{Runtime: "onnxruntime", Provider: "CUDAExecutionProvider", Missing: []string{"libcuda.so.1 not found"}}}
		}
		found = append(found, a)
	}
	return found, []string{"/dev/" + kind + "*"}
}

// model returns a model file of the examples.
func model(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "examples", "digits", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// base is a deployment file with all three tests.
const base = `{"model":{"path":"m.onnx"},"deployment":{"max_latency_ms":50,"memory_limit_mb":64},"tests":{"load_test":true}}`

// upload puts bytes into the store.
func (n *node) upload(data []byte) string {
	n.tb.Helper()
	digest := artifact.Digest(data)
	if err := n.artifacts.Put(n.tb.Context(), digest, bytes.NewReader(data), 0, int64(len(data))); err != nil {
		n.tb.Fatal(err)
	}
	return digest
}

func (n *node) request(spec, file string) client.DeploymentRequest {
	n.tb.Helper()
	return client.DeploymentRequest{
		Spec: json.RawMessage(spec), SpecName: "deployment.json", Again: true,
		Artifacts: map[string]string{"model": n.upload(model(n.tb, file))},
	}
}

// golden adds golden cases to a request, whose model declares what the fake one has.
func (n *node) golden(req client.DeploymentRequest, arrays map[string][]float32) {
	n.tb.Helper()
	req.Artifacts["model"] = n.upload(onnxmodel.Identity(tensor.FP32, "n", 4))
	req.Artifacts["golden"] = n.upload(inferencetest.NPZ(n.tb, 4, arrays))
}

// asker is who asks for everything.
func asker() client.Actor { return client.Actor{Kind: client.ActorSocket, Name: "ada", PID: 7} }

// submit begins a deployment.
func (n *node) submit(req client.DeploymentRequest) *client.Deployment {
	n.tb.Helper()
	d, err := n.manager.Submit(req, asker())
	if err != nil {
		n.tb.Fatalf("Submit: %v", err)
	}
	return d
}

// wait waits for the end of a deployment and returns it.
func (n *node) wait(id string) *client.Deployment {
	n.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.manager.Events(ctx, id, 0, func(client.Event) error { return nil }); err != nil {
		n.tb.Fatalf("deployment %s did not end: %v", id, err)
	}
	d, err := n.manager.Get(id)
	if err != nil {
		n.tb.Fatal(err)
	}
	return d
}

// deploy deploys a file and wants it committed.
func (n *node) deploy(spec, file string) *client.Deployment {
	n.tb.Helper()
	d := n.wait(n.submit(n.request(spec, file)).ID)
	if d.Phase != client.PhaseCommitted {
		n.tb.Fatalf("deployment ended %s: %+v", d.Phase, d.Error)
	}
	return d
}

// ask asks what serves for one row of zeros; the answer says which model it was.
func (n *node) ask() (version int, y float32) {
	n.tb.Helper()
	call, err := serve.Admit(n.tb.Context(), n.server, serve.Ask{Model: "m"}, nil)
	if err != nil {
		n.tb.Fatalf("ask: %v", err)
	}
	defer func() { call.End(err) }()
	views, err := call.Inputs([]inference.Input{{Shape: []int64{1, 4}}})
	if err != nil {
		n.tb.Fatal(err)
	}
	clear(views[0])
	outputs, err := call.Run()
	if err != nil {
		n.tb.Fatal(err)
	}
	return call.Version().Number(), math.Float32frombits(binary.LittleEndian.Uint32(outputs[0].Data))
}

// phases lists the phases that a deployment went through.
func phases(d *client.Deployment) string {
	var names []string
	for _, p := range d.Phases {
		names = append(names, string(p.Phase))
	}
	return strings.Join(names, " ")
}
