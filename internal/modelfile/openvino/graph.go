package openvino

import (
	"strings"

	"verge/internal/fault"
)

// graph is the network, or the body of an If, Loop or TensorIterator layer.
type graph struct {
	layers []layer
	edges  []edge
	ids    map[int64]int // of layers, to their positions
}

// layer is what is kept of a <layer>.
type layer struct {
	id          int64
	line        int
	kind        string
	name        string
	outputNames string // attribute output_names of a Result, as written
	element     elementType
	shape       shape // element and shape: of a Parameter, as its data says
	ins         []inPort
	outs        []outPort
}

// edge is what is kept of an <edge>.
type edge struct {
	line int

	fromLayer, fromPort, toLayer, toPort int64
}

// port names a port of a layer as an edge does.
type port struct{ layer, id int64 }

// graph reads what is in a <net> or a body, which e is; other is called for
// elements that are not the graph's.
func (p *parser) graph(e element, other func(element) error) (*graph, error) {
	g := &graph{ids: map[int64]int{}}
	var layers, edges int
	err := p.children(func(c element) error {
		switch c.name {
		case "layers":
			if layers++; layers > 1 {
				return corrupt(c.line, "<%s> has two <layers>", e.name)
			}
			return p.children(func(c element) error { return p.layer(c, g) })
		case "edges":
			if edges++; edges > 1 {
				return corrupt(c.line, "<%s> has two <edges>", e.name)
			}
			return p.children(func(c element) error { return p.edge(c, g) })
		}
		return other(c)
	})
	switch {
	case err != nil:
		return nil, err
	case layers == 0:
		return nil, corrupt(e.line, "<%s> has no <layers>", e.name).WithHint(formatHint)
	case edges == 0:
		return nil, corrupt(e.line, "<%s> has no <edges>", e.name).WithHint(formatHint)
	}
	return g, g.link()
}

// layer reads a <layer> into g.
func (p *parser) layer(e element, g *graph) error {
	if e.name != "layer" {
		return p.skip()
	}
	if p.m.Layers++; p.m.Layers > p.lim.Layers {
		return tooLarge("the file has more than %d layers", p.lim.Layers)
	}
	l, err := p.head(e)
	if err != nil {
		return err
	}
	if _, twice := g.ids[l.id]; twice {
		return corrupt(e.line, "two layers have id %d", l.id)
	}
	var data, ins, outs int
	err = p.children(func(c element) error {
		n := &data
		switch c.name {
		case "input":
			n = &ins
		case "output":
			n = &outs
		case "body", "then_body", "else_body":
			_, failed := p.graph(c, func(element) error { return p.skip() })
			return failed
		case "data":
		default:
			return p.skip()
		}
		if *n++; *n > 1 {
			return corrupt(c.line, "%s has two <%s>", l.describe(), c.name)
		}
		switch c.name {
		case "input":
			return p.children(func(c element) error { return p.input(c, &l) })
		case "output":
			return p.children(func(c element) error { return p.output(c, &l) })
		}
		return p.data(c, &l)
	})
	if err != nil {
		return err
	}
	if data == 0 && (l.kind == kindConst || l.kind == kindParameter) {
		return corrupt(e.line, "%s has no <data>", l.describe())
	}
	g.ids[l.id] = len(g.layers)
	g.layers = append(g.layers, l)
	return nil
}

// Kinds of layers that the reader knows.
const (
	kindAssign    = "Assign"
	kindConst     = "Const"
	kindConvert   = "Convert"
	kindParameter = "Parameter"
	kindResult    = "Result"
)

// head reads the attributes of a <layer> and counts its operator.
func (p *parser) head(e element) (layer, error) {
	l := layer{line: e.line}
	var (
		key operatorKey
		err error
	)
	if l.id, err = e.number("id"); err != nil {
		return l, err
	}
	if key.name, err = p.name(e, "type"); err != nil {
		return l, err
	}
	if key.opset, err = p.name(e, "version"); err != nil {
		return l, err
	}
	if l.name, err = p.name(e, "name"); err != nil {
		return l, err
	}
	if key.name == "" {
		return l, corrupt(e.line, "layer %s has no type", fault.Quote(l.name))
	}
	l.kind = key.name
	p.operators[key]++
	if len(p.operators) > p.lim.Kinds {
		return l, tooLarge("the file has more than %d different operators", p.lim.Kinds)
	}
	if l.kind == kindResult {
		l.outputNames, _ = e.attr("output_names")
	}
	return l, p.keep(len(l.name) + len(l.outputNames))
}

// describe names the layer for a message.
func (l *layer) describe() string {
	return strings.Map(printable, fault.Clip(l.kind)) + " " + fault.Quote(l.name)
}

// name returns an attribute that e must have and whose length is bounded.
func (p *parser) name(e element, attribute string) (string, error) {
	text, err := e.need(attribute)
	if err == nil && len(text) > p.lim.NameBytes {
		err = tooLarge("line %d: attribute %q of <%s> has %d bytes, the limit is %d", e.line, attribute, fault.Clip(e.name), len(text), p.lim.NameBytes)
	}
	return text, err
}

// keep counts text that is kept.
func (p *parser) keep(n int) error {
	if p.text += int64(n); p.text > p.lim.TextBytes {
		return tooLarge("the names in the file take more than %d bytes", p.lim.TextBytes)
	}
	return nil
}

// edge reads an <edge> into g.
func (p *parser) edge(c element, g *graph) error {
	if c.name != "edge" {
		return p.skip()
	}
	if p.edges++; p.edges > p.lim.Edges {
		return tooLarge("the file has more than %d edges", p.lim.Edges)
	}
	e := edge{line: c.line}
	for _, field := range []struct {
		name string
		to   *int64
	}{{"from-layer", &e.fromLayer}, {"from-port", &e.fromPort}, {"to-layer", &e.toLayer}, {"to-port", &e.toPort}} {
		n, err := c.number(field.name)
		if err != nil {
			return err
		}
		*field.to = n
	}
	g.edges = append(g.edges, e)
	return p.skip()
}
