package tflitemodel

import (
	"encoding/binary"
	"math"

	"verge/internal/tensor"
)

// Numbers of tables in the union BuiltinOptions.
const (
	concatenationOptions = 10
	addOptions           = 11
	reshapeOptions       = 17
	gatherOptions        = 23
	transposeOptions     = 26
	subOptions           = 28
	greaterOptions       = 44
	shapeOptions         = 55
	notEqualOptions      = 54
	whereOptions         = 85
	whileOptions         = 93
	tileOptions          = 51
)

// single returns a model with one graph.
func single(g Graph) []byte { return Model{Graphs: []Graph{g}}.Encode() }

// ints returns the data of a constant INT32.
func ints(values ...int32) []byte {
	data, _ := binary.Append([]byte{}, binary.LittleEndian, values)
	return data
}

// floats returns the data of a constant FP32.
func floats(values ...float32) []byte {
	data, _ := binary.Append([]byte{}, binary.LittleEndian, values)
	return data
}

// Identity returns a model whose output y is its input x; -1 is a dynamic dimension.
func Identity(d tensor.DType, shape ...int) []byte {
	if shape == nil {
		shape = []int{} // a scalar
	}
	target := make([]int32, len(shape))
	for i, n := range shape {
		target[i] = int32(n)
	}
	return single(Graph{
		Tensors: []Tensor{
			{Name: "x", DType: d, Shape: shape},
			{Name: "shape", DType: tensor.Int32, Shape: []int{len(shape)}, Data: ints(target...)},
			{Name: "y", DType: d, Shape: shape},
		},
		Operators: []Operator{{Op: Reshape, Inputs: []int{0, 1}, Outputs: []int{2}, Options: Options{Table: reshapeOptions}}},
		Inputs:    []int{0}, Outputs: []int{2},
	})
}

// Join returns a model with two inputs and two outputs: a FP32[?,2] and b FP32[?,3]
// give joined FP32[?,5], a beside b, and count INT64[2], the shape of a.
func Join() []byte { return join(false) }

func join(unranked bool) []byte {
	return Model{
		Description: "Two of each.",
		Graphs: []Graph{{
			Name: "main",
			Tensors: []Tensor{
				{Name: "a", DType: tensor.FP32, Shape: []int{-1, 2}, Unranked: unranked},
				{Name: "b", DType: tensor.FP32, Shape: []int{-1, 3}, Unranked: unranked},
				{Name: "joined", DType: tensor.FP32, Shape: []int{-1, 5}, Unranked: unranked},
				{Name: "count", DType: tensor.Int64, Shape: []int{2}, Unranked: unranked},
			},
			Operators: []Operator{
				{Op: Concatenation, Inputs: []int{0, 1}, Outputs: []int{2}, Options: Options{concatenationOptions, []any{int32(1)}}},
				{Op: Shape, Inputs: []int{0}, Outputs: []int{3}, Options: Options{shapeOptions, []any{int8(elements[tensor.Int64])}}},
			},
			Inputs: []int{0, 1}, Outputs: []int{2, 3},
		}},
	}.Encode()
}

// NonZero returns a model whose output y INT64[1,?] holds the positions of what is
// not zero in x FP32[?]: its shape follows from the values.
func NonZero() []byte {
	return single(Graph{
		Tensors: []Tensor{
			{Name: "x", DType: tensor.FP32, Shape: []int{-1}},
			{Name: "zero", DType: tensor.FP32, Shape: []int{}, Data: floats(0)},
			{Name: "other", DType: tensor.Bool, Shape: []int{-1}},
			{Name: "found", DType: tensor.Int64, Shape: []int{-1, 1}},
			{Name: "order", DType: tensor.Int32, Shape: []int{2}, Data: ints(1, 0)},
			{Name: "y", DType: tensor.Int64, Shape: []int{1, -1}},
		},
		Operators: []Operator{
			{Op: NotEqual, Inputs: []int{0, 1}, Outputs: []int{2}, Options: Options{Table: notEqualOptions}},
			{Op: Where, Inputs: []int{2}, Outputs: []int{3}, Options: Options{Table: whereOptions}},
			{Op: Transpose, Inputs: []int{3, 4}, Outputs: []int{5}, Options: Options{Table: transposeOptions}},
		},
		Inputs: []int{0}, Outputs: []int{5},
	})
}

// Repeat returns a model whose output y FP32[?] holds x FP32[1], which is not
// negative, as many times as the input times INT64[1] says.
func Repeat() []byte {
	return single(Graph{
		Tensors: []Tensor{
			{Name: "x", DType: tensor.FP32, Shape: []int{1}},
			{Name: "times", DType: tensor.Int64, Shape: []int{1}},
			{Name: "repeated", DType: tensor.FP32, Shape: []int{-1}},
			{Name: "y", DType: tensor.FP32, Shape: []int{-1}},
		},
		Operators: []Operator{
			{Op: Tile, Inputs: []int{0, 1}, Outputs: []int{2}, Options: Options{Table: tileOptions}},
			{Op: ReLU, Inputs: []int{2}, Outputs: []int{3}},
		},
		Inputs: []int{0, 1}, Outputs: []int{3},
	})
}

