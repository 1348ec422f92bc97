package tensor_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"verge/internal/tensor"
)

// decode makes the memory that JSONSize asks for, and decodes into it.
func decode(d tensor.DType, shape []int64, raw string) ([]byte, error) {
	n, err := tensor.JSONSize(d, shape, []byte(raw))
	if err != nil {
		return nil, err
	}
	dst := make([]byte, n)
	return dst, tensor.DecodeJSON(dst, d, shape, []byte(raw))
}

func TestDataIsTakenFlatOrNested(t *testing.T) {
	tests := []struct {
		shape []int64
		raw   string
		want  []byte
	}{
		{[]int64{4}, "[1,2,3,4]", []byte{1, 2, 3, 4}},
		{[]int64{2, 2}, "[1,2,3,4]", []byte{1, 2, 3, 4}},
		{[]int64{2, 2}, " [ [ 1 , 2 ] , [ 3 , 4 ] ] ", []byte{1, 2, 3, 4}},
		{[]int64{1, 2, 2}, "[[[1,2],[3,4]]]", []byte{1, 2, 3, 4}},
		{[]int64{}, "7", []byte{7}},
		{[]int64{}, "[7]", []byte{7}},
		{[]int64{0}, "[]", []byte{}},
		{[]int64{0, 4}, "[]", []byte{}},
		{[]int64{2, 0}, "[[],[]]", []byte{}},
		{[]int64{2, 0}, "[]", []byte{}},
		{[]int64{3}, "[5.0,1e1,50e-1]", []byte{5, 10, 5}},
	}
	for _, test := range tests {
		got, err := decode(tensor.Uint8, test.shape, test.raw)
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%v from %s: %v\n%s", test.shape, test.raw, err, diff)
		}
	}
}

func TestDataOfAnotherFormIsRefusedByName(t *testing.T) {
	tests := []struct {
		d     tensor.DType
		shape []int64
		raw   string
		want  string
	}{
		{tensor.FP32, []int64{2, 2}, "[1,2,3]", "data has 3 elements, want 4 for FP32[2,2]"},
		{tensor.FP32, []int64{2, 2}, "[1,2,3,4,5,6]", "data has 6 elements, want 4 for FP32[2,2]"},
		{tensor.FP32, []int64{2, 2}, "[]", "data has 0 elements, want 4 for FP32[2,2]"},
		{tensor.FP32, []int64{2}, "[1]", "data has 1 elements, want 2 for FP32[2]"},
		{tensor.FP32, []int64{}, "[1,2]", "data has 2 elements, want 1 for FP32[]"},
		{tensor.FP32, []int64{2, 2}, "[[1,2],[3]]", "data[1] has 1 elements, want 2 for FP32[2,2]"},
		{tensor.FP32, []int64{2, 2}, "[[1,2,9],[3,4]]", "data[0] has 3 elements, want 2 for FP32[2,2]"},
		{tensor.FP32, []int64{2, 2}, "[[1,2]]", "data has 1 elements, want 2 for FP32[2,2]"},
		{tensor.FP32, []int64{2, 2}, "[[1,2],[3,4],[5,6]]", "data has 3 elements, want 2 for FP32[2,2]"},
		{tensor.FP32, []int64{2, 2}, "[[1,2],3]", "data[1] is a number, want an array"},
		{tensor.FP32, []int64{2, 2}, "[1,2,[3],4]", "element 2 of FP32[2,2]: an array, want a number"},
		{tensor.FP32, []int64{2, 2}, "[[[1],2],[3,4]]", "element 0 of FP32[2,2]: an array, want a number"},
		{tensor.FP32, []int64{2}, "{}", "data is an object, want an array"},
		{tensor.FP32, []int64{2}, "[1,null]", "element 1 of FP32[2]: null, want a number"},
		{tensor.FP32, []int64{1}, "[1e40]", "element 0 of FP32[1]: 1e40 is too large for 32 bits of floating point"},
		{tensor.FP32, []int64{1}, "[NaN]", "element 0 of FP32[1]: 'N', want a number"},
		{tensor.FP32, []int64{1}, "[1] 2", "data: byte 4: '2' behind the end of the document"},
		{tensor.FP32, []int64{2}, "[1", "data: byte 2: the end of the text, want ',' or ']'"},
		{tensor.Uint8, []int64{1}, "[300]", "element 0 of UINT8[1]: 300 is outside 0 to 255"},
		{tensor.Uint32, []int64{1}, "[-1]", "element 0 of UINT32[1]: -1 is outside 0 to 4294967295"},
		{tensor.Int32, []int64{2}, "[1,1.5]", "element 1 of INT32[2]: 1.5 is not a whole number"},
		{tensor.Int32, []int64{1}, `["5"]`, "element 0 of INT32[1]: a string, want a number"},
		{tensor.Bool, []int64{1}, "[1]", "element 0 of BOOL[1]: a number, want true or false"},
		{tensor.Bytes, []int64{2}, `["a",5]`, "element 1 of BYTES[2]: a number, want a string"},
		{tensor.Bytes, []int64{3}, `["a"]`, "data has 1 elements, want 3 for BYTES[3]"},
		{tensor.FP16, []int64{1}, "[1]", "FP16 has no JSON form, only a binary one"},
		{tensor.BF16, []int64{1}, "[1]", "BF16 has no JSON form, only a binary one"},
		{tensor.FP32, []int64{1 << 40, 1 << 40}, "[1]", "shape [1099511627776 1099511627776] overflows"},
	}
	for _, test := range tests {
		if _, err := decode(test.d, test.shape, test.raw); fmt.Sprint(err) != test.want {
			t.Errorf("%s%v from %s:\n got %v\nwant %s", test.d, test.shape, test.raw, err, test.want)
		}
	}
	if err := tensor.DecodeJSON(make([]byte, 3), tensor.FP32, []int64{1}, []byte("[1]")); fmt.Sprint(err) != "memory of 3 bytes, want 4 for FP32[1]" {
		t.Error(err)
	}
	if err := tensor.DecodeJSON(make([]byte, 5), tensor.Bytes, []int64{2}, []byte(`["a","b"]`)); fmt.Sprint(err) != "element 1 of BYTES[2]: strings of more than 5 bytes" {
		t.Error(err)
	}
}

