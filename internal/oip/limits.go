package oip

import (
	"errors"
	"fmt"

	"verge/internal/inference"
)

// Limits bounds a request and its answer.
type Limits struct {
	JSONBytes   int // the JSON part of a request, and that of an answer
	TensorBytes int // the tensors of a request together, as they lie in memory
	Inputs      int // inputs that a request may list
	Outputs     int // outputs that a request may list
	Parameters  int // parameters of a request, of an input, of an output
	IDBytes     int // the request's id
	NameBytes   int // a tensor's name, a parameter's key
	ValueBytes  int // a parameter's string
	Classes     int // what classification may ask for
}

// DefaultLimits returns Triton's limit for JSON, and for the others more than any
// client is known to need.
func DefaultLimits() Limits {
	return Limits{
		JSONBytes: 64 << 20, TensorBytes: 64 << 20,
		Inputs: inference.MaxTensors, Outputs: inference.MaxTensors, Parameters: 256,
		IDBytes: 256, NameBytes: 1024, ValueBytes: 4096, Classes: 1000,
	}
}

// Validate returns every problem at once, each starting with its key, or nil.
func (l Limits) Validate() error {
	const mostBytes = 1 << 30 // fits an int of 32 bits
	var errs []error
	check := func(key string, got, least, most int) {
		if got < least || got > most {
			errs = append(errs, fmt.Errorf("limits.%s is %d, want %d to %d", key, got, least, most))
		}
	}
	check("json_bytes", l.JSONBytes, 1<<10, mostBytes)
	check("tensor_bytes", l.TensorBytes, 1<<10, mostBytes)
	check("inputs", l.Inputs, 1, inference.MaxTensors)
	check("outputs", l.Outputs, 1, inference.MaxTensors)
	check("parameters", l.Parameters, 1, 1000)
	check("id_bytes", l.IDBytes, 1, 1<<16)
	check("name_bytes", l.NameBytes, 1, 1<<16)
	check("value_bytes", l.ValueBytes, 1, 1<<20)
	check("classes", l.Classes, 1, 1<<20)
	return errors.Join(errs...)
}
