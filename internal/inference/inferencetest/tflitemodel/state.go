package tflitemodel

import "verge/internal/tensor"

// Numbers of tables in the union BuiltinOptions.
const (
	svdfOptions           = 6
	callOnceOptions       = 103
	varHandleOptions      = 111
	readVariableOptions   = 112
	assignVariableOptions = 113
)

// Sum returns a model that keeps state: its output y FP32[1] is initial and every x
// FP32[1] that it was given, together. The sum is in a variable, to which a second
// graph gives its initial value.
func Sum(initial float32) []byte { return variable(initial, true) }

// Constant returns a model of a variable that no run writes: its output y FP32[1] is
// its input x FP32[1] plus value, which a second graph gives the variable.
func Constant(value float32) []byte { return variable(value, false) }

func variable(initial float32, keep bool) []byte {
	const handle = 0
	one := func(name string, data []byte) Tensor {
		return Tensor{Name: name, DType: tensor.FP32, Shape: []int{1}, Data: data}
	}
	open := Operator{Op: VarHandle, Outputs: []int{handle}, Options: Options{varHandleOptions, []any{"", "sum"}}}
	assign := func(tensor int) Operator {
		return Operator{Op: AssignVariable, Inputs: []int{handle, tensor}, Options: Options{Table: assignVariableOptions}}
	}
	main := Graph{
		Name: "main", Tensors: []Tensor{{Name: "handle", Resource: true, Shape: []int{}}, one("x", nil), one("sum", nil), one("y", nil)},
		Operators: []Operator{
			{Op: CallOnce, Options: Options{callOnceOptions, []any{int32(1)}}},
			open,
			{Op: ReadVariable, Inputs: []int{handle}, Outputs: []int{2}, Options: Options{Table: readVariableOptions}},
			{Op: Add, Inputs: []int{2, 1}, Outputs: []int{3}, Options: Options{Table: addOptions}},
		},
		Inputs: []int{1}, Outputs: []int{3},
	}
	if keep {
		main.Operators = append(main.Operators, assign(3))
	}
	return Model{Graphs: []Graph{main, {
		Name: "initial", Tensors: []Tensor{main.Tensors[handle], one("initial", floats(initial))},
		Operators: []Operator{open, assign(1)},
	}}}.Encode()
}

// Previous returns a model that keeps state in a tensor, which LiteRT refuses: its
// output y FP32[1,1] is its input x FP32[1,1] plus the x of the run before, 0 for none.
func Previous() []byte { return svdf(tensor.FP32) }

// PreviousIn returns Previous with a state of another element type than the operator
// computes in, for which its memory is too small or too large.
func PreviousIn(state tensor.DType) []byte { return svdf(state) }

func svdf(state tensor.DType) []byte {
	const none = -1 // no bias
	return single(Graph{
		Tensors: []Tensor{
			{Name: "x", DType: tensor.FP32, Shape: []int{1, 1}},
			{Name: "features", DType: tensor.FP32, Shape: []int{1, 1}, Data: floats(1)},
			{Name: "times", DType: tensor.FP32, Shape: []int{1, 2}, Data: floats(1, 1)},
			{Name: "state", DType: state, Shape: []int{1, 2}, Variable: true},
			{Name: "y", DType: tensor.FP32, Shape: []int{1, 1}},
		},
		Operators: []Operator{{Op: SVDF, Inputs: []int{0, 1, 2, none, 3}, Outputs: []int{4}, Options: Options{svdfOptions, []any{int32(1)}}}},
		Inputs:    []int{0}, Outputs: []int{4},
	})
}

// Detections returns a model that says of its output y, as files of object detectors
// do, neither a shape nor that it has none. It is the input x FP32[2,3].
func Detections() []byte {
	return single(Graph{
		Tensors: []Tensor{
			{Name: "x", DType: tensor.FP32, Shape: []int{2, 3}, Unranked: true},
			{Name: "y", DType: tensor.FP32, Shape: []int{}, Unranked: true},
		},
		Operators: []Operator{{Op: ReLU, Inputs: []int{0}, Outputs: []int{1}}},
		Inputs:    []int{0}, Outputs: []int{1},
	})
}

// OldJoin returns Join as older converters write it: its dimensions are open, but its
// tensors do not say that they have ranks.
func OldJoin() []byte { return join(true) }
