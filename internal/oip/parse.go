package oip

import (
	"bytes"
	"errors"
	"strings"

	"verge/internal/fault"
	"verge/internal/strictjson"
	"verge/internal/tensor"
)

// parser reads one request. Its methods return at the first thing that is wrong.
type parser struct {
	s       strictjson.Scanner
	limits  Limits
	request *Request
}

func (p *parser) parse() error {
	if len(bytes.TrimLeft(p.s.Rest(), " \t\r\n")) == 0 {
		return invalid("the request is empty, want a JSON object")
	}
	sawInputs := false
	err := p.object("the request", []string{"id", "parameters", "inputs", "outputs"}, func(key string) error {
		switch key {
		case "id":
			return p.id()
		case "parameters":
			return p.parameters("the request", p.requestParameter)
		case "inputs":
			sawInputs = true
			return p.list("inputs", p.limits.Inputs, p.input)
		case "outputs":
			return p.list("outputs", p.limits.Outputs, p.output)
		}
		return p.skip()
	})
	switch {
	case err != nil:
		return err
	case p.s.End() != nil:
		return p.malformed()
	case !sawInputs:
		return invalid("inputs is missing, want an array of one input or more")
	case len(p.request.Inputs) == 0:
		return invalid("inputs is empty, want one input or more")
	}
	return nil
}

// malformed is the error of text that is not JSON, or not of the kind that was
// asked for.
func (p *parser) malformed() error { return invalid("the request is not valid JSON: %w", p.s.Err()) }

// object walks the members of an object. member is called with each key, standing
// at its value; it must read that. A key that equals a known one but for its case is
// refused, since it is a known one misspelt; other unknown keys are for member.
func (p *parser) object(what string, known []string, member func(key string) error) error {
	if kind := p.s.Peek(); kind != strictjson.Object && kind != strictjson.None {
		return invalid("%s is %s, want an object", what, kind)
	}
	if p.s.Enter(strictjson.Object) != nil {
		return p.malformed()
	}
	var keys strictjson.Keys
	for p.s.More() {
		key := p.s.Key()
		if p.s.Err() != nil {
			return p.malformed()
		}
		if err := keys.Add(key); err != nil {
			return invalid("%s: %w", what, err)
		}
		for _, k := range known {
			if len(k) == len(key) && k != string(key) && strings.EqualFold(k, string(key)) {
				return invalid("%s: the key %s is spelt %q", what, fault.Quote(string(key)), k)
			}
		}
		if err := member(string(key)); err != nil {
			return err
		}
	}
	if p.s.Err() != nil {
		return p.malformed()
	}
	return nil
}

// list walks an array of at most limit elements.
func (p *parser) list(what string, limit int, element func(n int) error) error {
	if kind := p.s.Peek(); kind != strictjson.Array && kind != strictjson.None {
		return invalid("%s is %s, want an array", what, kind)
	}
	if p.s.Enter(strictjson.Array) != nil {
		return p.malformed()
	}
	for n := 0; p.s.More(); n++ {
		if n == limit {
			return invalid("%s has more than %d elements, the limit", what, limit)
		}
		if err := element(n); err != nil {
			return err
		}
	}
	if p.s.Err() != nil {
		return p.malformed()
	}
	return nil
}

// skip reads a value that nothing is known of.
func (p *parser) skip() error {
	if _, err := p.s.Skip(); err != nil {
		return p.malformed()
	}
	return nil
}

// text reads a string of at most limit bytes that shows as it is.
func (p *parser) text(what string, limit int) (string, error) {
	if kind := p.s.Peek(); kind != strictjson.String && kind != strictjson.None {
		return "", invalid("%s is %s, want a string", what, kind)
	}
	text, err := p.s.String()
	if err != nil {
		return "", p.malformed()
	}
	if len(text) > limit {
		return "", invalid("%s has %d bytes, the limit is %d", what, len(text), limit)
	}
	if r, ok := hidden(string(text)); ok {
		return "", invalid("%s holds the control character %U", what, r)
	}
	return string(text), nil
}

func (p *parser) id() (err error) {
	p.request.HasID = true
	p.request.ID, err = p.text("id", p.limits.IDBytes)
	return err
}

