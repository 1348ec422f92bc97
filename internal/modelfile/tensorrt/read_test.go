package tensorrt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference/inferencetest/trtstub"
	"verge/internal/modelfile/tensorrt"
	"verge/internal/tensor"
)

const (
	known   = "Inputs, outputs and the GPU that the engine was built for are known to TensorRT only."
	damaged = "Build the engine again, or copy it again: it may have been cut off."
)

// file is a header with that tag, serialization version and version of TensorRT, and
// 12 bytes behind it.
func file(tag string, serialization uint32, version ...byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(tag), serialization)
	b = append(b, make([]byte, 16)...)
	b = append(b, version...)
	return append(b, make([]byte, 12)...)
}

// withJSON puts a text before an engine, as Ultralytics does.
func withJSON(text string, engine []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(text)))
	return append(append(b, text...), engine...)
}

func read(data []byte) (*tensorrt.Model, error) {
	return tensorrt.Read(bytes.NewReader(data), int64(len(data)), tensorrt.DefaultLimits())
}

func TestReadTellsWhichTensorRTBuiltTheEngine(t *testing.T) {
	for name, tc := range map[string]struct {
		data []byte
		want tensorrt.Model
	}{
		"version 10": {file("ftrt", 0, 10, 16, 1, 11), tensorrt.Model{Tag: "ftrt", TensorRT: "10.16.1.11", EngineBytes: 40, Notes: []string{known}}},
		"before 8.6": {file("ftrt", 0, 0, 0, 0, 7), tensorrt.Model{
			Tag: "ftrt", EngineBytes: 40,
			Notes: []string{"The engine does not say which TensorRT built it: it is older than 8.6.", known},
		}},
		"another serialization": {file("ftrt", 1, 10, 16, 1, 11), tensorrt.Model{
			Tag: "ftrt", SerializationVersion: 1, EngineBytes: 40,
			Notes: []string{"The serialization has version 1: which TensorRT built the engine is known for version 0 only.", known},
		}},
		"an old tag": {file("ptrt", 97, 10, 16, 1, 11), tensorrt.Model{
			Tag: "ptrt", SerializationVersion: 97, EngineBytes: 40,
			Notes: []string{"The engine is of a format that versions of TensorRT before 8.6 wrote.", known},
		}},
		"behind a text": {withJSON(`{"task": "detect"}`, file("ftrt", 0, 8, 6, 1, 6)), tensorrt.Model{
			Tag: "ftrt", TensorRT: "8.6.1.6", Offset: 22, EngineBytes: 40,
			Notes: []string{"A JSON text of 18 bytes stands before the engine, as Ultralytics writes it.", known},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(tc.data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tc.want, got); diff != "" {
				t.Errorf("Read (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadRefusesWithAReason(t *testing.T) {
	whole := file("ftrt", 0, 10, 16, 1, 11)
	small := tensorrt.Limits{FileBytes: 100, PrefixBytes: 10}
	for name, tc := range map[string]struct {
		data          []byte
		limits        tensorrt.Limits
		kind          fault.Kind
		message, hint string
	}{
		"an empty file":      {nil, small, fault.Corrupt, "the file is empty", damaged},
		"a cut header":       {whole[:27], small, fault.Corrupt, "the engine has 27 bytes, its header alone has 28", damaged},
		"four bytes":         {whole[:4], small, fault.Corrupt, "the engine has 4 bytes, its header alone has 28", damaged},
		"another file":       {bytes.Repeat([]byte("x"), 40), small, fault.Corrupt, "the engine begins with 78 78 78 78, want ftrt or ptrt", damaged},
		"a text and no more": {withJSON(`{"a":1}`, nil), tensorrt.DefaultLimits(), fault.Corrupt, "the engine has 0 bytes, its header alone has 28", damaged},
		"a text that is cut": {withJSON(`{"a":1}`, whole)[:30][:9], small, fault.Corrupt, "the engine has 9 bytes, its header alone has 28", damaged},
		"another behind it":  {withJSON(`{"a":1}`, bytes.Repeat([]byte("x"), 40)), tensorrt.DefaultLimits(), fault.Corrupt, "the engine begins with 78 78 78 78, want ftrt or ptrt", damaged},
		"a long text":        {withJSON(`{"a": 123}`, whole), small, fault.TooLarge, "14 bytes stand before the engine, the limit is 10", ""},
		"a large file":       {make([]byte, 101), small, fault.TooLarge, "the file has 101 bytes, the limit is 100", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tensorrt.Read(bytes.NewReader(tc.data), int64(len(tc.data)), tc.limits)
			if err == nil || fault.KindOf(err) != tc.kind || fault.Message(err) != tc.message || fault.HintOf(err) != tc.hint {
				t.Errorf("Read = %v (%v), hint %q; want %q, hint %q", err, fault.KindOf(err), fault.HintOf(err), tc.message, tc.hint)
			}
		})
	}
}

// broken fails to read.
type broken struct{ err error }

func (b broken) ReadAt([]byte, int64) (int, error) { return 0, b.err }

func TestAFileThatCannotBeReadIsNoEnginesFault(t *testing.T) {
	for cause, message := range map[error]string{
		io.EOF:                     "read at byte 0: unexpected EOF",
		errors.New("input/output"): "read at byte 0: input/output",
	} {
		_, err := tensorrt.Read(broken{cause}, 100, tensorrt.DefaultLimits())
		if err == nil || fault.KindOf(err) != fault.Internal || fault.Message(err) != message {
			t.Errorf("Read = %v (%v), want %q", err, fault.KindOf(err), message)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file("ftrt", 0, 10, 16, 1, 11))
	f.Add(file("ptrt", 97, 0, 0, 0, 0))
	f.Add(withJSON(`{"task": "detect"}`, file("ftrt", 0, 11, 1, 0, 106)))
	f.Add(trtstub.Identity(10, tensor.FP32, -1).Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := read(data)
		if err != nil {
			if kind := fault.KindOf(err); kind != fault.Corrupt && kind != fault.TooLarge {
				t.Fatalf("kind %v: %v", kind, err)
			}
			return
		}
		if m.Offset < 0 || m.EngineBytes < 28 || m.Offset+m.EngineBytes != int64(len(data)) || string(data[m.Offset:m.Offset+4]) != m.Tag {
			t.Fatalf("a wrong figure: %+v of %d bytes", m, len(data))
		}
	})
}
