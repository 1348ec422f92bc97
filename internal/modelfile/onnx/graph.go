package onnx

import "cmp"

// Fields of GraphProto, NodeProto, AttributeProto and FunctionProto that are read.
const (
	graphNode        = 1
	graphName        = 2
	graphInitialiser = 5
	graphInput       = 11
	graphOutput      = 12
	graphValueInfo   = 13
	graphSparse      = 15

	nodeInput     = 1
	nodeOutput    = 2
	nodeOperator  = 4
	nodeAttribute = 5
	nodeDomain    = 7

	attributeTensor  = 5
	attributeGraph   = 6
	attributeTensors = 10
	attributeGraphs  = 11
	attributeSparse  = 22
	attributeSparses = 23

	functionName      = 1
	functionNode      = 7
	functionDomain    = 10
	functionAttribute = 11
)

// graph reads a GraphProto; depth 0 is the main graph.
func (p *parser) graph(s span, depth int) error {
	if depth > p.lim.Depth {
		return tooLarge("at byte %d: graphs are nested more than %d deep", s.pos, p.lim.Depth)
	}
	return p.each(s, func(f field) (err error) {
		switch {
		case f.is(graphNode, wireLength):
			err = p.node(f.body, depth)
		case f.is(graphInitialiser, wireLength):
			err = p.initialiser(f, depth)
		case f.is(graphSparse, wireLength):
			err = p.sparseInitialiser(f, depth)
		case f.is(graphInput, wireLength), f.is(graphOutput, wireLength), f.is(graphValueInfo, wireLength):
			if err = p.countTensor(); err == nil && depth == 0 {
				err = p.declared(f)
			}
		case f.is(graphName, wireLength) && depth == 0:
			p.m.Graph, err = p.label(f)
		}
		return err
	})
}

// declared reads an input, an output or a value of the main graph.
func (p *parser) declared(f field) error {
	v, err := p.value(f)
	if err != nil {
		return err
	}
	switch f.number {
	case graphInput:
		p.inputs = append(p.inputs, v)
	case graphOutput:
		p.outputs = append(p.outputs, v)
	}
	if size, ok := v.size(); ok && v.name != "" {
		l := &life{bytes: size, always: f.number != graphValueInfo}
		if have := p.sizes[v.name]; have != nil {
			l.always = l.always || have.always
		}
		p.sizes[v.name] = l
	}
	return nil
}

// initialiser reads a TensorProto among a graph's initialisers.
func (p *parser) initialiser(f field, depth int) error {
	var t tensorFacts
	if err := p.tensor(f.body, &t); err != nil {
		return err
	}
	if err := p.addTensor(&t, "initialiser"); err != nil {
		return err
	}
	return p.keepInitialiser(t.name, depth)
}

// sparseInitialiser reads a SparseTensorProto; its name is that of its values.
func (p *parser) sparseInitialiser(f field, depth int) error {
	var t sparseFacts
	if err := p.sparse(f.body, &t); err != nil {
		return err
	}
	if err := p.addSparse(&t); err != nil {
		return err
	}
	return p.keepInitialiser(t.values.name, depth)
}

// keepInitialiser notes the name of an initialiser of the main graph: such an
// input has a value, and clients need not give one.
func (p *parser) keepInitialiser(name field, depth int) error {
	if depth > 0 || name.number == 0 {
		return nil
	}
	text, err := p.name(name, "the name of an initialiser")
	if err == nil {
		p.initialisers[text] = struct{}{}
	}
	return err
}

// node reads a NodeProto inside a graph of that depth.
func (p *parser) node(s span, depth int) error {
	if p.nodes++; p.nodes > p.lim.Nodes {
		return tooLarge("the file has more than %d nodes", p.lim.Nodes)
	}
	var key operatorKey
	err := p.each(s, func(f field) (err error) {
		switch {
		case f.is(nodeOperator, wireLength):
			key.name, err = p.operatorName(f, "the name of an operator")
		case f.is(nodeDomain, wireLength):
			key.domain, err = p.operatorName(f, "the domain of an operator")
		case f.is(nodeAttribute, wireLength):
			err = p.attribute(f.body, depth)
		}
		return err
	})
	if err != nil {
		return err
	}
	if key.name == "" {
		return corrupt(s.pos, "a node names no operator")
	}
	if key.domain == StandardDomain {
		key.domain = ""
	}
	p.operators[key]++
	if len(p.operators) > p.lim.Kinds {
		return tooLarge("the file has more than %d different operators", p.lim.Kinds)
	}
	return nil
}

// operatorName is name for text of which the operator table keeps one copy:
// Limits.Kinds and Limits.NameBytes bound it, and it does not count as kept.
func (p *parser) operatorName(f field, what string) (string, error) {
	before := p.text
	text, err := p.name(f, what)
	p.text = before
	return text, err
}

// attribute reads an AttributeProto of a node inside a graph of that depth.
// Fields that are written twice are merged, as protobuf has it.
func (p *parser) attribute(s span, depth int) error {
	var (
		one    *tensorFacts
		sparse *sparseFacts
	)
	err := p.each(s, func(f field) error {
		switch {
		case f.is(attributeTensor, wireLength):
			if one == nil {
				one = &tensorFacts{}
			}
			return p.tensor(f.body, one)
		case f.is(attributeSparse, wireLength):
			if sparse == nil {
				sparse = &sparseFacts{}
			}
			return p.sparse(f.body, sparse)
		case f.is(attributeGraph, wireLength), f.is(attributeGraphs, wireLength):
			return p.graph(f.body, depth+1)
		case f.is(attributeTensors, wireLength):
			var t tensorFacts
			if err := p.tensor(f.body, &t); err != nil {
				return err
			}
			return p.addTensor(&t, "attribute tensor")
		case f.is(attributeSparses, wireLength):
			var t sparseFacts
			if err := p.sparse(f.body, &t); err != nil {
				return err
			}
			return p.addSparse(&t)
		}
		return nil
	})
	if err == nil && one != nil {
		err = p.addTensor(one, "attribute tensor")
	}
	if err == nil && sparse != nil {
		err = p.addSparse(sparse)
	}
	return err
}

// function reads a FunctionProto.
func (p *parser) function(s span) error {
	if len(p.m.Functions) >= p.lim.Kinds {
		return tooLarge("the file has more than %d functions", p.lim.Kinds)
	}
	fn, before := Function{}, p.nodes
	err := p.each(s, func(f field) (err error) {
		switch {
		case f.is(functionName, wireLength):
			fn.Name, err = p.name(f, "the name of a function")
		case f.is(functionDomain, wireLength):
			fn.Domain, err = p.name(f, "the domain of a function")
		case f.is(functionNode, wireLength):
			err = p.node(f.body, 0)
		case f.is(functionAttribute, wireLength):
			err = p.attribute(f.body, 0)
		}
		return err
	})
	if err != nil {
		return err
	}
	if fn.Name == "" {
		return corrupt(s.pos, "a function has no name")
	}
	fn.Nodes = p.nodes - before
	p.m.Functions = append(p.m.Functions, fn)
	return nil
}

// countTensor counts one more tensor or value against the limit.
func (p *parser) countTensor() error {
	if p.tensors++; p.tensors > p.lim.Tensors {
		return tooLarge("the file has more than %d tensors and values", p.lim.Tensors)
	}
	return nil
}

// compare orders operators: most frequent first, then by domain and name.
func (o OperatorCount) compare(other OperatorCount) int {
	return cmp.Or(cmp.Compare(other.Count, o.Count), cmp.Compare(o.Domain, other.Domain), cmp.Compare(o.Name, other.Name))
}
