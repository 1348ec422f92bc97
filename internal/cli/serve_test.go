package cli_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"verge/client"
	"verge/internal/cli"
	"verge/test/nodetest"
)

// stage is the directory and the flags of a node.
func stage(t *testing.T) (dir string, flags []string) {
	t.Helper()
	dir = publicDir(t)
	return dir, []string{"--state-dir", filepath.Join(dir, "state"), "--unix-socket", filepath.Join(dir, "s"), "--http-address=", "--runtime-dir", t.TempDir()}
}

// serve starts `verge serve` and returns once it answers. stop ends it by a signal.
func serve(t *testing.T, socket string, flags []string) (stop func(os.Signal) result) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan result, 1)
	go func() { done <- vergeWith(ctx, t, cli.IO{}, append([]string{"serve"}, flags...)...) }()
	const ceiling = 30 * time.Second
	deadline := time.NewTimer(ceiling)
	defer deadline.Stop()
	for {
		if conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket); err == nil {
			conn.Close() // it was only to see
			break
		}
		select {
		case r := <-done:
			t.Fatalf("verge serve ended: %s", r.transcript())
		case <-deadline.C:
			t.Fatal("verge serve does not listen")
		case <-time.After(10 * time.Millisecond):
		}
	}
	return func(s os.Signal) result {
		cancel(cli.Interrupted{Signal: s})
		return <-done
	}
}

func TestANodeServesUntilASignal(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		dir, flags := stage(t)
		stop := serve(t, filepath.Join(dir, "s"), append(flags, "--log-format", "json"))
		r := verge(t, append([]string{"status", "--json"}, flags...)...)
		var status client.Status
		if err := json.Unmarshal([]byte(r.out), &status); err != nil || status.Node.PID != os.Getpid() || len(status.Models) != 0 {
			t.Errorf("%v: %s", err, r.transcript())
		}
		end := stop(signal)
		if end.status != 0 || end.out != "" || !json.Valid([]byte(strings.SplitN(end.err, "\n", 2)[0])) {
			t.Errorf("%v: %s", signal, end.transcript())
		}
		if _, err := os.Stat(filepath.Join(dir, "s")); err == nil {
			t.Errorf("%v: the socket was left", signal)
		}
		if r := verge(t, append([]string{"status"}, flags...)...); r.status != 4 {
			t.Errorf("%v: %s", signal, r.transcript())
		}
	}
}

func TestWhatASecondNodeNeedsMustBeFree(t *testing.T) {
	dir, flags := stage(t)
	stop := serve(t, filepath.Join(dir, "s"), flags)
	defer stop(os.Interrupt)

	other := append([]string{"serve"}, flags...)
	r := verge(t, append(other, "--unix-socket", filepath.Join(dir, "t"))...)
	started := regexp.MustCompile(`pid [0-9]+, started [^)]+`)
	if got := started.ReplaceAllString(r.err, "pid N"); r.status != 1 ||
		got != "verge: "+filepath.Join(dir, "state")+": the state directory is in use by another node (pid N)\nHint: Stop that node, or name another directory with --state-dir.\n" {
		t.Errorf("the state directory: %s", r.transcript())
	}

	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, free := stage(t)
	r = verge(t, append(append([]string{"serve"}, free...), "--http-address", listener.Addr().String())...)
	if r.status != 1 || !strings.Contains(r.err, "verge: ") || !strings.Contains(r.err, listener.Addr().String()) || !strings.Contains(r.err, "\nHint: ") {
		t.Errorf("the port: %s", r.transcript())
	}

	_, free = stage(t)
	r = verge(t, append(append([]string{"serve"}, free...), "--unix-socket", filepath.Join(dir, "s"))...)
	if r.status != 1 || !strings.Contains(r.err, filepath.Join(dir, "s")) || !strings.Contains(r.err, "\nHint: ") {
		t.Errorf("the socket: %s", r.transcript())
	}
}

