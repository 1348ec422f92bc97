package onnx

import "math"

// life is the time during which a value of the main graph takes memory, in
// positions of nodes.
type life struct {
	bytes       int64
	always      bool // an input or an output
	made        bool // a node makes it
	first, last int
}

// maxValueBytes caps what one value adds to the sum of the values that live
// together, so that it cannot overflow.
const maxValueBytes = math.MaxInt64 >> 32

// activations works out Model.ActivationBytes and Model.UnsizedValues in a
// second walk over the nodes of the main graph, which does not enter
// attributes: what a sub-graph reads of its surroundings is not seen.
func (p *parser) activations() error {
	for name := range p.initialisers {
		delete(p.sizes, name) // counted with the parameters
	}
	p.fields = 0
	last := 0
	for _, graph := range p.graphs {
		err := p.each(graph, func(f field) error {
			if !f.is(graphNode, wireLength) {
				return nil
			}
			last++
			return p.use(f.body, last)
		})
		if err != nil {
			return err
		}
	}
	p.m.ActivationBytes = peak(p.sizes, last)
	return nil
}

// use notes that the node at s, the one at position, reads and makes values.
func (p *parser) use(s span, position int) error {
	return p.each(s, func(f field) error {
		if !f.is(nodeInput, wireLength) && !f.is(nodeOutput, wireLength) || f.body.len() == 0 {
			return nil
		}
		l, err := p.lifeOf(f.body)
		if err != nil {
			return err
		}
		switch {
		case l == nil && f.number == nodeOutput:
			p.m.UnsizedValues++
		case l != nil && !l.made:
			l.made, l.first, l.last = true, position, position
		case l != nil:
			l.last = position
		}
		return nil
	})
}

// lifeOf returns the value whose name lies at s, or nil.
func (p *parser) lifeOf(s span) (*life, error) {
	if s.len() > windowSize {
		return nil, nil //nolint:nilnil // unknown, and no error
	}
	name, err := p.peek(s.pos, int(s.len()))
	if err != nil {
		return nil, err
	}
	return p.sizes[string(name)], nil // does not allocate
}

// peak returns the most bytes that live at one of the positions 1 to last.
func peak(values map[string]*life, last int) int64 {
	change := make([]int64, last+2)
	for _, l := range values {
		bytes := min(l.bytes, maxValueBytes)
		switch {
		case l.always:
			change[0] += bytes
		case l.made:
			change[l.first] += bytes
			change[l.last+1] -= bytes
		}
	}
	var now, most int64
	for _, c := range change {
		now += c
		most = max(most, now)
	}
	return most
}
