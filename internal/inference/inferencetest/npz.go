package inferencetest

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// NPZ makes an npz file of FP32 arrays with rows of so many columns each, by their names.
// Source: numpy.lib.format, version 1.0.
func NPZ(tb testing.TB, columns int, arrays map[string][]float32) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(arrays)) {
		values := arrays[name]
		file, err := w.Create(name + ".npy")
		if err != nil {
			tb.Fatal(err)
		}
		header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", len(values)/columns, columns)
		header += strings.Repeat(" ", (64-(10+len(header)+1)%64)%64) + "\n"
		head := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
		data, err := binary.Append(append(head, header...), binary.LittleEndian, values)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := file.Write(data); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}
