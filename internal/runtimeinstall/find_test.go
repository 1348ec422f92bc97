package runtimeinstall_test

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/native"
	"verge/internal/runtimeinstall"
)

// machine is a Runtimes of the program's own lock file with three places to look in.
func machine(t *testing.T) (r *runtimeinstall.Runtimes, configured, standard, root string) {
	t.Helper()
	base := t.TempDir()
	configured, standard, root = filepath.Join(base, "configured"), filepath.Join(base, "root/standard"), filepath.Join(base, "root")
	r, err := runtimeinstall.New(runtimeinstall.Config{Dir: configured, Defaults: []string{"/standard"}, Root: root, Libc: native.Here().Libc})
	if err != nil {
		t.Fatal(err)
	}
	return r, configured, standard, root
}

func find(t *testing.T, r *runtimeinstall.Runtimes) runtimeinstall.Found {
	t.Helper()
	found, err := r.Find("onnxruntime")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTheConfiguredDirectoryComesFirstAndTheSystemLast(t *testing.T) {
	r, configured, standard, root := machine(t)
	write(t, filepath.Join(root, "etc/ld.so.conf"), []byte("# comment\ninclude ld.so.conf.d/*.conf\n"))
	write(t, filepath.Join(root, "etc/ld.so.conf.d/ort.conf"), []byte("/opt/ort/lib # here\n"))
	system := filepath.Join(root, "opt/ort/lib/libonnxruntime.so.1.28.2")
	write(t, system, library("system"))
	want := runtimeinstall.Found{Name: "onnxruntime", Version: "1.28.2", Path: system, Source: runtimeinstall.System}
	if diff := cmp.Diff(want, find(t, r)); diff != "" {
		t.Errorf("system (-want +got):\n%s", diff)
	}

	file := filepath.Join(standard, "onnxruntime/1.30.0/libonnxruntime.so.1.30.0")
	write(t, file, library("standard"))
	want = runtimeinstall.Found{Name: "onnxruntime", Version: "1.30.0", Path: file, Source: runtimeinstall.Installed}
	if diff := cmp.Diff(want, find(t, r)); diff != "" {
		t.Errorf("default (-want +got):\n%s", diff)
	}

	file = filepath.Join(configured, "libonnxruntime.so.1.29.0") // a folder of somebody else's
	write(t, file, library("configured"))
	want = runtimeinstall.Found{Name: "onnxruntime", Version: "1.29.0", Path: file, Source: runtimeinstall.Configured}
	if diff := cmp.Diff(want, find(t, r)); diff != "" {
		t.Errorf("configured (-want +got):\n%s", diff)
	}
	var sources []string
	for _, found := range r.List() {
		sources = append(sources, found.Source)
	}
	if diff := cmp.Diff([]string{"configured", "installed", "system"}, sources); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
}

func TestAnotherBuildServesInPlaceOfTheRuntimesOwn(t *testing.T) {
	r, configured, standard, _ := machine(t)
	own := filepath.Join(configured, "onnxruntime/1.30.0/libonnxruntime.so.1.30.0")
	write(t, own, library("own"))
	_, err := r.Find("onnxruntime-gpu")
	wantError(t, err, fault.NotFound, "runtime onnxruntime-gpu: it is not installed (looked in "+configured+", "+standard+", the system's libraries)",
		"Run: verge runtime install onnxruntime-gpu")

	file := filepath.Join(configured, "onnxruntime-gpu/1.30.0/libonnxruntime.so.1.30.0")
	write(t, file, library("gpu"))
	want := runtimeinstall.Found{Name: "onnxruntime", Version: "1.30.0", Path: file, Source: runtimeinstall.Configured}
	for _, name := range []string{"onnxruntime", "onnxruntime-gpu"} {
		var found runtimeinstall.Found
		if found, err = r.Find(name); err != nil || found != want {
			t.Errorf("Find(%q) = %+v, %v, want %+v", name, found, err, want)
		}
	}
	if diff := cmp.Diff([]runtimeinstall.Found{want, {Name: "onnxruntime", Version: "1.30.0", Path: own, Source: runtimeinstall.Configured}}, r.List()); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
	_, err = r.Verify(t.Context(), "onnxruntime", nil)
	size := strconv.Itoa(len(library("gpu")))
	wantError(t, err, fault.Corrupt, file+": its "+size+" bytes have sha256 "+sum(library("gpu"))+", which the lock file does not have for runtime onnxruntime-gpu 1.30.0",
		"Do not use it. Run: verge runtime install onnxruntime-gpu")
}

func TestTheHighestVersionOfADirectoryIsFound(t *testing.T) {
	r, configured, _, _ := machine(t)
	for _, name := range []string{
		"onnxruntime/1.9.0/libonnxruntime.so.1.9.0", "onnxruntime/1.30.0/libonnxruntime.so.1", "onnxruntime/1.30.0/libonnxruntime_providers_shared.so",
		"onnxruntime/1.30.0/libonnxruntime.so.old", "onnxruntime/notes/README", "openvino/9.9/libonnxruntime.so.9.9",
	} {
		write(t, filepath.Join(configured, name), library(name))
	}
	want := runtimeinstall.Found{
		Name: "onnxruntime", Version: "1.30.0", Source: runtimeinstall.Configured,
		Path: filepath.Join(configured, "onnxruntime/1.30.0/libonnxruntime.so.1"),
	}
	if diff := cmp.Diff(want, find(t, r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOneFileUnderSeveralNamesIsOneLibrary(t *testing.T) {
	r, _, _, root := machine(t)
	dir := filepath.Join(root, "usr/lib")
	write(t, filepath.Join(dir, "libonnxruntime.so.1.30.0"), library("x"))
	for name, target := range map[string]string{"libonnxruntime.so.1": "libonnxruntime.so.1.30.0", "libonnxruntime.so": "libonnxruntime.so.1"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	all := r.List()
	if len(all) != 1 || all[0].Version != "1.30.0" {
		t.Errorf("List = %+v, want one library of version 1.30.0", all)
	}
}

func TestALibraryForAnotherMachineIsListedButNotUsed(t *testing.T) {
	r, configured, standard, _ := machine(t)
	names := map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}
	wrong := filepath.Join(configured, "onnxruntime/1.31.0/libonnxruntime.so.1.31.0")
	text := filepath.Join(configured, "onnxruntime/1.30.0/libonnxruntime.so.1.30.0")
	write(t, wrong, libraryFor(otherMachine(), "x"))
	write(t, text, []byte("INPUT(libonnxruntime.so.1)"))
	_, err := r.Find("onnxruntime")
	wantError(t, err, fault.NotFound, "runtime onnxruntime: it is not installed for "+runtimeinstall.Host().String()+": "+
		wrong+": the library is made for "+names[otherMachine()]+", not for "+names[hostMachine()]+"; "+text+": not an ELF file, or not a whole one: bad magic number '[73 78 80 85]' in record at byte 0x0"+
		" (looked in "+configured+", "+standard+", the system's libraries)", "Run: verge runtime install onnxruntime")
	if all := r.List(); len(all) != 2 || all[0].Err == nil || all[1].Err == nil {
		t.Errorf("List = %+v, want both with what is wrong", all)
	}
	right := filepath.Join(standard, "onnxruntime/1.30.0/libonnxruntime.so.1.30.0")
	write(t, right, library("x"))
	if got := find(t, r).Path; got != right {
		t.Errorf("Find = %s, want %s", got, right)
	}
}

// libm returns this system's libm.so.6, a real library that needs the GNU C library.
func libm(t *testing.T) []byte {
	t.Helper()
	found, err := filepath.Glob("/lib*/*-linux-gnu/libm.so.6")
	if err != nil || len(found) == 0 {
		t.Skip("needs libm of the GNU C library")
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestALibraryThatThisSystemCannotLoadIsPassedOver(t *testing.T) {
	data := libm(t)
	for name, tt := range map[string]struct {
		data       []byte
		text, hint string
	}{
		"of a later system": {
			bytes.ReplaceAll(data, []byte("\x00GLIBC_2."), []byte("\x00GLIBC_9.")), "the library needs glibc 9.",
			"Use a newer release of the system, or an older version of the library.",
		},
		"cut": {data[:len(data)/2], "not an ELF file, or not a whole one: ", "Run: verge runtime install onnxruntime"},
	} {
		t.Run(name, func(t *testing.T) {
			r, configured, standard, _ := machine(t)
			path := filepath.Join(configured, "onnxruntime/1.31.0/libonnxruntime.so.1.31.0")
			write(t, path, tt.data)
			_, err := r.Find("onnxruntime")
			if want := "runtime onnxruntime: it is not installed for " + runtimeinstall.Host().String() + ": " + path + ": " + tt.text; !strings.HasPrefix(fault.Message(err), want) ||
				strings.Count(fault.Message(err), path) != 1 || fault.HintOf(err) != tt.hint {
				t.Errorf("Find = %v, hint %q; want %s, hint %q", err, fault.HintOf(err), want, tt.hint)
			}
			right := filepath.Join(standard, "onnxruntime/1.30.0/libonnxruntime.so.1.30.0")
			write(t, right, library("x"))
			if got := find(t, r).Path; got != right {
				t.Errorf("Find = %s, want %s", got, right)
			}
		})
	}
}

func TestALibraryBelowAnotherRootIsHeldAgainstThatSystem(t *testing.T) {
	data := libm(t)
	for libc, want := range map[string][2]string{
		"glibc 9.1": {}, "": {}, "glibc": {},
		"glibc 2.1": {", this system has glibc 2.1 (looked in ", "Use a newer release of the system, or an older version of the library."},
		"musl":      {", this system has musl (looked in ", "Use a system with glibc: this one has musl, and the libraries that can be installed need glibc."},
	} {
		root := t.TempDir()
		r, err := runtimeinstall.New(runtimeinstall.Config{Root: root, Libc: libc})
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, "usr/lib/libonnxruntime.so.1.30.0"), data)
		_, err = r.Find("onnxruntime")
		if (err == nil) != (want[0] == "") || err != nil && !strings.Contains(fault.Message(err), want[0]) || fault.HintOf(err) != want[1] {
			t.Errorf("on %q: Find = %v, hint %q; want %q", libc, err, fault.HintOf(err), want)
		}
	}
}

func TestLinksOfAnotherRootStayThere(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "libonnxruntime.so.1.31.0")
	write(t, outside, library("this machine's"))
	r, _, _, root := machine(t)
	place := filepath.Join(root, "opt/ort/libonnxruntime.so.1.30.0")
	write(t, place, library("the image's"))
	for name, target := range map[string]string{
		"usr/lib":                         "/opt/links",
		"opt/links/libonnxruntime.so.1":   "/opt/ort/libonnxruntime.so.1.30.0",
		"opt/links/libonnxruntime.so.1.9": outside,
	} {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, at); err != nil {
			t.Fatal(err)
		}
	}
	want := []runtimeinstall.Found{{Name: "onnxruntime", Version: "1.30.0", Path: place, Source: runtimeinstall.System}}
	if diff := cmp.Diff(want, r.List()); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
}

func TestALibraryIsOfNoUseWithoutTheOneBehindIt(t *testing.T) {
	data := libm(t)
	r, configured, _, _ := machine(t)
	dir := filepath.Join(configured, "openvino/2026.4.1")
	write(t, filepath.Join(dir, "libopenvino_c.so.2026.4.1"), library("x"))
	if _, err := r.Find("openvino"); err != nil {
		t.Fatalf("Find = %v", err)
	}
	write(t, filepath.Join(dir, "libopenvino.so.2641"), bytes.ReplaceAll(data, []byte("\x00GLIBC_2."), []byte("\x00GLIBC_9.")))
	_, err := r.Find("openvino")
	if err == nil || !strings.Contains(fault.Message(err), "libopenvino_c.so.2026.4.1: the library needs glibc 9.") {
		t.Errorf("Find = %v, want what libopenvino.so needs", err)
	}
}

func TestTheRootMayBeTheCurrentDirectory(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "usr/lib/libonnxruntime.so.1.30.0"), library("x"))
	t.Chdir(root)
	r, err := runtimeinstall.New(runtimeinstall.Config{Root: "."})
	if err != nil {
		t.Fatal(err)
	}
	if all := r.List(); len(all) != 1 || all[0].Path != "usr/lib/libonnxruntime.so.1.30.0" {
		t.Errorf("List = %+v, want the one of the root", all)
	}
}