func TestAStaleSocketIsReplaced(t *testing.T) {
	dir, flags := stage(t)
	path := filepath.Join(dir, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close() // what a killed node leaves
	if r := serve(t, path, flags)(os.Interrupt); r.status != 0 {
		t.Errorf("%s", r.transcript())
	}
}

func TestAPathThatIsTooLongForASocketIsRefused(t *testing.T) {
	long := "/tmp/" + strings.Repeat("x", 103)
	verge(t, "serve", "--state-dir", t.TempDir(), "--unix-socket", long).want(t, 1, "", "verge: 1 problem\n  unix_socket: is \""+long+
		"\", which has 108 bytes; a socket's path has at most 107 (from --unix-socket)\nHint: Set unix_socket to a shorter path.\n")
}

func TestARunThatCannotDeployEndsTheNode(t *testing.T) {
	dir, flags := stage(t)
	r := verge(t, append([]string{"run", spec(t), "--for", "1h", "--ignore-package", "x"}, flags...)...)
	if r.status != 1 || !strings.Contains(r.out, "✗ checking") || !strings.HasPrefix(r.err, "verge: digits@1 was not deployed\n") ||
		!strings.Contains(r.err, "onnxruntime") {
		t.Errorf("%s", r.transcript())
	}
	if _, err := os.Stat(filepath.Join(dir, "s")); err == nil {
		t.Error("the socket was left")
	}
}

// withLibrary is stage with the real ONNX Runtime, where there is one.
func withLibrary(t *testing.T) (dir string, flags []string) {
	t.Helper()
	nodetest.Require(t)
	dir, flags = stage(t)
	return dir, append(flags, "--runtime-dir", os.Getenv("VERGE_RUNTIME_DIR"))
}

func TestARunServesForItsTimeAndAgainOnTheSameState(t *testing.T) {
	dir, flags := withLibrary(t)
	busy := regexp.MustCompile(`(?m)^time=\S+ level=WARN msg="health changed" check=cpu .*\n`) // the machine, while it is
	for _, title := range []string{"digits@1 serves", "digits@1 serves already, with the same files and the same configuration: nothing to do (--again deploys them anew)"} {
		r := verge(t, append([]string{"run", spec(t), "--for", "10ms"}, flags...)...)
		want := title + "\n  unix:" + filepath.Join(dir, "s") + "\nverge predict digits FILE asks it; Ctrl-C stops the node\n"
		if r.status != 0 || !strings.HasSuffix(r.out, want) || busy.ReplaceAllString(r.err, "") != "" {
			t.Errorf("%s: %s", title, r.transcript())
		}
	}
}

func TestASignalDuringARunCancelsTheDeploymentAndEndsTheNode(t *testing.T) {
	dir, flags := withLibrary(t)
	ctx, interrupt := context.WithCancelCause(t.Context())
	out := &until{text: "✓ preparing", times: 1, signal: interrupt}
	r := vergeWith(ctx, t, cli.IO{Out: out}, append([]string{"run", spec(t)}, flags...)...)
	if r.status != 130 || !strings.HasSuffix(r.err, "verge: digits@1 was canceled\n") || !strings.Contains(out.String(), "✗ ") {
		t.Errorf("%s%s", out.String(), r.transcript())
	}
	if _, err := os.Stat(filepath.Join(dir, "s")); err == nil {
		t.Error("the socket was left")
	}
}

func TestADeployedModelIsAskedShownAndTakenOut(t *testing.T) {
	dir, flags := withLibrary(t)
	stop := serve(t, filepath.Join(dir, "s"), flags)
	defer stop(os.Interrupt)
	with := func(args ...string) result { return verge(t, append(args, flags...)...) }
	if r := with("deploy", examples+"deployment-extended.yaml"); r.status != 0 || !strings.HasSuffix(r.out, "\ndigits@1 serves\n") {
		t.Fatalf("%s", r.transcript())
	}
	if r := with("predict", "digits@1", examples+"samples/07.png"); r.status != 0 || !strings.Contains(r.out, "seven") && !strings.Contains(r.out, "7") {
		t.Errorf("%s", r.transcript())
	}
	if r := with("status", "digits"); r.status != 0 || !strings.Contains(r.out, "deployment ") || !strings.Contains(r.out, "worker ") {
		t.Errorf("%s", r.transcript())
	}
	if r := with("deploy", examples+"deployment-bad.json"); r.status != 1 ||
		!strings.HasPrefix(r.err, "verge: digits@2 was not deployed; digits@1 serves as before\n  testing: functional is 10 wrong answers") {
		t.Errorf("%s", r.transcript())
	}
	with("undeploy", "digits").want(t, 0, "digits is not served any more\n", "")
	if r := with("predict", "digits", examples+"samples/07.png"); r.status != 1 || !strings.Contains(r.err, "digits") {
		t.Errorf("%s", r.transcript())
	}
}
