// Package bench_test measures a node from outside, beside a bare echo of the same
// bytes: the node, the echo and the clients are processes of their own. Figures are
// printed, and nothing is held against them; docs/benchmarks.md has the last ones.
//
//	make bench
package bench_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"verge/client"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
	"verge/test/nodetest"
)

// TestMain makes this program the echo server too, and a process with a library alone.
func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == "bare" {
		if err := bare(os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 4 && os.Args[1] == "echo" {
		if err := echo(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	nodetest.Main(m)
}

// echo answers each request with its body, as net/http does it at its simplest.
func echo(network, address string) error {
	l, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}))
}

// sizes are the tensors that are asked about, in FP32 elements.
var sizes = map[string]int{"16B": 4, "602KB": 150_528}

// node is a node in a process of its own, with identity models: small and large,
// each in a worker and in the node.
type node struct {
	unix, tcp string // addresses to dial
	pid       int
	client    *client.Client
}

// program builds the program once for each run.
func program(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "verge")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "verge/cmd/verge")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// start starts a process that ends with the benchmark.
func start(b *testing.B, name string, args ...string) (*exec.Cmd, io.Reader) {
	b.Helper()
	cmd := exec.Command(name, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stderr = b.Output()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	return cmd, out
}

func freePort(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func startNode(b *testing.B) *node {
	b.Helper()
	nodetest.Require(b)
	cfg := nodetest.Settings(b)
	n := &node{unix: cfg.UnixSocket, tcp: freePort(b)}
	cmd, _ := start(b, program(b), "serve", "--state-dir", cfg.StateDir, "--unix-socket", n.unix, "--http-address", n.tcp, "--log-level", "error")
	n.pid = cmd.Process.Pid
	var err error
	if n.client, err = client.New("unix:" + n.unix); err != nil {
		b.Fatal(err)
	}
	nodetest.Wait(b, "the node answers", func() bool { return n.client.Live(b.Context()) == nil })
	return n
}

// deploy deploys an identity model of n elements.
func (n *node) deploy(b *testing.B, name string, elements int, isolation string) {
	b.Helper()
	model := filepath.Join(b.TempDir(), name+".onnx")
	if err := os.WriteFile(model, onnxmodel.Identity(tensor.FP32, 1, elements), 0o600); err != nil {
		b.Fatal(err)
	}
	at := nodetest.At(b, n.client)
	d := at.Deploy(fmt.Sprintf(`{"name":%q,"isolation":%q,"model":{"path":"m.onnx"},"deployment":{"cpu_threads":1,"max_latency_ms":30000}}`, name, isolation), map[string]string{"model": model})
	if d.Phase != client.PhaseCommitted {
		b.Fatalf("%s: %+v", name, d.Error)
	}
}

// residentMB reads what a process takes, in MB of 2^20 bytes.
func residentMB(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	var total, resident float64
	if _, err := fmt.Sscan(string(text), &total, &resident); err != nil {
		b.Fatal(err)
	}
	return resident * float64(os.Getpagesize()) / (1 << 20)
}