func TestALibraryOfAnotherPlatformIsVerifiedInItsDirectory(t *testing.T) {
	w := newWorld(t)
	place := filepath.Join(w.dir, installed[2])
	write(t, place, libraryFor(otherMachine(), "for another machine"))
	if found, err := w.runtimes(t).Find("tinyrt"); err == nil {
		t.Errorf("Find on this machine = %+v", found)
	}
	other, err := runtimeinstall.ParsePlatform(otherPlatform)
	if err != nil {
		t.Fatal(err)
	}
	r := w.runtimesOf(t, other)
	if found, err := r.Verify(t.Context(), "tinyrt", nil); err != nil || found.Path != place {
		t.Errorf("Verify = %+v, %v, want %s", found, err, place)
	}
	write(t, place, libraryFor(otherMachine(), "changed"))
	if _, err := r.Verify(t.Context(), "tinyrt", nil); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("Verify of other bytes = %v", err)
	}
}

func TestARuntimeThatIsNotThereSaysHowToInstallIt(t *testing.T) {
	r, configured, standard, _ := machine(t)
	_, err := r.Find("onnxruntime")
	wantError(t, err, fault.NotFound, "runtime onnxruntime: it is not installed (looked in "+configured+", "+standard+", the system's libraries)",
		"Run: verge runtime install onnxruntime")
	_, err = r.Find("edgetpu")
	const coral = "It comes with Coral's package libedgetpu1-std, or is built from libedgetpu's source."
	wantError(t, err, fault.NotFound, "runtime edgetpu: it is not installed (looked in "+configured+", "+standard+", the system's libraries)", coral)
	_, err = r.Install(t.Context(), runtimeinstall.Options{Name: "edgetpu"}, nil)
	wantError(t, err, fault.Unsupported, "runtime edgetpu 1.0: no package of it is known for "+runtimeinstall.Host().String(), coral)
	_, err = r.Find("onxruntime")
	wantError(t, err, fault.NotFound, `runtime "onxruntime": there is no such runtime`, "Known: onnxruntime, onnxruntime-gpu, litert, tflite, openvino, tensorrt, edgetpu.")
}

