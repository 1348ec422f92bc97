package cli_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"verge/client"
	"verge/internal/bundle"
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
		{[]string{"digits@2", "-o", filepath.Join(dir, "none", "a.tar")}, whole, "no such file"},
		{[]string{"digits@0"}, whole, "verge: \"digits@0\" is no version of a model\nHint: Give a name, or name and version, as in digits@2.\n"},
		{[]string{"@2"}, whole, "is no version of a model"},
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
	if r := verge(t, "deploy", path, "--node", n.address); r.status != 1 || !strings.Contains(r.err, filepath.Join(path, "digits.onnx")+": its digest is sha256:") || !strings.HasSuffix(r.err, "as it was exported\nHint: Export it again.\n") {
		t.Errorf("%s", r.transcript())
	}
	path = write(t, t.TempDir(), "b.tar", damaged[:5000])
	if r := verge(t, "check", path); r.status != 1 || !strings.HasPrefix(r.err, "verge: "+path+": it cannot be read: ") {
		t.Errorf("%s", r.transcript())
	}
}
