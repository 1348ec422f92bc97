package tensor

// Rows cuts a tensor along its first dimension.
type Rows struct {
	t      Tensor
	starts []int // of strings: where each row begins, and the end
}

// RowsOf finds the rows of a tensor of one dimension or more, whose data fit its shape.
func RowsOf(t Tensor) Rows {
	r := Rows{t: t}
	if t.DType != Bytes || t.Shape[0] == 0 {
		return r
	}
	n, _ := Elements(t.Shape)
	each, at := n/int(t.Shape[0]), 0
	for range t.Shape[0] {
		r.starts = append(r.starts, at)
		at += SkipStrings(t.Data[at:], each)
	}
	r.starts = append(r.starts, at)
	return r
}

// Len returns how many rows there are.
func (r Rows) Len() int { return int(r.t.Shape[0]) }

// Cut returns rows begin to end, in the tensor's memory.
func (r Rows) Cut(begin, end int) Tensor {
	shape := append([]int64{int64(end - begin)}, r.t.Shape[1:]...)
	width := len(r.t.Data) / max(r.Len(), 1)
	from, to := begin*width, end*width
	if r.starts != nil {
		from, to = r.starts[begin], r.starts[end]
	}
	return Tensor{Name: r.t.Name, DType: r.t.DType, Shape: shape, Data: r.t.Data[from:to:to]}
}
