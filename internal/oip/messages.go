package oip

import (
	"strconv"

	"verge/internal/inference"
	"verge/internal/tensor"
)

// HeaderLength is the HTTP header that tells how long the JSON part of a message
// is, where binary tensors follow it. Value 0 marks a raw request.
const HeaderLength = "Inference-Header-Content-Length"

// Extensions returns the names of the protocol extensions that this package implements
// (schedule_policy by its timeout; priorities are read, and all the same, as
// they are for a model without priority levels).
func Extensions() []string {
	return []string{"binary_tensor_data", "classification", "model_configuration", "parameters", "schedule_policy"}
}

// ErrorBody is the body of every error.
type ErrorBody struct {
	Error string `json:"error"`
}

// ServerMetadata is the answer to GET /v2.
type ServerMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// ModelMetadata is the answer to GET /v2/models/{m}.
type ModelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []TensorMetadata `json:"inputs"`
	Outputs  []TensorMetadata `json:"outputs"`
}

// TensorMetadata is one input or output of a model.
type TensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"` // -1 is a dynamic dimension
}

// NewModelMetadata describes the version of a model that serves.
func NewModelMetadata(model string, version int, runtime string, g inference.Signature) ModelMetadata {
	return ModelMetadata{
		Name: model, Versions: []string{strconv.Itoa(version)}, Platform: Platform(runtime),
		Inputs: tensorMetadata(g.Inputs), Outputs: tensorMetadata(g.Outputs),
	}
}

func tensorMetadata(specs []inference.Spec) []TensorMetadata {
	all := make([]TensorMetadata, len(specs))
	for i, s := range specs {
		all[i] = TensorMetadata{Name: s.Name, Datatype: s.DType.String(), Shape: append([]int64{}, s.Shape...)}
	}
	return all
}

// Platform returns the protocol's name of what runs a model, from the name of its
// runtime. Clients know Triton's names; a runtime that Triton lacks keeps its own.
func Platform(runtime string) string {
	switch runtime {
	case "onnxruntime":
		return "onnxruntime_onnx"
	case "tensorrt":
		return "tensorrt_plan"
	}
	return runtime
}

// ModelConfig is the answer to GET /v2/models/{m}/config: what perf_analyzer needs
// of Triton's ModelConfig.
type ModelConfig struct {
	Name         string         `json:"name"`
	Platform     string         `json:"platform"`
	Backend      string         `json:"backend"`
	MaxBatchSize int            `json:"max_batch_size"` // 0: the shapes are whole, without a batch dimension before them
	Input        []TensorConfig `json:"input"`
	Output       []TensorConfig `json:"output"`
}

// TensorConfig is one input or output in a ModelConfig.
type TensorConfig struct {
	Name     string  `json:"name"`
	DataType string  `json:"data_type"` // "TYPE_FP32"; BYTES is "TYPE_STRING"
	Dims     []int64 `json:"dims"`      // without the batch dimension
}

// NewModelConfig describes a model. Where every input and output has a dynamic
// first dimension, that is the batch, and maxBatch the largest one that a request
// may have; else there is none, and maxBatch means nothing.
func NewModelConfig(model, runtime string, maxBatch int, g inference.Signature) ModelConfig {
	c := ModelConfig{Name: model, Platform: Platform(runtime), Backend: runtime}
	skip := 0
	if Batched(g) && maxBatch > 0 {
		c.MaxBatchSize, skip = maxBatch, 1
	}
	c.Input, c.Output = tensorConfig(g.Inputs, skip), tensorConfig(g.Outputs, skip)
	return c
}

// Batched reports whether the first dimension of every input and output is
// dynamic, which makes it the batch.
func Batched(g inference.Signature) bool {
	for _, specs := range [][]inference.Spec{g.Inputs, g.Outputs} {
		for _, s := range specs {
			if len(s.Shape) == 0 || s.Shape[0] >= 0 {
				return false
			}
		}
	}
	return len(g.Inputs) > 0
}

func tensorConfig(specs []inference.Spec, skip int) []TensorConfig {
	all := make([]TensorConfig, len(specs))
	for i, s := range specs {
		name := "TYPE_" + s.DType.String()
		if s.DType == tensor.Bytes {
			name = "TYPE_STRING"
		}
		all[i] = TensorConfig{Name: s.Name, DataType: name, Dims: append([]int64{}, s.Shape[skip:]...)}
	}
	return all
}
