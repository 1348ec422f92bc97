package trtstub

import (
	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/tensor"
)

// most is the largest dynamic dimension of the suite's engines.
const most = 1 << 20

// Identity returns an engine whose output y is its input x; -1 is a dimension of 0 to
// 2^20. The type is one that TypeOf knows.
func Identity(major int, d tensor.DType, shape ...int64) Engine {
	t, _ := TypeOf(d)
	least, best := make([]int64, len(shape)), make([]int64, len(shape))
	highest := make([]int64, len(shape))
	for i, n := range shape {
		least[i], best[i], highest[i] = n, n, n
		if n < 0 {
			least[i], best[i], highest[i] = 0, 4, most
		}
	}
	return Engine{
		Name: "identity", Major: major, Layers: 1,
		Ports:    []Port{{Name: "x", Type: t, Shape: shape}, {Name: "y", Output: true, Type: t, Shape: shape}},
		Profiles: []Profile{{"x": {least, best, highest}}},
	}
}

// Join returns an engine with two inputs and two outputs, a batch of which may have
// least to highest rows.
func Join(major int, least, highest int64) Engine {
	const fp32, int64s = 0, 8
	return Engine{
		Name: "join", Major: major, Operation: Concat, Layers: 2, Memory: 4096,
		Ports: []Port{
			{Name: "a", Type: fp32, Shape: []int64{-1, 2}},
			{Name: "b", Type: fp32, Shape: []int64{-1, 3}},
			{Name: "joined", Output: true, Type: fp32, Shape: []int64{-1, 5}},
			{Name: "count", Output: true, Type: int64s, Shape: []int64{2}},
		},
		Profiles: []Profile{Rows(least, highest)},
	}
}

// Rows is a profile of Join.
func Rows(least, highest int64) Profile {
	shapes := func(columns int64) [3][]int64 {
		return [3][]int64{{least, columns}, {highest, columns}, {highest, columns}}
	}
	return Profile{"a": shapes(2), "b": shapes(3)}
}

// Repeat returns an engine whose output y has x times over, as often as the shape
// tensor times says.
func Repeat(major int) Engine {
	return Engine{
		Name: "repeat", Major: major, Operation: Tile, Layers: 1,
		Ports: []Port{
			{Name: "x", Shape: []int64{1}},
			{Name: "times", Type: 8, Host: true, Shape: []int64{1}},
			{Name: "y", Output: true, Shape: []int64{-1}},
		},
	}
}

// Suite returns the contract's models as engines for a library of that major version.
// The caller sets Open. There is no NonZero, whose outputs TensorRT can only give to an
// allocator; no Lookup, since kernels do not check indices; no Loop, since nothing
// interrupts a run; and of the element types only those of the library.
func Suite(major int) inferencetest.Suite {
	identity := map[tensor.DType][]byte{}
	for _, d := range tensor.DTypes() {
		if _, ok := TypeOf(d); ok {
			identity[d] = Identity(major, d, -1).Encode()
		}
	}
	unknown := Identity(major, tensor.FP32, 1)
	unknown.Plugin = "Levitate"
	const weights = 4 << 20
	weighty := Identity(major, tensor.FP32, 1, weights)
	weighty.Operation, weighty.Weights = AddWeights, weights
	return inferencetest.Suite{
		Identity: identity,
		Scalar:   Identity(major, tensor.FP32).Encode(),
		Join:     Join(major, 0, most).Encode(),
		JoinSpec: inference.Signature{
			Inputs: []inference.Spec{
				{Name: "a", DType: tensor.FP32, Shape: []int64{-1, 2}},
				{Name: "b", DType: tensor.FP32, Shape: []int64{-1, 3}},
			},
			Outputs: []inference.Spec{
				{Name: "joined", DType: tensor.FP32, Shape: []int64{-1, 5}},
				{Name: "count", DType: tensor.Int64, Shape: []int64{2}},
			},
		},
		Repeat:  Repeat(major).Encode(),
		Weights: weighty.Encode(),
		Unknown: unknown.Encode(),
	}
}
