// Package onnxmodel writes ONNX files for tests, so that a test needs neither
// Python nor a file that somebody else made:
//
//	data := onnxmodel.Model{
//		Inputs:  []onnxmodel.Value{{"x", tensor.FP32, []any{"n", 4}}},
//		Outputs: []onnxmodel.Value{{"y", tensor.FP32, []any{"n", 4}}},
//		Nodes:   []onnxmodel.Node{{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"y"}}},
//	}.Encode()
//
// It checks nothing: a test may want a wrong file. The field numbers are those of
// onnx.proto, release 1.17.
package onnxmodel

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"verge/internal/tensor"
)

// Model is a model with one graph. Its zero fields are written as the defaults
// that the comments name.
type Model struct {
	IRVersion    int64 // 0 means 8
	Opset        int64 // of the standard operators; 0 means 17
	Producer     string
	Graph        string // name; "" means "test"
	Version      int64
	Description  string
	Metadata     map[string]string
	Nodes        []Node
	Initializers []tensor.Tensor
	Inputs       []Value
	Outputs      []Value
}

// Value is a name with a type.
type Value struct {
	Name  string
	DType tensor.DType
	Shape []any // int, or string for a dynamic dimension with that name ("" for none); nil means of any rank
}

// Node is one operator.
type Node struct {
	Op         string
	Domain     string
	Inputs     []string
	Outputs    []string
	Attributes map[string]any // int, []int, float32, string, tensor.Tensor or Model, whose graph is taken
}

// wire types of protocol buffers.
const (
	varint  = 0
	length  = 2
	fixed32 = 5
)

// Values of AttributeProto.AttributeType.
const (
	attributeFloat  = 1
	attributeInt    = 2
	attributeString = 3
	attributeTensor = 4
	attributeGraph  = 5
	attributeInts   = 7
)

// Encode returns the file.
func (m Model) Encode() []byte {
	var b buffer
	b.number(1, or(m.IRVersion, 8))
	b.text(2, m.Producer)
	b.number(5, m.Version)
	b.text(6, m.Description)
	b.bytes(7, m.graph())
	var opset buffer
	opset.number(2, or(m.Opset, 17))
	b.bytes(8, opset)
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		var entry buffer
		entry.text(1, key)
		entry.text(2, m.Metadata[key])
		b.bytes(14, entry)
	}
	return b
}

func (m Model) graph() buffer {
	var b buffer
	for _, n := range m.Nodes {
		b.bytes(1, n.encode())
	}
	name := m.Graph
	if name == "" {
		name = "test"
	}
	b.text(2, name)
	for _, t := range m.Initializers {
		b.bytes(5, encodeTensor(t))
	}
	for _, v := range m.Inputs {
		b.bytes(11, v.encode())
	}
	for _, v := range m.Outputs {
		b.bytes(12, v.encode())
	}
	return b
}

func (n Node) encode() buffer {
	var b buffer
	for _, name := range n.Inputs {
		b.bytes(1, []byte(name)) // an empty name is an input left out
	}
	for _, name := range n.Outputs {
		b.bytes(2, []byte(name))
	}
	b.text(4, n.Op)
	for _, name := range slices.Sorted(maps.Keys(n.Attributes)) {
		b.bytes(5, encodeAttribute(name, n.Attributes[name]))
	}
	b.text(7, n.Domain)
	return b
}

func encodeAttribute(name string, value any) buffer {
	var b buffer
	b.text(1, name)
	kind := 0
	switch v := value.(type) {
	case int:
		kind = attributeInt
		b.field(3, varint)
		b = binary.AppendUvarint(b, uint64(v))
	case []int:
		kind = attributeInts
		for _, i := range v {
			b.field(8, varint)
			b = binary.AppendUvarint(b, uint64(i))
		}
	case float32:
		kind = attributeFloat
		b.field(2, fixed32)
		b, _ = binary.Append(b, binary.LittleEndian, v)
	case string:
		kind = attributeString
		b.text(4, v)
	case tensor.Tensor:
		kind = attributeTensor
		b.bytes(5, encodeTensor(v))
	case Model:
		kind = attributeGraph
		b.bytes(6, v.graph())
	default:
		panic(fmt.Sprintf("attribute %s is a %T, which onnxmodel does not write", name, value))
	}
	b.number(20, int64(kind))
	return b
}

func (v Value) encode() buffer {
	var shape buffer
	for _, d := range v.Shape {
		var dimension buffer
		switch d := d.(type) {
		case int:
			dimension.field(1, varint)
			dimension = binary.AppendUvarint(dimension, uint64(d))
		case string:
			dimension.text(2, d)
		default:
			panic(fmt.Sprintf("a dimension of %s is a %T, want int or string", v.Name, d))
		}
		shape.bytes(1, dimension)
	}
	var tensorType, valueType, b buffer
	tensorType.number(1, Element(v.DType))
	if v.Shape != nil {
		tensorType.bytes(2, shape)
	}
	valueType.bytes(1, tensorType)
	b.text(1, v.Name)
	b.bytes(2, valueType)
	return b
}

func encodeTensor(t tensor.Tensor) buffer {
	var b buffer
	for _, d := range t.Shape {
		b.field(1, varint)
		b = binary.AppendUvarint(b, uint64(d))
	}
	b.number(2, Element(t.DType))
	b.text(8, t.Name)
	b.bytes(9, t.Data)
	return b
}

// Element returns the number of an element type in a file: TensorProto.DataType.
// A type above all of them is written as it is, minus 100, for tests of types
// that no request can carry.
func Element(d tensor.DType) int64 {
	if d >= 100 {
		return int64(d) - 100
	}
	return map[tensor.DType]int64{
		tensor.FP32: 1, tensor.Uint8: 2, tensor.Int8: 3, tensor.Uint16: 4, tensor.Int16: 5, tensor.Int32: 6, tensor.Int64: 7,
		tensor.Bytes: 8, tensor.Bool: 9, tensor.FP16: 10, tensor.FP64: 11, tensor.Uint32: 12, tensor.Uint64: 13, tensor.BF16: 16,
	}[d]
}

func or(n, otherwise int64) int64 {
	if n == 0 {
		return otherwise
	}
	return n
}

// buffer is a protocol buffer message being written.
type buffer []byte

func (b *buffer) field(number, wire int) {
	*b = binary.AppendUvarint(*b, uint64(number)<<3|uint64(wire))
}

// number writes a field unless it is 0, the default.
func (b *buffer) number(field int, n int64) {
	if n != 0 {
		b.field(field, varint)
		*b = binary.AppendUvarint(*b, uint64(n))
	}
}

// text writes a field unless it is empty, the default.
func (b *buffer) text(field int, s string) {
	if s != "" {
		b.bytes(field, []byte(s))
	}
}

func (b *buffer) bytes(field int, data []byte) {
	b.field(field, length)
	*b = binary.AppendUvarint(*b, uint64(len(data)))
	*b = append(*b, data...)
}
