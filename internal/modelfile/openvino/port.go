package openvino

import "verge/internal/fault"

// inPort is an input of a layer.
type inPort struct {
	id     int64
	from   place
	linked bool
}

// outPort is an output of a layer.
type outPort struct {
	id      int64
	element elementType
	shape   shape
	names   string // as written
}

// place names an output of a layer by positions in graph.layers and layer.outs.
type place struct{ layer, port int }

// portID returns the id of a <port>, which it counts against the limit.
func (p *parser) portID(e element) (int64, error) {
	if p.ports++; p.ports > p.lim.Ports {
		return 0, tooLarge("the file has more than %d ports", p.lim.Ports)
	}
	return e.number("id")
}

// input reads a <port> in the <input> of l. What it says of its shape repeats
// the output that it is linked to, and does not count.
func (p *parser) input(e element, l *layer) error {
	if e.name != "port" {
		return p.skip()
	}
	id, err := p.portID(e)
	if err != nil {
		return err
	}
	l.ins = append(l.ins, inPort{id: id})
	return p.skip()
}

// output reads a <port> in the <output> of l.
func (p *parser) output(e element, l *layer) error {
	if e.name != "port" {
		return p.skip()
	}
	id, err := p.portID(e)
	if err != nil {
		return err
	}
	o := outPort{id: id}
	o.names, _ = e.attr("names")
	if err = p.keep(len(o.names)); err != nil {
		return err
	}
	precision, _ := e.attr("precision")
	o.element = precisionOf(precision)
	err = p.children(func(c element) error {
		if c.name != "dim" {
			return p.skip()
		}
		return p.dim(l, &o.shape)
	})
	l.outs = append(l.outs, o)
	return err
}

// dim reads a <dim> of an output of l into s.
func (p *parser) dim(l *layer, s *shape) error {
	text, err := p.content()
	if err != nil {
		return err
	}
	n := int64(-1)
	if text != "-1" {
		if n, err = parseCount(text, text); err != nil {
			return corrupt(p.line, "%s has a <dim> of %s, want a number of -1 or more", l.describe(), fault.Quote(text))
		}
	}
	s.add(n)
	return nil
}
