package tflite

import (
	"fmt"

	"verge/internal/fault"
	"verge/internal/tensor"
)

// Slots of the tables Tensor, QuantizationParameters and VariantSubType.
const (
	tensorShape          = 0
	tensorType           = 1
	tensorBuffer         = 2
	tensorName           = 3
	tensorQuantization   = 4
	tensorVariable       = 5
	tensorSparsity       = 6
	tensorSignature      = 7
	tensorHasRank        = 8
	tensorVariants       = 9
	tensorExternalBuffer = 10

	quantizationMin     = 0
	quantizationMax     = 1
	quantizationScale   = 2
	quantizationZero    = 3
	quantizationDetail  = 4 // a union: its number, then its table
	quantizationAxis    = 6
	variantSubTypeShape = 0
)

// tensorFacts is what is kept of a Tensor while its subgraph is read.
type tensorFacts struct {
	at       int64 // its table
	name     span
	element  int64
	elements int64 // of shape
	bytes    int64 // with 1 for each dynamic dimension; 0 where that does not follow from the shape
	buffer   uint32
	rankless bool // shape is empty, has_rank is not set
	constant bool
	variable bool
	input    bool // of the subgraph
	output   bool
	life     life
}

// available reports whether an operator may read the tensor: a library has
// memory for it by then.
func (f *tensorFacts) available() bool {
	return f.constant || f.variable || f.input || f.life.made || f.elements == 0
}

// describe returns the tensor's name for a message.
func (p *parser) describe(f *tensorFacts) string {
	text := p.text
	err := p.err
	p.err = nil
	name := p.label(f.name)
	p.err, p.text = err, text
	if name == "" {
		return "a tensor without a name"
	}
	return fmt.Sprintf("tensor %q", fault.Clip(name))
}

// tensor reads a Tensor of a subgraph with so many tensors.
func (p *parser) tensor(t table, tensors int64) tensorFacts {
	f := tensorFacts{
		at:       t.pos,
		name:     p.string(t, tensorName, "bytes of the name of a tensor"),
		element:  p.int8(t, tensorType),
		buffer:   uint32(p.scalar(t, tensorBuffer, 4, 0)), //nolint:gosec // 32 bits
		variable: p.bool(t, tensorVariable),
		rankless: !p.bool(t, tensorHasRank),
	}
	p.ranked = p.ranked || !f.rankless
	p.variables = p.variables || f.variable
	info, known := elementOf(f.element)
	switch {
	case p.err != nil:
		return f
	case !known:
		p.fail(fault.New(fault.Unsupported, opRead, "%s has element type %s, which this version does not know", p.describe(&f), info.name))
	case p.scalar(t, tensorExternalBuffer, 4, 0) != 0:
		p.fail(fault.New(fault.Unsupported, opRead, "%s keeps its data in another file", p.describe(&f)).
			WithHint("Convert the model to one file, without external weights."))
	case f.buffer != 0 && uint64(f.buffer) >= uint64(len(p.buffers)):
		p.corrupt(t.pos, "%s has buffer %d, the file has %d", p.describe(&f), f.buffer, len(p.buffers))
	}
	p.shape(&f, t)
	p.quantization(&f, t, tensors)
	p.tables(t, tensorVariants, p.lim.Kinds, "VariantSubType", "types of a variant", func(_ int, t table) {
		p.vector(t, variantSubTypeShape, 4, "dimensions of a variant")
	})
	if p.err != nil {
		return f
	}
	f.constant = f.buffer != 0 && p.buffers[f.buffer].data.len() > 0
	if f.constant {
		p.checkConstant(&f, t)
	}
	return f
}

