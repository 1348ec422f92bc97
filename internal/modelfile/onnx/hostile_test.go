package onnx_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"verge/internal/fault"
	"verge/internal/modelfile/onnx"
)

func TestAModelCutAnywhereIsRefused(t *testing.T) {
	whole := small()
	graph := bytes.Index(whole, []byte{7<<3 | 2}) // the tag of the graph comes first
	for n := range whole {
		m, err := read(whole[:n])
		// What follows the operator sets may be missing: then the file is another, valid one.
		if err == nil && (len(m.Opsets) == 0 || len(m.Signature.Outputs) == 0) {
			t.Errorf("cut at %d of %d: accepted as %+v", n, len(whole), m)
		}
		if err != nil && fault.KindOf(err) != fault.Corrupt {
			t.Errorf("cut at %d: kind %v of %v, want corrupt", n, fault.KindOf(err), err)
		}
		if sniffed := onnx.Sniff(bytes.NewReader(whole[:n]), int64(n)); n > graph+40 && !sniffed {
			t.Errorf("cut at %d: no longer looks like ONNX", n)
		}
	}
}

func TestRandomBytesAreRefused(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		data := make([]byte, random.IntN(300))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		if m, err := read(data); err == nil {
			t.Errorf("read(% x) = %+v", data, m)
		}
	}
}

func TestAFlippedByteNeverPanics(*testing.T) {
	whole := small()
	for i := range whole {
		for _, flip := range []byte{1, 0x80, 0xff} {
			data := bytes.Clone(whole)
			data[i] ^= flip
			_, _ = read(data)
			_ = onnx.Sniff(bytes.NewReader(data), int64(len(data)))
		}
	}
}

func TestAClaimOfAGigabyteMovesNoMemory(t *testing.T) {
	claims := map[string][]byte{
		"no data":         model(io(), block(5, packed(1, 1<<14, 1<<14), number(2, elemFloat))),
		"a cut payload":   message(number(1, 8), []byte{7<<3 | 2, 0xff, 0xff, 0xff, 0xff, 3}, block(5, packed(1, 1<<28), number(2, elemFloat)), make([]byte, 1000)),
		"a sparse tensor": model(io(), block(15, block(1, floats("s", 1)), number(3, 1<<28))),
	}
	for name, data := range claims {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _ = read(data)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 1<<17 {
				t.Errorf("Read allocated %d bytes, want at most %d", got, 1<<17)
			}
		})
	}
}

type hole struct{ from int64 }

func (h hole) ReadAt(p []byte, off int64) (int, error) {
	if off >= h.from {
		return 0, errors.New("input/output error")
	}
	return bytes.NewReader(small()[:h.from]).ReadAt(p[:min(int64(len(p)), h.from-off)], off)
}

func TestAFileThatCannotBeReadIsNotCorrupt(t *testing.T) {
	_, err := onnx.Read(hole{0}, 500, onnx.DefaultLimits())
	if fault.KindOf(err) != fault.Internal || fault.Message(err) != "read at byte 0: input/output error" {
		t.Errorf("Read = %v (%v), want the read error", err, fault.KindOf(err))
	}
}

func TestSniffKnowsWhatIsNotONNX(t *testing.T) {
	tests := map[string]struct {
		data []byte
		want bool
	}{
		"a model":               {small(), true},
		"nothing":               {nil, false},
		"an unknown field":      {message(number(1, 8), number(99, 3)), false},
		"a graph alone":         {block(7, io()), false},
		"a wrong wire type":     {message(number(1, 8), block(7, io()), block(5)), false},
		"a SavedModel":          {message(number(1, 1), block(2, block(1, text(4, "serve")))), false},
		"text":                  {[]byte("hello, this is a text file"), false},
		"an absurd IR version":  {message(number(1, 1<<20), block(7, io())), false},
		"a field of tomorrow":   {message(number(1, 8), block(7, io()), number(40, 1)), true},
		"cut inside its graph":  {small()[:200], true},
		"cut before its graph":  {small()[:12], false},
		"random after the head": {append(message(number(1, 8)), 0xff, 0xff), false},
	}
	for name, tt := range tests {
		if got := onnx.Sniff(bytes.NewReader(tt.data), int64(len(tt.data))); got != tt.want {
			t.Errorf("Sniff(%s) = %v, want %v", name, got, tt.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(small())
	f.Add(model(io(), block(5, floats("w", 4))))
	files, _ := filepath.Glob(filepath.Join("..", "..", "..", "examples", "digits", "*.onnx"))
	for _, path := range files {
		if data, err := os.ReadFile(path); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		_ = onnx.Sniff(r, r.Size())
		m, err := onnx.Read(r, r.Size(), onnx.DefaultLimits())
		if err != nil {
			if kind := fault.KindOf(err); kind == fault.Internal {
				t.Fatalf("kind %v: %v", kind, err)
			}
			return
		}
		if m.Parameters < 0 || m.ParameterBytes < 0 || m.ActivationBytes < 0 {
			t.Fatalf("a negative figure: %+v", m)
		}
	})
}
