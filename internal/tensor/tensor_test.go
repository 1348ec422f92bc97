package tensor_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"verge/internal/tensor"
)

func TestNamesOfTypes(t *testing.T) {
	for _, d := range tensor.DTypes() {
		back, err := tensor.ParseDType(d.String())
		if back != d || err != nil {
			t.Errorf("ParseDType(%s) = %s, %v", d, back, err)
		}
	}
	for _, name := range []string{"", "fp32", "FP128", "INVALID", "STRING"} {
		if d, err := tensor.ParseDType(name); err == nil {
			t.Errorf("ParseDType(%q) = %s, want an error", name, d)
		}
	}
	if got := fmt.Sprint(tensor.DType(99)); got != "DTYPE(99)" || tensor.DType(99).Size() != 0 {
		t.Errorf("an unknown type is %s with %d bytes", got, tensor.DType(99).Size())
	}
}

// Whatever the shape, its product is that of arithmetic without limits, or an error.
func TestShapeArithmeticDoesNotOverflow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dims := rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 5), rapid.Int64Range(1<<20, 1<<33))
		shape := rapid.SliceOfN(dims, 0, tensor.MaxRank+1).Draw(t, "shape")
		d := rapid.SampledFrom(tensor.DTypes()).Draw(t, "dtype")
		product, negative, zero := big.NewInt(1), false, false
		for _, n := range shape {
			negative = negative || n < 0
			if n == 0 {
				zero = true
				continue
			}
			product.Mul(product, big.NewInt(n))
		}
		fits := product.IsInt64() && product.Int64() <= math.MaxInt
		n, err := tensor.Elements(shape)
		if want := !negative && fits && len(shape) <= tensor.MaxRank; want != (err == nil) {
			t.Fatalf("Elements(%v) = %d, %v", shape, n, err)
		}
		size, sizeErr := tensor.ByteSize(d, shape)
		if err != nil {
			if sizeErr == nil {
				t.Fatalf("ByteSize(%s, %v) = %d", d, shape, size)
			}
			return
		}
		if want := product.Int64(); zero && n != 0 || !zero && int64(n) != want {
			t.Fatalf("Elements(%v) = %d, want %d", shape, n, want)
		}
		if sizeErr == nil && (d == tensor.Bytes || size/d.Size() != n) {
			t.Fatalf("ByteSize(%s, %v) = %d for %d elements", d, shape, size, n)
		}
	})
}

