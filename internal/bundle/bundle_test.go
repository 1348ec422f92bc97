package bundle_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/internal/bundle"
	"verge/internal/fault"
)

func digest(data string) string {
	sum := sha256.Sum256([]byte(data))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// contents are the files of the bundle that tests write, by their digest.
func contents() map[string]string {
	all := map[string]string{}
	for _, data := range []string{"a model of some bytes", strings.Repeat("weights", 1000), "zero\none\n"} {
		all[digest(data)] = data
	}
	return all
}

func manifest() bundle.Manifest {
	m := bundle.Manifest{
		Model: "digits", Version: 3, Stage: "staging", Deployment: "digits.staging-20261123-7f3a", Created: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		Spec: "digits.yaml",
	}
	for _, f := range []struct{ role, path, data string }{
		{"model", "models/digits.xml", "a model of some bytes"}, {"weights", "models/digits.bin", strings.Repeat("weights", 1000)}, {"labels", "files/labels.txt", "zero\none\n"},
	} {
		m.Files = append(m.Files, bundle.File{Role: f.role, Path: f.path, Digest: digest(f.data), Size: int64(len(f.data))})
	}
	return m
}

func write(tb testing.TB, m bundle.Manifest, report []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	err := bundle.Write(&b, m, []byte("model: {path: models/digits.xml}\n"), report, func(w io.Writer, f bundle.File) error {
		_, err := io.WriteString(w, contents()[f.Digest])
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func read(data []byte) (*bundle.Bundle, error) {
	return bundle.Read(bytes.NewReader(data), int64(len(data)))
}

func TestABundleIsReadAsItWasWritten(t *testing.T) {
	for _, report := range [][]byte{nil, []byte(`{"format":1}`)} {
		data := write(t, manifest(), report)
		if !bundle.Is(bytes.NewReader(data)) {
			t.Error("Is says that it is none")
		}
		b, err := read(data)
		if err != nil {
			t.Fatal(err)
		}
		want := manifest()
		want.Format = bundle.Format
		if diff := cmp.Diff(want, b.Manifest); diff != "" || string(b.Spec) != "model: {path: models/digits.xml}\n" || !bytes.Equal(b.Report, report) {
			t.Errorf("spec %q, report %q (-want +got):\n%s", b.Spec, b.Report, diff)
		}
		for _, f := range want.Files {
			got, err := io.ReadAll(b.File(f.Role))
			if err != nil || string(got) != contents()[f.Digest] {
				t.Errorf("%s is %q, %v", f.Role, got, err)
			}
		}
		if err := b.Verify(); err != nil || b.File("golden") != nil {
			t.Errorf("Verify = %v", err)
		}
	}
}

func TestABundleIsUnpackedByTar(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "b.tar")
	if err := os.WriteFile(path, write(t, manifest(), []byte("{}")), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "tar", "-xf", path, "-C", dir)
	if out, err := command.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("tar: %v %s", err, out)
	}
	for _, f := range manifest().Files {
		got, err := os.ReadFile(filepath.Join(dir, f.Path))
		if err != nil || digest(string(got)) != f.Digest {
			t.Errorf("%s: %v", f.Path, err)
		}
	}
}

func TestAFileLiesWhereTheDeploymentFileLooksForIt(t *testing.T) {
	taken := map[string]bool{"deployment.yaml": true}
	for _, tt := range []struct{ role, from, want string }{
		{"model", "digits.onnx", "digits.onnx"},
		{"weights", "./models//digits.bin", "models/digits.bin"},
		{"labels", "../labels.txt", "files/labels.txt"},
		{"golden", "/data/golden.npz", "files/golden.npz"},
		{"accuracy.dataset", "deployment.yaml", "files/accuracy.dataset.yaml"},
		{"accuracy.labels", "digits.onnx/labels", "files/accuracy.labels"},
		{"variants.0", "report.json", "files/variants.0.json"},
		{"variants.1", "", "files/variants.1"},
		{"variants.2", "a\nb.onnx", "files/variants.2.onnx"},
	} {
		if got := bundle.Place(tt.role, tt.from, taken); got != tt.want {
			t.Errorf("Place(%s, %q) = %s, want %s", tt.role, tt.from, got, tt.want)
		}
	}
	for from, want := range map[string]string{"digits.yaml": "digits.yaml", "/home/x/d.json": "d.json", "": "deployment.yaml", "..": "deployment.yaml", "report.json": "deployment.yaml", "files": "deployment.yaml"} {
		if got := bundle.SpecName(from); got != want {
			t.Errorf("SpecName(%q) = %s, want %s", from, got, want)
		}
	}
}

// entry is one of an archive that a test writes.
type entry struct {
	name, data string
	kind       byte
}

func archive(tb testing.TB, all ...entry) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range all {
		h := &tar.Header{Name: e.name, Size: int64(len(e.data)), Mode: 0o644, Typeflag: tar.TypeReg}
		if e.kind != 0 {
			h.Typeflag, h.Linkname, h.Size = e.kind, "/etc/passwd", 0
		}
		if err := w.WriteHeader(h); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(w, e.data[:h.Size]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsNoBundleIsRefused(t *testing.T) {
	good := `{"format":1,"model":"m","spec":"d.yaml","files":[{"role":"model","path":"m.onnx","digest":"` + digest("m") + `","size":1}]}`
	with := func(old, fresh string) string { return strings.Replace(good, old, fresh, 1) }
	const fine = "d.yaml"
	for name, tt := range map[string]struct {
		data []byte
		kind fault.Kind
		want string
	}{
		"nothing":            {nil, fault.Corrupt, `it ends before "bundle.json"`},
		"text":               {[]byte(strings.Repeat("no archive\n", 100)), fault.Corrupt, "it cannot be read: archive/tar: invalid tar header"},
		"another archive":    {archive(t, entry{name: "README", data: "x"}), fault.Invalid, `it holds "README", want "bundle.json"`},
		"no JSON":            {archive(t, entry{name: "bundle.json", data: "x"}), fault.Invalid, "bundle.json: invalid character 'x' looking for beginning of value"},
		"a later format":     {archive(t, entry{name: "bundle.json", data: with(`1`, `2`)}), fault.Invalid, "bundle.json: format is 2, this program reads 1"},
		"no files":           {archive(t, entry{name: "bundle.json", data: `{"format":1,"spec":"d.yaml"}`}), fault.Invalid, "bundle.json: files do not begin with the model"},
		"a path to outside":  {archive(t, entry{name: "bundle.json", data: with("m.onnx", "../m.onnx")}), fault.Invalid, `bundle.json: "../m.onnx" is no path inside of a folder`},
		"an absolute path":   {archive(t, entry{name: "bundle.json", data: with("m.onnx", "/m.onnx")}), fault.Invalid, `bundle.json: "/m.onnx" is no path inside of a folder`},
		"a path in disguise": {archive(t, entry{name: "bundle.json", data: with("m.onnx", "a/../m.onnx")}), fault.Invalid, `bundle.json: "a/../m.onnx" is no path inside of a folder`},
		"a name of its own":  {archive(t, entry{name: "bundle.json", data: with("m.onnx", "bundle.json")}), fault.Invalid, `bundle.json: "bundle.json" is no path inside of a folder`},
		"one path twice":     {archive(t, entry{name: "bundle.json", data: with("m.onnx", "d.yaml")}), fault.Invalid, `bundle.json: "d.yaml" ("model") is there twice`},
		"no digest":          {archive(t, entry{name: "bundle.json", data: with("sha256:", "md5:")}), fault.Invalid, `bundle.json: "m.onnx" has digest "md5:`},
		"a negative size":    {archive(t, entry{name: "bundle.json", data: with(`"size":1`, `"size":-1`)}), fault.Invalid, `bundle.json: "m.onnx" has digest`},
		"no deployment file": {archive(t, entry{name: "bundle.json", data: good}), fault.Corrupt, `it ends before "d.yaml"`},
		"a link":             {archive(t, entry{name: "bundle.json", data: good}, entry{name: fine, kind: tar.TypeSymlink}), fault.Invalid, `"d.yaml" in it is no regular file`},
		"no model":           {archive(t, entry{name: "bundle.json", data: good}, entry{name: fine}), fault.Corrupt, `it ends before "m.onnx"`},
		"a model that is a link": {
			archive(t, entry{name: "bundle.json", data: good}, entry{name: fine}, entry{name: "m.onnx", kind: tar.TypeLink}), fault.Invalid, `"m.onnx" in it is no regular file`,
		},
		"a longer model": {
			archive(t, entry{name: "bundle.json", data: good}, entry{name: fine}, entry{name: "m.onnx", data: "mm"}), fault.Invalid, `it holds "m.onnx" with 2 bytes, want "m.onnx" with 1 as bundle.json says`,
		},
		"one file more": {
			archive(t, entry{name: "bundle.json", data: good}, entry{name: fine}, entry{name: "m.onnx", data: "m"}, entry{name: "more", data: "x"}), fault.Invalid, `it holds "more", which bundle.json does not know`,
		},
		"a document that is too large": {archive(t, entry{name: "bundle.json", data: strings.Repeat(" ", 1<<20+1)}), fault.TooLarge, `"bundle.json" in it has 1048577 bytes, at most 1048576 are read`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(tt.data)
			if err == nil || fault.KindOf(err) != tt.kind || !strings.HasPrefix(fault.Message(err), tt.want) {
				t.Errorf("Read = %v (%s), want %s (%s)", err, fault.KindOf(err), tt.want, tt.kind)
			}
		})
	}
}

func TestADamagedBundleIsNoticed(t *testing.T) {
	whole := write(t, manifest(), []byte(`{"format":1}`))
	for cut := 0; cut < len(whole)-1536; cut += 100 { // behind that, there is the end mark and no content
		b, err := read(whole[:cut])
		if err == nil {
			err = b.Verify()
		}
		if fault.KindOf(err) != fault.Corrupt || err == nil {
			t.Fatalf("cut at %d of %d: %v", cut, len(whole), err)
		}
	}
	changed := bytes.Clone(whole)
	changed[bytes.Index(whole, []byte("weightsweights"))]++
	b, err := read(changed)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(); fault.KindOf(err) != fault.Corrupt || !strings.HasPrefix(fault.Message(err), `"models/digits.bin" has digest sha256:`) {
		t.Errorf("Verify = %v", err)
	}
}

func TestAFileThatCannotBeReadEndsTheExport(t *testing.T) {
	broken := errors.New("the disk is gone")
	err := bundle.Write(io.Discard, manifest(), nil, nil, func(io.Writer, bundle.File) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("Write = %v", err)
	}
	err = bundle.Write(io.Discard, manifest(), nil, nil, func(w io.Writer, _ bundle.File) error {
		_, wrong := io.WriteString(w, "short")
		return wrong
	})
	if err == nil || !strings.Contains(err.Error(), "missed writing") {
		t.Errorf("Write of a file that is shorter than it was = %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(write(f, manifest(), []byte(`{"format":1}`)))
	f.Add(archive(f, entry{name: "bundle.json", data: `{"format":1}`}))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := read(data)
		if err != nil {
			return
		}
		for _, file := range b.Manifest.Files {
			if !filepath.IsLocal(file.Path) || b.File(file.Role) == nil || b.File(file.Role).Size() != file.Size {
				t.Errorf("read %+v", file)
			}
		}
		_ = b.Verify()
	})
}
