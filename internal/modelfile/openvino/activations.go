package openvino

import "math"

// maxValueBytes caps what one value adds to the sum of the values that live
// together, so that it cannot overflow.
const maxValueBytes = math.MaxInt64 >> 22

// activations works out Model.ActivationBytes, ConvertedBytes and UnsizedValues
// from the layers of the main graph.
func (p *parser) activations(g *graph) {
	last := lastReaders(g)
	change := make([]int64, len(g.layers)+1) // in the order of the layers
	for i := range g.layers {
		l := &g.layers[i]
		if l.kind == kindConst || l.kind == kindResult {
			continue
		}
		converted := l.kind == kindConvert && len(l.ins) == 1 && g.layers[l.ins[0].from.layer].kind == kindConst
		for j := range l.outs {
			size, ok := l.sizeOf(j)
			end := last[place{i, j}]
			switch {
			case !ok:
				p.m.UnsizedValues++
			case converted:
				p.m.ConvertedBytes += size
			case l.kind == kindParameter || end == len(g.layers):
				change[0] += size
			default:
				change[i] += size
				change[max(end, i)+1] -= size
			}
		}
	}
	var now int64
	for _, c := range change {
		now += c
		p.m.ActivationBytes = max(p.m.ActivationBytes, now)
	}
}

// lastReaders returns the position of the last layer that reads each output,
// and len(g.layers) for an output of the model.
func lastReaders(g *graph) map[place]int {
	last := map[place]int{}
	for i := range g.layers {
		l := &g.layers[i]
		for _, in := range l.ins {
			if l.kind == kindResult {
				last[in.from] = len(g.layers)
			} else {
				last[in.from] = max(last[in.from], i)
			}
		}
	}
	return last
}

// sizeOf returns the bytes of output j with 1 for each dynamic dimension, as
// far as they can be known. Strings count nothing.
func (l *layer) sizeOf(j int) (int64, bool) {
	element, s := l.outs[j].element, l.outs[j].shape
	if l.kind == kindParameter {
		element, s = l.element, l.shape
	}
	n, ok := s.elements()
	if !ok || element == 0 || element == typeUnknown {
		return 0, false
	}
	return min(element.bytes(n), maxValueBytes), true
}
