package runtimeinstall_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"verge/internal/fault"
	"verge/internal/runtimeinstall"
)

// installed is what a runtime directory holds after an install, and nothing else.
var installed = []string{"tinyrt", "tinyrt/1.2.3", "tinyrt/1.2.3/libtinyrt.so.1.2.3"}

func tinyrt() runtimeinstall.Options { return runtimeinstall.Options{Name: "tinyrt"} }

// check compares a result and what is on disk with what is wanted.
func (w *world) check(t *testing.T, got runtimeinstall.Result, library []byte, pack string) {
	t.Helper()
	place := filepath.Join(w.dir, installed[2])
	want := runtimeinstall.Result{
		Found:    runtimeinstall.Found{Name: "tinyrt", Version: "1.2.3", Path: place, Source: runtimeinstall.Configured, SHA256: sum(library)},
		Platform: runtimeinstall.Host(), Package: pack,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(installed, tree(t, w.dir)); diff != "" {
		t.Errorf("runtime directory (-want +got):\n%s", diff)
	}
	data, err := os.ReadFile(place)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != string(library) {
		t.Errorf("the library has other bytes than the package's")
	}
	if info, err := os.Stat(place); err != nil || info.Mode() != 0o644 {
		t.Errorf("mode of the library = %v, %v, want 0644", info.Mode(), err)
	}
}

func TestPipBringsTheLibrary(t *testing.T) {
	w := newWorld(t)
	w.pip(t, `[ "$PWD" = "$TMPDIR" ] || exit 8
`+w.bring(wheelName))
	w.npm(t, "exit 7")
	var phases []runtimeinstall.Phase
	var last [2]int64
	got, err := w.runtimes(t).Install(t.Context(), tinyrt(), func(phase runtimeinstall.Phase, done, total int64) {
		if !slices.Contains(phases, phase) {
			phases = append(phases, phase)
		}
		last = [2]int64{done, total}
	})
	if err != nil {
		t.Fatal(err)
	}
	w.check(t, got, w.pipLib, wheelName)
	if diff := cmp.Diff([]runtimeinstall.Phase{runtimeinstall.Downloading, runtimeinstall.Verifying, runtimeinstall.Unpacking}, phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	if size := int64(len(w.pipLib)); last != [2]int64{size, size} {
		t.Errorf("the last progress was %v, want all of %d", last, size)
	}
	want := []string{"-m pip download --no-deps --only-binary=:all: --disable-pip-version-check --no-input --progress-bar off --dest DIR/.install/package --platform any tinyrt==1.2.3"}
	if diff := cmp.Diff(want, w.started(t)); diff != "" {
		t.Errorf("client (-want +got):\n%s", diff)
	}
}

func TestNpmBringsTheLibraryWhereThereIsNoPip(t *testing.T) {
	w := newWorld(t)
	w.script(t, "python3", "echo 'No module named pip' >&2; exit 1\n")
	w.npm(t, w.bring(tarballName))
	got, err := w.runtimes(t).Install(t.Context(), tinyrt(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.check(t, got, w.npmLib, tarballName)
	want := []string{"pack --ignore-scripts --no-update-notifier --cache DIR/.install/cache --pack-destination DIR/.install/package tinyrt-node@1.2.3"}
	if diff := cmp.Diff(want, w.started(t)); diff != "" {
		t.Errorf("client (-want +got):\n%s", diff)
	}
}

func TestAClientThatIsAskedForIsTheOneThatRuns(t *testing.T) {
	w := newWorld(t)
	w.pip(t, "exit 7")
	w.npm(t, w.bring(tarballName))
	o := tinyrt()
	o.Client = "npm"
	got, err := w.runtimes(t).Install(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.check(t, got, w.npmLib, tarballName)

	o.Client = "conda"
	_, err = w.runtimes(t).Install(t.Context(), o, nil)
	wantError(t, err, fault.Invalid, `runtime tinyrt 1.2.3: no package of it comes by "conda", only by pip or npm`, "")
}

func TestALibraryThatIsThereIsLeftAlone(t *testing.T) {
	w := newWorld(t) // without any client
	write(t, filepath.Join(w.dir, installed[2]), w.npmLib)
	got, err := w.runtimes(t).Install(t.Context(), tinyrt(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Already || got.SHA256 != sum(w.npmLib) {
		t.Errorf("Install = %+v, want the library that is there", got)
	}
	if _, err := os.Stat(filepath.Join(w.dir, ".lock")); err == nil {
		t.Error("a lock was taken to do nothing")
	}
}

func TestALibraryWithOtherBytesIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.pip(t, w.bring(wheelName))
	changed := slices.Clone(w.pipLib)
	changed[len(changed)-1]++
	write(t, filepath.Join(w.dir, installed[2]), changed)
	got, err := w.runtimes(t).Install(t.Context(), tinyrt(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.check(t, got, w.pipLib, wheelName)
}

func TestWhatACrashHasLeftIsRemoved(t *testing.T) {
	w := newWorld(t)
	w.pip(t, w.bring(wheelName))
	write(t, filepath.Join(w.dir, ".install", "package", "half.whl"), []byte("half"))
	got, err := w.runtimes(t).Install(t.Context(), tinyrt(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.check(t, got, w.pipLib, wheelName)
}

func TestInstallsThatFailLeaveNothing(t *testing.T) {
	const offline = "verge runtime install tinyrt --from FILE"
	const again = "It was cut or changed on its way: do not use it, and get it again."
	cut := func(w *world) string {
		return "head -c 100 '" + filepath.Join(w.packages, wheelName) + "' >\"$dest/" + wheelName + "\"\n"
	}
	tests := map[string]struct {
		prepare    func(t *testing.T, w *world)
		kind       fault.Kind
		text, hint func(t *testing.T, w *world) string
	}{
		"no package client": {
			prepare: func(*testing.T, *world) {},
			kind:    fault.Unsupported,
			text:    text("runtime tinyrt 1.2.3: no package client is here (looked for pip, npm)"),
			hint:    text("Install pip or npm, or bring the package: " + offline + ", where FILE is " + wheelName + " or " + tarballName),
		},
		"the client fails": {
			prepare: func(t *testing.T, w *world) {
				t.Helper()
				w.pip(t, "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done; echo; echo 'ERROR: no route to host' >&2; exit 3\n")
			},
			kind: fault.Unavailable,
			text: text("runtime tinyrt 1.2.3: pip download: exit status 3\n  line 3\n  line 4\n  line 5\n  line 6\n  line 7\n  line 8\n  line 9\n  ERROR: no route to host"),
			hint: text("Check the network and what pip is configured with, or bring the package: " + offline),
		},
		"the client writes nothing": {
			prepare: func(t *testing.T, w *world) { t.Helper(); w.pip(t, "exit 0\n") },
			kind:    fault.Unavailable,
			text:    text("runtime tinyrt 1.2.3: pip is done, but wrote 0 files, want 1"),
			hint:    text(""),
		},
		"a cut download": {
			prepare: func(t *testing.T, w *world) { t.Helper(); w.pip(t, cut(w)) },
			kind:    fault.Corrupt,
			text: func(t *testing.T, w *world) string {
				t.Helper()
				whole, err := os.ReadFile(filepath.Join(w.packages, wheelName))
				if err != nil {
					t.Fatal(err)
				}
				return fmt.Sprintf("runtime tinyrt 1.2.3: %s has 100 bytes with sha256 %s, the lock file says %d with %s", wheelName, sum(whole[:100]), len(whole), sum(whole))
			},
			hint: text(again),
		},
		"a package with another library": {
			prepare: func(t *testing.T, w *world) {
				t.Helper()
				w.pip(t, w.bring(wheelName))
				w.source(0, 0)["library_sha256"] = sum([]byte("another"))
			},
			kind: fault.Corrupt,
			text: func(_ *testing.T, w *world) string {
				size := len(w.pipLib)
				return fmt.Sprintf("runtime tinyrt 1.2.3: %s has %d bytes with sha256 %s, the lock file says %d with %s", member, size, sum(w.pipLib), size, sum([]byte("another")))
			},
			hint: text(again),
		},
		"a wheel without the library": {
			prepare: func(t *testing.T, w *world) {
				t.Helper()
				w.pip(t, w.bring(wheelName))
				w.source(0, 0)["member"] = "lib/x.so"
			},
			kind: fault.Corrupt, text: text("runtime tinyrt 1.2.3: " + wheelName + ": it has no file lib/x.so"), hint: text(""),
		},
		"a tarball without the library": {
			prepare: func(t *testing.T, w *world) {
				t.Helper()
				w.npm(t, w.bring(tarballName))
				w.source(0, 1)["member"] = "lib/x.so"
			},
			kind: fault.Corrupt, text: text("runtime tinyrt 1.2.3: " + tarballName + ": it has no file lib/x.so"), hint: text(""),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tt.prepare(t, w)
			_, err := w.runtimes(t).Install(t.Context(), tinyrt(), nil)
			wantError(t, err, tt.kind, tt.text(t, w), tt.hint(t, w))
			if left := tree(t, w.dir); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func text(s string) func(*testing.T, *world) string {
	return func(*testing.T, *world) string { return s }
}

func TestACanceledInstallEndsTheClientAndItsChildren(t *testing.T) {
	w := newWorld(t)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	w.pip(t, "echo half >\"$dest/half.whl\"\nsleep 1000 &\necho $! >'"+pipe+"'\nwait\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := w.runtimes(t).Install(ctx, tinyrt(), nil)
		done <- err
	}()
	line, err := os.ReadFile(pipe) // returns when the child runs
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	wantError(t, <-done, fault.Canceled, "stopped before it was done: context canceled", "Nothing was installed; run it again.")
	if left := tree(t, w.dir); left != nil {
		t.Errorf("left behind: %v", left)
	}
	pid := strings.TrimSpace(string(line))
	if _, err := strconv.Atoi(pid); err != nil {
		t.Fatal(err)
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for ceiling := time.After(30 * time.Second); ; {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") { // gone, or waiting for init to notice
			return
		}
		select {
		case <-ticker.C:
		case <-ceiling:
			t.Fatal("the client's child still runs")
		}
	}
}

func TestInstallsIntoOneDirectoryWaitForEachOther(t *testing.T) {
	w := newWorld(t)
	w.pip(t, w.bring(wheelName))
	const count = 4
	results := make([]runtimeinstall.Result, count)
	var wg sync.WaitGroup
	for i := range count {
		r := w.runtimes(t)
		wg.Go(func() {
			var err error
			if results[i], err = r.Install(t.Context(), tinyrt(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	did := 0
	for _, result := range results {
		if !result.Already {
			did++
			w.check(t, result, w.pipLib, wheelName)
		}
	}
	if runs := len(w.started(t)); did != 1 || runs != 1 {
		t.Errorf("%d of %d installs did the work, pip ran %d times, want 1 and 1", did, count, runs)
	}
}

func TestAnInstallThatWaitsCanBeCanceled(t *testing.T) {
	w := newWorld(t)
	write(t, filepath.Join(w.dir, ".lock"), nil)
	held, err := os.OpenFile(filepath.Join(w.dir, ".lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err = unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = w.runtimes(t).Install(ctx, tinyrt(), func(phase runtimeinstall.Phase, _, _ int64) {
		if phase == runtimeinstall.Waiting {
			cancel()
		}
	})
	wantError(t, err, fault.Canceled, "stopped before it was done: context canceled", "Nothing was installed; run it again.")
}

// fullFile takes some bytes and then no more, or breaks when it is synced.
type fullFile struct {
	runtimeinstall.LibraryFile

	room int
	sync error
}

func (f *fullFile) Write(p []byte) (int, error) {
	if len(p) <= f.room {
		return f.LibraryFile.Write(p)
	}
	n, _ := f.LibraryFile.Write(p[:f.room])
	return n, unix.ENOSPC
}

func (f *fullFile) Sync() error { return errors.Join(f.sync, f.LibraryFile.Sync()) }

func TestADiskThatFillsUpOrBreaksLeavesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		file fullFile
		kind fault.Kind
		text string
		hint string
	}{
		"full": {
			file: fullFile{room: 10}, kind: fault.Exhausted, text: "no space left on device",
			hint: "Free space there, or install into another directory.",
		},
		"broken": {file: fullFile{room: 1 << 20, sync: unix.EIO}, kind: fault.Internal, text: "DIR: input/output error"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pip(t, w.bring(wheelName))
			r := w.runtimes(t)
			r.SetCreate(func(root *os.Root, name string) (runtimeinstall.LibraryFile, error) {
				file, err := runtimeinstall.CreateLibrary(root, name)
				tt.file.LibraryFile = file
				return &tt.file, err
			})
			_, err := r.Install(t.Context(), tinyrt(), nil)
			wantError(t, err, tt.kind, strings.Replace(tt.text, "DIR", w.dir, 1), tt.hint)
			if left := tree(t, w.dir); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestARealDiskThatIsFullLeavesNothing(t *testing.T) {
	w := newWorld(t)
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", w.dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(w.dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w.pip(t, w.bring(wheelName)+"head -c 1000000 /dev/zero >filler\nexit 0\n")
	_, err := w.runtimes(t).Install(t.Context(), tinyrt(), nil)
	wantError(t, err, fault.Exhausted, w.dir+": it needs 0.0 MB, the disk has 0.0 MB left", "Free space there, or install into another directory.")
	if left := tree(t, w.dir); left != nil {
		t.Errorf("left behind: %v", left)
	}
	w.source(0, 0)["size"] = 1 << 30
	_, err = w.runtimes(t).Install(t.Context(), tinyrt(), nil)
	wantError(t, err, fault.Exhausted, w.dir+": it needs 1024.0 MB, the disk has 0.2 MB left", "Free space there, or install into another directory.")
}
