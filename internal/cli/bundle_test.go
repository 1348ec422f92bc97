package cli_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"verge/client"
	"verge/internal/bundle"
	"verge/internal/cli"
)

// exported is the digits model as a node exports it; report may be nil.
func exported(t *testing.T, report *client.Report) []byte {
	t.Helper()
	model := read(t, examples+"digits.onnx")
	sum := sha256.Sum256(model)
	m := bundle.Manifest{
		Model: "digits", Version: 2, Stage: "staging", Deployment: "digits.staging-20261123-7f3a", Created: began(), Spec: "d.yaml",
		Files: []bundle.File{{Role: "model", Path: "digits.onnx", Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(model))}},
	}
	var text []byte
	if report != nil {
		text, _ = json.Marshal(report)
	}
	var b bytes.Buffer
	err := bundle.Write(&b, m, []byte("model: {path: digits.onnx}\n"), text, func(w io.Writer, _ bundle.File) error {
		_, err := w.Write(model)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAVersionIsExportedToAFile(t *testing.T) {
	whole, bare := exported(t, &client.Report{}), exported(t, nil)
	n := (&fakeNode{exported: whole, status: client.Status{Models: []client.ModelStatus{{Model: "digits", Version: 2}}}}).start(t)
	dir := t.TempDir()
	t.Chdir(dir)
	verge(t, "export", "digits", "--node", n.address).want(t, 0, "digits@2, with 1 file and its deployment file: 99.0 KB in digits-2.tar\n", "")
	verge(t, "export", "digits@2", "-o", "other.tar", "--node", n.address).want(t, 0, "digits@2, with 1 file and its deployment file: 99.0 KB in other.tar\n", "")
	if !bytes.Equal(read(t, "digits-2.tar"), whole) || !bytes.Equal(read(t, "other.tar"), whole) {
		t.Error("the files are not what the node has written")
	}
	if r := verge(t, "export", "digits@2", "-o", "-", "--node", n.address); r.status != 0 || r.out != string(whole) {
		t.Errorf("to the standard output: %d, %d bytes, %s", r.status, len(r.out), r.err)
	}
	if want := []string{"digits export version=2", "digits export version=2", "digits export version=2"}; strings.Join(n.changes, "|") != strings.Join(want, "|") {
		t.Errorf("asked %q", n.changes)
	}
	n.exported = bare
	verge(t, "export", "digits", "--node", n.address).want(t, 0, "digits@2, with 1 file and its deployment file: 98.0 KB in digits-2.tar\nwithout a report: that of its deployment is not kept any more\n", "")
}

func TestWhatIsNotExportedWholeLeavesNoFile(t *testing.T) {
	whole := exported(t, nil)
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2]++
	dir := t.TempDir()
	for _, tt := range []struct {
		args     []string
		exported []byte
		want     string
	}{
		{[]string{"digits@7"}, nil, "verge: version 7 of digits is not kept\nHint: These are: digits@2.\n"},
		{[]string{"digits@2", "-o", filepath.Join(dir, "a.tar")}, whole[:len(whole)/2], "a.tar: it cannot be read: "},
		{[]string{"digits@2", "-o", filepath.Join(dir, "a.tar")}, damaged, `a.tar: "digits.onnx" has digest sha256:`},
		{[]string{"digits@2", "-o", filepath.Join(dir, "none", "a.tar")}, whole, "none: no such folder\nHint: Check the path.\n"},
		{[]string{"digits@0"}, whole, "verge: \"digits@0\" is no version of a model\nHint: Give a name, or name and version, as in digits@2.\n"},
		{[]string{"digits@"}, whole, "is no version of a model"},
	} {
		n := (&fakeNode{exported: tt.exported}).start(t)
		r := verge(t, append([]string{"export", "--node", n.address}, tt.args...)...)
		if r.status != 1 || r.out != "" || !strings.Contains(r.err, tt.want) {
			t.Errorf("%v: want %s\n%s", tt.args, tt.want, r.transcript())
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
}

func TestAnExportedVersionIsCheckedAndDeployed(t *testing.T) {
	path := write(t, t.TempDir(), "b.tar", exported(t, &client.Report{Format: client.ReportFormat, FileName: "d.yaml"}))
	if r := verge(t, "explain", path); r.status != 0 || !strings.Contains(r.out, "model      digits\nformat     onnx: the file's bytes\n") {
		t.Errorf("%s", r.transcript())
	}
	n := deploying(committed).start(t)
	if r := verge(t, "deploy", path, "--stage", "production", "--node", n.address); r.status != 0 {
		t.Fatalf("%s", r.transcript())
	}
	req := n.request
	if req.Name != "digits" || req.Stage != "production" || req.Evidence == nil || req.Evidence.FileName != "d.yaml" {
		t.Errorf("asked for %+v", req)
	}
	if got := n.artifacts[req.Artifacts["model"]]; !bytes.Equal(got, read(t, examples+"digits.onnx")) {
		t.Errorf("%d bytes were sent", len(got))
	}

	damaged := exported(t, nil)
	damaged[len(damaged)/2]++
	path = write(t, t.TempDir(), "b.tar", damaged)
	if r := verge(t, "deploy", path, "--node", n.address); r.status != 1 || !strings.HasPrefix(r.err, "verge: "+path+": \"digits.onnx\" has digest sha256:") || !strings.HasSuffix(r.err, "\nHint: Export it again.\n") {
		t.Errorf("%s", r.transcript())
	}
	path = write(t, t.TempDir(), "b.tar", damaged[:5000])
	if r := verge(t, "check", path); r.status != 1 || !strings.HasPrefix(r.err, "verge: "+path+": it cannot be read: ") {
		t.Errorf("%s", r.transcript())
	}
}

func TestAnArchiveInAnotherFormIsToldAsOne(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(exported(t, nil))
	w.Close()
	path := write(t, t.TempDir(), "b.tar.gz", packed.Bytes())
	verge(t, "check", path).want(t, 1, "", "verge: "+path+": it is compressed with gzip\nHint: Unpack it with gunzip.\n")
	other := exported(t, nil)
	copy(other, "README.txt\x00")
	path = write(t, t.TempDir(), "b.tar", other)
	verge(t, "check", path).want(t, 1, "", "verge: "+path+": it is a tar archive that verge export has not written\nHint: Unpack it, and name the deployment file in it.\n")
}

func TestWhatIsNoRegularFileIsNotReplaced(t *testing.T) {
	n := (&fakeNode{exported: exported(t, nil)}).start(t)
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	dangling, link, target := filepath.Join(dir, "dangling"), filepath.Join(dir, "link"), write(t, dir, "target", []byte("old"))
	for from, to := range map[string]string{dangling: "nowhere", link: target} {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		fifo: "is no regular file\nHint: Use -o - for the standard output.\n", "/dev/full": "is no regular file\nHint: Use -o - for the standard output.\n",
		dir: "is a directory, want a file\n", dangling: "is a link to nothing\n",
	} {
		verge(t, "export", "digits@2", "-o", path, "--node", n.address).want(t, 1, "", "verge: "+path+": "+want)
	}
	if r := verge(t, "export", "digits@2", "-o", link, "--node", n.address); r.status != 0 || !bytes.Equal(read(t, target), n.exported) {
		t.Errorf("through a link: %s", r.transcript())
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	if r := verge(t, "report", "--schema", "-o", fifo); r.status != 1 || !strings.Contains(r.err, fifo+": no such device or address") {
		t.Errorf("a report to a pipe that nobody reads: %s", r.transcript())
	}
}

// full is a file on a disk that is full.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestOutputThatIsNotWrittenIsAFailure(t *testing.T) {
	if r := vergeWith(t.Context(), t, cli.IO{Out: full{}}, "version"); r.status != 1 || r.err != "verge: the output was not written: no space left on device\n" {
		t.Errorf("%s", r.transcript())
	}
}
