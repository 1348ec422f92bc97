package modelfile

import (
	"io"
	"math"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/modelfile/onnx"
)

// Limits caps what looking at one file may cost.
type Limits struct {
	ONNX onnx.Limits
}

// DefaultLimits suits any model that runs on one machine.
func DefaultLimits() Limits { return Limits{ONNX: onnx.DefaultLimits()} }

// Info is what a model file says about itself.
type Info struct {
	Format    Format              `json:"format"`
	SizeBytes int64               `json:"size_bytes"`
	Signature inference.Signature `json:"signature"`

	// MemoryEstimate is what serving the model takes at the least, in bytes:
	// the file, which is held in memory, the parameters, of which a library has
	// a copy in its own layout, and the values that live at one time in one run
	// of batch size 1. What a library takes for itself, and values whose size
	// the file does not tell, are not in it.
	MemoryEstimate int64 `json:"memory_estimate_bytes"`

	ONNX *onnx.Model `json:"onnx,omitempty"` // set where Format is ONNX
}

// Inspect reads the model file of size bytes that r holds. It fails as Sniff
// and onnx.Read do, and with fault.Unsupported for a format that this version
// recognises but has no runtime for.
func Inspect(r io.ReaderAt, size int64, limits Limits) (*Info, error) {
	format, err := Sniff(r, size)
	if err != nil {
		return nil, err
	}
	if runtime := format.missingRuntime(); runtime != "" {
		return nil, fault.New(fault.Unsupported, "modelfile.inspect", "the file is %s, which needs the %s runtime, which this version lacks",
			format.Title(), runtime).WithHint("Export the model to ONNX.")
	}
	model, err := onnx.Read(r, size, limits.ONNX)
	if err != nil {
		return nil, err
	}
	return &Info{
		Format:         format,
		SizeBytes:      size,
		Signature:      model.Signature,
		MemoryEstimate: sum(size, model.ParameterBytes, model.ActivationBytes),
		ONNX:           model,
	}, nil
}

// missingRuntime is the runtime that a format needs and this version lacks, or "".
func (f Format) missingRuntime() string {
	switch f {
	case TFLite:
		return "litert"
	case OpenVINO:
		return "openvino"
	case TensorRT:
		return "tensorrt"
	case ONNX:
	}
	return ""
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