func TestVerifyComparesTheBytesWithTheLockFile(t *testing.T) {
	w := newWorld(t)
	r := w.runtimes(t)
	place := filepath.Join(w.dir, installed[2])
	write(t, place, w.pipLib)
	found, err := r.Verify(t.Context(), "tinyrt", nil)
	if err != nil || found.SHA256 != sum(w.pipLib) || found.Path != place {
		t.Errorf("Verify = %+v, %v, want the library with its hash", found, err)
	}

	changed := append(slices.Clip(w.pipLib), "!"...)
	write(t, place, changed)
	_, err = r.Verify(t.Context(), "tinyrt", nil)
	wantError(t, err, fault.Corrupt, place+": its "+strconv.Itoa(len(changed))+" bytes have sha256 "+sum(changed)+", which the lock file does not have for runtime tinyrt 1.2.3",
		"Do not use it. Run: verge runtime install tinyrt")

	other := filepath.Join(w.dir, "tinyrt/1.4.0/libtinyrt.so.1.4.0")
	write(t, other, changed)
	_, err = r.Verify(t.Context(), "tinyrt", nil)
	wantError(t, err, fault.Unsupported, other+": it is not the runtime tinyrt 1.2.3 that the lock file pins (sha256 "+sum(changed)+")",
		"To have the pinned one, run: verge runtime install tinyrt")
}

