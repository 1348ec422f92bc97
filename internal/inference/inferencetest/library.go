package inferencetest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"verge/internal/version"
)

// Variables of the environment that Library reads.
const (
	DirectoryVariable = "VERGE_RUNTIME_DIR" // holds <name>/<version>/<library>; relative to the module's root
	RequireVariable   = "VERGE_REQUIRE"     // comma-separated: what must not be skipped
)

// libraryFiles are the files to open of runtimes that have several.
var libraryFiles = map[string]string{"openvino": "libopenvino_c.so*"}

// Library returns the path of an installed runtime's native library, such as
// "onnxruntime": of the highest version below the directory that VERGE_RUNTIME_DIR
// names. Where there is none, it skips the test, or fails it when VERGE_REQUIRE has
// the name.
func Library(tb testing.TB, name string) string {
	tb.Helper()
	directory := os.Getenv(DirectoryVariable)
	if directory != "" && !filepath.IsAbs(directory) {
		directory = filepath.Join(Root(tb), directory)
	}
	if directory != "" {
		pattern, ok := libraryFiles[name]
		if !ok {
			pattern = "lib*.so*"
		}
		found, err := filepath.Glob(filepath.Join(directory, name, "*", pattern))
		if err != nil {
			tb.Fatal(err)
		}
		if len(found) > 0 {
			return slices.MaxFunc(found, func(a, b string) int {
				return version.Compare(filepath.Base(filepath.Dir(a)), filepath.Base(filepath.Dir(b)))
			})
		}
	}
	if slices.Contains(strings.Split(os.Getenv(RequireVariable), ","), name) {
		tb.Fatalf("%s is required, but no library lies below %s=%q", name, DirectoryVariable, directory)
	}
	tb.Skipf("needs %s: run `make runtime` and set %s", name, DirectoryVariable)
	return ""
}

// Root returns the directory of the module that the test belongs to.
func Root(tb testing.TB) string {
	tb.Helper()
	directory, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(directory, "go.mod")); err == nil {
			return directory
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			tb.Fatal("no go.mod above the working directory")
		}
		directory = parent
	}
}