// input reads one element of inputs.
func (p *parser) input(n int) error {
	in := RequestInput{}
	what := nth("inputs", n)
	var sawName, sawShape, sawType, sawParameters bool
	err := p.object(what, []string{"name", "shape", "datatype", "parameters", "data"}, func(key string) (err error) {
		switch key {
		case "name":
			sawName = true
			in.Name, err = p.text(what+".name", p.limits.NameBytes)
		case "shape":
			sawShape = true
			in.Shape, err = p.shape(what + ".shape")
		case "datatype":
			sawType = true
			in.DType, err = p.datatype(what + ".datatype")
		case "parameters":
			sawParameters = true
			err = p.parameters(what, func(key string, v value) error { return in.parameter(what, key, v) })
		case "data":
			if p.s.Peek() == strictjson.Null {
				return invalid("%s.data is null, want an array", what)
			}
			if in.Data, err = p.s.Skip(); err != nil {
				err = p.malformed()
			}
		default:
			err = p.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case !sawName:
		return invalid("%s has no name", what)
	case !sawShape:
		return invalid("input %s has no shape", fault.Quote(in.Name))
	case !sawType:
		return invalid("input %s has no datatype", fault.Quote(in.Name))
	case in.Binary && in.Data != nil:
		return invalid("input %s has both data and binary_data_size, want one of them", fault.Quote(in.Name))
	case !in.Binary && in.Data == nil && sawParameters:
		return invalid("input %s has neither data nor a parameter binary_data_size", fault.Quote(in.Name))
	case !in.Binary && in.Data == nil:
		return invalid("input %s has no data", fault.Quote(in.Name))
	case in.Size > p.limits.TensorBytes:
		return fault.New(fault.TooLarge, opParse, "input %s has %d bytes, the limit is %d", fault.Quote(in.Name), in.Size, p.limits.TensorBytes)
	}
	p.request.Inputs = append(p.request.Inputs, in)
	return nil
}

// output reads one element of outputs.
func (p *parser) output(n int) error {
	out := RequestOutput{}
	what := nth("outputs", n)
	sawName := false
	err := p.object(what, []string{"name", "parameters"}, func(key string) (err error) {
		switch key {
		case "name":
			sawName = true
			out.Name, err = p.text(what+".name", p.limits.NameBytes)
		case "parameters":
			err = p.parameters(what, func(key string, v value) error { return out.parameter(what, key, v, p.limits.Classes) })
		default:
			err = p.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	if !sawName {
		return invalid("%s has no name", what)
	}
	p.request.Outputs = append(p.request.Outputs, out)
	return nil
}

// shape reads the dimensions of an input.
func (p *parser) shape(what string) ([]int64, error) {
	shape := make([]int64, 0, 4)
	if kind := p.s.Peek(); kind != strictjson.Array && kind != strictjson.None {
		return nil, invalid("%s is %s, want an array", what, kind)
	}
	if p.s.Enter(strictjson.Array) != nil {
		return nil, p.malformed()
	}
	for p.s.More() {
		if len(shape) == tensor.MaxRank {
			return nil, invalid("%s has more than %d dimensions, the limit", what, tensor.MaxRank)
		}
		if kind := p.s.Peek(); kind != strictjson.Number && kind != strictjson.None {
			return nil, invalid("%s holds %s, want whole numbers", what, kind)
		}
		d, err := p.s.Int(64)
		if err != nil {
			return nil, p.value(what)
		}
		if d < 0 {
			return nil, invalid("%s: dimension %d is %d, want 0 or more", what, len(shape), d)
		}
		shape = append(shape, d)
	}
	if p.s.Err() != nil {
		return nil, p.malformed()
	}
	return shape, nil
}

// value is the error of a number that the scanner refused.
func (p *parser) value(what string) error {
	if e, ok := errors.AsType[*strictjson.Error](p.s.Err()); ok {
		return invalid("%s: %s", what, e.Message)
	}
	return p.malformed()
}

func (p *parser) datatype(what string) (tensor.DType, error) {
	name, err := p.text(what, p.limits.NameBytes)
	if err != nil {
		return tensor.Invalid, err
	}
	d, err := tensor.ParseDType(name)
	if err != nil {
		return tensor.Invalid, invalid("%s: %w", what, err)
	}
	return d, nil
}
