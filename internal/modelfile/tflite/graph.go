package tflite

import "verge/internal/fault"

// Slots of the tables SubGraph and Operator.
const (
	graphTensors   = 0
	graphInputs    = 1
	graphOutputs   = 2
	graphOperators = 3
	graphName      = 4

	operatorIndex         = 0
	operatorInputs        = 1
	operatorOutputs       = 2
	operatorOptions       = 3 // a union: its number, then its table
	operatorCustomOptions = 5
	operatorMutating      = 7
	operatorIntermediates = 8
	operatorLargeOffset   = 9
	operatorLargeSize     = 10
	operatorOptions2      = 11 // a union
)

// graph is a SubGraph while it is read.
type graph struct {
	index           int
	at              int64 // its table
	tensors         []tensorFacts
	inputs, outputs []int64
	nodes           int
}

// subgraph reads and checks a SubGraph; the served one gives the signature and
// the size of the activations.
func (p *parser) subgraph(index int, t table) {
	g := &graph{index: index, at: t.pos}
	p.string(t, graphName, "bytes of the name of a subgraph")
	count := p.vector(t, graphTensors, 4, "tensors").n
	if p.tensors += count; p.tensors > int64(p.lim.Tensors) {
		p.tooLarge("the file has more than %d tensors", p.lim.Tensors)
		return
	}
	g.tensors = make([]tensorFacts, 0, count)
	p.tables(t, graphTensors, p.lim.Tensors, "Tensor", "tensors", func(_ int, t table) {
		g.tensors = append(g.tensors, p.tensor(t, count))
	})
	g.inputs = p.ends(g, t, graphInputs, "inputs")
	g.outputs = p.ends(g, t, graphOutputs, "outputs")
	for _, i := range g.inputs {
		f := &g.tensors[i]
		f.input = true
		if f.constant { // a library would write into the file, which it has mapped
			p.corrupt(f.at, "input %s of subgraph %d is a constant", p.describe(f), index)
		}
	}
	for _, i := range g.outputs {
		g.tensors[i].output = true
	}
	p.tables(t, graphOperators, p.lim.Nodes, "Operator", "operators", func(i int, t table) {
		p.node(g, t, i)
	})
	for _, i := range g.outputs {
		if f := &g.tensors[i]; p.err == nil && !f.available() {
			p.corrupt(g.at, "output %s of subgraph %d is made by no operator", p.describe(f), index)
		}
	}
	if p.err != nil || index != p.m.ServedSubgraph {
		return
	}
	seen := map[int64]bool{}
	for _, i := range g.outputs {
		p.m.SharedTensors = p.m.SharedTensors || seen[i] || g.tensors[i].input
		seen[i] = true
	}
	if g.nodes == 0 && len(g.outputs) == 0 {
		p.fail(fault.New(fault.Corrupt, opRead, "subgraph %d has neither operators nor outputs", index).
			WithHint("Check that the file is a TensorFlow Lite model, and convert it again."))
	}
	p.signature(g)
	p.activations(g)
}

// ends returns the tensors that are the inputs or outputs of g.
func (p *parser) ends(g *graph, t table, slot int, what string) []int64 {
	v := p.vector(t, slot, 4, what)
	if v.n > int64(p.lim.Tensors) {
		p.tooLarge("subgraph %d has %d %s, the limit is %d", g.index, v.n, what, p.lim.Tensors)
	}
	var all []int64
	p.int32s(v, func(i int64) {
		if i < 0 || i >= int64(len(g.tensors)) {
			p.corrupt(t.pos, "the %s of subgraph %d have tensor %d, it has %d", what, g.index, i, len(g.tensors))
			return
		}
		all = append(all, i)
	})
	if p.err != nil {
		return nil
	}
	return all
}

