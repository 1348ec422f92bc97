package litert

import (
	"fmt"
	"slices"

	"verge/internal/inference"
	"verge/internal/native"
	"verge/internal/tensor"
)

// classicTensor is a TfLiteTensor of tensorflow/lite/c/common.h, 112 bytes. The
// header's functions do not tell which dimensions are dynamic, nor the scales of
// channels; delegates read them here too, and new fields are added behind.
type classicTensor struct {
	kind         int32
	_            int32
	data         uintptr
	dims         uintptr // TfLiteIntArray
	_            [2]int32
	_            int32 // allocation type
	_            int32
	bytes        uintptr
	_            uintptr // allocation
	name         uintptr
	_            uintptr // delegate
	_            int32   // buffer handle
	_            [4]byte // data is stale, is variable
	quantization int32   // TfLiteQuantizationType
	_            int32
	parameters   uintptr // TfLiteAffineQuantization
	_            uintptr // sparsity
	signature    uintptr // TfLiteIntArray; null where no dimension is dynamic
}

// affineQuantization is a TfLiteAffineQuantization.
type affineQuantization struct {
	scales     uintptr // TfLiteFloatArray
	zeroPoints uintptr // TfLiteIntArray
	axis       int32
	_          int32
}

// array returns the elements of a TfLiteIntArray or TfLiteFloatArray, of which there
// are at most limit: a count of four bytes, then themselves.
func array[T int32 | float32](address uintptr, limit int) []T {
	const count = 4
	n := native.Array[int32](address, 1)
	if len(n) == 0 || n[0] <= 0 || int(n[0]) > limit {
		return nil
	}
	return native.Array[T](address+count, int(n[0]))
}

// spec reads an input or output. The error continues "input x …".
func (c *classic) spec(handle uintptr) (spec inference.Spec, name string, err error) {
	if handle == 0 {
		return spec, "", fmt.Errorf("is not there")
	}
	name = native.String(c.call(tensorName, handle), maxText)
	if spec.DType, err = classicType(int32(c.number(tensorType, handle))); err != nil { //nolint:gosec // was an int32
		return spec, name, fmt.Errorf("has %w", err)
	}
	if rank := c.number(tensorNumDims, handle); rank < 0 || rank > tensor.MaxRank {
		return spec, name, fmt.Errorf("has %d dimensions, at most %d are allowed", rank, tensor.MaxRank)
	}
	spec.Shape = c.appendShape([]int64{}, handle)
	if !c.knows(handle, spec.Shape) {
		return spec, name, fmt.Errorf("is laid out in a way that this build does not know (TensorFlow Lite %s)", c.version)
	}
	t := native.Array[classicTensor](handle, 1)[0]
	for i, n := range array[int32](t.signature, tensor.MaxRank) {
		if n < 0 && i < len(spec.Shape) {
			spec.Shape[i] = -1
		}
	}
	spec.Quantization = t.affine()
	return spec, name, nil
}

// knows reports whether the structure says what the functions say.
func (c *classic) knows(handle uintptr, shape []int64) bool {
	t := native.Array[classicTensor](handle, 1)[0]
	if int(t.kind) != c.number(tensorType, handle) || t.data != c.call(tensorData, handle) || t.bytes != c.call(tensorByteSize, handle) ||
		t.name != c.call(tensorName, handle) {
		return false
	}
	return slices.EqualFunc(array[int32](t.dims, tensor.MaxRank), shape, func(a int32, b int64) bool { return int64(a) == b })
}

// affine returns what the integers of the tensor stand for, or nil.
func (t *classicTensor) affine() *inference.Quantization {
	const affine, most = 1, 1 << 20
	if t.quantization != affine || t.parameters == 0 {
		return nil
	}
	p := native.Array[affineQuantization](t.parameters, 1)[0]
	scales, zeroes := array[float32](p.scales, most), array[int32](p.zeroPoints, most)
	if len(scales) == 0 || len(scales) != len(zeroes) || len(scales) == 1 && scales[0] == 0 {
		return nil
	}
	q := &inference.Quantization{Scales: slices.Clone(scales), ZeroPoints: make([]int64, len(zeroes))}
	for i, z := range zeroes {
		q.ZeroPoints[i] = int64(z)
	}
	if len(scales) > 1 {
		q.Axis = int(p.axis)
	}
	return q
}

// classicType returns the element type of a TfLiteType. The error names one that no
// request can carry.
func classicType(number int32) (tensor.DType, error) {
	if number == elementText {
		return tensor.Bytes, nil
	}
	return dtypeOf("TensorFlow Lite", number)
}

// appendShape appends the dimensions of a tensor.
func (c *classic) appendShape(shape []int64, handle uintptr) []int64 {
	for i := range min(c.number(tensorNumDims, handle), tensor.MaxRank) {
		shape = append(shape, int64(c.number(tensorDim, handle, uintptr(i)))) // not negative
	}
	return shape
}

// content returns the library's memory of a tensor; nil where that is empty.
func (c *classic) content(handle uintptr) []byte {
	return native.View(c.call(tensorData, handle), int(c.call(tensorByteSize, handle)))
}

// outputSize returns how many bytes an output takes in the arena. It fails where the
// library has not what the shape promises.
func (i *interpreter) outputSize(t *tensor.Tensor, handle uintptr) (int, error) {
	content := i.library.content(handle)
	if t.DType == tensor.Bytes {
		n, err := tensor.Elements(t.Shape)
		if err != nil {
			return 0, err
		}
		return stringBufferSize(content, n)
	}
	size, err := tensor.ByteSize(t.DType, t.Shape)
	if err == nil && size != len(content) {
		err = fmt.Errorf("the library has %d bytes, want %d for %s%s", len(content), size, t.DType, inference.FormatShape(t.Shape))
	}
	return size, err
}
