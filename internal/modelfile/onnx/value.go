package onnx

import (
	"fmt"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// Fields of ValueInfoProto, TypeProto and what is inside it.
const (
	valueName = 1
	valueType = 2

	typeTensor   = 1
	typeSequence = 4
	typeMap      = 5
	typeOpaque   = 7
	typeSparse   = 8
	typeOptional = 9

	tensorTypeElement = 1
	tensorTypeShape   = 2

	shapeDim = 1

	dimValue = 1
	dimParam = 2
)

// value is an input, an output or a value of a graph.
type value struct {
	name    string
	at      int64
	kind    int32 // which member of TypeProto, 0 for no type
	element uint64
	shaped  bool // a shape is declared
	shape   []int64
	symbols []string
}

// value reads a ValueInfoProto.
func (p *parser) value(f field) (value, error) {
	v := value{at: f.at}
	err := p.each(f.body, func(f field) (err error) {
		switch {
		case f.is(valueName, wireLength):
			v.name, err = p.name(f, "the name of a value")
		case f.is(valueType, wireLength):
			err = p.valueType(f.body, &v)
		}
		return err
	})
	return v, err
}

// valueType adds a TypeProto to v. Its members exclude each other: the last
// one counts, and one that comes again is merged.
func (p *parser) valueType(s span, v *value) error {
	return p.each(s, func(f field) error {
		switch f.number {
		case typeTensor, typeSequence, typeMap, typeOpaque, typeSparse, typeOptional:
		default:
			return nil // a denotation, or an unknown field
		}
		if f.wire != wireLength {
			return nil
		}
		if v.kind != f.number {
			v.kind, v.element, v.shaped, v.shape, v.symbols = f.number, 0, false, nil, nil
		}
		if v.kind != typeTensor {
			return nil
		}
		return p.each(f.body, func(f field) error {
			switch {
			case f.is(tensorTypeElement, wireVarint):
				v.element = f.value
			case f.is(tensorTypeShape, wireLength):
				v.shaped = true
				return p.shape(f.body, v)
			}
			return nil
		})
	})
}

// shape adds a TensorShapeProto to v.
func (p *parser) shape(s span, v *value) error {
	return p.each(s, func(f field) error {
		if !f.is(shapeDim, wireLength) {
			return nil
		}
		if len(v.shape) >= tensor.MaxRank {
			return unsupported("at byte %d: %q has more than %d dimensions", v.at, fault.Clip(v.name), tensor.MaxRank)
		}
		dim, symbol := int64(-1), ""
		err := p.each(f.body, func(f field) (err error) {
			switch {
			case f.is(dimValue, wireVarint):
				dim, symbol = max(int64(f.value), -1), "" //nolint:gosec // protobuf's own encoding of an int64
			case f.is(dimParam, wireLength):
				dim = -1
				symbol, err = p.name(f, "the name of a dimension")
			}
			return err
		})
		v.shape, v.symbols = append(v.shape, dim), append(v.symbols, symbol)
		return err
	})
}

// size returns the bytes of the value with 1 for each dynamic dimension, as
// far as they can be known. Strings count nothing.
func (v *value) size() (int64, bool) {
	info, known := elementOf(v.element)
	if v.kind != typeTensor || !known || !v.shaped {
		return 0, false
	}
	var e extent
	for _, dim := range v.shape {
		if dim < 0 {
			dim = 1
		}
		e.add(dim)
	}
	n, err := e.elements()
	if err != nil || info.bits == 0 {
		return 0, err == nil
	}
	return info.rawBytes(n), true
}

// signature makes the model's signature of the inputs that no initialiser
// provides, and of the outputs.
func (p *parser) signature() error {
	g := &p.m.Signature
	g.Inputs, g.Outputs = []inference.Spec{}, []inference.Spec{}
	for _, v := range p.inputs {
		if _, given := p.initialisers[v.name]; given {
			continue
		}
		if err := p.addSpec(&g.Inputs, v, "input"); err != nil {
			return err
		}
	}
	for _, v := range p.outputs {
		if err := p.addSpec(&g.Outputs, v, "output"); err != nil {
			return err
		}
	}
	return nil
}

// addSpec appends v, which is an "input" or an "output", to specs.
func (p *parser) addSpec(specs *[]inference.Spec, v value, what string) error {
	spec := inference.Spec{Name: v.name, Shape: v.shape, Symbols: inference.Symbols(v.symbols)}
	info, known := elementOf(v.element)
	switch {
	case v.name == "":
		return corrupt(v.at, "an %s has no name", what)
	case inference.Index(*specs, v.name) >= 0:
		return corrupt(v.at, "the graph has two %ss named %q", what, fault.Clip(v.name))
	case len(*specs) >= inference.MaxTensors:
		return tooLarge("the graph has more than %d %ss", inference.MaxTensors, what)
	case v.kind != 0 && v.kind != typeTensor:
		return notTensor(v, what)
	case v.kind == 0 || v.element == 0:
		p.addNote("The file does not declare the element type of %s %q.", what, fault.Clip(v.name))
	case !known || info.dtype == tensor.Invalid:
		return unsupported("%s %q has element type %s, which the protocol cannot carry", what, fault.Clip(v.name), info.name).
			WithHint("Export the model with FP32 inputs and outputs, or cast inside it.")
	default:
		spec.DType = info.dtype
	}
	if !v.shaped {
		p.addNote("The file does not declare the shape of %s %q.", what, fault.Clip(v.name))
	}
	if spec.Shape == nil && v.shaped {
		spec.Shape = []int64{}
	}
	*specs = append(*specs, spec)
	return nil
}

// notTensor is the error for an input or output that no client can give or take.
func notTensor(v value, what string) error {
	names := map[int32]string{
		typeSequence: "a sequence", typeMap: "a map", typeOpaque: "an opaque value",
		typeSparse: "a sparse tensor", typeOptional: "an optional value",
	}
	hint := "Export the model with tensors for all inputs and outputs."
	if what == "output" && (v.kind == typeSequence || v.kind == typeMap) {
		hint += " For scikit-learn that is convert_sklearn(…, options={'zipmap': False})."
	}
	err := fault.New(fault.Unsupported, opRead, "%s %q is %s, only tensors can be served", what, fault.Clip(v.name), names[v.kind])
	err.Hint = hint
	return err
}

// addNote appends a sentence to the model's notes.
func (p *parser) addNote(format string, args ...any) {
	p.m.Notes = append(p.m.Notes, fmt.Sprintf(format, args...))
}
