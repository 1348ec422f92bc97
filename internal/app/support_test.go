package app_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"verge/internal/app"
	"verge/internal/deploy"
	"verge/internal/device/provider"
	"verge/internal/modelfile"
)

var update = flag.Bool("update", false, "rewrite the table in the documents")

// tested says how each way to run a format was tested, on linux/amd64 and on
// linux/arm64. A way that is not here is told to be untested.
var tested = map[string][2]string{
	"onnxruntime onnx cpu": {
		"CI: contract suite alone and in workers, deployments, faults, clients",
		"CI: contract suite and deployments under emulation; no board",
	},
	"litert tflite cpu": {
		"CI: contract suite alone and in workers, deployments",
		"CI: contract suite and a deployment under emulation; no board",
	},
	"tflite tflite cpu": {"CI: contract suite alone and in workers, deployments", "not run"},
	"tflite tflite tpu": {"CI: contract of delegates and of libedgetpu on stand-ins; no Edge TPU", "not run"},
	"tensorrt tensorrt gpu": {
		"CI: contract suite and refusals on stand-ins for the library and the driver; no GPU",
		"the same once under emulation; no GPU",
	},
	"openvino openvino cpu": {"CI: contract suite alone and in workers, deployments", "not run"},
	"openvino onnx cpu":     {"CI: deployments", "not run"},
	"openvino tflite cpu":   {"CI: deployments", "not run"},
}

// table is the table of docs/runtimes.md: every runtime of this build, with the
// formats and devices that it is driven for.
func table() string {
	var b strings.Builder
	b.WriteString("| runtime | format | device | provider | linux/amd64 | linux/arm64 |\n|---|---|---|---|---|---|\n")
	for _, runtime := range app.RuntimeNames() {
		for _, format := range []modelfile.Format{modelfile.ONNX, modelfile.TFLite, modelfile.OpenVINO, modelfile.TensorRT} {
			if !slices.Contains(deploy.RuntimesOf(format), runtime) {
				continue
			}
			if name := provider.OnCPU(runtime, 1); name != "" {
				row(&b, runtime, string(format), "cpu", name)
			}
			for _, driven := range provider.Driven(runtime) {
				row(&b, runtime, string(format), driven.Kind, driven.Provider)
			}
		}
	}
	return b.String()
}

func row(b *strings.Builder, runtime, format, device, name string) {
	how, ok := tested[strings.Join([]string{runtime, format, device}, " ")]
	if !ok {
		how = [2]string{"not run: no such device at hand", "not run: no such device at hand"}
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", runtime, format, device, name, how[0], how[1])
}

func TestTheTableOfRuntimesIsThatOfThisBuild(t *testing.T) {
	const begin, end = "<!-- table of runtimes, made by go test ./internal/app -update -->\n", "<!-- end of table -->"
	path := filepath.Join("..", "..", "docs", "runtimes.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table between %q and %q", path, begin, end)
	}
	if got == table() {
		return
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+table()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("docs/runtimes.md has\n%s\nwant\n%s", got, table())
}
