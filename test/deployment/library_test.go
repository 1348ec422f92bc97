package deployment_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"verge/client"
	"verge/internal/inference/inferencetest"
	"verge/test/nodetest"
)

// place puts a file where the library of a runtime is looked for, in a runtime
// directory of its own, and returns that.
func place(t *testing.T, name, from string) string {
	t.Helper()
	dir := t.TempDir()
	to := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err = out.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// libraryFile is where a runtime's library of that version lies in a runtime directory.
const (
	liteFile = "litert/9.9.9/libLiteRt.so.9.9.9"
	onnxFile = "onnxruntime/9.9.9/libonnxruntime.so.9.9.9"
	vinoFile = "openvino/9.9.9/libopenvino_c.so.9.9.9"
)

func TestALibraryThatCannotBeUsedIsToldByItsFault(t *testing.T) {
	inferencetest.Library(t, "litert")
	const crash = "#include <stdlib.h>\n__attribute__((constructor)) static void begin(void) { abort(); }\nint LiteRtCreateEnvironment(void) { return 0; }\n"
	for name, tt := range map[string]struct {
		file, example, source string
		phase                 string
		says                  []string
	}{
		"it crashes when it is opened": {
			liteFile, "digits-tflite.json", crash, "loading", []string{"the worker died while it loaded the model: ", "SIGABRT"},
		},
		"it is another library": {
			liteFile, "digits-tflite.json", "int nothing(void) { return 0; }\n", "loading", []string{"libLiteRt.so.9.9.9: not LiteRT: it has no function LiteRtCreateEnvironment\n", "Name the file libLiteRt.so, or the classic libtensorflowlite_c.so."},
		},
		"it lacks a function": {
			liteFile, "digits-tflite.json", "int LiteRtCreateEnvironment(void) { return 0; }\n", "loading",
			[]string{"this LiteRT has no function LiteRtGetNumAccelerators", "verge runtime install litert"},
		},
		"it needs a library that is not there": {
			vinoFile, "digits-openvino.json", "", "loading", []string{"the system's loader refuses it: ", "cannot open shared object file", "verge runtime install openvino brings them"},
		},
		"it is another one for ONNX": {
			onnxFile, "deployment.json", "int nothing(void) { return 0; }\n", "loading", []string{"libonnxruntime.so.9.9.9: not ONNX Runtime: it has no function OrtGetApiBase\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			settings := nodetest.Settings(t)
			if tt.source == "" { // alone, without what lies beside it
				settings.RuntimeDir = place(t, tt.file, inferencetest.Library(t, "openvino"))
			} else {
				settings.RuntimeDir = place(t, tt.file, inferencetest.Compile(t, filepath.Base(tt.file), tt.source))
			}
			node := nodetest.Start(t, settings)
			spec, files := nodetest.Example(t, digits+tt.example)
			d := node.Deploy(spec, files)
			if d.Phase != client.PhaseFailed || d.Error == nil || !strings.HasPrefix(d.Error.Message, tt.phase+": ") {
				t.Fatalf("it ended as %s: %+v; want it failed while %s", d.Phase, d.Error, tt.phase)
			}
			for _, part := range tt.says {
				if text := d.Error.Message + "\n" + d.Error.Hint; !strings.Contains(text, part) {
					t.Errorf("it says %q, want %q in it", text, part)
				}
			}
			if err := node.Live(t.Context()); err != nil {
				t.Errorf("the node lives no more: %v", err)
			}
		})
	}
}
