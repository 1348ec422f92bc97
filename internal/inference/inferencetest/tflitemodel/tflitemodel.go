// Package tflitemodel writes TensorFlow Lite files for tests, so that a test needs
// neither Python nor a file that somebody else made:
//
//	data := tflitemodel.Model{Graphs: []tflitemodel.Graph{{
//		Tensors:   []tflitemodel.Tensor{{Name: "x", DType: tensor.FP32, Shape: []int{-1, 4}}, {Name: "y", DType: tensor.FP32, Shape: []int{-1, 4}}},
//		Operators: []tflitemodel.Operator{{Op: tflitemodel.ReLU, Inputs: []int{0}, Outputs: []int{1}}},
//		Inputs:    []int{0},
//		Outputs:   []int{1},
//	}}}.Encode()
//
// It checks nothing: a test may want a wrong file. The field numbers are those of
// schema.fbs, version 3, of TensorFlow Lite.
package tflitemodel

import (
	"maps"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"

	"verge/internal/tensor"
)

// Model is a model with one or more graphs, of which the first is the main one.
type Model struct {
	Description string
	Graphs      []Graph
	Signatures  []Signature
	Metadata    map[string][]byte
}

// Graph is a subgraph. Tensors are meant by their index.
type Graph struct {
	Name            string
	Tensors         []Tensor
	Operators       []Operator
	Inputs, Outputs []int
}

// Tensor is a value of a graph.
type Tensor struct {
	Name       string
	DType      tensor.DType
	Shape      []int  // -1 is a dynamic dimension
	Data       []byte // of a constant; nil for none
	Variable   bool   // keeps its value from one run to the next
	Resource   bool   // is the handle of a variable; DType does not matter
	Unranked   bool   // does not say that Shape is all there is, as older converters write it
	Scales     []float32
	ZeroPoints []int64
	Axis       int // dimension of Scales
}

// Operator is one node.
type Operator struct {
	Op              Op
	Custom          string // name of an operator that is not built in; Op is Custom then
	Version         int    // 0 means 1
	Inputs, Outputs []int  // -1 is an optional input that is not there
	Options         Options
}

// Signature names the inputs and outputs of a graph.
type Signature struct {
	Key             string
	Inputs, Outputs []Name
	Graph           int
}

// Name is a tensor's name in a signature.
type Name struct {
	Name   string
	Tensor int
}

// Op is an operator's number in the schema, BuiltinOperator.
type Op int

// The operators that tests need.
const (
	Add            Op = 0
	Concatenation  Op = 2
	Conv2D         Op = 3
	Dequantize     Op = 6
	FullyConnected Op = 9
	ReLU           Op = 19
	Reshape        Op = 22
	Softmax        Op = 25
	SVDF           Op = 27
	Custom         Op = 32
	Gather         Op = 36
	Transpose      Op = 39
	Mean           Op = 40
	Sub            Op = 41
	Cast           Op = 53
	Greater        Op = 61
	Tile           Op = 69
	NotEqual       Op = 72
	Shape          Op = 77
	Where          Op = 109
	Quantize       Op = 114
	While          Op = 119
	CallOnce       Op = 129
	VarHandle      Op = 142
	ReadVariable   Op = 143
	AssignVariable Op = 144
)

// Options are the built-in options of an operator: the number of their table in the
// union BuiltinOptions, and its fields by slot, each an int32, int8, bool, float32 or
// string. The zero value is no options.
type Options struct {
	Table  int
	Fields []any
}

// elements are the numbers of element types, TensorType.
var elements = map[tensor.DType]byte{
	tensor.FP32: 0, tensor.FP16: 1, tensor.Int32: 2, tensor.Uint8: 3, tensor.Int64: 4, tensor.Bytes: 5, tensor.Bool: 6,
	tensor.Int16: 7, tensor.Int8: 9, tensor.FP64: 10, tensor.Uint64: 12, tensor.Uint32: 15, tensor.Uint16: 16, tensor.BF16: 18,
}

// Element returns the number of an element type in the schema.
func Element(d tensor.DType) int32 { return int32(elements[d]) }

// resource is the element type of handles.
const resource = 13

// schemaVersion is the version of every file.
const schemaVersion = 3

// writer builds one file.
type writer struct {
	*flatbuffers.Builder
	buffers []flatbuffers.UOffsetT
	codes   []Operator // the operator codes in use, by index
}

