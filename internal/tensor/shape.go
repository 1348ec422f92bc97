package tensor

import (
	"fmt"
	"math"
)

// MaxRank is the highest number of dimensions that a tensor may have.
const MaxRank = 16

// Elements returns the product of shape: 1 for a scalar, 0 where a dimension is
// zero. It fails on a rank over MaxRank, on a negative dimension, and when the
// product of the dimensions (zeros left out) does not fit an int.
func Elements(shape []int64) (int, error) {
	if len(shape) > MaxRank {
		return 0, fmt.Errorf("shape has %d dimensions, at most %d are allowed", len(shape), MaxRank)
	}
	n, zero := int64(1), false
	for i, d := range shape {
		switch {
		case d < 0:
			return 0, fmt.Errorf("dimension %d is %d, want 0 or more", i, d)
		case d == 0:
			zero = true
			continue
		case n > math.MaxInt/d:
			return 0, fmt.Errorf("shape %v overflows", shape)
		}
		n *= d
	}
	if zero {
		return 0, nil
	}
	return int(n), nil
}

// ByteSize returns the bytes that a tensor of type d and the given shape takes.
// It fails as Elements does, when the product overflows, and for Bytes, whose
// size does not follow from its shape.
func ByteSize(d DType, shape []int64) (int, error) {
	n, err := Elements(shape)
	if err != nil {
		return 0, err
	}
	size := d.Size()
	if size == 0 {
		return 0, fmt.Errorf("the size of a %s tensor does not follow from its shape", d)
	}
	if n > math.MaxInt/size {
		return 0, fmt.Errorf("shape %v of %s overflows", shape, d)
	}
	return n * size, nil
}
