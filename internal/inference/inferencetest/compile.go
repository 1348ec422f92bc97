package inferencetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Compile builds a shared library of that file name from C source, with the system's
// compiler: a stand-in for a library that is another than the tests have. Where
// there is no compiler, it skips the test, or fails it when VERGE_REQUIRE has "cc";
// one for another processor, as where this one is emulated, is none.
func Compile(tb testing.TB, name, source string) (path string) {
	tb.Helper()
	compiler, err := exec.LookPath("cc")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv(RequireVariable), ","), "cc") {
			tb.Fatal("cc is required, but not in PATH")
		}
		tb.Skip("needs a C compiler named cc")
	}
	target, err := exec.CommandContext(tb.Context(), compiler, "-dumpmachine").Output()
	if machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]; err == nil && !strings.HasPrefix(string(target), machine) {
		tb.Skipf("needs a C compiler for %s, cc is for %s", runtime.GOARCH, strings.TrimSpace(string(target)))
	}
	folder := tb.TempDir()
	file := filepath.Join(folder, "library.c")
	path = filepath.Join(folder, name)
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		tb.Fatal(err)
	}
	if out, err := exec.CommandContext(tb.Context(), compiler, "-shared", "-fPIC", "-o", path, file).CombinedOutput(); err != nil {
		tb.Fatalf("cc: %v\n%s", err, out)
	}
	return path
}
