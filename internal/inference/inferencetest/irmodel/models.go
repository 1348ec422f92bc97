package irmodel

import (
	"encoding/binary"
	"fmt"
	"math"

	"verge/internal/tensor"
)

// single returns a model of one operation with the output y.
func single(op string, data map[string]string, y Port, inputs ...Layer) Model {
	y.Name = "y"
	layer := Layer{Name: "node", Type: op, Data: data, Outputs: []Port{y}}
	for _, in := range inputs {
		layer.Inputs = append(layer.Inputs, in.Name)
	}
	return Model{Layers: append(inputs, layer, Result("node"))}
}

// Identity returns a model whose output y is its input x.
func Identity(d tensor.DType, shape ...int) []byte {
	m := single("Identity", nil, Port{DType: d, Shape: shape}, Parameter("x", d, shape...))
	m.Layers[1].Opset = "opset16"
	return m.Encode()
}

// Join returns a model with two inputs and two outputs: a FP32[n,2] and b FP32[n,3]
// give joined FP32[n,5], a beside b, and count INT64[2], the shape of a.
func Join() []byte {
	return Model{Name: "join", Layers: []Layer{
		Parameter("a", tensor.FP32, -1, 2),
		Parameter("b", tensor.FP32, -1, 3),
		{
			Name: "concat", Type: "Concat", Data: map[string]string{"axis": "1"}, Inputs: []string{"a", "b"},
			Outputs: []Port{{DType: tensor.FP32, Shape: []int{-1, 5}, Name: "joined"}},
		},
		{
			Name: "shape", Type: "ShapeOf", Data: map[string]string{"output_type": "i64"}, Inputs: []string{"a"},
			Outputs: []Port{{DType: tensor.Int64, Shape: []int{2}, Name: "count"}},
		},
		Result("concat"), Result("shape"),
	}}.Encode()
}

// NonZero returns a model whose output y INT64[1,?] holds the positions of what is
// not zero in x FP32[n]: its shape follows from the values.
func NonZero() []byte {
	return single("NonZero", map[string]string{"output_type": "i64"}, Port{DType: tensor.Int64, Shape: []int{1, -1}},
		Parameter("x", tensor.FP32, -1)).Encode()
}

// Repeat returns a model whose output y FP32[?] holds x FP32[1] as many times as
// the input times INT64[1] says.
func Repeat() []byte {
	return single("Tile", nil, Port{DType: tensor.FP32, Shape: []int{-1}},
		Parameter("x", tensor.FP32, 1), Parameter("times", tensor.Int64, 1)).Encode()
}

// Lookup returns a model whose output y FP32[n] holds the elements of 10, 20, 30
// that x INT64[n] points to. It refuses an index above 2, as Gather would not.
func Lookup() []byte {
	return single("GatherElements", map[string]string{"axis": "0"}, Port{DType: tensor.FP32, Shape: []int{-1}},
		Const("table", floats(10, 20, 30)), Parameter("x", tensor.Int64, -1)).Encode()
}

// Narrow returns a model whose output y FP32[3] is what of x FP32[n] is not negative, plus
// 10, 20, 30. It takes an n of 1 and 3, and the second of its operators refuses any other.
func Narrow() []byte {
	return Model{Layers: []Layer{
		Parameter("x", tensor.FP32, -1),
		{Name: "relu", Type: "ReLU", Inputs: []string{"x"}, Outputs: []Port{{DType: tensor.FP32, Shape: []int{-1}}}},
		Const("w", floats(10, 20, 30)),
		{Name: "add", Type: "Add", Inputs: []string{"relu", "w"}, Outputs: []Port{{DType: tensor.FP32, Shape: []int{3}, Name: "y"}}},
		Result("add"),
	}}.Encode()
}

// Sum returns a model that keeps a value: its output y FP32[1] is initial and every x
// FP32[1] that it was given, together.
func Sum(initial float32) []byte {
	one := Port{DType: tensor.FP32, Shape: []int{1}}
	sum := one
	sum.Name = "y"
	variable := map[string]string{"variable_id": "sum"}
	return Model{Layers: []Layer{
		Parameter("x", tensor.FP32, 1),
		Const("initial", floats(initial)),
		{Name: "read", Type: "ReadValue", Opset: "opset3", Data: variable, Inputs: []string{"initial"}, Outputs: []Port{one}},
		{Name: "add", Type: "Add", Inputs: []string{"x", "read"}, Outputs: []Port{sum}},
		{Name: "save", Type: "Assign", Opset: "opset3", Data: variable, Inputs: []string{"add"}},
		Result("add"),
	}}.Encode()
}

// Chain returns a model of n multiplications of the matrix x FP32[width,width] with
// itself, one after the other; y FP32[width,width] is the last.
func Chain(n, width int) []byte {
	shape := []int{width, width}
	m := Model{Layers: []Layer{Parameter("x", tensor.FP32, shape...)}}
	last := "x"
	for i := range n {
		layer := Layer{Name: fmt.Sprintf("product %d", i), Type: "MatMul", Inputs: []string{last, "x"}, Outputs: []Port{{DType: tensor.FP32, Shape: shape}}}
		if i == n-1 {
			layer.Outputs[0].Name = "y"
		}
		m.Layers = append(m.Layers, layer)
		last = layer.Name
	}
	m.Layers = append(m.Layers, Result(last))
	return m.Encode()
}

// Weights returns a model whose output y FP32[1,n] is its input x FP32[1,n] plus n
// weights of 4 bytes, which are all 1.
func Weights(n int) []byte {
	ones := make([]byte, 4*n)
	for i := range n {
		binary.LittleEndian.PutUint32(ones[4*i:], math.Float32bits(1))
	}
	return single("Add", nil, Port{DType: tensor.FP32, Shape: []int{1, n}}, Parameter("x", tensor.FP32, 1, n),
		Const("w", tensor.Tensor{DType: tensor.FP32, Shape: []int64{1, int64(n)}, Data: ones})).Encode()
}

// Unknown returns a model with an operator that nobody has.
func Unknown() []byte {
	return single("Levitate", nil, Port{DType: tensor.FP32, Shape: []int{1}}, Parameter("x", tensor.FP32, 1)).Encode()
}

func floats(values ...float32) tensor.Tensor {
	data, _ := binary.Append(nil, binary.LittleEndian, values)
	return tensor.Tensor{DType: tensor.FP32, Shape: []int64{int64(len(values))}, Data: data}
}