// shape reads the shape of f into p.dims, and its sizes.
func (p *parser) shape(f *tensorFacts, t table) {
	p.dims = p.dims[:0]
	v := p.vector(t, tensorShape, 4, "dimensions of a tensor")
	if p.err == nil && v.n > tensor.MaxRank {
		p.fail(fault.New(fault.Unsupported, opRead, "%s has %d dimensions, the limit is %d", p.describe(f), v.n, tensor.MaxRank))
	}
	p.int32s(v, func(d int64) {
		if d < 0 {
			p.corrupt(f.at, "dimension %d of %s is %d, want 0 or more", len(p.dims), p.describe(f), d)
		}
		p.dims = append(p.dims, d)
	})
	if p.err != nil {
		return
	}
	var err error
	if f.elements, err = product(p.dims); err != nil {
		p.corrupt(f.at, "%s %w", p.describe(f), err)
	}
	f.rankless = f.rankless && len(p.dims) == 0
	p.estimate(f, t)
}

// estimate checks shape_signature, and works out the size of f with 1 for each
// dynamic dimension, which is never more than that of shape.
func (p *parser) estimate(f *tensorFacts, t table) {
	var fixed [tensor.MaxRank]int64
	copy(fixed[:], p.dims)
	v := p.vector(t, tensorSignature, 4, "dimensions of a tensor")
	if p.err == nil && v.n != 0 && v.n != int64(len(p.dims)) {
		p.corrupt(f.at, "%s has %d dimensions in shape and %d in shape_signature", p.describe(f), len(p.dims), v.n)
	}
	i := 0
	p.int32s(v, func(d int64) {
		switch {
		case d == -1:
			fixed[i] = 1
		case d != p.dims[i]:
			p.corrupt(f.at, "dimension %d of %s is %d in shape and %d in shape_signature", i, p.describe(f), p.dims[i], d)
		}
		i++
	})
	if p.err != nil {
		return
	}
	n, err := product(fixed[:len(p.dims)])
	if err != nil { // a dynamic dimension was 0
		p.corrupt(f.at, "%s %w", p.describe(f), err)
	}
	info, _ := elementOf(f.element)
	f.bytes = info.bytes(n)
}

// quantization checks what a library takes for granted of the scales of f,
// whose shape is in p.dims.
func (p *parser) quantization(f *tensorFacts, t table, tensors int64) {
	q, ok := p.child(t, tensorQuantization, "QuantizationParameters")
	if !ok {
		return
	}
	p.vector(q, quantizationMin, 4, "lowest values of a tensor")
	p.vector(q, quantizationMax, 4, "highest values of a tensor")
	p.union(q, quantizationDetail, quantizationDetails[:], "QuantizationDetails", func(int64) {})
	if kind := p.scalar(q, quantizationDetail, 1, 0); kind == 2 || kind == 3 { // name tensors with the scales and the zero points
		details, _ := p.child(q, quantizationDetail+1, "QuantizationDetails")
		scales, zeros := p.int32(details, 0, 0), p.int32(details, 1, 0)
		if p.err == nil && (scales < 0 || scales >= tensors || zeros < -1 || zeros >= tensors) {
			p.corrupt(f.at, "%s has its scales in tensor %d and its zero points in tensor %d, the subgraph has %d",
				p.describe(f), scales, zeros, tensors)
		}
	}
	scales := p.vector(q, quantizationScale, 4, "scales of a tensor")
	zeros := p.vector(q, quantizationZero, 8, "zero points of a tensor")
	if scales.n == 0 || p.err != nil {
		return
	}
	axis, rank := p.int32(q, quantizationAxis, 0), int64(len(p.dims))
	switch {
	case p.err != nil:
	case zeros.n != scales.n:
		p.corrupt(f.at, "%s has %d scales and %d zero points", p.describe(f), scales.n, zeros.n)
	case axis < 0 || rank > 0 && axis >= rank:
		p.fail(fault.New(fault.Corrupt, opRead, "at byte %d: %s with %d dimensions has its scales along dimension %d", f.at, p.describe(f), rank, axis).
			WithHint("Convert the model again: TensorFlow Lite refuses it, although TensorFlow Lite Micro may not."))
	case scales.n != 1 && rank > 0 && scales.n != p.dims[axis]:
		p.corrupt(f.at, "%s has %d scales for %d entries of dimension %d", p.describe(f), scales.n, p.dims[axis], axis)
	}
}
