package onnxmodel

import (
	"encoding/binary"
	"math"

	"verge/internal/tensor"
)

// Identity returns a model whose output y is its input x.
func Identity(d tensor.DType, shape ...any) []byte {
	if shape == nil {
		shape = []any{} // a scalar
	}
	return Model{
		Nodes:   []Node{{Op: "Identity", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		Inputs:  []Value{{"x", d, shape}},
		Outputs: []Value{{"y", d, shape}},
	}.Encode()
}

// Join returns a model with two inputs and two outputs: a FP32[n,2] and b FP32[n,3]
// give joined FP32[n,5], a beside b, and count INT64[2], the shape of a.
func Join() []byte {
	return Model{
		Producer: "onnxmodel", Graph: "join", Version: 7, Description: "Two of each.", Metadata: map[string]string{"colour": "blue", "größe": "2×"},
		Nodes: []Node{
			{Op: "Concat", Inputs: []string{"a", "b"}, Outputs: []string{"joined"}, Attributes: map[string]any{"axis": 1}},
			{Op: "Shape", Inputs: []string{"a"}, Outputs: []string{"count"}},
		},
		Inputs:  []Value{{"a", tensor.FP32, []any{"n", 2}}, {"b", tensor.FP32, []any{"n", 3}}},
		Outputs: []Value{{"joined", tensor.FP32, []any{"n", 5}}, {"count", tensor.Int64, []any{2}}},
	}.Encode()
}

// NonZero returns a model whose output y INT64[1,?] holds the positions of what is
// not zero in x FP32[n]: its shape follows from the values.
func NonZero() []byte {
	return Model{
		Nodes:   []Node{{Op: "NonZero", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		Inputs:  []Value{{"x", tensor.FP32, []any{"n"}}},
		Outputs: []Value{{"y", tensor.Int64, []any{1, "found"}}},
	}.Encode()
}

// Repeat returns a model whose output y FP32[?] holds x FP32[1] as many times as
// the input times INT64[1] says.
func Repeat() []byte {
	return Model{
		Nodes:   []Node{{Op: "Tile", Inputs: []string{"x", "times"}, Outputs: []string{"y"}}},
		Inputs:  []Value{{"x", tensor.FP32, []any{1}}, {"times", tensor.Int64, []any{1}}},
		Outputs: []Value{{"y", tensor.FP32, []any{""}}},
	}.Encode()
}

// Lookup returns a model whose output y FP32[n] holds the elements of 10, 20, 30
// that x INT64[n] points to. It refuses an index above 2.
func Lookup() []byte {
	return Model{
		Nodes:        []Node{{Op: "Gather", Inputs: []string{"table", "x"}, Outputs: []string{"y"}}},
		Initializers: []tensor.Tensor{Floats("table", []int64{3}, 10, 20, 30)},
		Inputs:       []Value{{"x", tensor.Int64, []any{"n"}}},
		Outputs:      []Value{{"y", tensor.FP32, []any{"n"}}},
	}.Encode()
}

// Loop returns a model that does not end while x FP32[1] is over 0: it counts down
// from x by 0 each time. Otherwise y FP32[1] is x.
func Loop() []byte {
	body := Model{
		Graph: "body",
		Nodes: []Node{
			{Op: "Sub", Inputs: []string{"value", "none"}, Outputs: []string{"next"}},
			{Op: "Greater", Inputs: []string{"next", "none"}, Outputs: []string{"next_more"}},
		},
		Inputs:  []Value{{"round", tensor.Int64, []any{}}, {"more", tensor.Bool, []any{}}, {"value", tensor.FP32, []any{}}},
		Outputs: []Value{{"next_more", tensor.Bool, []any{}}, {"next", tensor.FP32, []any{}}},
	}
	return Model{
		Nodes: []Node{
			{Op: "Squeeze", Inputs: []string{"x"}, Outputs: []string{"start"}},
			{Op: "Greater", Inputs: []string{"start", "none"}, Outputs: []string{"begin"}},
			{Op: "Loop", Inputs: []string{"", "begin", "start"}, Outputs: []string{"end"}, Attributes: map[string]any{"body": body}},
			{Op: "Unsqueeze", Inputs: []string{"end", "axes"}, Outputs: []string{"y"}},
		},
		Initializers: []tensor.Tensor{Floats("none", []int64{}, 0), Ints("axes", []int64{1}, 0)},
		Inputs:       []Value{{"x", tensor.FP32, []any{1}}},
		Outputs:      []Value{{"y", tensor.FP32, []any{1}}},
	}.Encode()
}

// Weights returns a model whose output y FP32[1,n] is its input x FP32[1,n] plus n
// weights of 4 bytes, which are all 1.
func Weights(n int) []byte {
	ones := make([]byte, 4*n)
	for i := range n {
		binary.LittleEndian.PutUint32(ones[4*i:], math.Float32bits(1))
	}
	return Model{
		Nodes:        []Node{{Op: "Add", Inputs: []string{"x", "w"}, Outputs: []string{"y"}}},
		Initializers: []tensor.Tensor{{Name: "w", DType: tensor.FP32, Shape: []int64{int64(n)}, Data: ones}},
		Inputs:       []Value{{"x", tensor.FP32, []any{1, n}}},
		Outputs:      []Value{{"y", tensor.FP32, []any{1, n}}},
	}.Encode()
}

// Unknown returns a model with an operator that nobody has.
func Unknown() []byte {
	return Model{
		Nodes:   []Node{{Op: "Levitate", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		Inputs:  []Value{{"x", tensor.FP32, []any{1}}},
		Outputs: []Value{{"y", tensor.FP32, []any{1}}},
	}.Encode()
}

// Floats returns a tensor of FP32.
func Floats(name string, shape []int64, values ...float32) tensor.Tensor {
	data, _ := binary.Append(nil, binary.LittleEndian, values)
	return tensor.Tensor{Name: name, DType: tensor.FP32, Shape: shape, Data: data}
}

// Ints returns a tensor of INT64.
func Ints(name string, shape []int64, values ...int64) tensor.Tensor {
	data, _ := binary.Append(nil, binary.LittleEndian, values)
	return tensor.Tensor{Name: name, DType: tensor.Int64, Shape: shape, Data: data}
}

// Strings returns a tensor of BYTES with one dimension.
func Strings(name string, values ...string) tensor.Tensor {
	var data []byte
	for _, v := range values {
		data = tensor.AppendString(data, v)
	}
	return tensor.Tensor{Name: name, DType: tensor.Bytes, Shape: []int64{int64(len(values))}, Data: data}
}
