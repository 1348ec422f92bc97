package tflite_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"verge/internal/fault"
	"verge/internal/modelfile/tflite"
)

func TestAModelCutAnywhereIsRefused(t *testing.T) {
	whole := file(small())
	for n := range whole {
		m, err := read(whole[:n])
		if err == nil {
			t.Errorf("cut at %d of %d: accepted as %+v", n, len(whole), m)
		} else if fault.KindOf(err) != fault.Corrupt {
			t.Errorf("cut at %d: kind %v of %v, want corrupt", n, fault.KindOf(err), err)
		}
	}
}

func TestRandomBytesAreRefused(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 5000 {
		data := make([]byte, random.IntN(300))
		for i := range data {
			data[i] = byte(random.Uint32() % 64)
		}
		if i%2 == 0 && len(data) >= 8 {
			copy(data, "\x10\x00\x00\x00TFL3")
		}
		if m, err := read(data); err == nil {
			t.Errorf("read(% x) = %+v", data, m)
		}
	}
}

func TestAChangedByteNeverPanics(t *testing.T) {
	whole := append(file(small()), archive("labels.txt", "cat\ndog\n")...)
	for i := range whole {
		for _, flip := range []byte{1, 4, 0x80, 0xff} {
			data := bytes.Clone(whole)
			data[i] ^= flip
			if _, err := labels(data, tflite.DefaultLimits()); err != nil && fault.KindOf(err) == fault.Internal {
				t.Fatalf("byte %d changed by %d: %v", i, flip, err)
			}
		}
	}
}

func TestAnOffsetThatLeadsNowhereIsRefused(t *testing.T) {
	for name, offset := range map[string]uint32{"to itself": 0, "past the end": 1 << 31, "into the last bytes": uint32(len(file(tiny())) - 3 - 32), "backwards": 1<<32 - 100} {
		data := file(tiny())
		model := binary.LittleEndian.Uint32(data)
		vtable := model - binary.LittleEndian.Uint32(data[model:])
		subgraphs := model + uint32(binary.LittleEndian.Uint16(data[vtable+8:]))
		binary.LittleEndian.PutUint32(data[subgraphs:], offset)
		_, err := read(data)
		want := fmt.Sprintf("at byte %d: the offset %d of subgraphs leads outside the file", subgraphs, offset)
		if fault.KindOf(err) != fault.Corrupt || fault.Message(err) != want {
			t.Errorf("%s: Read = %v, want %q", name, err, want)
		}
	}
}

func TestATableThatDoesNotFitIsRefused(t *testing.T) {
	tests := map[string]struct {
		at   uint32 // in the vtable of the root
		size uint16
		want string
	}{
		"an odd vtable":         {0, 7, "at byte 10: the vtable of a Model has 7 bytes, which is not possible"},
		"a vtable past the end": {0, 1 << 14, "at byte 10: the vtable of a Model has 16384 bytes, which is not possible"},
		"a table past the end":  {2, 1 << 14, "at byte 24: a Model has 16384 bytes, only 408 are left"},
		"a field past the end":  {6, 1 << 14, "at byte 24: field 1 of a Model lies outside the file"},
	}
	for name, tt := range tests {
		data := file(tiny())
		model := binary.LittleEndian.Uint32(data)
		vtable := model - binary.LittleEndian.Uint32(data[model:])
		binary.LittleEndian.PutUint16(data[vtable+tt.at:], tt.size)
		if _, err := read(data); fault.KindOf(err) != fault.Corrupt || fault.Message(err) != tt.want {
			t.Errorf("%s: Read = %v, want %q", name, err, tt.want)
		}
	}
}

