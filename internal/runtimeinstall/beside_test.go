package runtimeinstall_test

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
)

// A plugin that the library of these worlds needs in its own folder.
const (
	pluginMember = "tinyrt/capi/libtinyrt_plugin.so"
	pluginName   = "libtinyrt_plugin.so"
)

// newWorldBeside is a world whose wheel has a plugin as well.
func newWorldBeside(t *testing.T) (w *world, plugin []byte) {
	t.Helper()
	w = newWorld(t)
	plugin = library("a plugin")
	var buf bytes.Buffer
	archive := zip.NewWriter(&buf)
	for name, data := range map[string][]byte{member: w.pipLib, pluginMember: plugin} {
		entry, err := archive.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(w.packages, wheelName), buf.Bytes())
	source := w.source(0, 0)
	source["size"], source["sha256"] = buf.Len(), sum(buf.Bytes())
	source["beside"] = []any{map[string]any{"member": pluginMember, "size": len(plugin), "sha256": sum(plugin)}}
	return w, plugin
}

// folder is where the library of a world is installed.
func (w *world) folder() string { return filepath.Join(w.dir, "tinyrt", "1.2.3") }

func TestWhatALibraryNeedsIsInstalledBesideIt(t *testing.T) {
	w, plugin := newWorldBeside(t)
	o := tinyrt()
	o.From = filepath.Join(w.packages, wheelName)
	got, err := w.runtimes(t).Install(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"tinyrt", "tinyrt/1.2.3", "tinyrt/1.2.3/libtinyrt.so.1.2.3", "tinyrt/1.2.3/" + pluginName}; !cmp.Equal(want, tree(t, w.dir)) {
		t.Errorf("installed %q, want %q", tree(t, w.dir), want)
	}
	if data, readErr := os.ReadFile(filepath.Join(w.folder(), pluginName)); readErr != nil || !bytes.Equal(data, plugin) || got.Already {
		t.Errorf("the plugin has %d bytes (%v), already %v; want %d, not already", len(data), readErr, got.Already, len(plugin))
	}
	if got, err = w.runtimes(t).Install(t.Context(), o, nil); err != nil || !got.Already {
		t.Errorf("Install again = already %v, %v; want it there", got.Already, err)
	}
	if _, err := w.runtimes(t).Verify(t.Context(), "tinyrt", nil); err != nil {
		t.Errorf("Verify = %v, want no error", err)
	}
}

func TestALibraryWithoutWhatItNeedsIsInstalledAgain(t *testing.T) {
	for name, spoil := range map[string]func(file string) error{
		"missing": os.Remove,
		"changed": func(file string) error { return os.WriteFile(file, library("a plugim"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			w, plugin := newWorldBeside(t)
			o := tinyrt()
			o.From = filepath.Join(w.packages, wheelName)
			if _, err := w.runtimes(t).Install(t.Context(), o, nil); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(w.folder(), pluginName)
			if err := spoil(file); err != nil {
				t.Fatal(err)
			}
			_, err := w.runtimes(t).Verify(t.Context(), "tinyrt", nil)
			wantError(t, err, fault.Corrupt, file+": it is missing, or has not the 72 bytes with sha256 "+sum(plugin)+" that the lock file has for runtime tinyrt 1.2.3",
				"Do not use it. Run: verge runtime install tinyrt")
			got, err := w.runtimes(t).Install(t.Context(), o, nil)
			if err != nil || got.Already {
				t.Errorf("Install = already %v, %v; want it installed anew", got.Already, err)
			}
			if _, err := w.runtimes(t).Verify(t.Context(), "tinyrt", nil); err != nil {
				t.Errorf("Verify = %v, want no error", err)
			}
		})
	}
}

func TestALibraryThatIsBroughtNeedsItsCompany(t *testing.T) {
	w, plugin := newWorldBeside(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "libtinyrt.so"), w.pipLib)
	o := tinyrt()
	o.From = dir
	_, err := w.runtimes(t).Install(t.Context(), o, nil)
	wantError(t, err, fault.Corrupt, "runtime tinyrt 1.2.3: "+wheelName+": the library needs "+pluginName+" beside it: stat "+filepath.Join(dir, pluginName)+": no such file or directory", "")
	if left := tree(t, w.dir); len(left) != 0 {
		t.Errorf("a failed install left %q", left)
	}
	write(t, filepath.Join(dir, pluginName), plugin)
	if _, err := w.runtimes(t).Install(t.Context(), o, nil); err != nil {
		t.Errorf("Install with the plugin = %v, want no error", err)
	}
}

func TestTermsHaveToBeAccepted(t *testing.T) {
	w := newWorld(t)
	w.lock["runtimes"].([]any)[0].(map[string]any)["licence"] = "the terms of tinyrt"
	o := tinyrt()
	o.From = filepath.Join(w.packages, wheelName)
	_, err := w.runtimes(t).Install(t.Context(), o, nil)
	wantError(t, err, fault.Denied, "runtime tinyrt 1.2.3: its terms have to be accepted first: the terms of tinyrt",
		"Read them, and if you accept them, run: verge runtime install tinyrt --accept-licence")
	if left := tree(t, w.dir); len(left) != 0 {
		t.Errorf("a refused install left %q", left)
	}
	o.AcceptLicence = true
	if _, err := w.runtimes(t).Install(t.Context(), o, nil); err != nil {
		t.Errorf("Install with the terms accepted = %v, want no error", err)
	}
}

func TestALibraryMayHaveAnotherNameInTheSystem(t *testing.T) {
	w := newWorld(t)
	w.lock["runtimes"].([]any)[0].(map[string]any)["also"] = []string{"libtinyrt_full.so"}
	write(t, filepath.Join(w.dir, "tinyrt", "1.3.0", "libtinyrt_full.so.1.3.0"), w.pipLib)
	got, err := w.runtimes(t).Find("tinyrt")
	if err != nil || got.Version != "1.3.0" || filepath.Base(got.Path) != "libtinyrt_full.so.1.3.0" {
		t.Errorf("Find = %+v, %v; want the library of the other name", got, err)
	}
}
