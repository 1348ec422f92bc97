package openvino

import (
	"encoding/binary"
	"fmt"
	"math"

	"verge/internal/tensor"
)

// The library computes integers of 64 bits, and unsigned ones of 32, as signed ones of
// 32 bits, and says nothing when a value does not fit: 2^40 is 0 then. Such values are
// refused. FP64 is computed as FP32: that costs digits, and of what is larger all of it.

// narrowed reports whether the library computes a type with fewer values than it has.
func narrowed(d tensor.DType) bool {
	return d == tensor.Int64 || d == tensor.Uint64 || d == tensor.Uint32 || d == tensor.FP64
}

// checkRange says which value of a tensor the library would compute with another, or nil.
func checkRange(t tensor.Tensor) error {
	data := t.Data
	switch t.DType {
	case tensor.Int64:
		for i := 0; i+8 <= len(data); i += 8 {
			if v := int64(binary.LittleEndian.Uint64(data[i:])); v != int64(int32(v)) { //nolint:gosec // that is what is asked
				return outOfRange(v, i/8)
			}
		}
	case tensor.Uint64:
		for i := 0; i+8 <= len(data); i += 8 {
			if v := binary.LittleEndian.Uint64(data[i:]); v > math.MaxInt32 {
				return outOfRange(v, i/8)
			}
		}
	case tensor.Uint32:
		for i := 0; i+4 <= len(data); i += 4 {
			if v := binary.LittleEndian.Uint32(data[i:]); v > math.MaxInt32 {
				return outOfRange(v, i/4)
			}
		}
	case tensor.FP64:
		for i := 0; i+8 <= len(data); i += 8 {
			if v := math.Float64frombits(binary.LittleEndian.Uint64(data[i:])); math.IsInf(float64(float32(v)), 0) && !math.IsInf(v, 0) {
				return fmt.Errorf("has element %d of %g, which OpenVINO does not compute with: it takes %.8g to %.8g", i/8, v, -math.MaxFloat32, math.MaxFloat32)
			}
		}
	default:
	}
	return nil
}

func outOfRange[T int64 | uint64 | uint32](v T, i int) error {
	return fmt.Errorf("has element %d of %d, which OpenVINO does not compute with: it takes %d to %d", i, v, math.MinInt32, math.MaxInt32)
}
