package inferencetest

import (
	"archive/zip"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"testing"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
)

// ONNX returns the suite's models in ONNX, and the digits example with the answer
// that PyTorch gave. The caller sets Open.
func ONNX(tb testing.TB) Suite {
	tb.Helper()
	identity := map[tensor.DType][]byte{}
	for _, d := range tensor.DTypes() {
		identity[d] = onnxmodel.Identity(d, "n")
	}
	return Suite{
		Identity: identity,
		Scalar:   onnxmodel.Identity(tensor.FP32),
		Join:     onnxmodel.Join(),
		JoinSpec: inference.Signature{
			Inputs: []inference.Spec{
				{Name: "a", DType: tensor.FP32, Shape: []int64{-1, 2}, Symbols: []string{"n", ""}},
				{Name: "b", DType: tensor.FP32, Shape: []int64{-1, 3}, Symbols: []string{"n", ""}},
			},
			Outputs: []inference.Spec{
				{Name: "joined", DType: tensor.FP32, Shape: []int64{-1, 5}, Symbols: []string{"n", ""}},
				{Name: "count", DType: tensor.Int64, Shape: []int64{2}},
			},
		},
		NonZero: onnxmodel.NonZero(),
		Repeat:  onnxmodel.Repeat(),
		Lookup:  onnxmodel.Lookup(),
		Narrow:  narrowONNX(),
		Loop:    onnxmodel.Loop(),
		Weights: onnxmodel.Weights(4 << 20),
		Unknown: onnxmodel.Unknown(),
		Known:   Digits(tb),
	}
}

// Digits returns the model of examples/digits with ten of its held-out pictures.
func Digits(tb testing.TB) *Known {
	tb.Helper()
	directory := filepath.Join(Root(tb), "examples", "digits")
	data, err := os.ReadFile(filepath.Join(directory, "digits.onnx"))
	if err != nil {
		tb.Fatal(err)
	}
	golden, err := zip.OpenReader(filepath.Join(directory, "golden.npz"))
	if err != nil {
		tb.Fatal(err)
	}
	defer golden.Close()
	return &Known{
		Model:     data,
		Inputs:    []tensor.Tensor{floats(tb, golden, "image", 10, 1, 8, 8)},
		Want:      []tensor.Tensor{floats(tb, golden, "probabilities", 10, 10)},
		Tolerance: 1e-4,
	}
}

// floats reads an array of FP32 whose shape is known.
func floats(tb testing.TB, archive *zip.ReadCloser, name string, shape ...int64) tensor.Tensor {
	tb.Helper()
	file, err := archive.Open(name + ".npy")
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		tb.Fatal(err)
	}
	begin := 10 + int(binary.LittleEndian.Uint16(data[8:])) // behind the header
	size, err := tensor.ByteSize(tensor.FP32, shape)
	if err != nil || len(data)-begin != size {
		tb.Fatalf("%s has %d bytes, want %d (%v)", name, len(data)-begin, size, err)
	}
	return tensor.Tensor{Name: name, DType: tensor.FP32, Shape: shape, Data: data[begin:]}
}
