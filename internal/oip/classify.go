package oip

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"strconv"

	"verge/internal/fault"
	"verge/internal/tensor"
)

// classify returns the best k classes of each row of t, which is a batch of rows
// where it has two dimensions or more, else one row. A class is a string
// "value:index", or "value:index:label" where it has one. Values take the fewest
// digits that read back as the same number; NaN is below every number; of equal
// values the one with the lower index is first.
func classify(t tensor.Tensor, k int, labels []string) (tensor.Tensor, error) {
	values, err := tensor.Floats(t)
	if err != nil {
		return t, fault.New(fault.Internal, opAnswer, "%w", err)
	}
	rows := 1
	if len(t.Shape) > 1 {
		rows = int(t.Shape[0])
	}
	width := 0
	if rows > 0 {
		width = len(values) / rows
	}
	k = min(k, width)
	out := tensor.Tensor{Name: t.Name, DType: tensor.Bytes, Shape: []int64{int64(k)}}
	if len(t.Shape) > 1 {
		out.Shape = []int64{int64(rows), int64(k)}
	}
	var text []byte
	for row := range rows {
		scores := values[row*width : (row+1)*width]
		for _, i := range best(scores, k) {
			text = appendScore(text[:0], t, row*width+i, scores[i])
			text = strconv.AppendInt(append(text, ':'), int64(i), 10)
			if i < len(labels) {
				text = append(append(text, ':'), labels[i]...)
			}
			out.Data = tensor.AppendString(out.Data, text)
		}
	}
	return out, nil
}

// appendScore writes one element: integers exactly, though values are floats.
func appendScore(out []byte, t tensor.Tensor, i int, value float64) []byte {
	switch t.DType {
	case tensor.FP16, tensor.BF16, tensor.FP32:
		return strconv.AppendFloat(out, value, 'g', -1, 32)
	case tensor.FP64:
		return strconv.AppendFloat(out, value, 'g', -1, 64)
	default:
		size := t.DType.Size()
		one := tensor.Tensor{DType: t.DType, Data: t.Data[i*size : (i+1)*size]}
		text, err := tensor.AppendJSON(out, one)
		if err != nil { // no integer fails
			return strconv.AppendFloat(out, value, 'f', 0, 64)
		}
		return slices.Delete(text[:len(text)-1], len(out), len(out)+1) // without the brackets
	}
}

// best returns the indices of the k highest scores, the highest first.
func best(scores []float64, k int) []int {
	h := &worstFirst{scores: scores, indices: make([]int, 0, k)}
	for i := range scores {
		switch {
		case len(h.indices) < k:
			heap.Push(h, i)
		case k > 0 && h.before(i, h.indices[0]):
			h.indices[0] = i
			heap.Fix(h, 0)
		}
	}
	slices.SortFunc(h.indices, func(a, b int) int {
		if h.before(a, b) {
			return -1
		}
		return 1
	})
	return h.indices
}

// worstFirst is a heap of indices whose first is the worst of them.
type worstFirst struct {
	scores  []float64
	indices []int
}

// before reports whether the class a comes before the class b.
func (h *worstFirst) before(a, b int) bool {
	x, y := h.scores[a], h.scores[b]
	if x == y || math.IsNaN(x) && math.IsNaN(y) {
		return a < b
	}
	return cmp.Compare(x, y) > 0 // NaN is less than any number
}

func (h *worstFirst) Len() int           { return len(h.indices) }
func (h *worstFirst) Less(i, j int) bool { return h.before(h.indices[j], h.indices[i]) }
func (h *worstFirst) Swap(i, j int)      { h.indices[i], h.indices[j] = h.indices[j], h.indices[i] }
func (h *worstFirst) Push(x any)         { h.indices = append(h.indices, x.(int)) } // best pushes ints only
func (h *worstFirst) Pop() any {
	last := h.indices[len(h.indices)-1]
	h.indices = h.indices[:len(h.indices)-1]
	return last
}
