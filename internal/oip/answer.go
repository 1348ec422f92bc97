package oip

import (
	"strconv"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// About is what an answer tells besides its tensors.
type About struct {
	Model   string
	Version int
	Labels  []string // names of classes, in the order of an output; may be nil
	Limit   int      // most bytes of the JSON part; 0 for none
}

// Answer is an encoded answer.
type Answer struct {
	JSON   []byte
	Blobs  [][]byte // follow the JSON part; they are the memory of the outputs, not copies
	Binary bool     // there are blobs, if only empty ones: the header HeaderLength is sent
}

// Len returns the bytes of the whole answer.
func (a *Answer) Len() int {
	n := len(a.JSON)
	for _, b := range a.Blobs {
		n += len(b)
	}
	return n
}

// Answer encodes the outputs, which come in signature order, as the request asked.
// The JSON part is appended to dst. It fails with fault.Invalid, and the advice to
// ask for binary data, for what JSON cannot say, and with fault.TooLarge when the
// JSON part is over its limit.
func (p *Plan) Answer(dst []byte, about About, outputs []tensor.Tensor) (*Answer, error) {
	a := &Answer{JSON: append(dst, '{')}
	if p.hasID {
		a.JSON = append(a.JSON, `"id":`...)
		a.JSON = append(tensor.AppendQuoted(a.JSON, p.id), ',')
	}
	a.JSON = append(a.JSON, `"model_name":`...)
	a.JSON = tensor.AppendQuoted(a.JSON, about.Model)
	a.JSON = append(a.JSON, `,"model_version":"`...)
	a.JSON = strconv.AppendInt(a.JSON, int64(about.Version), 10)
	a.JSON = append(a.JSON, `","outputs":[`...)
	for i, choice := range p.Outputs {
		if p.index[i] >= len(outputs) {
			return nil, fault.New(fault.Internal, opAnswer, "the model returned %d outputs, output %q is missing", len(outputs), choice.Name)
		}
		if i > 0 {
			a.JSON = append(a.JSON, ',')
		}
		if err := a.output(choice, outputs[p.index[i]], about); err != nil {
			return nil, err
		}
		if about.Limit > 0 && len(a.JSON)-len(dst) > about.Limit {
			return nil, fault.New(fault.TooLarge, opAnswer, "the JSON part of the answer is over its limit of %d bytes", about.Limit).
				WithHint("Ask for binary data: \"parameters\": {\"binary_data_output\": true}.")
		}
	}
	a.JSON = append(a.JSON, "]}"...)
	return a, nil
}

// output appends one output.
func (a *Answer) output(choice RequestOutput, t tensor.Tensor, about About) (err error) {
	if choice.Classes > 0 {
		if t, err = classify(t, choice.Classes, about.Labels); err != nil {
			return err
		}
	}
	a.JSON = append(a.JSON, `{"name":`...)
	a.JSON = tensor.AppendQuoted(a.JSON, choice.Name)
	a.JSON = append(a.JSON, `,"datatype":"`...)
	a.JSON = append(a.JSON, t.DType.String()...)
	a.JSON = append(a.JSON, `","shape":`...)
	a.JSON = append(a.JSON, inference.FormatShape(t.Shape)...)
	if choice.Binary {
		a.JSON = append(a.JSON, `,"parameters":{"binary_data_size":`...)
		a.JSON = strconv.AppendInt(a.JSON, int64(len(t.Data)), 10)
		a.JSON = append(a.JSON, "}}"...)
		a.Blobs = append(a.Blobs, t.Data)
		a.Binary = true
		return nil
	}
	a.JSON = append(a.JSON, `,"data":`...)
	if a.JSON, err = tensor.AppendJSON(a.JSON, t); err != nil {
		return fault.New(fault.Invalid, opAnswer, "output %q: %w", choice.Name, err).
			WithHint("Ask for binary data: \"parameters\": {\"binary_data_output\": true}.")
	}
	a.JSON = append(a.JSON, '}')
	return nil
}
