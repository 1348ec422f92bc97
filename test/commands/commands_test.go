// Package commands_test runs the built program as people do: real processes, real
// signals, and what they leave behind.
package commands_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "verge/internal/cli" // makes the whole program a part of what go test's cache looks at
	"verge/test/nodetest"
)

var (
	update  = flag.Bool("update", false, "rewrite the golden files")
	scratch string // holds the built program
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "verge-commands-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // other users run the program too
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	scratch = dir
	return m.Run()
}

// build builds the program, once. It runs within a test, where go test's cache sees
// which files are opened.
var build = sync.OnceValues(func() (string, error) {
	const source = "../../cmd/verge/"
	if _, err := os.ReadFile(source + "main.go"); err != nil {
		return "", err
	}
	program := filepath.Join(scratch, "verge")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X verge/internal/version.Version=0.0.0-test", "-o", program, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, text)
	}
	return program, nil
})

// place is where one test works: a folder with a state directory and a socket, and
// a name of the program that no other test has, so that its processes are known.
type place struct {
	t       testing.TB
	dir     string
	program string
	environ []string
	user    *syscall.Credential // nil for the one who runs the tests
}

func newPlace(tb testing.TB) *place {
	tb.Helper()
	built, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	dir, err := os.MkdirTemp(scratch, "t") //nolint:usetesting // t.TempDir makes paths that are too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	p := &place{t: tb, dir: dir, program: filepath.Join(dir, "verge")}
	p.environ = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + p.path("home"), "VERGE_STATE_DIR=" + p.path("state"), "VERGE_UNIX_SOCKET=" + p.path("s"),
		"VERGE_HTTP_ADDRESS=127.0.0.1:0", "VERGE_RUNTIME_DIR=" + os.Getenv("VERGE_RUNTIME_DIR"),
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Link(built, p.program)); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		defer func() {
			for _, pid := range p.processes() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}()
		p.only() // workers need a moment to die with their node
	})
	return p
}

// in is the same place for a part of its test.
func (p *place) in(tb testing.TB) *place {
	tb.Helper()
	part := *p
	part.t = tb
	return &part
}

func (p *place) path(name string) string { return filepath.Join(p.dir, name) }

// write makes a file of the place.
func (p *place) write(name string, data []byte) {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), data, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// read reads a file of the place.
func (p *place) read(name string) []byte {
	p.t.Helper()
	data, err := os.ReadFile(p.path(name))
	if err != nil {
		p.t.Fatal(err)
	}
	return data
}

// example copies files of the digits example to the place.
func (p *place) example(names ...string) {
	p.t.Helper()
	for _, name := range names {
		data, err := os.ReadFile("../../examples/digits/" + name)
		if err != nil {
			p.t.Fatal(err)
		}
		p.write(filepath.Base(name), data)
	}
}

// command is a command line in the folder of the place. It is killed where it takes
// far too long.
func (p *place) command(args ...string) *exec.Cmd {
	p.t.Helper()
	return p.tool(p.program, args...)
}

func (p *place) tool(name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), nodetest.Patience)
	p.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = p.dir, p.environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
	return cmd
}

// outcome is what a command line came to.
type outcome struct {
	Status      int // -1 where a signal killed it
	Out, Errors string
}

// run runs a command line to its end.
func (p *place) run(args ...string) outcome {
	p.t.Helper()
	cmd := p.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	return p.ended(cmd, cmd.Run(), out.String(), errs.String())
}

// ended is the outcome of a command that has ended.
func (p *place) ended(cmd *exec.Cmd, err error, out, errs string) outcome {
	p.t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("%v: %v", cmd.Args, err)
	}
	return outcome{Status: cmd.ProcessState.ExitCode(), Out: p.plain(out), Errors: p.plain(errs)}
}

// plain replaces what differs from run to run and from machine to machine.
func (p *place) plain(text string) string {
	text = strings.ReplaceAll(text, p.dir, "DIR")
	for _, r := range []struct{ pattern, with string }{
		{`-\d{8}-[a-z0-9]{4}\b`, "-ID"},
		{`\bpid \d+, started [0-9TZ:-]+`, "pid PID, started TIME"},
		{`\bprocess \d+`, "process PID"},
		{`, \d+ MB are\b`, ", FREE MB are"},
		{`, onnxruntime [0-9.]+ is`, ", onnxruntime VERSION is"},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	return text
}

// expect runs a command line, and compares what it came to.
func (p *place) expect(want outcome, args ...string) {
	p.t.Helper()
	if diff := cmp.Diff(want, p.run(args...)); diff != "" {
		p.t.Errorf("verge %s (-want +got):\n%s", strings.Join(args, " "), diff)
	}
}

// refused is the outcome of a command that failed with this on standard error.
func refused(lines ...string) outcome {
	return outcome{Status: 1, Errors: strings.Join(lines, "\n") + "\n"}
}

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// record is a writer whose text can be read while it is written.
type record struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (r *record) Write(data []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(data)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}
