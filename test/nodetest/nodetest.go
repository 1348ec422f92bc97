// Package nodetest runs whole nodes in tests: the real parts, real sockets, and
// workers that are real processes. A test package that uses it starts with
//
//	func TestMain(m *testing.M) { nodetest.Main(m) }
//
// since its binary is also the workers' program.
package nodetest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"verge/client"
	"verge/internal/app"
	"verge/internal/config"
	"verge/internal/device/vendorprobe"
)

// Patience is how long a test waits for what takes well under a second.
const Patience = 60 * time.Second

// Main runs the tests, and after them what is to be done then; or this process is a worker,
// or a probe of a vendor's library.
func Main(m *testing.M, after ...func()) {
	if len(os.Args) > 2 && os.Args[1] == "probe" {
		if err := vendorprobe.Main(os.Args[2], os.Args[3:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		if err := app.Worker(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	status := m.Run()
	for _, do := range after {
		do()
	}
	os.Exit(status)
}

// Node is a node of a test.
type Node struct {
	*client.Client // at its Unix socket

	Config config.Config
	HTTP   string // "http://127.0.0.1:port"

	tb      testing.TB
	app     *app.Node
	stopped bool
}

// Require skips the test where there is no ONNX Runtime, unless VERGE_REQUIRE says
// that there has to be one.
func Require(tb testing.TB) {
	tb.Helper()
	if dir := os.Getenv("VERGE_RUNTIME_DIR"); dir != "" {
		if found, _ := filepath.Glob(filepath.Join(dir, "onnxruntime", "*", "libonnxruntime*")); len(found) > 0 {
			return
		}
	}
	if strings.Contains(","+os.Getenv("VERGE_REQUIRE")+",", ",onnxruntime,") {
		tb.Fatal("VERGE_REQUIRE asks for onnxruntime, which VERGE_RUNTIME_DIR does not have: make runtime")
	}
	tb.Skip("needs ONNX Runtime: make runtime, and VERGE_RUNTIME_DIR")
}

// Settings returns the settings of a node with a state directory of its own.
func Settings(tb testing.TB) config.Config {
	tb.Helper()
	dir, err := os.MkdirTemp("", "verge-test-") //nolint:usetesting // t.TempDir makes paths that are too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	cfg := config.Default()
	cfg.StateDir, cfg.UnixSocket = filepath.Join(dir, "state"), filepath.Join(dir, "s")
	cfg.HTTPAddress, cfg.RuntimeDir = "127.0.0.1:0", os.Getenv("VERGE_RUNTIME_DIR")
	return cfg
}

// Start starts a node, which stops with the test unless Stop was called.
func Start(tb testing.TB, cfg config.Config) *Node {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	command := []string{self, "worker"}
	command = append(strings.Fields(os.Getenv("VERGE_TEST_WORKER_PREFIX")), command...) // an emulator
	log := slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	running, err := app.Start(cfg, command, log)
	if err != nil {
		tb.Fatalf("start the node: %v", err)
	}
	n := &Node{Config: cfg, tb: tb, app: running}
	tb.Cleanup(func() {
		if !n.stopped {
			n.Stop()
		}
	})
	for _, address := range running.Addresses() {
		if strings.HasPrefix(address, "unix:") {
			n.Client, err = client.New(address)
		} else {
			n.HTTP = address
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	return n
}

// At returns a node that runs elsewhere, to deploy to.
func At(tb testing.TB, c *client.Client) *Node {
	tb.Helper()
	return &Node{Client: c, tb: tb, stopped: true}
}

// Stop stops the node in good order.
func (n *Node) Stop() {
	n.tb.Helper()
	n.stopped = true
	n.Close()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := n.app.Stop(ctx); err != nil {
		n.tb.Errorf("stop the node: %v", err)
	}
}

// Deploy deploys and waits for the end. files are by their roles, "model" among
// them; spec is the text of a deployment file.
func (n *Node) Deploy(spec string, files map[string]string) *client.Deployment {
	n.tb.Helper()
	d, _ := n.DeployWith(spec, files)
	return d
}

// Begin begins a deployment; files as for Deploy.
func (n *Node) Begin(ctx context.Context, spec string, files map[string]string) *client.Deployment {
	n.tb.Helper()
	req, err := n.Request(ctx, spec, files)
	if err != nil {
		n.tb.Fatal(err)
	}
	d, err := n.Client.Deploy(ctx, req)
	if err != nil {
		n.tb.Fatalf("deploy: %v", err)
	}
	return d
}

// DeployWith is Deploy, with everything that happened.
func (n *Node) DeployWith(spec string, files map[string]string) (*client.Deployment, []client.Event) {
	n.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	d := n.Begin(ctx, spec, files)
	var all []client.Event
	for event, err := range n.Events(ctx, d.ID, 0) {
		if err != nil {
			n.tb.Fatalf("events of %s: %v", d.ID, err)
		}
		all = append(all, event)
	}
	end, err := n.Deployment(ctx, d.ID)
	if err != nil {
		n.tb.Fatal(err)
	}
	return end, all
}

// Wait asks until ok, or ends the test.
func Wait(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	const pause = 5 * time.Millisecond
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for begin := time.Now(); !ok(); <-ticker.C {
		if time.Since(begin) > Patience {
			tb.Fatalf("waited %v in vain: %s", Patience, what)
		}
	}
}
