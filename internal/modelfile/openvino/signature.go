package openvino

import (
	"cmp"
	"fmt"
	"strings"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

const typeHint = "Convert the model with FP32 inputs and outputs, or cast inside it."

// value is an input or an output of the model.
type value struct {
	what    string // "input" or "output"
	name    string // of the tensor, "" where it has none
	element elementType
	shape   shape
}

// signature makes the model's signature of its Parameter and Result layers.
func (p *parser) signature(g *graph) error {
	s := &p.m.Signature
	s.Inputs, s.Outputs = []inference.Spec{}, []inference.Spec{}
	inputs := map[*layer]*value{}
	var values []*value
	for i := range g.layers {
		l := &g.layers[i]
		var v *value
		switch l.kind {
		case kindParameter:
			v = p.inputOf(l)
			inputs[l] = v
		case kindResult:
			if len(l.ins) != 1 {
				return corrupt(l.line, "%s has %d inputs, want 1", l.describe(), len(l.ins))
			}
			v = p.outputOf(g, l)
		default:
			continue
		}
		if values = append(values, v); len(values) > 2*inference.MaxTensors {
			return tooLarge("the model has more than %d inputs and outputs", 2*inference.MaxTensors)
		}
	}
	p.shareNames(g, inputs)
	for _, v := range values {
		specs := &s.Inputs
		if v.what == "output" {
			specs = &s.Outputs
		}
		if err := p.addSpec(specs, v); err != nil {
			return err
		}
	}
	if len(s.Outputs) == 0 {
		return fault.New(fault.Corrupt, opRead, "the model has no Result layer, which is what an output is").WithHint(formatHint)
	}
	return nil
}

// inputOf describes a Parameter layer.
func (p *parser) inputOf(l *layer) *value {
	v := &value{what: "input", element: l.element, shape: l.shape}
	if len(l.outs) > 0 {
		v.name = anyName(l.outs[0].names)
	}
	if p.m.IRVersion == 10 {
		v.name = first(v.name, l.name)
		v.element = v.element.legacy(false)
	}
	return v
}

// outputOf describes a Result layer: its type and shape are those of the output
// that feeds it, and so is its name unless it has its own.
func (p *parser) outputOf(g *graph, l *layer) *value {
	from, out := g.feeds(l.ins[0])
	v := &value{what: "output", element: out.element, shape: out.shape, name: anyName(out.names)}
	if from.kind == kindParameter {
		v.element, v.shape = from.element, from.shape
	}
	if p.m.IRVersion == 10 { // create_ie_output_name
		name := from.name
		if len(from.outs) > 1 {
			name = fmt.Sprintf("%s.%d", name, l.ins[0].from.port)
		}
		v.name = first(v.name, name)
		v.element = v.element.legacy(true)
		return v
	}
	v.name = cmp.Or(anyName(l.outputNames), v.name)
	return v
}

// shareNames gives an input that is an output at the same time the names of
// that output, as the library does: they are one tensor.
func (p *parser) shareNames(g *graph, inputs map[*layer]*value) {
	if p.m.IRVersion == 10 {
		return
	}
	for i := range g.layers {
		l := &g.layers[i]
		if l.kind != kindResult {
			continue
		}
		from, _ := g.feeds(l.ins[0])
		if v := inputs[from]; v != nil {
			v.name = first(v.name, anyName(l.outputNames))
		}
	}
}

// anyName returns the first name of a tensor in the order of their bytes, or "".
// The names stand between commas; `\,` is a comma in a name.
func anyName(text string) string {
	name, start := "", 0
	for i := range len(text) + 1 {
		if i < len(text) && (text[i] != ',' || i > 0 && text[i-1] == '\\') {
			continue
		}
		name = first(name, strings.ReplaceAll(text[start:i], `\,`, ","))
		start = i + 1
	}
	return name
}

// first returns the one of two names that goes first, "" not counting.
func first(a, b string) string {
	if a == "" || b == "" {
		return cmp.Or(a, b)
	}
	return min(a, b)
}

// addSpec appends v to specs.
func (p *parser) addSpec(specs *[]inference.Spec, v *value) error {
	if len(*specs) >= inference.MaxTensors {
		return tooLarge("the model has more than %d %ss", inference.MaxTensors, v.what)
	}
	spec := inference.Spec{Name: inference.UniqueName(*specs, v.name, v.what), DType: elementTypes[v.element].dtype, Shape: []int64{}}
	quoted := fault.Quote(spec.Name)
	switch {
	case len(spec.Name) > p.lim.NameBytes:
		return tooLarge("the name of %s %s has %d bytes, the limit is %d", v.what, quoted, len(spec.Name), p.lim.NameBytes)
	case v.shape.rank > tensor.MaxRank:
		return unsupported("%s %s has %d dimensions, at most %d can be served", v.what, quoted, v.shape.rank, tensor.MaxRank)
	case v.element == 0:
		p.addNote("The file does not declare the element type of %s %s.", v.what, quoted)
	case v.element == typeUnknown:
		return unsupported("%s %s has an element type that this version does not know", v.what, quoted).WithHint(typeHint)
	case spec.DType == tensor.Invalid:
		return unsupported("%s %s has element type %s, which the protocol cannot carry", v.what, quoted, elementTypes[v.element].name).WithHint(typeHint)
	}
	switch {
	case v.shape.anyRank:
		spec.Shape = nil
		p.addNote("The file does not declare how many dimensions %s %s has.", v.what, quoted)
	case v.shape.rank > 0:
		spec.Shape = v.shape.dims
	case v.what == "output":
		p.addNote("The file does not tell whether output %s is a scalar or has any number of dimensions.", quoted)
	}
	*specs = append(*specs, spec)
	return nil
}
