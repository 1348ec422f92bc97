package onnx_test

import (
	"encoding/binary"
	"math"
	"slices"
)

// The writer of these tests: a message is the concatenation of its fields.

func message(fields ...[]byte) []byte { return slices.Concat(fields...) }

func number(field int, v int64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3), uint64(v))
}

func block(field int, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	b := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3|2), uint64(len(body)))
	return append(b, body...)
}

func text(field int, s string) []byte { return block(field, []byte(s)) }

func packed(field int, values ...int64) []byte {
	var body []byte
	for _, v := range values {
		body = binary.AppendUvarint(body, uint64(v))
	}
	return block(field, body)
}

func float(field int, f float32) []byte {
	b := binary.AppendUvarint(nil, uint64(field)<<3|5)
	return binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
}

// Element types of TensorProto.DataType.
const (
	elemFloat  = 1
	elemInt64  = 7
	elemString = 8
)

// dims writes one dimension for each argument: an int is a value, a string a symbol.
func dims(shape ...any) []byte {
	var out []byte
	for _, d := range shape {
		switch d := d.(type) {
		case int:
			out = append(out, block(1, number(1, int64(d)))...)
		case string:
			out = append(out, block(1, text(2, d))...)
		}
	}
	return out
}

// declared is a ValueInfoProto of a tensor.
func declared(name string, elem int64, shape ...any) []byte {
	return message(text(1, name), block(2, block(1, number(1, elem), block(2, dims(shape...)))))
}

// node is a NodeProto with one input and one output.
func node(operator, in, out string, more ...[]byte) []byte {
	return message(text(1, in), text(2, out), text(4, operator), slices.Concat(more...))
}

// floats is a TensorProto with raw data.
func floats(name string, n int64) []byte {
	return message(number(1, n), number(2, elemFloat), text(8, name), block(9, make([]byte, 4*n)))
}

// model is a ModelProto around a graph.
func model(graph ...[]byte) []byte {
	return message(number(1, 8), text(2, "tester"), text(3, "1.0"), block(7, graph...), block(8, text(1, ""), number(2, 17)))
}

// io is the input and output that every graph of these tests has.
func io() []byte {
	return message(block(11, declared("x", elemFloat, "N", 4)), block(12, declared("y", elemFloat, "N", 4)))
}

// small is a model that has a little of everything.
func small() []byte {
	branch := func(name string) []byte {
		return message(block(1, node("Relu", "x", name)), text(2, name), block(5, floats("b", 2)),
			block(12, declared(name, elemFloat, "N", 4)))
	}
	sparse := message(
		block(1, number(1, 2), number(2, elemFloat), text(8, "s"), block(4, make([]byte, 8))),
		block(2, number(1, 2), number(2, elemInt64), packed(7, 0, 300)),
		packed(3, 100, 10),
	)
	graph := message(
		block(1, node("Mul", "x", "m", text(1, "w"))),
		block(1, node("Constant", "", "c", block(5, text(1, "value"), block(5, floats("", 3)), number(20, 4)))),
		block(1, node("If", "m", "i", block(5, text(1, "then_branch"), block(6, branch("t"))), block(5, text(1, "else_branch"), block(6, branch("e"))))),
		block(1, node("Own", "i", "y", text(7, "acme"))),
		block(1, node("Relu", "y", "z", text(7, "ai.onnx"))),
		text(2, "small\x1b[2J"),
		block(5, floats("w", 4)),
		block(5, number(1, 1), number(2, elemString), text(8, "words"), text(6, "hello")),
		block(15, sparse),
		block(11, declared("x", elemFloat, "N", 4)),
		block(11, declared("w", elemFloat, 4)),
		block(12, declared("y", elemFloat, "N", 4)),
		block(13, declared("m", elemFloat, "N", 4)),
		block(13, declared("i", elemFloat, "N", 4)),
	)
	return message(
		number(1, 8), text(2, "tester"), text(3, "1.0"), text(4, "org.example"), number(5, 7),
		block(7, graph),
		block(8, number(2, 17)), block(8, text(1, "acme"), number(2, 1)), block(8, text(1, "lib"), number(2, 2)),
		block(14, text(1, "author"), text(2, "nobody")),
		block(25, text(1, "Twice"), text(10, "lib"), block(7, node("Add", "a", "b"))),
		number(99, 1), // a field of a later version
	)
}
