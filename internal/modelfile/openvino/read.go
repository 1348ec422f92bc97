package openvino

import (
	"cmp"
	"io"
	"slices"
	"strconv"

	"verge/internal/fault"
)

// parser collects what the elements of one file say.
type parser struct {
	*document
	m         *Model
	weights   int64 // size of the .bin file, -1 where there is none
	operators map[operatorKey]int
	extents   map[extent]struct{} // of the .bin file that Const layers use
	ports     int                 // counted against Limits.Ports
	edges     int                 // counted against Limits.Edges
	text      int64               // counted against Limits.TextBytes
}

type operatorKey struct{ opset, name string }

// Read reads the .xml file of size bytes that r holds; weightsSize is the size
// of the .bin file beside it in bytes, or -1 where there is none. It fails with
// fault.Corrupt for bytes that are no OpenVINO IR and for weights that do not
// fit, with fault.Unsupported for a model that cannot be served (its IR version
// is neither 10 nor 11, an input has an element type without a name in the
// protocol), with fault.TooLarge for one that is over a limit, and with
// fault.Internal where r cannot be read.
func Read(r io.ReaderAt, size, weightsSize int64, limits Limits) (*Model, error) {
	switch {
	case size <= 0:
		return nil, fault.New(fault.Corrupt, opRead, "the file is empty").WithHint(damagedHint)
	case size > limits.FileBytes:
		return nil, tooLarge("the file has %d bytes, the limit is %d", size, limits.FileBytes)
	}
	p := &parser{
		document:  newDocument(r, size, limits),
		m:         &Model{},
		weights:   weightsSize,
		operators: map[operatorKey]int{},
		extents:   map[extent]struct{}{},
	}
	root, err := p.root()
	if err != nil {
		return nil, err
	}
	g, err := p.net(root)
	if err != nil {
		return nil, err
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	if err := p.signature(g); err != nil {
		return nil, err
	}
	p.activations(g)
	var used int64
	p.m.ParameterBytes, used = union(p.extents)
	p.m.UnusedBytes = max(0, p.weights-used)
	for k, n := range p.operators {
		p.m.Operators = append(p.m.Operators, OperatorCount{Opset: k.opset, Name: k.name, Count: n})
	}
	slices.SortFunc(p.m.Operators, OperatorCount.compare)
	p.note()
	return p.m, nil
}

// net reads the <net>, which is the root.
func (p *parser) net(e element) (*graph, error) {
	if e.name != "net" {
		return nil, corrupt(e.line, "the file begins with <%s>, not with <net>", fault.Clip(e.name)).WithHint(formatHint)
	}
	version, err := e.need("version")
	if err != nil {
		return nil, err
	}
	if version != "10" && version != "11" {
		return nil, unsupported("the file has IR version %s, only 10 and 11 can be served", fault.Quote(version)).
			WithHint("Convert the original model with ovc of OpenVINO 2023.1 or newer.")
	}
	p.m.IRVersion, _ = strconv.ParseInt(version, 10, 64)
	name, _ := e.attr("name")
	p.m.Name = p.label(name)

	var now, legacy converter
	g, err := p.graph(e, func(c element) error {
		switch c.name {
		case "rt_info":
			return p.info(&now)
		case "meta_data":
			return p.info(&legacy)
		}
		return p.skip()
	})
	p.m.Converter = cmp.Or(now.version(), legacy.version())
	p.m.Framework = cmp.Or(now.framework, legacy.framework)
	return g, err
}
