package onnx

import (
	"io"
	"maps"
	"slices"

	"verge/internal/fault"
)

// Fields of ModelProto that are read.
const (
	modelIRVersion       = 1
	modelProducerName    = 2
	modelProducerVersion = 3
	modelDomain          = 4
	modelVersion         = 5
	modelDocString       = 6
	modelGraph           = 7
	modelOpsetImport     = 8
	modelMetadata        = 14
	modelTraining        = 20
	modelFunctions       = 25
	modelConfiguration   = 26
)

// parser collects what the fields of one file say.
type parser struct {
	reader
	m         *Model
	graphs    []span // of the main graph: one, unless it was written in pieces
	operators map[operatorKey]int
	tensors   int // counted against Limits.Tensors
	nodes     int // counted against Limits.Nodes
	training  bool

	inputs, outputs []value             // of the main graph, in the file's order
	initialisers    map[string]struct{} // of the main graph
	sizes           map[string]*life    // values of the main graph whose size is declared
}

type operatorKey struct{ domain, name string }

func newParser(r io.ReaderAt, size int64, limits Limits) *parser {
	return &parser{
		reader:       reader{src: r, size: size, lim: limits},
		m:            &Model{},
		operators:    map[operatorKey]int{},
		initialisers: map[string]struct{}{},
		sizes:        map[string]*life{},
	}
}

// Read reads the ONNX file of size bytes that r holds. It fails with
// fault.Corrupt for bytes that are no ONNX model, with fault.Unsupported for a
// model that cannot be served whatever the library (its tensors lie in other
// files, an input is no tensor), with fault.TooLarge for one that is over a
// limit, and with fault.Internal where r cannot be read.
func Read(r io.ReaderAt, size int64, limits Limits) (*Model, error) {
	switch {
	case size <= 0:
		return nil, corrupt(0, "the file is empty")
	case size > limits.FileBytes:
		return nil, tooLarge("the file has %d bytes, the limit is %d", size, limits.FileBytes)
	}
	p := newParser(r, size, limits)
	if err := p.model(span{0, size}); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := p.signature(); err != nil {
		return nil, err
	}
	if err := p.activations(); err != nil {
		return nil, err
	}
	p.m.Nodes = p.nodes
	p.m.Operators = sortedOperators(p.operators)
	p.note()
	return p.m, nil
}

// model reads a ModelProto.
func (p *parser) model(s span) error {
	var name, version string
	err := p.each(s, func(f field) (err error) {
		switch {
		case f.is(modelIRVersion, wireVarint):
			p.m.IRVersion = int64(f.value) //nolint:gosec // protobuf's own encoding of an int64
		case f.is(modelProducerName, wireLength):
			name, err = p.label(f)
		case f.is(modelProducerVersion, wireLength):
			version, err = p.label(f)
		case f.is(modelDomain, wireLength):
			p.m.Domain, err = p.label(f)
		case f.is(modelVersion, wireVarint):
			p.m.ModelVersion = int64(f.value) //nolint:gosec // protobuf's own encoding of an int64
		case f.is(modelGraph, wireLength):
			p.graphs = append(p.graphs, f.body)
			if len(p.graphs) > p.lim.Kinds {
				return tooLarge("the main graph is written in more than %d pieces", p.lim.Kinds)
			}
			err = p.graph(f.body, 0)
		case f.is(modelOpsetImport, wireLength):
			err = p.opset(f.body)
		case f.is(modelMetadata, wireLength):
			err = p.metadata(f.body)
		case f.is(modelTraining, wireLength):
			p.training = true
		case f.is(modelFunctions, wireLength):
			err = p.function(f.body)
		}
		return err
	})
	p.m.Producer = name
	if version != "" {
		p.m.Producer += " " + version
	}
	return err
}

// check refuses a file that lacks what every model has.
func (p *parser) check() error {
	const hint = "Check that the file is an ONNX model, and export it again."
	switch {
	case len(p.graphs) == 0:
		return fault.New(fault.Corrupt, opRead, "the file has no graph").WithHint(hint)
	case p.m.IRVersion < 1:
		return fault.New(fault.Corrupt, opRead, "the file has IR version %d, want 1 or more", p.m.IRVersion).WithHint(hint)
	case len(p.m.Opsets) == 0:
		return fault.New(fault.Corrupt, opRead, "the file names no operator set").WithHint(hint)
	case p.nodes == 0 && len(p.outputs) == 0:
		return fault.New(fault.Corrupt, opRead, "the graph has neither nodes nor outputs").WithHint(hint)
	}
	return nil
}

// opset reads an OperatorSetIdProto. Where a domain comes twice, the last one counts.
func (p *parser) opset(s span) error {
	o := Opset{}
	err := p.each(s, func(f field) (err error) {
		switch {
		case f.is(1, wireLength):
			o.Domain, err = p.name(f, "the domain of an operator set")
		case f.is(2, wireVarint):
			o.Version = int64(f.value) //nolint:gosec // protobuf's own encoding of an int64
		}
		return err
	})
	if err != nil {
		return err
	}
	if o.Domain == "" {
		o.Domain = StandardDomain
	}
	if i := slices.IndexFunc(p.m.Opsets, func(have Opset) bool { return have.Domain == o.Domain }); i >= 0 {
		p.m.Opsets[i] = o
		return nil
	}
	if len(p.m.Opsets) >= p.lim.Kinds {
		return tooLarge("the file has more than %d operator sets", p.lim.Kinds)
	}
	p.m.Opsets = append(p.m.Opsets, o)
	return nil
}

// metadata reads a StringStringEntryProto. Where a key comes twice, the last one counts.
func (p *parser) metadata(s span) error {
	var key, text string
	err := p.each(s, func(f field) (err error) {
		switch {
		case f.is(1, wireLength):
			key, err = p.label(f)
		case f.is(2, wireLength):
			text, err = p.label(f)
		}
		return err
	})
	if err != nil {
		return err
	}
	if p.m.Metadata == nil {
		p.m.Metadata = map[string]string{}
	}
	p.m.Metadata[key] = text
	if len(p.m.Metadata) > p.lim.Kinds {
		return tooLarge("the file has more than %d metadata keys", p.lim.Kinds)
	}
	return nil
}

// sortedOperators returns counts, most frequent first, then by domain and name.
func sortedOperators(counts map[operatorKey]int) []OperatorCount {
	all := make([]OperatorCount, 0, len(counts))
	for k, n := range maps.All(counts) {
		all = append(all, OperatorCount{Domain: k.domain, Name: k.name, Count: n})
	}
	slices.SortFunc(all, OperatorCount.compare)
	return all
}
