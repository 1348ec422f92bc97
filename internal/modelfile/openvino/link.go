package openvino

// link resolves the edges: each joins an output and an input that exist, and
// each input has one.
func (g *graph) link() error {
	ins, outs, err := g.portMaps()
	if err != nil {
		return err
	}
	for _, e := range g.edges {
		from, ok := outs[port{e.fromLayer, e.fromPort}]
		if !ok {
			return g.missing(e, "output", e.fromLayer, e.fromPort)
		}
		to, ok := ins[port{e.toLayer, e.toPort}]
		if !ok {
			return g.missing(e, "input", e.toLayer, e.toPort)
		}
		in := &g.layers[to.layer].ins[to.port]
		if in.linked {
			return corrupt(e.line, "input %d of %s has two edges", in.id, g.layers[to.layer].describe())
		}
		in.from, in.linked = from, true
	}
	for i := range g.layers {
		l := &g.layers[i]
		for _, in := range l.ins {
			if !in.linked {
				return corrupt(l.line, "input %d of %s has no edge", in.id, l.describe())
			}
		}
	}
	return nil
}

// portMaps finds the ports of the layers by their ids.
func (g *graph) portMaps() (ins, outs map[port]place, err error) {
	ins, outs = map[port]place{}, map[port]place{}
	for i := range g.layers {
		l := &g.layers[i]
		for j, in := range l.ins {
			ins[port{l.id, in.id}] = place{i, j}
		}
		for j, out := range l.outs {
			outs[port{l.id, out.id}] = place{i, j}
		}
	}
	want := 0
	for i := range g.layers {
		want += len(g.layers[i].ins) + len(g.layers[i].outs)
	}
	if len(ins)+len(outs) == want {
		return ins, outs, nil
	}
	for i := range g.layers { // a later port took the place of an earlier one
		l := &g.layers[i]
		for j, in := range l.ins {
			if ins[port{l.id, in.id}].port != j {
				return nil, nil, corrupt(l.line, "%s has two inputs with id %d", l.describe(), in.id)
			}
		}
		for j, out := range l.outs {
			if outs[port{l.id, out.id}].port != j {
				return nil, nil, corrupt(l.line, "%s has two outputs with id %d", l.describe(), out.id)
			}
		}
	}
	return ins, outs, nil
}

// missing is the error for an end of an edge that is not there.
func (g *graph) missing(e edge, what string, id, number int64) error {
	i, ok := g.ids[id]
	if !ok {
		return corrupt(e.line, "an edge names layer %d, which is not there", id)
	}
	return corrupt(e.line, "an edge names %s %d of %s, which is not there", what, number, g.layers[i].describe())
}

// feeds returns the output that an input is linked to.
func (g *graph) feeds(in inPort) (*layer, *outPort) {
	l := &g.layers[in.from.layer]
	return l, &l.outs[in.from.port]
}
