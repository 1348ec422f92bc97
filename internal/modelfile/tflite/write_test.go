package tflite_test

import (
	"archive/zip"
	"bytes"
	"maps"
	"math"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
)

// The writer of these tests. A table is its fields by slot: a number of the
// width that the schema has, a table, or a slice for a vector. It checks nothing.
type fields map[int]any

// with returns f with more; nil takes a field away.
func (f fields) with(more fields) fields {
	f = maps.Clone(f)
	maps.Copy(f, more)
	return f
}

// encode returns the flatbuffer whose root is f.
func encode(f fields, identifier string) []byte {
	b := flatbuffers.NewBuilder(1 << 10)
	b.FinishWithFileIdentifier(write(b, f), []byte(identifier))
	return b.FinishedBytes()
}

// write writes a table, what it leads to first.
func write(b *flatbuffers.Builder, f fields) flatbuffers.UOffsetT {
	slots := slices.Sorted(maps.Keys(f))
	offsets := map[int]flatbuffers.UOffsetT{}
	for _, slot := range slots {
		if offset := writeTarget(b, f[slot]); offset != 0 {
			offsets[slot] = offset
		}
	}
	b.StartObject(20)
	for _, slot := range slots {
		switch v := f[slot].(type) {
		case bool:
			b.PrependBool(v)
		case int8:
			b.PrependInt8(v)
		case uint8:
			b.PrependUint8(v)
		case int32:
			b.PrependInt32(v)
		case uint32:
			b.PrependUint32(v)
		case uint64:
			b.PrependUint64(v)
		case nil:
			continue
		default:
			b.PrependUOffsetT(offsets[slot])
		}
		b.Slot(slot)
	}
	return b.EndObject()
}

// writeTarget writes what an offset leads to; 0 for a number.
func writeTarget(b *flatbuffers.Builder, value any) flatbuffers.UOffsetT {
	switch v := value.(type) {
	case fields:
		return write(b, v)
	case string:
		return b.CreateString(v)
	case []byte:
		return b.CreateByteVector(v)
	case []fields:
		offsets := make([]flatbuffers.UOffsetT, len(v))
		for i, f := range v {
			offsets[i] = write(b, f)
		}
		return vector(b, offsets, b.PrependUOffsetT)
	case []int32:
		return vector(b, v, b.PrependInt32)
	case []uint16:
		return vector(b, v, b.PrependUint16)
	case []int64:
		return vector(b, v, b.PrependInt64)
	case []float32:
		return vector(b, v, b.PrependFloat32)
	}
	return 0
}

func vector[T any](b *flatbuffers.Builder, values []T, prepend func(T)) flatbuffers.UOffsetT {
	b.StartVector(8, len(values), 8)
	for _, v := range slices.Backward(values) {
		prepend(v)
	}
	return b.EndVector(len(values))
}

// Numbers of the schema that these tests use.
const (
	float32s   = int8(0)
	int32Type  = int8(2)
	uint8Type  = int8(3)
	stringType = int8(5)
	complex64s = int8(8)
	int8Type   = int8(9)
	int4Type   = int8(17)

	addCode    = int32(0)
	customCode = int32(32)
	whileCode  = int32(119)
	gelu       = int32(150) // over 127, which the older field cannot hold
)

func tensor(name string, element int8, shape []int32, more ...fields) fields {
	f := fields{0: shape, 1: element, 3: name}
	for _, m := range more {
		f = f.with(m)
	}
	return f
}

func constant(name string, element int8, shape []int32, buffer uint32) fields {
	return tensor(name, element, shape, fields{2: buffer})
}

func operator(code uint32, inputs, outputs []int32, more ...fields) fields {
	f := fields{0: code, 1: inputs, 2: outputs}
	for _, m := range more {
		f = f.with(m)
	}
	return f
}

func subgraph(inputs, outputs []int32, tensors, operators []fields) fields {
	return fields{0: tensors, 1: inputs, 2: outputs, 3: operators}
}

// code is an OperatorCode; the older field holds a placeholder over 127.
func code(number int32) fields {
	return fields{0: int8(min(number, 127)), 3: number}
}

func custom(name string) fields { return code(customCode).with(fields{1: name}) }

// signature is a SignatureDef; the tensors of its names are 0, 1 and so on, and
// those after them.
func signature(key string, inputs, outputs []string, first ...uint32) fields {
	side := func(names []string, from uint32) []fields {
		var all []fields
		for i, n := range names {
			all = append(all, fields{0: n, 1: from + uint32(i)})
		}
		return all
	}
	return fields{0: side(inputs, first[0]), 1: side(outputs, first[1]), 2: key, 4: first[2]}
}

// model is a Model with an empty buffer and those of data.
func model(codes, subgraphs []fields, data ...[]byte) fields {
	buffers := []fields{{}}
	for _, d := range data {
		buffers = append(buffers, fields{0: d})
	}
	return fields{0: uint32(3), 1: codes, 2: subgraphs, 4: buffers}
}

