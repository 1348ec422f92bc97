package runtimeinstall_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
	"verge/internal/runtimeinstall"
)

func TestAFileBringsTheLibraryWithoutAClient(t *testing.T) {
	for name, tt := range map[string]struct {
		put  func(w *world, dir string) (from string) // into dir
		npm  bool
		pack string
	}{
		"a wheel": {
			put:  func(w *world, _ string) string { return filepath.Join(w.packages, wheelName) },
			pack: wheelName,
		},
		"a tarball": {
			put: func(w *world, _ string) string { return filepath.Join(w.packages, tarballName) },
			npm: true, pack: tarballName,
		},
		"the library": {
			put: func(w *world, dir string) string {
				write(t, filepath.Join(dir, "renamed.bin"), w.pipLib)
				return filepath.Join(dir, "renamed.bin")
			},
		},
		"a folder with a package among other files": {
			put: func(w *world, _ string) string {
				write(t, filepath.Join(w.packages, "README"), []byte("read me"))
				return w.packages
			},
			pack: wheelName, // the first by name
		},
		"a folder with the library": {
			put: func(w *world, dir string) string {
				write(t, filepath.Join(dir, "lib.so"), w.npmLib)
				return dir
			},
			npm: true,
		},
		"a runtime directory of another machine": {
			put: func(w *world, dir string) string {
				write(t, filepath.Join(dir, installed[2]), w.pipLib)
				return dir
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := tinyrt()
			o.From = tt.put(w, t.TempDir())
			got, err := w.runtimes(t).Install(t.Context(), o, nil)
			if err != nil {
				t.Fatal(err)
			}
			library := w.pipLib
			if tt.npm {
				library = w.npmLib
			}
			w.check(t, got, library, tt.pack)
		})
	}
}

func TestAFileThatIsNotTheRightOneIsRefused(t *testing.T) {
	host := runtimeinstall.Host().String()
	const wanted = "Bring " + wheelName + " or " + tarballName + ", the library out of it, or a folder with one of them."
	for name, tt := range map[string]struct {
		put  func(w *world, file string)
		kind fault.Kind
		text func(w *world, file string) string
		hint string
	}{
		"nothing there": {
			put:  func(*world, string) {},
			kind: fault.NotFound,
			text: func(_ *world, file string) string { return file + ": stat: no such file or directory" },
		},
		"another file": {
			put:  func(_ *world, file string) { write(t, file, []byte("hello")) },
			kind: fault.Corrupt, hint: wanted,
			text: func(_ *world, file string) string {
				return file + ": its 5 bytes are no package or library that the lock file has for runtime tinyrt 1.2.3 on " + host
			},
		},
		"the right size with other bytes": {
			put:  func(w *world, file string) { write(t, file, make([]byte, len(w.pipLib))) },
			kind: fault.Corrupt, hint: wanted,
			text: func(w *world, file string) string {
				return fmt.Sprintf("%s: its %d bytes with sha256 %s are no package or library that the lock file has for runtime tinyrt 1.2.3 on %s",
					file, len(w.pipLib), sum(make([]byte, len(w.pipLib))), host)
			},
		},
		"one for another platform": {
			put: func(w *world, file string) {
				if err := os.Rename(filepath.Join(w.packages, "other.whl"), file); err != nil {
					t.Fatal(err)
				}
			},
			kind: fault.Invalid, hint: "Name the platform and a folder to prepare: --platform " + otherPlatform + " -o DIR",
			text: func(_ *world, file string) string {
				return file + ": it is for " + otherPlatform + ", not for " + host
			},
		},
		"a folder without one": {
			put:  func(_ *world, file string) { write(t, filepath.Join(file, "README"), nil) },
			kind: fault.NotFound, hint: wanted,
			text: func(_ *world, file string) string {
				return file + ": no file there is a package or the library of runtime tinyrt 1.2.3 for " + host
			},
		},
		"a named pipe": {
			put: func(_ *world, file string) {
				if err := unix.Mkfifo(file, 0o600); err != nil {
					t.Fatal(err)
				}
			},
			kind: fault.Internal,
			text: func(_ *world, file string) string { return file + ": open: not a regular file" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := tinyrt()
			o.From = filepath.Join(t.TempDir(), "from")
			tt.put(w, o.From)
			_, err := w.runtimes(t).Install(t.Context(), o, nil)
			wantError(t, err, tt.kind, tt.text(w, o.From), tt.hint)
			if left := tree(t, w.dir); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAnotherPlatformIsInstalledIntoAFolderOfItsOwn(t *testing.T) {
	w := newWorld(t)
	w.pip(t, w.bring("other.whl"))
	other, err := runtimeinstall.ParsePlatform(otherPlatform)
	if err != nil {
		t.Fatal(err)
	}
	o := tinyrt()
	o.Platform = other
	_, err = w.runtimes(t).Install(t.Context(), o, nil)
	wantError(t, err, fault.Invalid,
		"runtime tinyrt 1.2.3: this machine is "+runtimeinstall.Host().String()+", a library for "+otherPlatform+" is not for its own runtime directory",
		"Name a folder to prepare: --platform "+otherPlatform+" -o DIR")

	o.Dir = filepath.Join(t.TempDir(), "board", "runtimes")
	got, err := w.runtimes(t).Install(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(o.Dir, installed[2]); got.Path != want || got.Platform != other || got.Source != runtimeinstall.Installed {
		t.Errorf("Install = %+v, want %s for %s", got, want, other)
	}

	o.Platform = runtimeinstall.Platform{OS: "windows", Arch: "amd64"}
	_, err = w.runtimes(t).Install(t.Context(), o, nil)
	wantError(t, err, fault.Unsupported,
		"runtime tinyrt 1.2.3: it is not available for windows/amd64, only for "+runtimeinstall.Host().String()+", "+otherPlatform,
		"Build the library for this platform, and name its folder as runtime_dir.")
}

func TestAPlatformIsASystemAndAProcessor(t *testing.T) {
	for _, text := range []string{"", "arm64", "linux/", "/arm64", "linux/arm/v7"} {
		_, err := runtimeinstall.ParsePlatform(text)
		wantError(t, err, fault.Invalid, fmt.Sprintf("platform %q: want a system and a processor", text), "Write it as linux/arm64.")
	}
}
