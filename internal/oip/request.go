package oip

import (
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// Request is an inference request whose JSON part was read. It is not yet held
// against a model.
type Request struct {
	ID       string        // comes back in the answer; see HasID
	HasID    bool          // the request had an id, if only an empty one
	Timeout  time.Duration // how long it may take; 0 leaves it to the server
	Priority uint64        // 0 is the default; nothing is done with it
	Inputs   []RequestInput
	Outputs  []RequestOutput // none means all

	binaryOutput bool // outputs that do not say otherwise are binary
	raw          bool // the whole body is the data of the one input
	limits       Limits
}

// RequestInput is one input that a request lists.
type RequestInput struct {
	Name   string
	DType  tensor.DType
	Shape  []int64
	Data   []byte // its data: JSON, part of the text that was parsed; nil where it is binary
	Binary bool   // its data follows the JSON part
	Size   int    // binary_data_size, where it is binary
}

// RequestOutput is one output that a request asks for.
type RequestOutput struct {
	Name    string
	Binary  bool // data behind the JSON part of the answer, not in it
	Classes int  // over 0: so many classes instead of the tensor

	said bool // the output itself says whether it is binary
}

// ParseRequest reads the JSON part of a request, which is all of it where no
// binary tensors follow. The request keeps parts of text, which must not change
// until its data were decoded.
func ParseRequest(text []byte, limits Limits) (*Request, error) {
	if len(text) > limits.JSONBytes {
		return nil, fault.New(fault.TooLarge, opParse, "the JSON part has %d bytes, the limit is %d", len(text), limits.JSONBytes).
			WithHint("Send tensors as binary data.")
	}
	p := parser{limits: limits, request: &Request{limits: limits}}
	p.s.Reset(text)
	if err := p.parse(); err != nil {
		return nil, err
	}
	return p.request, nil
}

// RawRequest makes the request of a body without a JSON part (its header says 0):
// size bytes that are the data of the only input of the model, whose shape must
// follow from them. A dynamic first dimension beside another dynamic one is 1. The
// input of a model of strings has one element, which is the body as it is. Every
// output is to be binary.
func RawRequest(g inference.Signature, size int, limits Limits) (*Request, error) {
	if len(g.Inputs) != 1 {
		return nil, invalid("raw request: the model has %d inputs, a raw request needs a model with one", len(g.Inputs)).
			WithHint("Send a JSON part that describes the inputs.")
	}
	spec := g.Inputs[0]
	shape, err := rawShape(spec, size)
	if err != nil {
		return nil, err
	}
	in := RequestInput{Name: spec.Name, DType: spec.DType, Shape: shape, Binary: true, Size: size}
	return &Request{Inputs: []RequestInput{in}, binaryOutput: true, raw: true, limits: limits}, nil
}

// rawShape returns the shape that size bytes have.
func rawShape(spec inference.Spec, size int) ([]int64, error) {
	shape := append([]int64{}, spec.Shape...)
	dynamic := dynamicDims(shape)
	if len(dynamic) > 1 && dynamic[0] == 0 || spec.DType == tensor.Bytes {
		for _, i := range dynamic {
			shape[i] = 1
			if spec.DType != tensor.Bytes {
				break
			}
		}
		dynamic = dynamicDims(shape)
	}
	if len(dynamic) > 1 {
		return nil, invalid("raw request: input %q has shape %s, of which only one dimension can follow from the size of the body",
			spec.Name, inference.FormatShape(spec.Shape)).WithHint("Send a JSON part that describes the inputs.")
	}
	if len(dynamic) == 1 {
		shape[dynamic[0]] = 1
	}
	n, err := tensor.Elements(shape)
	if err != nil {
		return nil, invalid("raw request: input %q: %w", spec.Name, err)
	}
	if spec.DType == tensor.Bytes {
		if n != 1 {
			return nil, invalid("raw request: input %q has shape %s, the body is one string", spec.Name, inference.FormatShape(spec.Shape))
		}
		return shape, nil
	}
	unit, err := tensor.ByteSize(spec.DType, shape)
	if err != nil {
		return nil, invalid("raw request: input %q: %w", spec.Name, err)
	}
	switch {
	case len(dynamic) == 1 && unit > 0 && size%unit == 0:
		shape[dynamic[0]] = int64(size / unit)
	case len(dynamic) == 1 && unit > 0:
		return nil, invalid("raw request: input %q has %d bytes, want a multiple of %d for %s", spec.Name, size, unit, spec)
	case size != unit:
		return nil, invalid("raw request: input %q has %d bytes, want %d for %s", spec.Name, size, unit, spec)
	}
	return shape, nil
}

func dynamicDims(shape []int64) (dims []int) {
	for i, d := range shape {
		if d < 0 {
			dims = append(dims, i)
		}
	}
	return dims
}

// invalid is the error of a request that is wrong.
func invalid(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, opParse, format, args...)
}

const (
	opParse  = "oip.parse"
	opMatch  = "oip.match"
	opAnswer = "oip.answer"
)
