package client

import (
	"encoding/json"
	"fmt"
	"strconv"

	"verge/internal/tensor"
)

const (
	maxOutputs  = 256  // of one answer
	knownModels = 1024 // whose metadata are kept
)

// wireAnswer is the JSON part of an answer.
type wireAnswer struct {
	ModelName    string             `json:"model_name"`
	ModelVersion string             `json:"model_version"`
	ID           string             `json:"id"`
	Outputs      []wireAnswerTensor `json:"outputs"`
}

type wireAnswerTensor struct {
	Name       string  `json:"name"`
	Shape      []int64 `json:"shape"`
	Datatype   string  `json:"datatype"`
	Parameters struct {
		BinaryDataSize *json.Number `json:"binary_data_size"`
	} `json:"parameters"`
	Data json.RawMessage `json:"data"`
}

// decodeAnswer reads the body of an answer. lengths are the values of the
// header that tells where its JSON ends. Every size in it is checked against
// the bytes that are there; nothing is allocated for a size that is claimed.
func decodeAnswer(body []byte, lengths []string) (*InferResponse, error) {
	text, rest := body, []byte(nil)
	if len(lengths) > 0 {
		n, err := strconv.ParseUint(lengths[0], 10, 63)
		if err != nil || len(lengths) > 1 || n > uint64(len(body)) {
			return nil, fmt.Errorf("header %s is %q for a body of %d bytes", headerLength, lengths, len(body))
		}
		text, rest = body[:n], body[n:]
	}
	var wire wireAnswer
	if err := json.Unmarshal(text, &wire); err != nil {
		return nil, fmt.Errorf("its JSON: %w", err)
	}
	if len(wire.Outputs) > maxOutputs {
		return nil, fmt.Errorf("%d outputs, at most %d are taken", len(wire.Outputs), maxOutputs)
	}
	answer := &InferResponse{Model: wire.ModelName, Version: wire.ModelVersion, ID: wire.ID, Outputs: make([]Tensor, len(wire.Outputs))}
	for i := range wire.Outputs {
		out := &wire.Outputs[i]
		if answer.Output(out.Name) != nil || out.Name == "" {
			return nil, fmt.Errorf("output %d has the name %.128q, which is empty or taken", i, out.Name)
		}
		data, left, err := takeData(out, rest)
		if err == nil {
			answer.Outputs[i] = Tensor{Name: out.Name, Datatype: out.Datatype, Shape: out.Shape, Data: data}
			err = answer.Outputs[i].check()
		}
		if err != nil {
			return nil, fmt.Errorf("output %.128q: %w", out.Name, err)
		}
		rest = left
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes after its last output", len(rest))
	}
	return answer, nil
}

// takeData returns the data of one output, from its JSON or from the front of
// rest, and what is left of rest.
func takeData(out *wireAnswerTensor, rest []byte) (data, left []byte, err error) {
	size := out.Parameters.BinaryDataSize
	switch {
	case size != nil && out.Data != nil:
		return nil, nil, fmt.Errorf("both data and binary_data_size")
	case size == nil && out.Data == nil:
		return nil, nil, fmt.Errorf("neither data nor binary_data_size")
	case size != nil:
		n, parseErr := strconv.ParseUint(size.String(), 10, 63)
		if parseErr != nil || n > uint64(len(rest)) {
			return nil, nil, fmt.Errorf("binary_data_size is %s where %d bytes are left", size, len(rest))
		}
		return rest[:n:n], rest[n:], nil
	}
	dtype, err := tensor.ParseDType(out.Datatype)
	if err != nil {
		return nil, nil, err
	}
	data, err = decodeData(dtype, out.Shape, out.Data)
	return data, rest, err
}

// fits says why the answer is not one to req, or nil.
func (r *InferResponse) fits(req *InferRequest) error {
	if r.ID != req.ID && req.ID != "" {
		return fmt.Errorf("it answers request %.128q, asked was %.128q", r.ID, req.ID)
	}
	for _, want := range req.Outputs {
		if r.Output(want.Name) == nil {
			return fmt.Errorf("output %q is missing", want.Name)
		}
	}
	return nil
}
