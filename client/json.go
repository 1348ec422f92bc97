package client

import (
	"encoding/json"
	"fmt"

	"verge/internal/tensor"
)

// encodeData returns the elements of t as a flat JSON array. t has passed check.
func encodeData(t *Tensor) (json.RawMessage, error) {
	dtype, err := tensor.ParseDType(t.Datatype)
	if err != nil {
		return nil, err
	}
	text, err := tensor.AppendJSON(nil, tensor.Tensor{DType: dtype, Shape: t.Shape, Data: t.Data})
	if err != nil {
		return nil, err
	}
	return text, nil
}

// decodeData reads the JSON data of an output. The memory that it takes is bound
// by the length of raw, whatever shape is claimed.
func decodeData(dtype tensor.DType, shape []int64, raw json.RawMessage) ([]byte, error) {
	n, err := tensor.Elements(shape)
	if err != nil {
		return nil, err
	}
	if n > len(raw) { // each element takes a byte at least
		return nil, fmt.Errorf("%d bytes of JSON data, too few for %d elements", len(raw), n)
	}
	size, err := tensor.JSONSize(dtype, shape, raw)
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	return data, tensor.DecodeJSON(data, dtype, shape, raw)
}
