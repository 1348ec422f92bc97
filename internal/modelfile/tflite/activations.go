package tflite

import "math"

// life is the time during which the output of an operator takes memory, in
// positions of operators from 1 on.
type life struct {
	made        bool
	first, last int
}

// maxValueBytes caps what one value adds to the sum of the values that live
// together, so that it cannot overflow.
const maxValueBytes = math.MaxInt64 >> 32

// activations works out Model.ActivationBytes and Model.UnsizedValues of g,
// whose operators have been read.
func (p *parser) activations(g *graph) {
	change := make([]int64, g.nodes+2)
	for i := range g.tensors {
		f := &g.tensors[i]
		bytes := min(f.bytes, maxValueBytes)
		switch info, _ := elementOf(f.element); {
		case f.constant:
		case f.life.made && (f.rankless && p.ranked || info.bits == 0 && f.element != elementString):
			p.m.UnsizedValues++
		case f.input || f.output || f.variable:
			change[0] += bytes
		case f.life.made:
			change[f.life.first] += bytes
			change[f.life.last+1] -= bytes
		}
	}
	var now, most int64
	for _, c := range change {
		now += c
		most = max(most, now)
	}
	p.m.ActivationBytes = most
}
