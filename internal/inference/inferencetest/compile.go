package inferencetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Compile builds a shared library of that file name from C source, with the system's
// compiler: a stand-in for a library that is another than the tests have. Where
// there is no compiler, it skips the test, or fails it when VERGE_REQUIRE has "cc".
func Compile(tb testing.TB, name, source string) (path string) {
	tb.Helper()
	compiler, err := exec.LookPath("cc")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv(RequireVariable), ","), "cc") {
			tb.Fatal("cc is required, but not in PATH")
		}
		tb.Skip("needs a C compiler named cc")
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
