package dataset

import (
	"encoding/binary"
	"slices"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

const (
	opNPY       = "dataset.npy"
	npyMagic    = "\x93NUMPY"
	npyMaxHead  = 10_000 // bytes of the header text, NumPy's own limit
	npyPreamble = 12     // bytes that hold the magic, the version and the header's length
)

// npyHeader is what the header of an .npy file says.
type npyHeader struct {
	dtype   tensor.DType
	text    text // where dtype is tensor.Bytes
	swap    bool // elements are big-endian
	fortran bool // the first dimension varies fastest
	shape   []int64
	start   int // offset of the data
	size    int // bytes of the data
	memory  int // most bytes of the tensor
}

// ReadNPY reads a NumPy array as numpy.save writes it: versions 1.0, 2.0 and
// 3.0, booleans, integers, floating-point numbers and strings (S and U, the latter as
// UTF-8) in either byte order, rows or columns first. The result is little-endian and
// row-major, has no name, and may share memory with data. It fails with fault.Invalid
// for bytes that are no such file, with fault.Unsupported for another element type
// (objects, records, complex numbers), and with fault.TooLarge over MaxBytes.
func ReadNPY(data []byte) (tensor.Tensor, error) {
	h, err := readNPYHeader(data)
	if err != nil {
		return tensor.Tensor{}, err
	}
	if got := len(data) - h.start; got != h.size {
		return tensor.Tensor{}, invalid(opNPY, "the array has %d bytes of data, want %d for %s%s", got, h.size, h.dtype, inference.FormatShape(h.shape)).
			WithHint("Save the array again with numpy.save; the file is damaged or was cut off.")
	}
	return h.tensor(data[h.start:])
}

// readNPYHeader reads the header that data begins with; data may end before
// the array does.
func readNPYHeader(data []byte) (*npyHeader, error) {
	const hint = "Give a file that numpy.save wrote."
	if len(data) < npyPreamble || string(data[:len(npyMagic)]) != npyMagic {
		return nil, invalid(opNPY, "the data is not a NumPy array").WithHint(hint)
	}
	major, minor := data[6], data[7]
	length, start := int64(binary.LittleEndian.Uint16(data[8:])), 10
	switch {
	case minor != 0 || major < 1 || major > 3:
		return nil, fault.New(fault.Unsupported, opNPY, "the array has version %d.%d of the .npy format, 1.0, 2.0 and 3.0 are read", major, minor).WithHint(hint)
	case major > 1:
		length, start = int64(binary.LittleEndian.Uint32(data[8:])), 12
	}
	if length > npyMaxHead {
		return nil, fault.New(fault.TooLarge, opNPY, "the header of the array has %d bytes, the limit is %d", length, npyMaxHead).WithHint(hint)
	}
	if length > int64(len(data)-start) {
		return nil, invalid(opNPY, "the array is cut off inside its header").WithHint(hint)
	}
	h, err := parseNPYHeader(data[start : start+int(length)])
	if err != nil {
		return nil, err
	}
	h.start = start + int(length)
	if h.dtype == tensor.Bytes {
		h.size, h.memory, err = h.text.size(h.shape)
	} else {
		h.size, err = tensor.ByteSize(h.dtype, h.shape)
		h.memory = h.size
	}
	if err != nil || h.size > MaxBytes {
		return nil, fault.New(fault.TooLarge, opNPY, "the array claims %s%s, the limit is %d bytes", h.dtype, inference.FormatShape(h.shape), MaxBytes).
			WithHint("Give a smaller array.")
	}
	return h, nil
}

// tensor makes the tensor of its data, which has h.size bytes and is overwritten
// in no case.
func (h *npyHeader) tensor(data []byte) (tensor.Tensor, error) {
	width := h.dtype.Size()
	if h.dtype == tensor.Bytes {
		return h.strings(data)
	}
	if h.swap && width > 1 {
		data = slices.Clone(data)
		for i := 0; i < len(data); i += width {
			slices.Reverse(data[i : i+width])
		}
	}
	if h.fortran && len(h.shape) > 1 {
		data = rowMajor(data, h.shape, width)
	}
	t := tensor.Tensor{DType: h.dtype, Shape: h.shape, Data: data}
	if h.dtype == tensor.Bool {
		if err := tensor.CheckData(t.DType, t.Shape, t.Data); err != nil {
			return tensor.Tensor{}, invalid(opNPY, "the array: %w", err).WithHint("Save the array again with numpy.save.")
		}
	}
	return t, nil
}

// strings is tensor for an array of strings.
func (h *npyHeader) strings(data []byte) (tensor.Tensor, error) {
	n, err := tensor.Elements(h.shape)
	if err != nil {
		return tensor.Tensor{}, invalid(opNPY, "the array: %w", err)
	}
	if h.fortran && len(h.shape) > 1 {
		data = rowMajor(data, h.shape, h.text.width)
	}
	if data, err = h.text.strings(data, n, h.swap); err != nil {
		return tensor.Tensor{}, invalid(opNPY, "the array: %w", err).WithHint("Save the array again with numpy.save.")
	}
	return tensor.Tensor{DType: tensor.Bytes, Shape: h.shape, Data: data}, nil
}

// rowMajor returns a copy of column-major data with the last dimension varying
// fastest.
func rowMajor(data []byte, shape []int64, width int) []byte {
	out := make([]byte, 0, len(data))
	strides := make([]int, len(shape)) // in bytes of data
	step := width
	for k, dim := range shape {
		strides[k] = step
		step *= int(dim)
	}
	index, from := make([]int64, len(shape)), 0
	for len(out) < len(data) {
		out = append(out, data[from:from+width]...)
		for k := len(shape) - 1; k >= 0; k-- {
			index[k]++
			from += strides[k]
			if index[k] < shape[k] {
				break
			}
			from -= strides[k] * int(shape[k])
			index[k] = 0
		}
	}
	return out
}