func TestDefaultDirectoriesFollowTheUser(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(key string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == key {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	const system = "/var/lib/verge/runtimes"
	for name, tt := range map[string]struct {
		uid  int
		env  func(string) string
		want []string
	}{
		"root":                     {0, env("HOME", "/root"), []string{system}},
		"a user":                   {1000, env("HOME", "/home/u"), []string{"/home/u/.local/state/verge/runtimes", system}},
		"a user with XDG":          {1000, env("HOME", "/home/u", "XDG_STATE_HOME", "/s"), []string{"/s/verge/runtimes", system}},
		"an XDG that is relative":  {1000, env("HOME", "/home/u", "XDG_STATE_HOME", "s"), []string{"/home/u/.local/state/verge/runtimes", system}},
		"a service without a home": {1000, env(), []string{system}},
	} {
		if diff := cmp.Diff(tt.want, runtimeinstall.DefaultDirs(tt.uid, tt.env)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTheProgramsOwnLockFileHasBothPlatforms(t *testing.T) {
	r, _, _, _ := machine(t)
	both := []string{"linux/amd64", "linux/arm64"}
	want := []runtimeinstall.Runtime{
		{Name: "onnxruntime", Version: "1.30.0", Platforms: both},
		{Name: "onnxruntime-gpu", Version: "1.30.0", Platforms: []string{"linux/amd64"}},
		{Name: "litert", Version: "2.3.0", Platforms: both},
		{Name: "tflite", Version: "2.9.0", Platforms: both},
		{Name: "openvino", Version: "2026.4.1", Platforms: both},
		{Name: "tensorrt", Version: "10.16.1", Platforms: []string{"linux/amd64"}},
		{Name: "edgetpu", Version: "1.0"},
	}
	if diff := cmp.Diff(want, r.Available()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
