package inferencetest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// DigitsIn returns Digits with its weights in another format. The files, of
// examples/digits, are joined by a zero byte, as Split takes them apart. The answers
// are those of the ONNX file, so formats that agree with it agree among themselves.
func DigitsIn(tb testing.TB, files ...string) *Known {
	tb.Helper()
	parts := make([][]byte, len(files))
	for i, name := range files {
		var err error
		if parts[i], err = os.ReadFile(filepath.Join(Root(tb), "examples", "digits", name)); err != nil {
			tb.Fatal(err)
		}
	}
	known := Digits(tb)
	known.Model = bytes.Join(parts, []byte{0})
	known.Tolerance = 1e-5
	return known
}
