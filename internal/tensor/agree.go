package tensor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"verge/internal/fault"
)

// Floats returns the elements of t as float64. BOOL is 0 or 1; integers beyond
// 2^53 are rounded. It fails for Bytes, and where t's parts do not fit each other.
func Floats(t Tensor) ([]float64, error) {
	if t.DType == Bytes {
		return nil, fmt.Errorf("tensor %q is BYTES, which is no number", t.Name)
	}
	want, err := ByteSize(t.DType, t.Shape)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if len(t.Data) != want {
		return nil, fmt.Errorf("tensor %q has %d bytes, want %d for %s%s", t.Name, len(t.Data), want, t.DType, formatShape(t.Shape))
	}
	size := t.DType.Size()
	out := make([]float64, want/size)
	for i := range out {
		out[i] = number(t.DType, t.Data[i*size:(i+1)*size])
	}
	return out, nil
}

// number returns one element of any type but Bytes.
func number(d DType, v []byte) float64 {
	switch d {
	case FP16:
		return float64(Half(binary.LittleEndian.Uint16(v)))
	case BF16:
		return float64(BFloat(binary.LittleEndian.Uint16(v)))
	case FP32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(v)))
	case FP64:
		return math.Float64frombits(binary.LittleEndian.Uint64(v))
	case Int8, Int16, Int32, Int64:
		return float64(signed(v))
	default:
		return float64(unsigned(v))
	}
}

// Agree says why got is not want, or nil. Types and shapes must be the same. Two
// floating-point numbers agree when they differ by at most tolerance × max(1, |want|,
// |got|), when both are NaN, and when both are the same infinity; elements of other
// types agree when they are equal. The error names the element that is furthest
// off, and both values. Names are not compared.
func Agree(want, got Tensor, tolerance float64) error {
	if want.DType != got.DType {
		return fmt.Errorf("type is %s, want %s", got.DType, want.DType)
	}
	if !slices.Equal(want.Shape, got.Shape) {
		return fmt.Errorf("shape is %s, want %s", formatShape(got.Shape), formatShape(want.Shape))
	}
	switch want.DType {
	case FP16, BF16, FP32, FP64:
		return agreeFloats(want, got, tolerance)
	case Bytes:
		return agreeStrings(want, got)
	default:
	}
	if err := sameSize(want, got); err != nil {
		return err
	}
	size := max(want.DType.Size(), 1)
	for i := 0; i+size <= len(want.Data); i += size {
		w, g := want.Data[i:i+size], got.Data[i:i+size]
		if bytes.Equal(w, g) {
			continue
		}
		if d := want.DType; d == Int8 || d == Int16 || d == Int32 || d == Int64 {
			return fmt.Errorf("element %d is %d, want %d", i/size, signed(g), signed(w))
		}
		return fmt.Errorf("element %d is %d, want %d", i/size, unsigned(g), unsigned(w))
	}
	return nil
}

func sameSize(want, got Tensor) error {
	if len(want.Data) != len(got.Data) {
		return fmt.Errorf("%d bytes of data, want %d", len(got.Data), len(want.Data))
	}
	return nil
}

func agreeFloats(want, got Tensor, tolerance float64) error {
	if err := sameSize(want, got); err != nil {
		return err
	}
	size, d := want.DType.Size(), want.DType
	worst, at := 0.0, -1
	for i := range len(want.Data) / size {
		excess := differ(number(d, want.Data[i*size:]), number(d, got.Data[i*size:])) - tolerance
		if excess > 0 && (at < 0 || excess > worst) {
			worst, at = excess, i
		}
	}
	if at < 0 {
		return nil
	}
	return fmt.Errorf("element %d is %g, want %g within %g", at, number(d, got.Data[at*size:]), number(d, want.Data[at*size:]), tolerance)
}

// differ returns the difference of two numbers in units of max(1, |w|, |g|).
func differ(w, g float64) float64 {
	switch {
	case w == g, math.IsNaN(w) && math.IsNaN(g):
		return 0
	case math.IsNaN(w), math.IsNaN(g), math.IsInf(w, 0), math.IsInf(g, 0):
		return math.Inf(1)
	}
	scale := max(1, math.Abs(w), math.Abs(g))
	return math.Abs(w/scale - g/scale)
}

func agreeStrings(want, got Tensor) error {
	w, err := Strings(want.Data, len(want.Data))
	if err != nil {
		return fmt.Errorf("wanted data: %w", err)
	}
	g, err := Strings(got.Data, len(got.Data))
	if err != nil {
		return err
	}
	if len(w) != len(g) {
		return fmt.Errorf("%d strings, want %d", len(g), len(w))
	}
	for i := range w {
		if !bytes.Equal(w[i], g[i]) {
			return fmt.Errorf("element %d is %q, want %q", i, fault.Clip(string(g[i])), fault.Clip(string(w[i])))
		}
	}
	return nil
}