func TestEveryTypeHasItsBytes(t *testing.T) {
	tests := map[tensor.DType][2]string{ // JSON, bytes
		tensor.Bool:   {"[true,false]", "\x01\x00"},
		tensor.Uint8:  {"[255,0]", "\xff\x00"},
		tensor.Uint16: {"[65535,1]", "\xff\xff\x01\x00"},
		tensor.Uint32: {"[4294967295,1]", "\xff\xff\xff\xff\x01\x00\x00\x00"},
		tensor.Uint64: {"[18446744073709551615,9007199254740993]", "\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x20\x00"},
		tensor.Int8:   {"[-128,127]", "\x80\x7f"},
		tensor.Int16:  {"[-2,1]", "\xfe\xff\x01\x00"},
		tensor.Int32:  {"[-2,1]", "\xfe\xff\xff\xff\x01\x00\x00\x00"},
		tensor.Int64:  {"[-9223372036854775808,-1]", "\x00\x00\x00\x00\x00\x00\x00\x80\xff\xff\xff\xff\xff\xff\xff\xff"},
		tensor.FP32:   {"[1.5,-0.0]", "\x00\x00\xc0\x3f\x00\x00\x00\x80"},
		tensor.FP64:   {"[1.5,-0.1]", "\x00\x00\x00\x00\x00\x00\xf8\x3f\x9a\x99\x99\x99\x99\x99\xb9\xbf"},
		tensor.Bytes:  {`["ab","c"]`, "\x02\x00\x00\x00ab\x01\x00\x00\x00c"},
	}
	for d, test := range tests {
		got, err := decode(d, []int64{2}, test[0])
		if err != nil || string(got) != test[1] {
			t.Errorf("%s from %s = %x, %v; want %x", d, test[0], got, err, test[1])
		}
		text, err := tensor.AppendJSON([]byte("x"), tensor.Tensor{DType: d, Shape: []int64{2}, Data: []byte(test[1])})
		if err != nil || string(text) != "x"+test[0] {
			t.Errorf("AppendJSON(%s) = %s, %v; want x%s", d, text, err, test[0])
		}
	}
}

func TestWhatJSONCannotSayIsRefused(t *testing.T) {
	float := func(f float64) []byte { return binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(f))) }
	tests := []struct {
		t    tensor.Tensor
		want string
	}{
		{tensor.Tensor{DType: tensor.FP32, Shape: []int64{2}, Data: append(float(1), float(math.NaN())...)}, "element 1 is NaN, which JSON cannot say"},
		{tensor.Tensor{DType: tensor.FP32, Shape: []int64{}, Data: float(math.Inf(-1))}, "element 0 is -Inf, which JSON cannot say"},
		{tensor.Tensor{DType: tensor.FP16, Shape: []int64{1}, Data: []byte{0, 0}}, "FP16 has no JSON form, only a binary one"},
		{tensor.Tensor{DType: tensor.Bytes, Shape: []int64{1}, Data: tensor.AppendString(nil, "\xff")}, "element 0 is not UTF-8, which JSON cannot say"},
		{tensor.Tensor{DType: tensor.Bytes, Shape: []int64{2}, Data: tensor.AppendString(nil, "a")}, "1 strings, want 2"},
		{tensor.Tensor{DType: tensor.Int16, Shape: []int64{2}, Data: []byte{1}}, "1 bytes, want 4 for INT16[2]"},
	}
	for _, test := range tests {
		out, err := tensor.AppendJSON([]byte("x"), test.t)
		if fmt.Sprint(err) != test.want || string(out) != "x" {
			t.Errorf("AppendJSON: %q, %v; want x, %s", out, err, test.want)
		}
	}
}

