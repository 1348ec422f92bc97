package httpapi_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"verge/internal/api/httpapi"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/serve"
	"verge/internal/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// identity is a session that answers its inputs.
type identity struct {
	inputs []inference.Spec
	run    func(ctx context.Context) error // called in every Run; nil returns nil
	nan    bool                            // the first number of its answers is NaN
}

func (s *identity) Signature() inference.Signature {
	g := inference.Signature{Inputs: s.inputs, Outputs: append([]inference.Spec{}, s.inputs...)}
	for i := range g.Outputs {
		g.Outputs[i].Name = strings.Replace(g.Outputs[i].Name, "in", "out", 1)
	}
	return g
}

func (s *identity) Info() inference.SessionInfo {
	return inference.SessionInfo{Runtime: "onnxruntime", Parallel: 1}
}

func (s *identity) NewSlot(arena inference.Arena) (inference.Slot, error) {
	return &slot{session: s, signature: s.Signature(), arena: arena}, nil
}

func (s *identity) Close() error { return nil }

// slot keeps what it needs, so that a request costs it no memory.
type slot struct {
	session   *identity
	signature inference.Signature
	arena     inference.Arena
	size      int
	input     inference.Memory
	offsets   []int
	views     [][]byte
	outputs   []tensor.Tensor
}

func (s *slot) Inputs(in []inference.Input) ([][]byte, error) {
	if err := s.signature.CheckInputs(in); err != nil {
		return nil, fault.New(fault.Invalid, "fake.inputs", "%w", err)
	}
	s.size, s.offsets, s.views, s.outputs = 0, s.offsets[:0], s.views[:0], s.outputs[:0]
	for i := range in {
		s.offsets = append(s.offsets, s.size)
		s.size += (in[i].Bytes + inference.Align - 1) / inference.Align * inference.Align
		s.outputs = append(s.outputs, tensor.Tensor{Name: s.signature.Outputs[i].Name, DType: s.signature.Outputs[i].DType, Shape: in[i].Shape})
	}
	var err error
	if s.input, err = s.arena.Input(s.size); err != nil {
		return nil, err
	}
	for i := range in {
		s.views = append(s.views, s.input.Data[s.offsets[i]:s.offsets[i]+in[i].Bytes])
	}
	return s.views, nil
}

func (s *slot) Run(ctx context.Context) ([]tensor.Tensor, error) {
	if s.session.run != nil {
		if err := s.session.run(ctx); err != nil {
			return nil, err
		}
	}
	memory, err := s.arena.Output(s.size)
	if err != nil {
		return nil, err
	}
	copy(memory.Data, s.input.Data[:s.size])
	if s.session.nan {
		binary.LittleEndian.PutUint32(memory.Data, math.Float32bits(float32(math.NaN())))
	}
	for i, view := range s.views {
		s.outputs[i].Data = memory.Data[s.offsets[i] : s.offsets[i]+len(view)]
	}
	return s.outputs, nil
}

func (s *slot) Close() error { return nil }

// untilEnd is a run that goes on until its context ends.
func untilEnd(ctx context.Context) error {
	<-ctx.Done()
	return fault.New(fault.KindOf(ctx.Err()), "fake.run", "%w", ctx.Err())
}

func spec(name string, d tensor.DType, shape ...int64) inference.Spec {
	return inference.Spec{Name: name, DType: d, Shape: append([]int64{}, shape...)}
}

// models are those of every node.
func models() map[string]*identity {
	one := func(d tensor.DType, shape ...int64) *identity {
		return &identity{inputs: []inference.Spec{spec("in", d, shape...)}}
	}
	return map[string]*identity{
		"m": one(tensor.FP32, 2, 2), "batch": one(tensor.FP32, -1, 4), "any": one(tensor.Uint8, -1),
		"text": one(tensor.Bytes, -1), "flag": one(tensor.Bool, 2), "int": one(tensor.Int32, -1), "u32": one(tensor.Uint32, 1),
		"half": one(tensor.FP16, 2), "scalar": one(tensor.FP32), "double": one(tensor.FP64, 2),
		"two": {inputs: []inference.Spec{spec("in1", tensor.FP32, -1, 2), spec("in2", tensor.Uint8, -1)}},
	}
}

