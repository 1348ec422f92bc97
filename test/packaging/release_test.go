// Package packaging_test builds what is released and installs it in a scratch root.
package packaging_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	_ "verge/internal/cli" // makes the whole program a part of what go test's cache looks at
	"verge/internal/version"
	_ "verge/packaging"
)

// What the tests release.
const (
	release = "1.2.0-rc.1"
	debian  = "1.2.0~rc.1"
	epoch   = 1700000000
)

// scratch holds what was built, until the tests have ended.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "verge-packaging-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // other users run the program too
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// need skips unless VERGE_REQUIRE names dpkg: building takes longer than all else that
// `go test ./...` does.
func need(t *testing.T) {
	t.Helper()
	if !required("dpkg") {
		t.Skip("builds packages, with dpkg and systemd of Debian: make packages, or VERGE_REQUIRE=dpkg")
	}
}

func required(name string) bool {
	return slices.Contains(strings.Split(os.Getenv("VERGE_REQUIRE"), ","), name)
}

// build runs make release.
func build(folder string, architectures ...string) error {
	for _, pattern := range []string{"*", "deb/*"} { // so that go test's cache sees them
		files, err := filepath.Glob("../../packaging/" + pattern)
		if err != nil {
			return err
		}
		for _, file := range append(files, "../../Makefile", "../../docs/service.md") {
			if _, err := os.ReadFile(file); err != nil && !strings.HasSuffix(file, "/deb") {
				return err
			}
		}
	}
	cmd := exec.Command("make", "--no-print-directory", "-C", "../..", "release", "DIST="+folder, "VERSION="+release, "ARCHITECTURES="+strings.Join(architectures, " "))
	cmd.Env = append(os.Environ(), fmt.Sprint("SOURCE_DATE_EPOCH=", epoch), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make release: %w\n%s", err, text)
	}
	return nil
}

var buildOnce = sync.OnceValues(func() (string, error) {
	folder := filepath.Join(scratch, "dist")
	return folder, build(folder)
})