// drawTensor draws a tensor of a type that has a JSON form.
func drawTensor(t *rapid.T) tensor.Tensor {
	types := []tensor.DType{
		tensor.Bool, tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64, tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64,
		tensor.FP32, tensor.FP64, tensor.Bytes,
	}
	x := tensor.Tensor{DType: rapid.SampledFrom(types).Draw(t, "dtype")}
	x.Shape = rapid.SliceOfN(rapid.Int64Range(0, 3), 0, 4).Draw(t, "shape")
	n, err := tensor.Elements(x.Shape)
	if err != nil {
		t.Fatal(err)
	}
	x.Data = []byte{}
	for range n {
		switch x.DType {
		case tensor.Bytes:
			x.Data = tensor.AppendString(x.Data, rapid.String().Draw(t, "s"))
		case tensor.Bool:
			x.Data = append(x.Data, rapid.ByteRange(0, 1).Draw(t, "b"))
		case tensor.FP32:
			x.Data = binary.LittleEndian.AppendUint32(x.Data, math.Float32bits(rapid.Float32().Draw(t, "f")))
		case tensor.FP64:
			x.Data = binary.LittleEndian.AppendUint64(x.Data, math.Float64bits(rapid.Float64().Draw(t, "f")))
		default:
			x.Data = append(x.Data, rapid.SliceOfN(rapid.Byte(), x.DType.Size(), x.DType.Size()).Draw(t, "n")...)
		}
	}
	return x
}

// nest turns flat JSON data into nested data of that shape.
func nest(values []json.RawMessage, shape []int64) any {
	if len(shape) == 0 {
		return values[0]
	}
	all := make([]any, shape[0])
	for i := range all {
		part := len(values) / len(all)
		all[i] = nest(values[i*part:(i+1)*part], shape[1:])
	}
	return all
}

func TestWhatIsWrittenAsJSONReadsBackFlatAndNested(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawTensor(t)
		text, err := tensor.AppendJSON(nil, want)
		if err != nil {
			t.Skip(err)
		}
		if !json.Valid(text) {
			t.Fatalf("AppendJSON wrote %s", text)
		}
		got, err := decode(want.DType, want.Shape, string(text))
		if err != nil || string(got) != string(want.Data) {
			t.Fatalf("%s%v as %s reads back as %x, %v; want %x", want.DType, want.Shape, text, got, err, want.Data)
		}
		var flat []json.RawMessage
		if err = json.Unmarshal(text, &flat); err != nil {
			t.Fatal(err)
		}
		nested, err := json.Marshal(nest(flat, want.Shape))
		if err != nil {
			t.Fatal(err)
		}
		got, err = decode(want.DType, want.Shape, string(nested))
		if err != nil || string(got) != string(want.Data) {
			t.Fatalf("%s%v as %s reads back as %x, %v; want %x", want.DType, want.Shape, nested, got, err, want.Data)
		}
	})
}

// FuzzDecodeJSON: whatever the bytes, nothing is read or written out of bounds, and
// what is taken reads back the same.
func FuzzDecodeJSON(f *testing.F) {
	for _, raw := range []string{"[1,2,3,4]", "[[1,2],[3,4]]", "[[1.5e3,-0],[3,9007199254740993]]", "[true,false,true,true]", `["a","\u00e9","",""]`, "[]", "7", "[[],[]]", "[null]"} {
		for _, d := range tensor.DTypes() {
			f.Add(uint8(d), int64(2), int64(2), []byte(raw))
		}
	}
	f.Fuzz(func(t *testing.T, dtype uint8, rows, columns int64, raw []byte) {
		d, shape := tensor.DType(dtype), []int64{rows, columns}
		if n, err := tensor.Elements(shape); err == nil && n > 1<<16 {
			return
		}
		got, err := decode(d, shape, string(raw))
		if err != nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("takes %q, which is not JSON", raw)
		}
		text, err := tensor.AppendJSON(nil, tensor.Tensor{DType: d, Shape: shape, Data: got})
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(d, shape, string(text))
		if err != nil || string(again) != string(got) {
			t.Fatalf("%q reads as %x, and written as %q it reads as %x, %v", raw, got, text, again, err)
		}
	})
}
