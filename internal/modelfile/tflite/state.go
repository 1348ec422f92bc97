package tflite

import "verge/internal/fault"

// keeping is what a parser notes of values that stay from one run to the next.
type keeping struct {
	variables bool         // a tensor keeps its value
	writes    map[int]bool // subgraphs that write to a variable
	once      map[int]bool // subgraphs that run once only, to give variables their initial values
}

// stateful reports whether runs leave something to the next one.
func (k *keeping) stateful() bool {
	for g := range k.writes {
		if !k.once[g] {
			return true
		}
	}
	return k.variables
}

// mark notes a subgraph in a set, which is made on first use.
func mark(set *map[int]bool, subgraph int) {
	if *set == nil {
		*set = map[int]bool{}
	}
	(*set)[subgraph] = true
}

// firstInputs are the first of an operator's inputs; -1 for one that is not there.
type firstInputs [20]int64

// state says which input of an operator is a value that it keeps, and as which
// TensorType TensorFlow Lite has it, by that of the first input.
type state struct {
	input           int
	of8, of16, real int64
}

// Numbers of TensorType.
const (
	elementFloat = 0
	elementShort = 7
	elementByte  = 9
)

// states are those of builtin operators.
func states(operator string) []state {
	switch operator {
	case "SVDF":
		return []state{{4, elementShort, elementShort, elementFloat}}
	case "LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM":
		return []state{{18, elementByte, elementShort, elementFloat}, {19, elementShort, elementShort, elementFloat}}
	case "RNN", "UNIDIRECTIONAL_SEQUENCE_RNN":
		return []state{{4, elementFloat, elementFloat, elementFloat}}
	}
	return nil
}

// keep notes what a builtin operator keeps. It refuses a state that a library, which
// does not look at its type, would take for a larger one, and write behind its end:
// files for TensorFlow Lite Micro have such.
func (p *parser) keep(g *graph, position int, name string, inputs firstInputs) {
	if p.err != nil {
		return
	}
	if name == "ASSIGN_VARIABLE" {
		mark(&p.writes, g.index)
	}
	for _, s := range states(name) {
		if inputs[0] < 0 || inputs[s.input] < 0 {
			continue
		}
		want := s.real
		switch g.tensors[inputs[0]].element {
		case elementByte:
			want = s.of8
		case elementShort:
			want = s.of16
		}
		if f := &g.tensors[inputs[s.input]]; f.element != want {
			has, _ := elementOf(f.element)
			wanted, _ := elementOf(want)
			p.fail(fault.New(fault.Unsupported, opRead, "operator %d (%s) of subgraph %d keeps its state, %s, as %s, where TensorFlow Lite keeps %s",
				position, name, g.index, p.describe(f), has.name, wanted.name).
				WithHint("Convert the model for TensorFlow Lite: this file may be for TensorFlow Lite Micro."))
		}
	}
}
