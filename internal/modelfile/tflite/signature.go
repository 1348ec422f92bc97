package tflite

import (
	"fmt"
	"math"
	"slices"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// signature makes Model.Signature of the served subgraph.
func (p *parser) signature(g *graph) {
	inputs, outputs := unnamed(g.inputs), unnamed(g.outputs)
	if p.served != nil { // in the order of the graph, as libraries serve them
		inputs, outputs = asServed(g.inputs, p.served.inputs), asServed(g.outputs, p.served.outputs)
	}
	p.m.Signature.Inputs = p.specs(g, inputs, "input")
	p.m.Signature.Outputs = p.specs(g, outputs, "output")
	p.served = &signature{inputs: positions(g.inputs, inputs), outputs: positions(g.outputs, outputs)}
}

// unnamed returns the tensors of a subgraph that no signature names.
func unnamed(tensors []int64) []named {
	all := make([]named, len(tensors))
	for i, t := range tensors {
		all[i].tensor = t
	}
	return all
}

// asServed returns all in the order in which ends has their tensors; what it has not
// comes last.
func asServed(ends []int64, all []named) []named {
	place := func(n named) int {
		if i := slices.Index(ends, n.tensor); i >= 0 {
			return i
		}
		return len(ends)
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b named) int { return place(a) - place(b) })
	return sorted
}

// positions replaces the tensors of all by their positions in ends, which has them.
func positions(ends []int64, all []named) []named {
	at := map[int64]int64{}
	for i, t := range ends {
		if _, have := at[t]; !have {
			at[t] = int64(i)
		}
	}
	out := make([]named, len(all))
	for i, n := range all {
		out[i] = named{name: n.name, tensor: at[n.tensor]}
	}
	return out
}

// specs returns the specs of tensors, each of which is an "input" or an
// "output" of g. Those without a name in the signature have the tensor's.
func (p *parser) specs(g *graph, tensors []named, what string) []inference.Spec {
	if len(tensors) > inference.MaxTensors {
		p.tooLarge("the model has %d %ss, the limit is %d", len(tensors), what, inference.MaxTensors)
	}
	specs := []inference.Spec{}
	for i, n := range tensors {
		if p.err != nil {
			return specs
		}
		if n.tensor >= int64(len(g.tensors)) {
			p.corrupt(g.at, "%s %q has tensor %d, subgraph %d has %d", what, fault.Clip(n.name), n.tensor, g.index, len(g.tensors))
			return specs
		}
		f := &g.tensors[n.tensor]
		name := n.name
		if p.served == nil {
			name = p.name(f.name, "the name of a tensor")
		}
		if name == "" {
			name = fmt.Sprintf("%s_%d", what, i)
		}
		p.servable(g, f, name, what)
		spec := p.spec(f, inference.UniqueName(specs, name, what))
		if f.rankless && what == "output" {
			spec.Shape = nil
		}
		specs = append(specs, spec)
	}
	return specs
}

// servable refuses an input or output that no client can give or take.
func (p *parser) servable(g *graph, f *tensorFacts, name, what string) {
	name = fault.Clip(name)
	info, _ := elementOf(f.element)
	switch {
	case info.dtype == tensor.Invalid:
		p.fail(fault.New(fault.Unsupported, opRead, "%s %q has element type %s, which the protocol cannot carry", what, name, info.name).
			WithHint("Convert the model with FLOAT32 inputs and outputs, or cast inside it."))
	case what == "input" && !f.input, what == "output" && !f.output:
		p.corrupt(f.at, "%s %q of the signature is no %s of subgraph %d", what, name, what, g.index)
	case f.rankless && (p.ranked || what == "output"):
		p.addNote("The file does not declare the shape of %s %q.", what, name)
	}
}

// spec returns the spec of f. The shape has been checked.
func (p *parser) spec(f *tensorFacts, name string) inference.Spec {
	t := p.table(span{0, p.size}, f.at, "Tensor")
	info, _ := elementOf(f.element)
	s := inference.Spec{Name: name, DType: info.dtype, Shape: []int64{}}
	shape := p.vector(t, tensorSignature, 4, "dimensions of a tensor")
	if shape.n == 0 {
		shape = p.vector(t, tensorShape, 4, "dimensions of a tensor")
	}
	p.int32s(shape, func(d int64) { s.Shape = append(s.Shape, d) })
	if q, ok := p.child(t, tensorQuantization, "QuantizationParameters"); ok && info.integer() {
		s.Quantization = p.scales(f, q)
	}
	return s
}

// scales returns the scales of f, or nil where it has none. Their number has
// been checked.
func (p *parser) scales(f *tensorFacts, q table) *inference.Quantization {
	scales := p.floats(q, quantizationScale, "scales of a tensor")
	zeros := p.vector(q, quantizationZero, 8, "zero points of a tensor")
	if len(scales) == 0 || p.err != nil {
		return nil
	}
	out := &inference.Quantization{Scales: scales}
	for i, s := range scales {
		if math.IsNaN(float64(s)) || math.IsInf(float64(s), 0) {
			p.corrupt(f.at, "scale %d of %s is %v", i, p.describe(f), s)
		}
		out.ZeroPoints = append(out.ZeroPoints, int64(p.number(zeros.pos+8*int64(i), 8))) //nolint:gosec // two's complement
	}
	if len(scales) > 1 {
		out.Axis = int(p.int32(q, quantizationAxis, 0))
	}
	return out
}

// floats returns the 32-bit numbers of the vector in a slot.
func (p *parser) floats(t table, slot int, what string) []float32 {
	v := p.vector(t, slot, 4, what)
	if v.n > int64(p.lim.Kinds) {
		p.tooLarge("at byte %d: there are %d %s, the limit is %d", v.pos, v.n, what, p.lim.Kinds)
	}
	var all []float32
	p.int32s(v, func(n int64) { all = append(all, math.Float32frombits(uint32(n))) }) //nolint:gosec // the bits of a float
	return all
}