// Tiled returns Repeat without the operator behind the one that chooses the shape.
func Tiled() []byte {
	return single(Graph{
		Tensors: []Tensor{
			{Name: "x", DType: tensor.FP32, Shape: []int{1}},
			{Name: "times", DType: tensor.Int64, Shape: []int{1}},
			{Name: "y", DType: tensor.FP32, Shape: []int{-1}},
		},
		Operators: []Operator{{Op: Tile, Inputs: []int{0, 1}, Outputs: []int{2}, Options: Options{Table: tileOptions}}},
		Inputs:    []int{0, 1}, Outputs: []int{2},
	})
}

// Lookup returns a model whose output y FP32[?] holds the elements of 10, 20, 30
// that x INT64[?] points to. It refuses an index above 2.
func Lookup() []byte {
	return single(Graph{
		Tensors: []Tensor{
			{Name: "table", DType: tensor.FP32, Shape: []int{3}, Data: floats(10, 20, 30)},
			{Name: "x", DType: tensor.Int64, Shape: []int{-1}},
			{Name: "y", DType: tensor.FP32, Shape: []int{-1}},
		},
		Operators: []Operator{{Op: Gather, Inputs: []int{0, 1}, Outputs: []int{2}, Options: Options{Table: gatherOptions}}},
		Inputs:    []int{1}, Outputs: []int{2},
	})
}

// Loop returns a model that does not end while x FP32[1] is over 0: it counts down
// from x by 0 each time. Otherwise y FP32[1] is x.
func Loop() []byte {
	value := func(name string) Tensor { return Tensor{Name: name, DType: tensor.FP32, Shape: []int{1}} }
	none := Tensor{Name: "none", DType: tensor.FP32, Shape: []int{1}, Data: floats(0)}
	return Model{Graphs: []Graph{
		{
			Name: "main", Tensors: []Tensor{value("x"), value("y")},
			Operators: []Operator{{Op: While, Inputs: []int{0}, Outputs: []int{1}, Options: Options{whileOptions, []any{int32(1), int32(2)}}}},
			Inputs:    []int{0}, Outputs: []int{1},
		},
		{
			Name: "condition", Tensors: []Tensor{value("x"), none, {Name: "more", DType: tensor.Bool, Shape: []int{1}}},
			Operators: []Operator{{Op: Greater, Inputs: []int{0, 1}, Outputs: []int{2}, Options: Options{Table: greaterOptions}}},
			Inputs:    []int{0}, Outputs: []int{2},
		},
		{
			Name: "body", Tensors: []Tensor{value("x"), none, value("y")},
			Operators: []Operator{{Op: Sub, Inputs: []int{0, 1}, Outputs: []int{2}, Options: Options{Table: subOptions}}},
			Inputs:    []int{0}, Outputs: []int{2},
		},
	}}.Encode()
}

// Weights returns a model whose output y FP32[1,n] is its input x FP32[1,n] plus n
// weights of 4 bytes, which are all 1.
func Weights(n int) []byte {
	ones := make([]byte, 4*n)
	for i := range n {
		binary.LittleEndian.PutUint32(ones[4*i:], math.Float32bits(1))
	}
	return single(Graph{
		Tensors: []Tensor{
			{Name: "x", DType: tensor.FP32, Shape: []int{1, n}},
			{Name: "w", DType: tensor.FP32, Shape: []int{n}, Data: ones},
			{Name: "y", DType: tensor.FP32, Shape: []int{1, n}},
		},
		Operators: []Operator{{Op: Add, Inputs: []int{0, 1}, Outputs: []int{2}, Options: Options{Table: addOptions}}},
		Inputs:    []int{0}, Outputs: []int{2},
	})
}

// Unknown returns a model with an operator that nobody has.
func Unknown() []byte { return CustomOperator("Levitate", tensor.FP32, 1) }

// CustomOperator returns a model whose output y is what the custom operator of that name
// makes of its input x, both of type d and that shape.
func CustomOperator(name string, d tensor.DType, shape ...int) []byte {
	return single(Graph{
		Tensors:   []Tensor{{Name: "x", DType: d, Shape: shape}, {Name: "y", DType: d, Shape: shape}},
		Operators: []Operator{{Op: Custom, Custom: name, Inputs: []int{0}, Outputs: []int{1}}},
		Inputs:    []int{0}, Outputs: []int{1},
	})
}
