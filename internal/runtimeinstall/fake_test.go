package runtimeinstall_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"verge/internal/fault"
	"verge/internal/runtimeinstall"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	wheelName   = "tinyrt-1.2.3-py3-none-any.whl"
	tarballName = "tinyrt-node-1.2.3.tgz"
	member      = "tinyrt/capi/libtinyrt.so.1.2.3"
	npmMember   = "package/bin/libtinyrt.so.1"
)

// library is a file that begins as a shared library of this machine does.
func library(text string) []byte { return libraryFor(hostMachine(), text) }

func libraryFor(machine elf.Machine, text string) []byte {
	head := make([]byte, 64)
	copy(head, elf.ELFMAG)
	head[elf.EI_CLASS], head[elf.EI_DATA], head[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	binary.LittleEndian.PutUint16(head[16:], uint16(elf.ET_DYN))
	binary.LittleEndian.PutUint16(head[18:], uint16(machine))
	binary.LittleEndian.PutUint32(head[20:], uint32(elf.EV_CURRENT))
	binary.LittleEndian.PutUint16(head[52:], uint16(len(head)))
	return append(head, text...)
}

func hostMachine() elf.Machine {
	if runtime.GOARCH == "arm64" {
		return elf.EM_AARCH64
	}
	return elf.EM_X86_64
}

func otherMachine() elf.Machine { return elf.EM_AARCH64 + elf.EM_X86_64 - hostMachine() }

func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

func wheel(t *testing.T, name string, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, file := range []struct {
		name string
		data []byte
	}{{"tinyrt/__init__.py", []byte("raise SystemExit\n")}, {name, data}} {
		entry, err := w.Create(file.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write(file.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func tarball(t *testing.T, name string, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	zipped := gzip.NewWriter(&buf)
	w := tar.NewWriter(zipped)
	for _, file := range []struct {
		name string
		data []byte
	}{{"package/package.json", []byte("{}")}, {name, data}} {
		if err := w.WriteHeader(&tar.Header{Name: file.name, Mode: 0o644, Size: int64(len(file.data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(file.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// world is a machine with a package index of its own: two packages of one runtime,
// for this platform and, the tarball only, for another.
type world struct {
	dir            string // runtime directory
	packages       string // folder with both packages
	bin            string // the only folder in PATH
	log            string // what clients were started with, one line each
	pipLib, npmLib []byte
	lock           map[string]any
}

const otherPlatform = "plan9/mips"

func newWorld(t *testing.T) *world {
	t.Helper()
	base := t.TempDir()
	w := &world{
		dir: filepath.Join(base, "runtimes"), packages: filepath.Join(base, "packages"), bin: filepath.Join(base, "bin"),
		log: filepath.Join(base, "log"), pipLib: library("built for pip"), npmLib: library("built for npm, with more in it"),
	}
	for _, dir := range []string{w.packages, w.bin} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", w.bin)
	otherLib := libraryFor(otherMachine(), "for another machine")
	packages := map[string][]byte{wheelName: wheel(t, member, w.pipLib), tarballName: tarball(t, npmMember, w.npmLib), "other.whl": wheel(t, member, otherLib)}
	for name, data := range packages {
		write(t, filepath.Join(w.packages, name), data)
	}
	entry := func(client, pack, file, member string, lib []byte, arguments ...string) map[string]any {
		return map[string]any{
			"client": client, "package": pack, "arguments": arguments, "file": file, "member": member,
			"size": len(packages[file]), "sha256": sum(packages[file]), "library_size": len(lib), "library_sha256": sum(lib),
		}
	}
	w.lock = map[string]any{"runtimes": []any{map[string]any{
		"name": "tinyrt", "version": "1.2.3", "library": "libtinyrt.so",
		"platforms": []any{
			map[string]any{"platform": runtimeinstall.Host().String(), "sources": []any{
				entry("pip", "tinyrt==1.2.3", wheelName, member, w.pipLib, "--platform", "any"),
				entry("npm", "tinyrt-node@1.2.3", tarballName, npmMember, w.npmLib),
			}},
			map[string]any{"platform": otherPlatform, "sources": []any{entry("pip", "tinyrt==1.2.3", "other.whl", member, otherLib)}},
		},
	}}}
	return w
}

// source returns one source of the lock file, to be changed.
func (w *world) source(platform, i int) map[string]any {
	pin := w.lock["runtimes"].([]any)[0].(map[string]any)
	return pin["platforms"].([]any)[platform].(map[string]any)["sources"].([]any)[i].(map[string]any)
}

// runtimes reads the lock file as it is now.
func (w *world) runtimes(t *testing.T) *runtimeinstall.Runtimes {
	t.Helper()
	return w.runtimesOf(t, runtimeinstall.Platform{})
}

func (w *world) runtimesOf(t *testing.T, platform runtimeinstall.Platform) *runtimeinstall.Runtimes {
	t.Helper()
	text, err := json.Marshal(w.lock)
	if err != nil {
		t.Fatal(err)
	}
	r, err := runtimeinstall.New(runtimeinstall.Config{Dir: w.dir, Root: t.TempDir(), Lock: text, Platform: platform})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// script puts a program into PATH.
func (w *world) script(t *testing.T, name, body string) {
	t.Helper()
	file := filepath.Join(w.bin, name)
	write(t, file, []byte("#!/bin/sh\nPATH=/usr/bin:/bin\n"+body))
	if err := os.Chmod(file, 0o755); err != nil {
		t.Fatal(err)
	}
}

// pip puts a Python with pip into PATH, whose download is body: it finds the folder
// to write to in $dest.
func (w *world) pip(t *testing.T, body string) {
	t.Helper()
	w.script(t, "python3", `[ "$1 $2" = "-m pip" ] || exit 9
[ "$3" = --version ] && exit 0
echo "$@" >>`+w.log+`
while [ $# -gt 0 ]; do [ "$1" = --dest ] && dest=$2; shift; done
`+body)
}

// npm puts an npm into PATH.
func (w *world) npm(t *testing.T, body string) {
	t.Helper()
	w.script(t, "npm", `[ "$1" = --version ] && exit 0
echo "$@" >>`+w.log+`
while [ $# -gt 0 ]; do [ "$1" = --pack-destination ] && dest=$2; shift; done
`+body)
}

// bring is the body of a client that fetches a package.
func (w *world) bring(name string) string {
	return "cp '" + filepath.Join(w.packages, name) + "' \"$dest\"\n"
}

// started returns the lines that clients were started with, less the folders.
func (w *world) started(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(w.log)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(strings.ReplaceAll(string(text), w.dir, "DIR")), "\n")
}

// tree lists the files below a folder, without the one that installs wait at.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if rel, _ := filepath.Rel(dir, name); rel != ".lock" && rel != "." {
			all = append(all, rel)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// wantError compares an error's kind, text and hint.
func wantError(t *testing.T, err error, kind fault.Kind, text, hint string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if got := fault.KindOf(err); got != kind {
		t.Errorf("kind = %v, want %v", got, kind)
	}
	if diff := cmp.Diff(text, fault.Message(err)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(hint, fault.HintOf(err)); diff != "" {
		t.Errorf("hint (-want +got):\n%s", diff)
	}
}