// config has small limits and, for what is not about time, long times.
func config() httpapi.Config {
	cfg := httpapi.Default()
	cfg.Requests.JSONBytes, cfg.Requests.TensorBytes = 64<<10, 64<<10
	cfg.BodyTimeout, cfg.WriteTimeout, cfg.ReadHeaderTimeout, cfg.IdleTimeout = patience, patience, patience, patience
	return cfg
}

// node is a server with models, at an address of its own.
type node struct {
	address string
	models  *serve.Server
	server  *httpapi.Server
	client  *http.Client
	log     *lines
}

// start starts a node. change, unless nil, is given what it is made of.
func start(tb testing.TB, cfg httpapi.Config, sessions map[string]*identity, change func(*serve.Config)) *node {
	tb.Helper()
	limits := serve.Default()
	limits.SlotsPerThread = 1
	if change != nil {
		change(&limits)
	}
	n := &node{log: &lines{}, client: &http.Client{Transport: &http.Transport{DisableCompression: true}}}
	n.models = serve.New(limits, slog.New(slog.DiscardHandler))
	for name, session := range sessions {
		batch := 64 << 20
		if name == "batch" || name == "two" {
			batch = 2
		}
		v, err := n.models.Add(serve.Spec{Model: name, Version: 1, Session: session, BatchSize: batch, Labels: []string{"zero", "one", "two"}})
		if err != nil {
			tb.Fatal(err)
		}
		n.models.Activate(v)
	}
	listener, err := httpapi.ListenTCP("127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	n.address = listener.Addr().String()
	log := slog.New(slog.NewTextHandler(n.log, nil))
	n.server = httpapi.NewServer(cfg, httpapi.New(cfg, n.models, log), log)
	done := make(chan error, 1) // of Serve
	go func() { done <- n.server.Serve(listener) }()
	tb.Cleanup(func() {
		n.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.server.Shutdown(ctx); err != nil {
			tb.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != http.ErrServerClosed { //nolint:errorlint // what Serve promises
			tb.Errorf("Serve = %v, want http.ErrServerClosed", err)
		}
		if err := n.models.Close(ctx); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return n
}

// version returns the version of a model that serves.
func (n *node) version(tb testing.TB, model string) *serve.Version {
	tb.Helper()
	v, err := n.models.Resolve(model, "")
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// answer is what came back on a connection.
type answer struct {
	status int
	header http.Header
	body   string
	close  bool // the server said that it closes the connection
}

// wire is a connection on which bytes are sent as they are.
type wire struct {
	net.Conn
	in *bufio.Reader
}

func (n *node) dial(tb testing.TB) *wire {
	tb.Helper()
	conn, err := net.Dial("tcp", n.address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return &wire{Conn: conn, in: bufio.NewReader(conn)}
}

func (w *wire) send(tb testing.TB, text string) {
	tb.Helper()
	w.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(w, text); err != nil {
		tb.Fatalf("send: %v", err)
	}
}

// receive reads one answer to a request with that method.
func (w *wire) receive(tb testing.TB, method string) answer {
	tb.Helper()
	w.SetDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(w.in, &http.Request{Method: method})
	if err != nil {
		tb.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatalf("the answer was cut: %v", err)
	}
	resp.Body.Close()
	return answer{resp.StatusCode, resp.Header, string(body), resp.Close}
}

// closeWrite tells the server that nothing more is sent.
func (w *wire) closeWrite() { w.Conn.(*net.TCPConn).CloseWrite() }

// ended waits for the end of the connection.
func (w *wire) ended(tb testing.TB) {
	tb.Helper()
	w.SetDeadline(time.Now().Add(patience))
	if n, err := io.Copy(io.Discard, w.in); err != nil && !strings.Contains(err.Error(), "reset by peer") {
		tb.Errorf("the connection gave %d bytes and %v, want its end", n, err)
	}
}

// raw sends one request on a connection of its own.
func (n *node) raw(tb testing.TB, text string) answer {
	tb.Helper()
	w := n.dial(tb)
	w.send(tb, text)
	method, _, _ := strings.Cut(text, " ")
	return w.receive(tb, method)
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

// idle waits until a model runs no request and has none waiting.
func (n *node) idle(tb testing.TB, model string) {
	tb.Helper()
	v := n.version(tb, model)
	eventually(tb, "no request holds a slot", func() bool { st := v.Status(); return st.InFlight == 0 && st.Waiting == 0 })
}

// eventually waits until something is so.
func eventually(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(end) {
			tb.Fatalf("not within %v: %s", patience, what)
		}
	}
}
