package client

import (
	"encoding/binary"
	"fmt"
	"math"

	"verge/internal/tensor"
)

// Tensor is one named array. Its Datatype is one of the Open Inference
// Protocol: BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64,
// FP16, FP32, FP64, BYTES, or BF16. Data is little-endian, row-major and
// without padding; a BOOL is one byte; an element of BYTES is its length in
// four bytes and then itself.
type Tensor struct {
	Name     string
	Datatype string
	Shape    []int64 // a scalar has no dimensions
	Data     []byte
}

// check says why the tensor's parts do not fit each other, or nil.
func (t *Tensor) check() error {
	dtype, err := tensor.ParseDType(t.Datatype)
	if err != nil {
		return err
	}
	if dtype == tensor.Bytes {
		return t.checkStrings()
	}
	want, err := tensor.ByteSize(dtype, t.Shape)
	if err != nil {
		return err
	}
	if len(t.Data) != want {
		return fmt.Errorf("%d bytes of data, want %d for %s%v", len(t.Data), want, t.Datatype, t.Shape)
	}
	return nil
}

func (t *Tensor) checkStrings() error {
	want, err := tensor.Elements(t.Shape)
	if err != nil {
		return err
	}
	got, err := countStrings(t.Data)
	if err == nil && got != want {
		err = fmt.Errorf("%d strings, want %d for BYTES%v", got, want, t.Shape)
	}
	return err
}

// fixed makes a tensor of a slice whose elements have a fixed size.
func fixed(name, datatype string, shape []int64, values any) Tensor {
	data, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		panic(err) // only callers in this file, with slices of fixed-size types
	}
	return Tensor{Name: name, Datatype: datatype, Shape: shape, Data: data}
}

// elements decodes a tensor that must have the given type.
func elements[T any](t *Tensor, datatype string) ([]T, error) {
	if t.Datatype != datatype {
		return nil, fmt.Errorf("tensor %q is %s, not %s", t.Name, t.Datatype, datatype)
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	n, _ := tensor.Elements(t.Shape) // check has seen it
	values := make([]T, n)
	if _, err := binary.Decode(t.Data, binary.LittleEndian, values); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return values, nil
}

// FromBools makes a BOOL tensor.
func FromBools(name string, shape []int64, values []bool) Tensor {
	return fixed(name, "BOOL", shape, values)
}

// FromUint8s makes a UINT8 tensor.
func FromUint8s(name string, shape []int64, values []uint8) Tensor {
	return fixed(name, "UINT8", shape, values)
}

// FromUint16s makes a UINT16 tensor.
func FromUint16s(name string, shape []int64, values []uint16) Tensor {
	return fixed(name, "UINT16", shape, values)
}

// FromUint32s makes a UINT32 tensor.
func FromUint32s(name string, shape []int64, values []uint32) Tensor {
	return fixed(name, "UINT32", shape, values)
}

// FromUint64s makes a UINT64 tensor.
func FromUint64s(name string, shape []int64, values []uint64) Tensor {
	return fixed(name, "UINT64", shape, values)
}

// FromInt8s makes an INT8 tensor.
func FromInt8s(name string, shape []int64, values []int8) Tensor {
	return fixed(name, "INT8", shape, values)
}

// FromInt16s makes an INT16 tensor.
func FromInt16s(name string, shape []int64, values []int16) Tensor {
	return fixed(name, "INT16", shape, values)
}

// FromInt32s makes an INT32 tensor.
func FromInt32s(name string, shape []int64, values []int32) Tensor {
	return fixed(name, "INT32", shape, values)
}

// FromInt64s makes an INT64 tensor.
func FromInt64s(name string, shape, values []int64) Tensor {
	return fixed(name, "INT64", shape, values)
}

// FromFloat32s makes an FP32 tensor.
func FromFloat32s(name string, shape []int64, values []float32) Tensor {
	return fixed(name, "FP32", shape, values)
}

// FromFloat64s makes an FP64 tensor.
func FromFloat64s(name string, shape []int64, values []float64) Tensor {
	return fixed(name, "FP64", shape, values)
}

// Bools returns the elements of a BOOL tensor.
func (t *Tensor) Bools() ([]bool, error) { return elements[bool](t, "BOOL") }

// Uint8s returns the elements of a UINT8 tensor.
func (t *Tensor) Uint8s() ([]uint8, error) { return elements[uint8](t, "UINT8") }

// Uint16s returns the elements of a UINT16 tensor.
func (t *Tensor) Uint16s() ([]uint16, error) { return elements[uint16](t, "UINT16") }

// Uint32s returns the elements of a UINT32 tensor.
func (t *Tensor) Uint32s() ([]uint32, error) { return elements[uint32](t, "UINT32") }

// Uint64s returns the elements of a UINT64 tensor.
func (t *Tensor) Uint64s() ([]uint64, error) { return elements[uint64](t, "UINT64") }

// Int8s returns the elements of an INT8 tensor.
func (t *Tensor) Int8s() ([]int8, error) { return elements[int8](t, "INT8") }

// Int16s returns the elements of an INT16 tensor.
func (t *Tensor) Int16s() ([]int16, error) { return elements[int16](t, "INT16") }

// Int32s returns the elements of an INT32 tensor.
func (t *Tensor) Int32s() ([]int32, error) { return elements[int32](t, "INT32") }

// Int64s returns the elements of an INT64 tensor.
func (t *Tensor) Int64s() ([]int64, error) { return elements[int64](t, "INT64") }

// Float32s returns the elements of an FP32 tensor.
func (t *Tensor) Float32s() ([]float32, error) { return elements[float32](t, "FP32") }

// Float64s returns the elements of an FP64 tensor. Numbers does the same for
// every numeric type.
func (t *Tensor) Float64s() ([]float64, error) { return elements[float64](t, "FP64") }

// Numbers returns the elements of a tensor of any type but BYTES as float64: a
// BOOL is 0 or 1, and 64-bit integers beyond 2^53 are rounded.
func (t *Tensor) Numbers() ([]float64, error) {
	switch t.Datatype {
	case "BOOL":
		return numbers[uint8](t)
	case "UINT8":
		return numbers[uint8](t)
	case "UINT16":
		return numbers[uint16](t)
	case "UINT32":
		return numbers[uint32](t)
	case "UINT64":
		return numbers[uint64](t)
	case "INT8":
		return numbers[int8](t)
	case "INT16":
		return numbers[int16](t)
	case "INT32":
		return numbers[int32](t)
	case "INT64":
		return numbers[int64](t)
	case "FP32":
		return numbers[float32](t)
	case "FP64":
		return numbers[float64](t)
	case "FP16":
		return widen(t, half)
	case "BF16":
		return widen(t, func(bits uint16) float64 { return float64(math.Float32frombits(uint32(bits) << 16)) })
	}
	return nil, fmt.Errorf("tensor %q is %s, which is no number", t.Name, t.Datatype)
}

// numbers converts elements of a Go type.
func numbers[T ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int8 | ~int16 | ~int32 | ~int64 | ~float32 | ~float64](t *Tensor) ([]float64, error) {
	values, err := elements[T](t, t.Datatype)
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out, err
}

// widen converts elements of a 16-bit floating-point type.
func widen(t *Tensor, convert func(bits uint16) float64) ([]float64, error) {
	values, err := elements[uint16](t, t.Datatype)
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = convert(v)
	}
	return out, err
}

// half converts IEEE 754 binary16.
func half(bits uint16) float64 {
	sign, exponent, fraction := 1.0, int(bits>>10&0x1f), float64(bits&0x3ff)
	if bits>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 0x1f:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}
