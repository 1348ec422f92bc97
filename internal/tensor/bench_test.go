package tensor_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"verge/internal/tensor"
)

// picture is a tensor of one picture as a client sends it, and its JSON data.
func picture() (tensor.Tensor, []byte) {
	source := rand.New(rand.NewPCG(1, 2))
	t := tensor.Tensor{DType: tensor.FP32, Shape: []int64{1, 3, 224, 224}}
	values := make([]float32, 3*224*224)
	for i := range values {
		values[i] = source.Float32()
	}
	text, err := json.Marshal(values)
	if err != nil {
		panic(err) // no such number is drawn
	}
	t.Data = make([]byte, 4*len(values))
	if err := tensor.DecodeJSON(t.Data, t.DType, t.Shape, text); err != nil {
		panic(err)
	}
	return t, text
}

func BenchmarkDecodeJSON(b *testing.B) {
	t, text := picture()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := tensor.DecodeJSON(t.Data, t.DType, t.Shape, text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeEncodingJSON is the same by the standard library.
func BenchmarkDecodeEncodingJSON(b *testing.B) {
	_, text := picture()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var values []float32
	for b.Loop() {
		values = values[:0]
		if err := json.Unmarshal(text, &values); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	t, text := picture()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var out []byte
	for b.Loop() {
		var err error
		if out, err = tensor.AppendJSON(out[:0], t); err != nil {
			b.Fatal(err)
		}
	}
}