// dist is a folder with a release.
func dist(t *testing.T) string {
	t.Helper()
	need(t)
	folder, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// names of a release's files for an architecture.
func archive(arch string) string { return "verge-" + release + "-linux-" + arch + ".tar.gz" }
func deb(arch string) string     { return "verge_" + debian + "_" + arch + ".deb" }

func architectures() []string { return []string{"amd64", "arm64"} }

func TestAReleaseIsFourFilesAndTheirChecksums(t *testing.T) {
	folder := dist(t)
	var want strings.Builder
	names := []string{"SHA256SUMS"}
	for _, arch := range architectures() {
		for _, name := range []string{archive(arch), deb(arch)} {
			sum := sha256.Sum256(read(t, filepath.Join(folder, name)))
			fmt.Fprintf(&want, "%s  %s\n", hex.EncodeToString(sum[:]), name)
			names = append(names, name)
		}
	}
	if diff := cmp.Diff(want.String(), string(read(t, filepath.Join(folder, "SHA256SUMS")))); diff != "" {
		t.Errorf("SHA256SUMS (-want +got):\n%s", diff)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	slices.Sort(names)
	if !slices.Equal(got, names) {
		t.Errorf("the release is %v, want %v", got, names)
	}
}

func TestAReleaseIsTheSameBytesAgain(t *testing.T) {
	folder, again := dist(t), filepath.Join(t.TempDir(), "again")
	if err := build(again, "amd64"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{archive("amd64"), deb("amd64")} {
		if !bytes.Equal(read(t, filepath.Join(folder, name)), read(t, filepath.Join(again, name))) {
			t.Errorf("%s differs from one build to the next", name)
		}
	}
}

// unpack reads an archive: modes by name, and the program's bytes.
func unpack(t *testing.T, path string) (modes map[string]string, program []byte) {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(read(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	modes = map[string]string{}
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return modes, program
		}
		if err != nil {
			t.Fatal(err)
		}
		modes[header.Name] = header.FileInfo().Mode().String()
		if header.Uid != 0 || header.Gid != 0 || !header.ModTime.Equal(time.Unix(epoch, 0)) {
			t.Errorf("%s is of user %d, group %d, %v; want root's, at the time of the release", header.Name, header.Uid, header.Gid, header.ModTime)
		}
		if filepath.Base(header.Name) == "verge" {
			if program, err = io.ReadAll(files); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAnArchiveHasTheProgramAndWhatItIsInstalledWith(t *testing.T) {
	folder := dist(t)
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	for _, arch := range architectures() {
		root := strings.TrimSuffix(archive(arch), ".tar.gz") + "/"
		want := map[string]string{root: "drwxr-xr-x", root + "verge": "-rwxr-xr-x"}
		for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "service.md", "verge.service", "verge.sysusers", "verge.yaml"} {
			want[root+name] = "-rw-r--r--"
		}
		modes, program := unpack(t, filepath.Join(folder, archive(arch)))
		if diff := cmp.Diff(want, modes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", arch, diff)
		}
		file, err := elf.NewFile(bytes.NewReader(program))
		if err != nil {
			t.Fatal(err)
		}
		if file.Machine != machines[arch] {
			t.Errorf("%s: the program is for %v", arch, file.Machine)
		}
		checkLibc(t, arch, file)
		if !bytes.Contains(program, []byte(release)) {
			t.Errorf("%s: the program does not know its version", arch)
		}
	}
}

// checkLibc looks whether a program needs more of glibc than the package says.
func checkLibc(t *testing.T, arch string, file *elf.File) {
	t.Helper()
	const declared = "2.17"
	symbols, err := file.ImportedSymbols()
	if err != nil || len(symbols) == 0 {
		t.Fatalf("%s: %d symbols (%v)", arch, len(symbols), err)
	}
	for _, s := range symbols {
		if needed, ok := strings.CutPrefix(s.Version, "GLIBC_"); ok && version.Compare(needed, declared) > 0 {
			t.Errorf("%s: the program needs %s of %s, the package asks for %s", arch, s.Name, s.Version, declared)
		}
	}
	libraries, err := file.ImportedLibraries()
	slices.Sort(libraries)
	if want := []string{"libc.so.6", "libdl.so.2", "libpthread.so.0"}; err != nil || !slices.Equal(libraries, want) {
		t.Errorf("%s: the program needs %v (%v), the package asks for those of libc6: %v", arch, libraries, err, want)
	}
}

func TestDebianOrdersVersionsAsTheyAreMeant(t *testing.T) {
	need(t)
	ascending := []string{"0.1.0-dev", "1a2b3c4-dirty", "v0.1.0-rc.1", "v0.1.0-rc.1-3-gcf75eec", "v0.1.0", "v0.1.0-5-gcf75eec", "v0.1.0-5-gcf75eec-dirty", "v0.1.1"}
	before := ""
	for i, v := range ascending {
		cmd := exec.CommandContext(t.Context(), "../../packaging/deb.sh", "/bin/true", "amd64", v, t.TempDir())
		cmd.Env = append(os.Environ(), fmt.Sprint("SOURCE_DATE_EPOCH=", epoch))
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", v, err)
		}
		name := strings.Split(strings.TrimSpace(string(out)), "_")[1]
		if i > 0 && exec.CommandContext(t.Context(), "dpkg", "--compare-versions", before, "lt", name).Run() != nil {
			t.Errorf("%s (of %s) is not before %s (of %s)", before, ascending[i-1], name, v)
		}
		before = name
	}
}

func TestAReleaseWithoutDpkgSaysWhatIsMissing(t *testing.T) {
	need(t)
	bin := t.TempDir()
	for _, name := range []string{"sh", "dirname", "git"} {
		path, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(path, filepath.Join(bin, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "../../packaging/release.sh", filepath.Join(t.TempDir(), "dist"))
	cmd.Env = []string{"PATH=" + bin, "SOURCE_DATE_EPOCH=1"}
	text, err := cmd.CombinedOutput()
	if want := "release: needs dpkg-deb (Debian package dpkg)\n"; err == nil || string(text) != want {
		t.Errorf("%v: %q, want %q", err, text, want)
	}
}

// contents lists what a package holds: modes by path, of files only.
func contents(t *testing.T, path string) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "dpkg-deb", "-c", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if fields[1] != "root/root" {
			t.Errorf("not root's: %s", line)
		}
		if !strings.HasSuffix(fields[5], "/") {
			all[strings.TrimPrefix(fields[5], ".")] = fields[0]
		}
	}
	return all
}

func TestBothPackagesHoldTheSameFiles(t *testing.T) {
	folder := dist(t)
	for _, arch := range architectures() {
		got := contents(t, filepath.Join(folder, deb(arch)))
		want := maps.Clone(packaged())
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", arch, diff)
		}
		for field, want := range map[string]string{"Architecture": arch, "Version": debian, "Depends": "init-system-helpers, libc6 (>= 2.17), passwd"} {
			out, err := exec.CommandContext(t.Context(), "dpkg-deb", "-f", filepath.Join(folder, deb(arch)), field).Output()
			if got := strings.TrimSpace(string(out)); got != want || err != nil {
				t.Errorf("%s: %s is %q (%v), want %q", arch, field, got, err, want)
			}
		}
	}
}

// packaged are the files of the Debian package.
func packaged() map[string]string {
	return map[string]string{
		"/usr/bin/verge": "-rwxr-xr-x", "/usr/lib/systemd/system/verge.service": "-rw-r--r--", "/usr/lib/sysusers.d/verge.conf": "-rw-r--r--",
		"/etc/verge/verge.yaml": "-rw-r--r--", "/usr/share/doc/verge/copyright": "-rw-r--r--", "/usr/share/doc/verge/service.md": "-rw-r--r--",
	}
}
