package trtstub

import (
	"embed"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"verge/internal/inference/inferencetest"
)

//go:embed source
var source embed.FS

// Variant says which stand-in for TensorRT is built.
type Variant struct {
	Major   int    // 10 or 11
	Version int    // what the library says it is, as getInferLibVersion; 0 for the newest of Major
	Shift   string // "EXTRA_ENGINE": a macro of interface.h that shifts functions; "" for none
}

// file returns the name of the variant's library.
func (v Variant) file() string {
	return "libnvinfer" + strconv.Itoa(v.Version) + v.Shift + ".so." + strconv.Itoa(v.Major)
}

// Build builds the stand-ins in folder, where that was not done before. All that are
// built in one folder share one driver. Where there is no compiler, it skips the test,
// or fails it when VERGE_REQUIRE has "cc".
func Build(tb testing.TB, folder string, v Variant) *Stub {
	tb.Helper()
	unpack(tb, folder)
	cuda, library := filepath.Join(folder, "libcuda.so.1"), filepath.Join(folder, v.file())
	if _, err := os.Stat(cuda); err != nil {
		compile(tb, folder, "cc", "-Wl,-soname,libcuda.so.1", "-o", cuda, "cuda.c", "-lpthread")
	}
	if _, err := os.Stat(library); err != nil {
		arguments := []string{"-std=c++17", "-fvisibility=hidden", "-Wl,-rpath,$ORIGIN", "-DMAJOR=" + strconv.Itoa(v.Major)}
		if v.Version != 0 {
			arguments = append(arguments, "-DVERSION="+strconv.Itoa(v.Version))
		}
		if v.Shift != "" {
			arguments = append(arguments, "-D"+v.Shift+"=1")
		}
		compile(tb, folder, "c++", append(arguments, "-o", library, "nvinfer.cc", cuda)...)
	}
	return open(tb, cuda, library)
}

// unpack writes the source to folder.
func unpack(tb testing.TB, folder string) {
	tb.Helper()
	files, err := source.ReadDir("source")
	if err != nil {
		tb.Fatal(err)
	}
	for _, file := range files {
		data, err := source.ReadFile("source/" + file.Name())
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, file.Name()), data, 0o600)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// compile runs a compiler in folder.
func compile(tb testing.TB, folder, compiler string, arguments ...string) {
	tb.Helper()
	path, err := exec.LookPath(compiler)
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv(inferencetest.RequireVariable), ","), "cc") {
			tb.Fatalf("cc is required, but %s is not in PATH", compiler)
		}
		tb.Skipf("needs a compiler named %s", compiler)
	}
	command := exec.CommandContext(tb.Context(), path, append([]string{"-O1", "-shared", "-fPIC"}, arguments...)...)
	command.Dir = folder
	if out, err := command.CombinedOutput(); err != nil {
		tb.Fatalf("%s: %v\n%s", compiler, err, out)
	}
}
