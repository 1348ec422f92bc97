package tensor

import "math"

// Finite says whether none of the first limit numbers of each tensor of floats is NaN or
// an infinity. Tensors of other types have none; data that do not fit their shape are read
// as far as they go.
func Finite(all []Tensor, limit int) bool {
	for _, t := range all {
		switch t.DType {
		case FP16, BF16, FP32, FP64:
		default:
			continue
		}
		size := t.DType.Size()
		for i := range min(len(t.Data)/size, limit) {
			if x := number(t.DType, t.Data[i*size:(i+1)*size]); math.IsNaN(x) || math.IsInf(x, 0) {
				return false
			}
		}
	}
	return true
}