// tiny is a model that adds a constant w to x, which gives y.
func tiny(more ...fields) fields {
	f := model([]fields{code(addCode)}, []fields{tinyGraph()}, make([]byte, 16))
	for _, m := range more {
		f = f.with(m)
	}
	return f
}

func tinyGraph() fields {
	return subgraph([]int32{0}, []int32{2}, []fields{
		tensor("x", float32s, []int32{1, 4}),
		constant("w", float32s, []int32{4}, 1),
		tensor("y", float32s, []int32{1, 4}),
	}, []fields{operator(0, []int32{0, 1}, []int32{2}, fields{3: uint8(11), 4: fields{0: int8(1)}})})
}

// tinyWith is tiny with a tensor instead of w, and its buffer.
func tinyWith(w fields, data []byte) fields {
	g := tinyGraph()
	g[0] = []fields{tensor("x", float32s, []int32{1, 4}), w, tensor("y", float32s, []int32{1, 4})}
	return model([]fields{code(addCode)}, []fields{g}, data)
}

// metadata is TFLite metadata for two inputs and one output.
func metadata() fields {
	image := fields{
		0: "picture", 1: "What is seen.", 3: fields{0: uint8(2), 1: fields{0: int8(1)}},
		4: []fields{{0: uint8(1), 1: fields{0: []float32{127.5}, 1: []float32{127.5}}}},
	}
	class := fields{
		0: "class", 3: fields{0: uint8(1), 1: fields{}},
		6: []fields{{0: "vocabulary.txt", 2: int8(5)}, {0: "labels.txt", 2: int8(2)}},
	}
	return fields{
		0: "small", 1: "A model.", 2: "v1", 4: "nobody", 5: "none",
		3: []fields{{}, {2: []fields{{0: "number"}, image}, 3: []fields{class}}},
	}
}

// small is a model that has a little of everything. Its second subgraph is
// served, and runs the first and the third.
func small() fields {
	body := subgraph([]int32{0}, []int32{0}, []fields{tensor("b", float32s, []int32{1, 4})}, nil)
	scales := fields{4: fields{2: []float32{0.5, 0.25}, 3: []int64{3, -1}, 6: int32(1)}}
	main := subgraph([]int32{0, 1}, []int32{5}, []fields{
		tensor("x:0", uint8Type, []int32{1, 2}, scales, fields{7: []int32{-1, 2}}, fields{8: true}),
		tensor("n", float32s, []int32{4}, fields{8: true}),
		constant("w", float32s, []int32{4}, 1),
		constant("same", float32s, []int32{4}, 1),
		tensor("h", float32s, []int32{2, 4}, fields{7: []int32{-1, 4}}, fields{8: true}),
		tensor("y", float32s, []int32{1, 4}, fields{8: true}),
		tensor("state", int8Type, []int32{8}, fields{5: true}, fields{8: true}),
		tensor("?", float32s, []int32{}),
		constant("words", stringType, []int32{2}, 2),
	}, []fields{
		operator(0, []int32{0, 2}, []int32{4}),
		operator(0, []int32{4, 3, -1}, []int32{7}),
		operator(1, []int32{7, 6}, []int32{}),
		operator(2, []int32{4, 8}, []int32{5}, fields{3: uint8(93), 4: fields{0: int32(0), 1: int32(2)}}, fields{8: []int32{7, -1}}),
		operator(3, []int32{}, []int32{}, fields{5: []byte("options")}),
		operator(5, []int32{}, []int32{}),
	})
	m := model([]fields{code(addCode), custom("Levitate"), code(whileCode), custom("FlexErf"), code(gelu), custom("Mfcc")}, []fields{body, main, body},
		make([]byte, 16), words("a", "bc"), []byte("1.5.0\x00\x00\x00"), encode(metadata(), "M001"))
	return m.with(fields{
		3: "small\x1b[2J",
		6: []fields{{0: "min_runtime_version", 1: uint32(3)}, {0: "TFLITE_METADATA", 1: uint32(4)}, {0: "other", 1: uint32(0)}},
		7: []fields{
			{0: []fields{{0: "n", 1: uint32(1)}, {0: "x", 1: uint32(0)}}, 1: []fields{{0: "y", 1: uint32(5)}}, 2: "serve", 4: uint32(1)},
			signature("other", []string{"b"}, []string{"b"}, 0, 0, 0),
		},
	})
}

// words is the buffer of a constant of strings.
func words(all ...string) []byte {
	var out, body []byte
	out = appendInt(out, len(all))
	for _, w := range all {
		out = appendInt(out, 4*(len(all)+2)+len(body))
		body = append(body, w...)
	}
	out = appendInt(out, 4*(len(all)+2)+len(body))
	return append(out, body...)
}

func appendInt(b []byte, n int) []byte {
	return append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}

// archive is a ZIP of files, each a name and its content.
func archive(files ...string) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err == nil {
			_, err = f.Write([]byte(files[i+1]))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func nan() float32 { return float32(math.NaN()) }