// Encode returns the file.
func (m Model) Encode() []byte {
	w := &writer{Builder: flatbuffers.NewBuilder(1 << 10)}
	w.buffer(nil) // by convention, the first buffer is the empty one
	graphs := make([]flatbuffers.UOffsetT, len(m.Graphs))
	for i, g := range m.Graphs {
		graphs[i] = w.graph(g)
	}
	signatures := make([]flatbuffers.UOffsetT, len(m.Signatures))
	for i, s := range m.Signatures {
		signatures[i] = w.signature(s)
	}
	var metadata []flatbuffers.UOffsetT
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		name, buffer := w.CreateString(key), w.buffer(m.Metadata[key])
		w.StartObject(2)
		w.PrependUOffsetTSlot(0, name, 0)
		w.PrependUint32Slot(1, buffer, 0)
		metadata = append(metadata, w.EndObject())
	}
	codes := make([]flatbuffers.UOffsetT, len(w.codes))
	for i, o := range w.codes {
		codes[i] = w.code(o)
	}
	description := w.CreateString(m.Description)
	parts := [][]flatbuffers.UOffsetT{1: codes, 2: graphs, 4: w.buffers, 6: metadata, 7: signatures}
	vectors := make([]flatbuffers.UOffsetT, len(parts))
	for slot, part := range parts {
		if len(part) > 0 || slot == 1 {
			vectors[slot] = w.offsets(part)
		}
	}
	vectors[3] = description
	w.StartObject(8)
	w.PrependUint32Slot(0, schemaVersion, 0)
	for slot, vector := range vectors {
		if vector != 0 {
			w.PrependUOffsetTSlot(slot, vector, 0)
		}
	}
	w.FinishWithFileIdentifier(w.EndObject(), []byte("TFL3"))
	return w.FinishedBytes()
}

// buffer writes a Buffer and returns its index.
func (w *writer) buffer(data []byte) uint32 {
	var vector flatbuffers.UOffsetT
	if data != nil {
		const align = 16 // as the schema says
		w.StartVector(1, len(data), align)
		head := int(w.Head()) - len(data)
		w.Pad(len(data))
		copy(w.Bytes[head:], data)
		vector = w.EndVector(len(data))
	}
	w.StartObject(3)
	if vector != 0 {
		w.PrependUOffsetTSlot(0, vector, 0)
	}
	w.buffers = append(w.buffers, w.EndObject())
	return uint32(len(w.buffers) - 1)
}

// graph writes a SubGraph.
func (w *writer) graph(g Graph) flatbuffers.UOffsetT {
	tensors := make([]flatbuffers.UOffsetT, len(g.Tensors))
	for i, t := range g.Tensors {
		tensors[i] = w.tensor(t)
	}
	operators := make([]flatbuffers.UOffsetT, len(g.Operators))
	for i, o := range g.Operators {
		operators[i] = w.operator(o)
	}
	slots := [...]flatbuffers.UOffsetT{w.offsets(tensors), w.ints(g.Inputs), w.ints(g.Outputs), w.offsets(operators), w.CreateString(g.Name)}
	w.StartObject(len(slots))
	for slot, offset := range slots {
		w.PrependUOffsetTSlot(slot, offset, 0)
	}
	return w.EndObject()
}

// tensor writes a Tensor. A dynamic dimension has 1 as its shape, as converters
// write it.
func (w *writer) tensor(t Tensor) flatbuffers.UOffsetT {
	buffer := uint32(0)
	if t.Data != nil {
		buffer = w.buffer(t.Data)
	}
	shape := slices.Clone(t.Shape)
	for i, d := range shape {
		if d == -1 {
			shape[i] = 1
		}
	}
	name, dimensions := w.CreateString(t.Name), w.ints(shape)
	var signature, quantization flatbuffers.UOffsetT
	if slices.Contains(t.Shape, -1) {
		signature = w.ints(t.Shape)
	}
	if len(t.Scales) > 0 {
		quantization = w.quantization(t)
	}
	element := elements[t.DType]
	if t.Resource {
		element = resource
	}
	w.StartObject(9)
	w.PrependUOffsetTSlot(0, dimensions, 0)
	w.PrependByteSlot(1, element, 0)
	w.PrependUint32Slot(2, buffer, 0)
	w.PrependUOffsetTSlot(3, name, 0)
	w.PrependUOffsetTSlot(4, quantization, 0)
	w.PrependBoolSlot(5, t.Variable, false)
	w.PrependUOffsetTSlot(7, signature, 0)
	w.PrependBoolSlot(8, !t.Unranked, false)
	return w.EndObject()
}

