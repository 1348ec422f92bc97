package modelfile

import (
	"io"
	"math"

	"verge/internal/inference"
	"verge/internal/modelfile/onnx"
	"verge/internal/modelfile/openvino"
	"verge/internal/modelfile/tensorrt"
	"verge/internal/modelfile/tflite"
)

// Limits caps what looking at one file may cost.
type Limits struct {
	ONNX     onnx.Limits
	TFLite   tflite.Limits
	OpenVINO openvino.Limits
	TensorRT tensorrt.Limits
}

// DefaultLimits suits any model that runs on one machine.
func DefaultLimits() Limits {
	return Limits{ONNX: onnx.DefaultLimits(), TFLite: tflite.DefaultLimits(), OpenVINO: openvino.DefaultLimits(), TensorRT: tensorrt.DefaultLimits()}
}

// File is a model as it lies on disk or in memory.
type File struct {
	Bytes   io.ReaderAt
	Size    int64
	Weights int64 // size of the second file that an OpenVINO model has, its .bin; 0 where there is none
}

// Info is what a model file says about itself.
type Info struct {
	Format    Format              `json:"format"`
	SizeBytes int64               `json:"size_bytes"` // of the file, and of the .bin beside it
	Signature inference.Signature `json:"signature"`  // empty for a TensorRT engine

	// MemoryEstimate is what serving the model takes at the least, in bytes:
	// the file, which is held in memory, the parameters, of which a library has
	// a copy in its own layout, and the values that live at one time in one run
	// of batch size 1. What a library takes for itself, and values whose size
	// the file does not tell, are not in it.
	MemoryEstimate int64 `json:"memory_estimate_bytes"`

	// The one that Format says is set.
	ONNX     *onnx.Model     `json:"onnx,omitempty"`
	TFLite   *tflite.Model   `json:"tflite,omitempty"`
	OpenVINO *openvino.Model `json:"openvino,omitempty"`
	TensorRT *tensorrt.Model `json:"tensorrt,omitempty"`
}

// Inspect reads a model file. It fails as Sniff and the Read of the format's
// package do. The signature of a TensorRT engine is empty: only the library can
// read it.
func Inspect(file File, limits Limits) (*Info, error) {
	format, err := Sniff(file.Bytes, file.Size)
	if err != nil {
		return nil, err
	}
	info := &Info{Format: format, SizeBytes: sum(file.Size, file.Weights)}
	switch format {
	case ONNX:
		if info.ONNX, err = onnx.Read(file.Bytes, file.Size, limits.ONNX); err != nil {
			return nil, err
		}
		m := info.ONNX
		info.Signature, info.MemoryEstimate = m.Signature, sum(file.Size, m.ParameterBytes, m.ActivationBytes)
	case TFLite:
		if info.TFLite, err = tflite.Read(file.Bytes, file.Size, limits.TFLite); err != nil {
			return nil, err
		}
		m := info.TFLite
		info.Signature, info.MemoryEstimate = m.Signature, sum(file.Size, m.ParameterBytes, m.ActivationBytes)
	case OpenVINO:
		weights := file.Weights
		if weights == 0 {
			weights = -1 // there is none
		}
		if info.OpenVINO, err = openvino.Read(file.Bytes, file.Size, weights, limits.OpenVINO); err != nil {
			return nil, err
		}
		m := info.OpenVINO
		info.Signature, info.MemoryEstimate = m.Signature, sum(info.SizeBytes, m.ParameterBytes, m.ConvertedBytes, m.ActivationBytes)
	case TensorRT:
		if info.TensorRT, err = tensorrt.Read(file.Bytes, file.Size, limits.TensorRT); err != nil {
			return nil, err
		}
		info.MemoryEstimate = sum(file.Size, info.TensorRT.EngineBytes)
	}
	return info, nil
}

// sum adds sizes, none of which is negative; it stops at the highest int64.
func sum(sizes ...int64) int64 {
	total := int64(0)
	for _, n := range sizes {
		if n > math.MaxInt64-total {
			return math.MaxInt64
		}
		total += n
	}
	return total
}