// node reads the Operator at a position of g.
func (p *parser) node(g *graph, t table, position int) {
	if p.nodes++; p.nodes > p.lim.Nodes {
		p.tooLarge("the file has more than %d operators", p.lim.Nodes)
		return
	}
	g.nodes++
	index := p.scalar(t, operatorIndex, 4, 0)
	if p.err == nil && index >= uint64(len(p.codes)) {
		p.corrupt(t.pos, "operator %d of subgraph %d has operator code %d, the file has %d", position, g.index, index, len(p.codes))
	}
	if p.err != nil {
		return
	}
	p.codes[index].count++
	name, custom := p.codes[index].name, p.codes[index].custom
	inputs, n := firstInputs{}, 0
	for i := range inputs {
		inputs[i] = -1
	}
	p.int32s(p.vector(t, operatorInputs, 4, "inputs of an operator"), func(i int64) {
		if n < len(inputs) {
			inputs[n] = i
		}
		n++
		if custom && name == ethosUOperator {
			p.scratch(g, i)
		}
		p.use(g, t, position, name, i)
	})
	if !custom {
		p.keep(g, position, name, inputs)
	}
	p.int32s(p.vector(t, operatorOutputs, 4, "outputs of an operator"), func(i int64) {
		p.make(g, t, position, name, i)
	})
	p.int32s(p.vector(t, operatorIntermediates, 4, "intermediates of an operator"), func(i int64) {
		if i < -1 || i >= int64(len(g.tensors)) {
			p.noTensor(g, t, position, name, "intermediate", i)
		}
	})
	p.vector(t, operatorMutating, 1, "mutating inputs of an operator")
	p.options(g, t, position, name)
}

// use notes that an operator reads tensor i; -1 is an optional input that is
// not there.
func (p *parser) use(g *graph, t table, position int, name string, i int64) {
	switch {
	case i == -1:
	case i < 0 || i >= int64(len(g.tensors)):
		p.noTensor(g, t, position, name, "input", i)
	case !g.tensors[i].available():
		p.corrupt(t.pos, "operator %d (%s) of subgraph %d reads %s, which nothing has made",
			position, fault.Clip(name), g.index, p.describe(&g.tensors[i]))
	default:
		g.tensors[i].life.last = position + 1
	}
}

// scratch notes that tensor i is memory for the operator of an Ethos-U, which Vela
// writes as an input that nothing makes. A library that lacks the operator does not
// come to look at it.
func (p *parser) scratch(g *graph, i int64) {
	if i >= 0 && i < int64(len(g.tensors)) {
		if f := &g.tensors[i]; !f.available() {
			f.life = life{made: true, first: g.nodes, last: g.nodes}
		}
	}
}

// make notes that an operator writes tensor i.
func (p *parser) make(g *graph, t table, position int, name string, i int64) {
	if i < 0 || i >= int64(len(g.tensors)) {
		p.noTensor(g, t, position, name, "output", i)
		return
	}
	f, why := &g.tensors[i], ""
	switch {
	case f.constant:
		why = "a constant"
	case f.variable:
		why = "a variable"
	case f.input:
		why = "an input"
	case f.life.made:
		why = "the output of another operator"
	}
	if why != "" {
		p.corrupt(t.pos, "operator %d (%s) of subgraph %d writes %s, which is %s", position, fault.Clip(name), g.index, p.describe(f), why)
		return
	}
	f.life = life{made: true, first: position + 1, last: position + 1}
}

// noTensor fails for an index that g has no tensor for.
func (p *parser) noTensor(g *graph, t table, position int, name, what string, i int64) {
	p.corrupt(t.pos, "operator %d (%s) of subgraph %d has tensor %d as an %s, the subgraph has %d",
		position, fault.Clip(name), g.index, i, what, len(g.tensors))
}

// options checks the options of an operator, and notes the subgraphs that it
// runs.
func (p *parser) options(g *graph, t table, position int, name string) {
	calls := func(i int64) {
		if i < 0 || i >= int64(p.subgraphs) {
			p.corrupt(t.pos, "operator %d (%s) of subgraph %d runs subgraph %d, the file has %d",
				position, fault.Clip(name), g.index, i, p.subgraphs)
			return
		}
		if p.edges++; p.edges > p.lim.Nodes {
			p.tooLarge("the operators run subgraphs more than %d times", p.lim.Nodes)
			return
		}
		p.calls[g.index] = append(p.calls[g.index], int(i))
		if name == "CALL_ONCE" {
			mark(&p.once, int(i))
		}
	}
	p.union(t, operatorOptions, builtinOptions[:], "table of options", calls)
	p.union(t, operatorOptions2, builtinOptions2[:], "table of options", calls)
	p.vector(t, operatorCustomOptions, 1, "bytes of custom options")
	offset, size := p.scalar(t, operatorLargeOffset, 8, 0), p.scalar(t, operatorLargeSize, 8, 0)
	if p.err == nil && offset > 1 && (offset > uint64(p.size) || size > uint64(p.size)-offset) { //nolint:gosec // not negative
		p.corrupt(t.pos, "the custom options of operator %d (%s) of subgraph %d would lie at byte %d with %d bytes, the file has %d",
			position, fault.Clip(name), g.index, offset, size, p.size)
	}
}