// sharing returns tiny with n operators that are one table, which a vector at
// the end leads to.
func sharing(n int, operator fields) []byte {
	data := make([]byte, 0, 4*n+1000)
	rest := graphWith(fields{2: []int32{}, 3: []fields{operator}})
	word := func(pos int) int { return int(binary.LittleEndian.Uint32(rest[pos:])) }
	field := func(table, slot int) int {
		vtable := table - int(int32(word(table)))
		return table + int(binary.LittleEndian.Uint16(rest[vtable+4+2*slot:]))
	}
	model := word(0)
	graphs := field(model, 2) + word(field(model, 2))
	graph := graphs + 4 + word(graphs+4)
	slot := field(graph, 3)
	operators := slot + word(slot)
	table := operators + 4 + word(operators+4)
	data = append(data, rest...)
	binary.LittleEndian.PutUint32(data[slot:], uint32(len(rest)-slot))
	data = binary.LittleEndian.AppendUint32(data, uint32(n))
	for i := range n {
		data = binary.LittleEndian.AppendUint32(data, uint32(4*(n-i)))
	}
	vtable := table - int(int32(word(table)))
	copied := len(data)
	data = append(data, rest[table:]...)
	binary.LittleEndian.PutUint32(data[copied:], uint32(copied-vtable))
	return data
}

func TestSharedTablesCostNoMoreThanTheirLimit(t *testing.T) {
	tests := map[string]struct {
		limit func(*tflite.Limits)
		want  string
	}{
		"nodes": {func(l *tflite.Limits) { l.Nodes = 10 }, "the file has 5000 operators, the limit is 10"},
		"work":  {func(l *tflite.Limits) { l.Work = 2000 }, "reading the file takes more than 2000 steps"},
	}
	data := sharing(5000, fields{1: []int32{}, 2: []int32{}})
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			limits := tflite.DefaultLimits()
			tt.limit(&limits)
			_, err := tflite.Read(bytes.NewReader(data), int64(len(data)), limits)
			if fault.KindOf(err) != fault.TooLarge || fault.Message(err) != tt.want {
				t.Errorf("Read = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAClaimOfAGigabyteMovesNoMemory(t *testing.T) {
	big := file(tinyWith(constant("w", float32s, []int32{1 << 14, 1 << 14}, 1), make([]byte, 16)))
	count := bytes.Clone(big)
	at := bytes.Index(count, []byte("\x00\x00TFL3"))
	binary.LittleEndian.PutUint32(count[at+20:], 1<<30)
	for name, data := range map[string][]byte{"no data": big, "something else": count} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _ = read(data)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 1<<18 {
				t.Errorf("Read allocated %d bytes, want at most %d", got, 1<<18)
			}
		})
	}
}

type hole struct{ from int64 }

func (h hole) ReadAt(p []byte, off int64) (int, error) {
	if off >= h.from {
		return 0, errors.New("input/output error")
	}
	return bytes.NewReader(file(small())).ReadAt(p, off)
}

func TestAFileThatCannotBeReadIsNotCorrupt(t *testing.T) {
	size := int64(len(file(small())))
	for from, want := range map[int64]string{0: "read at byte 0: input/output error", 1: "read at byte 1480: input/output error"} {
		_, err := tflite.Read(hole{from}, size, tflite.DefaultLimits())
		if fault.KindOf(err) != fault.Internal || fault.Message(err) != want {
			t.Errorf("Read = %v (%v), want %q", err, fault.KindOf(err), want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file(small()))
	f.Add(append(file(tiny()), archive("labels.txt", "cat\ndog\n")...))
	f.Add(file(tinyWith(sparse(sparsity([]int32{0, 2}, []uint16{0, 2})), make([]byte, 8))))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		m, err := tflite.Read(r, r.Size(), tflite.DefaultLimits())
		if err != nil {
			if kind := fault.KindOf(err); kind == fault.Internal {
				t.Fatalf("kind %v: %v", kind, err)
			}
			return
		}
		if m.Parameters < 0 || m.ParameterBytes < 0 || m.ActivationBytes < 0 {
			t.Fatalf("a negative figure: %+v", m)
		}
		if _, err := tflite.Labels(r, r.Size(), m, tflite.DefaultLimits()); err != nil && fault.KindOf(err) == fault.Internal {
			t.Fatalf("labels: %v", err)
		}
	})
}
