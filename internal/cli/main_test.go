package cli_test

import (
	"bytes"
	"context"
	"debug/elf"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"verge/internal/cli"
)

var update = flag.Bool("update", false, "rewrite the expected outputs")

const examples = "../../examples/digits/"

// TestMain runs the tests, or this process is one that a node in one of them, or a
// command, has started.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "worker" || os.Args[1] == "probe") {
		os.Exit(cli.Run(context.Background(), os.Args[1:], cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ()}))
	}
	if err := os.Setenv("COLUMNS", "80"); err != nil { // the width of help texts
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// result is what a command did.
type result struct {
	status   int
	out, err string
}

// verge runs one command line in an environment of its own.
func verge(t *testing.T, args ...string) result {
	t.Helper()
	return vergeWith(t.Context(), t, cli.IO{}, args...)
}

func vergeWith(ctx context.Context, t *testing.T, std cli.IO, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	if std.In == nil {
		std.In = strings.NewReader("")
	}
	if std.Out == nil {
		std.Out = &out
	}
	if std.Err == nil {
		std.Err = &err
	}
	std.Environ = append([]string{"HOME=" + t.TempDir()}, std.Environ...)
	status := cli.Run(ctx, args, std)
	return result{status, out.String(), err.String()}
}

// want compares what a command did.
func (r result) want(t *testing.T, status int, out, err string) {
	t.Helper()
	if diff := cmp.Diff(result{status, out, err}, r, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// golden compares an output with testdata/name.golden. Each pair of replace is a
// text that differs from machine to machine, and what stands for it.
func golden(t *testing.T, name, got string, replace ...string) {
	t.Helper()
	got = strings.NewReplacer(replace...).Replace(got)
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// transcript is everything that a command wrote, with its exit status.
func (r result) transcript() string {
	text := r.out
	if r.err != "" {
		text += "--- stderr\n" + r.err
	}
	return text + "--- exit status " + string(rune('0'+r.status)) + "\n"
}

// write makes a file in a directory.
func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// read returns a file.
func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// library makes a runtime directory with a file that looks like ONNX Runtime for
// this machine: the head of this program.
func library(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const typeAt, versionAt, sizeAt, size = 16, 20, 52, 64 // of an ELF header, of which the processor is this program's
	head := append(read(t, self)[:versionAt], make([]byte, size-versionAt)...)
	head[typeAt], head[versionAt], head[sizeAt] = byte(elf.ET_DYN), byte(elf.EV_CURRENT), size
	write(t, dir, "onnxruntime/1.30.0/libonnxruntime.so.1.30.0", head)
	return dir
}