func TestBinaryFormOfStrings(t *testing.T) {
	data := tensor.AppendString(tensor.AppendString(nil, "ab"), []byte("c"))
	if diff := cmp.Diff([]byte("\x02\x00\x00\x00ab\x01\x00\x00\x00c"), data); diff != "" {
		t.Error(diff)
	}
	got, err := tensor.Strings(data, 2)
	if diff := cmp.Diff([][]byte{[]byte("ab"), []byte("c")}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	tests := map[string]string{
		string(data):             "<nil>",
		"":                       "0 strings, want 2",
		string(data[:6]):         "1 strings, want 2",
		string(data[:8]):         "2 bytes where the length of string 1 should be, want 4",
		string(data[:10]):        "string 1 has 1 bytes where 0 are left",
		string(data) + "x":       "1 bytes behind the last of 2 strings",
		"\xff\xff\xff\xffabcdef": "string 0 has 4294967295 bytes where 6 are left",
	}
	for in, want := range tests {
		if got := fmt.Sprint(tensor.CheckBytes([]byte(in), 2)); got != want {
			t.Errorf("CheckBytes(%x) = %s, want %s", in, got, want)
		}
	}
	if _, err := tensor.Strings(data, 1); fmt.Sprint(err) != "more than 1 strings" {
		t.Error(err)
	}
}

func TestBooleansAreZeroOrOne(t *testing.T) {
	err := tensor.CheckData(tensor.Bool, []int64{3}, []byte{0, 1, 2})
	if want := "element 2 of BOOL is the byte 2, want 0 or 1"; fmt.Sprint(err) != want {
		t.Errorf("CheckData: %v, want %s", err, want)
	}
}

func TestEveryHalfConvertsToItselfAndBack(t *testing.T) {
	for bits := range 1 << 16 {
		b := uint16(bits)
		f := tensor.Half(b)
		if f != f {
			if back := tensor.Half(tensor.ToHalf(f)); back == back {
				t.Fatalf("%#04x is NaN and comes back as %g", b, back)
			}
		} else if back := tensor.ToHalf(f); back != b {
			t.Fatalf("%#04x is %g and comes back as %#04x", b, f, back)
		}
		if g := tensor.BFloat(b); g == g && tensor.ToBFloat(g) != b {
			t.Fatalf("%#04x as BF16 is %g and comes back as %#04x", b, g, tensor.ToBFloat(g))
		}
	}
}

func TestHalvesAreTheNearest(t *testing.T) {
	for f, want := range map[float32]uint16{
		1: 0x3c00, -2: 0xc000, 65504: 0x7bff, 65519.996: 0x7bff, 65520: 0x7c00, 1e30: 0x7c00, 0x1p-24: 1, 0x1p-25: 0, 0x1.8p-25: 1, 0x1.8p-24: 2,
		1 + 0x1p-11: 0x3c00, 1 + 0x3p-11: 0x3c02, 0x1.ff8p-15: 0x03ff, 0x1.fffp-15: 0x0400, -1e-10: 0x8000,
	} {
		if got := tensor.ToHalf(f); got != want {
			t.Errorf("ToHalf(%g) = %#04x, want %#04x", f, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float32Range(-65503, 65503).Draw(t, "f")
		b := tensor.ToHalf(f)
		off := math.Abs(float64(tensor.Half(b)) - float64(f))
		for _, other := range []uint16{b - 1, b + 1} {
			if o := float64(tensor.Half(other)); math.Abs(o-float64(f)) < off {
				t.Fatalf("ToHalf(%g) = %#04x, but %#04x is nearer", f, b, other)
			}
		}
	})
	for f, want := range map[float32]uint16{1: 0x3f80, 0x1.01p0: 0x3f80, 0x1.03p0: 0x3f82, math.MaxFloat32: 0x7f80} {
		if got := tensor.ToBFloat(f); got != want {
			t.Errorf("ToBFloat(%g) = %#04x, want %#04x", f, got, want)
		}
	}
	if got := tensor.ToBFloat(math.Float32frombits(0x7fffffff)); !math.IsNaN(float64(tensor.BFloat(got))) {
		t.Errorf("NaN becomes %#04x", got)
	}
}

func floats(values ...float32) tensor.Tensor {
	x := tensor.Tensor{DType: tensor.FP32, Shape: []int64{int64(len(values))}}
	for _, v := range values {
		x.Data = binary.LittleEndian.AppendUint32(x.Data, math.Float32bits(v))
	}
	return x
}

func TestAgree(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	ints := func(values ...byte) tensor.Tensor {
		return tensor.Tensor{DType: tensor.Int8, Shape: []int64{int64(len(values))}, Data: values}
	}
	texts := func(values ...string) tensor.Tensor {
		x := tensor.Tensor{DType: tensor.Bytes, Shape: []int64{int64(len(values))}}
		for _, v := range values {
			x.Data = tensor.AppendString(x.Data, v)
		}
		return x
	}
	half := func(bits ...byte) tensor.Tensor {
		return tensor.Tensor{DType: tensor.FP16, Shape: []int64{int64(len(bits) / 2)}, Data: bits}
	}
	tests := []struct {
		want, got tensor.Tensor
		err       string
	}{
		{floats(1, 1000, nan, inf), floats(1.00005, 1000.05, nan, inf), "<nil>"},
		{floats(1e-9), floats(-1e-9), "<nil>"},
		{floats(1, 2, 3), floats(1.001, 2.1, 3.001), "element 1 is 2.0999999046325684, want 2 within 0.0001"},
		{floats(nan), floats(1), "element 0 is 1, want NaN within 0.0001"},
		{floats(inf), floats(-inf), "element 0 is -Inf, want +Inf within 0.0001"},
		{floats(3e38), floats(-3e38), "element 0 is -3.0000000054977558e+38, want 3.0000000054977558e+38 within 0.0001"},
		{half(0, 0x3c), half(0, 0x3c), "<nil>"},
		{half(0, 0x3c), half(1, 0x3c), "element 0 is 1.0009765625, want 1 within 0.0001"},
		{ints(1, 0xfe), ints(1, 0xfe), "<nil>"},
		{ints(1, 0xfe), ints(1, 0xff), "element 1 is -1, want -2"},
		{texts("a", "b"), texts("a", "b"), "<nil>"},
		{texts("a", "b"), texts("a", "c"), `element 1 is "c", want "b"`},
		{floats(1), ints(1), "type is INT8, want FP32"},
		{floats(1), floats(1, 2), "shape is [2], want [1]"},
	}
	for _, test := range tests {
		if got := fmt.Sprint(tensor.Agree(test.want, test.got, 1e-4)); got != test.err {
			t.Errorf("Agree(%s, %s) = %s, want %s", test.want.DType, test.got.DType, got, test.err)
		}
	}
}

func TestFloatsOfEveryType(t *testing.T) {
	for d, data := range map[tensor.DType][]byte{
		tensor.Bool: {1}, tensor.Uint8: {1}, tensor.Int8: {1}, tensor.Uint16: {1, 0}, tensor.Int16: {1, 0}, tensor.FP16: {0, 0x3c}, tensor.BF16: {0x80, 0x3f},
		tensor.Uint32: {1, 0, 0, 0}, tensor.Int32: {1, 0, 0, 0}, tensor.FP32: {0, 0, 0x80, 0x3f},
		tensor.Uint64: {1, 0, 0, 0, 0, 0, 0, 0}, tensor.Int64: {1, 0, 0, 0, 0, 0, 0, 0}, tensor.FP64: {0, 0, 0, 0, 0, 0, 0xf0, 0x3f},
	} {
		got, err := tensor.Floats(tensor.Tensor{DType: d, Shape: []int64{}, Data: data})
		if err != nil || len(got) != 1 || got[0] != 1 {
			t.Errorf("Floats(%s) = %v, %v; want 1", d, got, err)
		}
	}
	if _, err := tensor.Floats(tensor.Tensor{Name: "x", DType: tensor.Bytes}); fmt.Sprint(err) != `tensor "x" is BYTES, which is no number` {
		t.Error(err)
	}
	if _, err := tensor.Floats(tensor.Tensor{Name: "x", DType: tensor.FP32, Shape: []int64{2}, Data: []byte{1}}); fmt.Sprint(err) != `tensor "x" has 1 bytes, want 8 for FP32[2]` {
		t.Error(err)
	}
}