// quantization writes a QuantizationParameters.
func (w *writer) quantization(t Tensor) flatbuffers.UOffsetT {
	w.StartVector(4, len(t.Scales), 4)
	for _, v := range slices.Backward(t.Scales) {
		w.PrependFloat32(v)
	}
	scales := w.EndVector(len(t.Scales))
	w.StartVector(8, len(t.ZeroPoints), 8)
	for _, v := range slices.Backward(t.ZeroPoints) {
		w.PrependInt64(v)
	}
	zeroes := w.EndVector(len(t.ZeroPoints))
	w.StartObject(7)
	w.PrependUOffsetTSlot(2, scales, 0)
	w.PrependUOffsetTSlot(3, zeroes, 0)
	w.PrependInt32Slot(6, int32(t.Axis), 0)
	return w.EndObject()
}

// operator writes an Operator.
func (w *writer) operator(o Operator) flatbuffers.UOffsetT {
	same := func(c Operator) bool { return c.Op == o.Op && c.Custom == o.Custom && c.Version == o.Version }
	index := slices.IndexFunc(w.codes, same)
	if index < 0 {
		index = len(w.codes)
		w.codes = append(w.codes, o)
	}
	inputs, outputs := w.ints(o.Inputs), w.ints(o.Outputs)
	var options flatbuffers.UOffsetT
	if o.Options.Table != 0 {
		options = w.options(o.Options)
	}
	w.StartObject(5)
	w.PrependUint32Slot(0, uint32(index), 0)
	w.PrependUOffsetTSlot(1, inputs, 0)
	w.PrependUOffsetTSlot(2, outputs, 0)
	w.PrependByteSlot(3, byte(o.Options.Table), 0)
	w.PrependUOffsetTSlot(4, options, 0)
	return w.EndObject()
}

// options writes a table of the union BuiltinOptions.
func (w *writer) options(o Options) flatbuffers.UOffsetT {
	texts := map[int]flatbuffers.UOffsetT{}
	for slot, field := range o.Fields {
		if text, ok := field.(string); ok {
			texts[slot] = w.CreateString(text)
		}
	}
	w.StartObject(len(o.Fields))
	for slot, field := range o.Fields {
		switch v := field.(type) {
		case int32:
			w.PrependInt32Slot(slot, v, 0)
		case int8:
			w.PrependInt8Slot(slot, v, 0)
		case bool:
			w.PrependBoolSlot(slot, v, false)
		case float32:
			w.PrependFloat32Slot(slot, v, 0)
		case string:
			w.PrependUOffsetTSlot(slot, texts[slot], 0)
		}
	}
	return w.EndObject()
}

// code writes an OperatorCode. Numbers above 127 do not fit the older field.
func (w *writer) code(o Operator) flatbuffers.UOffsetT {
	const most = 127
	var name flatbuffers.UOffsetT
	if o.Custom != "" {
		name = w.CreateString(o.Custom)
	}
	w.StartObject(4)
	w.PrependInt8Slot(0, int8(min(o.Op, most)), 0)
	w.PrependUOffsetTSlot(1, name, 0)
	w.PrependInt32Slot(2, int32(max(o.Version, 1)), 1)
	w.PrependInt32Slot(3, int32(o.Op), 0)
	return w.EndObject()
}

// signature writes a SignatureDef.
func (w *writer) signature(s Signature) flatbuffers.UOffsetT {
	maps := func(names []Name) flatbuffers.UOffsetT {
		all := make([]flatbuffers.UOffsetT, len(names))
		for i, n := range names {
			name := w.CreateString(n.Name)
			w.StartObject(2)
			w.PrependUOffsetTSlot(0, name, 0)
			w.PrependUint32Slot(1, uint32(n.Tensor), 0)
			all[i] = w.EndObject()
		}
		return w.offsets(all)
	}
	inputs, outputs, key := maps(s.Inputs), maps(s.Outputs), w.CreateString(s.Key)
	w.StartObject(5)
	w.PrependUOffsetTSlot(0, inputs, 0)
	w.PrependUOffsetTSlot(1, outputs, 0)
	w.PrependUOffsetTSlot(2, key, 0)
	w.PrependUint32Slot(4, uint32(s.Graph), 0)
	return w.EndObject()
}

// ints writes a vector of int32.
func (w *writer) ints(values []int) flatbuffers.UOffsetT {
	w.StartVector(4, len(values), 4)
	for _, v := range slices.Backward(values) {
		w.PrependInt32(int32(v))
	}
	return w.EndVector(len(values))
}

// offsets writes a vector of offsets.
func (w *writer) offsets(all []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	w.StartVector(4, len(all), 4)
	for _, offset := range slices.Backward(all) {
		w.PrependUOffsetT(offset)
	}
	return w.EndVector(len(all))
}
