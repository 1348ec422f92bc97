package runtimeinstall_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/runtimeinstall"
)

func TestALockFileThatIsWrongIsRefused(t *testing.T) {
	pin := func(w *world) map[string]any { return w.lock["runtimes"].([]any)[0].(map[string]any) }
	host := runtimeinstall.Host().String()
	for name, tt := range map[string]struct {
		change func(w *world)
		want   string
	}{
		"a name that leaves its folder": {func(w *world) { pin(w)["name"] = "../x" }, `runtimes[0]: name "../x", version "1.2.3" or library "libtinyrt.so" is not a file name`},
		"an unknown client":             {func(w *world) { w.source(0, 0)["client"] = "sh" }, "runtimes[0]: " + host + `: sources[0]: client "sh", want pip or npm`},
		"a package that is an option":   {func(w *world) { w.source(0, 1)["package"] = "-e" }, "runtimes[0]: " + host + `: sources[1]: package "-e" is not a name`},
		"a file in another folder":      {func(w *world) { w.source(0, 0)["file"] = "a/b" }, "runtimes[0]: " + host + `: sources[0]: file "a/b" or member "` + member + `" is not a path`},
		"a size of nothing":             {func(w *world) { w.source(0, 0)["size"], w.source(0, 0)["library_size"] = 0, 1 }, "runtimes[0]: " + host + ": sources[0]: size 0 or library_size 1, want 1 to 4294967296"},
		"a hash that is none":           {func(w *world) { w.source(0, 0)["sha256"] = "abc" }, "runtimes[0]: " + host + `: sources[0]: sha256 "abc", want 64 lower-case hexadecimal digits`},
		"a build of nothing":            {func(w *world) { pin(w)["runtime"] = "other" }, `runtimes[0]: there is no runtime "other"`},
		"an unknown key":                {func(w *world) { w.lock["more"] = 1 }, `json: unknown field "more"`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tt.change(w)
			data, err := json.Marshal(w.lock)
			if err != nil {
				t.Fatal(err)
			}
			_, err = runtimeinstall.New(runtimeinstall.Config{Lock: data})
			wantError(t, err, fault.Corrupt, "the lock file of runtimes: "+tt.want, "")
		})
	}
}

func FuzzLock(f *testing.F) {
	own, err := os.ReadFile("runtimes.lock.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Add([]byte(`{"runtimes":[{"name":"x","version":"1","library":"y"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := runtimeinstall.New(runtimeinstall.Config{Lock: append([]byte{}, data...)})
		if err != nil {
			return
		}
		for _, runtime := range r.Available() {
			for _, part := range []string{runtime.Name, runtime.Version} {
				if part == "" || part == ".." || strings.Contains(part, "/") {
					t.Errorf("accepted %+v", runtime)
				}
			}
		}
	})
}

func FuzzLoaderConfiguration(f *testing.F) {
	f.Add("/opt/a\ninclude /etc/ld.so.conf\ninclude *.conf\n", "hwcap 0 x\n/b # c\nrelative\n")
	f.Add("include ld.so.conf", "")
	f.Fuzz(func(t *testing.T, conf, more string) {
		root := t.TempDir()
		write(t, filepath.Join(root, "etc/ld.so.conf"), []byte(conf))
		write(t, filepath.Join(root, "etc/more.conf"), []byte(more))
		seen := map[string]bool{}
		for _, dir := range runtimeinstall.SystemDirs(root, runtimeinstall.Host()) {
			if !filepath.IsAbs(dir) || dir != filepath.Clean(dir) || seen[dir] {
				t.Errorf("directory %q is relative, not clean or there twice", dir)
			}
			seen[dir] = true
		}
	})
}

func TestTheLoadersConfigurationIsFollowed(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "etc/ld.so.conf"), []byte("include ld.so.conf.d/*.conf\n/opt/last\ninclude /etc/ld.so.conf\n"))
	write(t, filepath.Join(root, "etc/ld.so.conf.d/a.conf"), []byte("/opt/first/\n# no\nrelative/no\nhwcap 0 no\n"))
	got := runtimeinstall.SystemDirs(root, runtimeinstall.Platform{OS: "linux", Arch: "arm64"})
	want := []string{
		"/opt/first", "/opt/last", "/usr/local/lib", "/usr/local/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
		"/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/lib64", "/lib",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
