package tflite

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"verge/internal/fault"
)

// Slots of the tables Model, OperatorCode, Metadata, SignatureDef and TensorMap.
const (
	modelVersion     = 0
	modelCodes       = 1
	modelSubgraphs   = 2
	modelDescription = 3
	modelBuffers     = 4
	modelMetadata    = 6
	modelSignatures  = 7

	codeDeprecated = 0
	codeCustom     = 1
	codeVersion    = 2
	codeBuiltin    = 3

	metadataName   = 0
	metadataBuffer = 1

	signatureInputs   = 0
	signatureOutputs  = 1
	signatureKey      = 2
	signatureSubgraph = 4

	mapName   = 0
	mapTensor = 1
)

const (
	identifier    = "TFL3" // bytes 4 to 7 of the file
	schemaVersion = 3      // the only one that has this identifier
)

// parser collects what the tables of one file say.
type parser struct {
	reader
	m       *Model
	codes   []operatorCode
	buffers []buffer
	nodes   int   // counted against Limits.Nodes
	tensors int64 // counted against Limits.Tensors
	ranked  bool

	served    *signature // the first one; nil where the file has none
	subgraphs int
	calls     [][]int // by subgraph: those that its operators run
	dims      []int64 // of the tensor in hand, which the next one overwrites
	edges     int     // in calls
	metadata  span    // the TFLite metadata
	keeping
}

type operatorCode struct {
	name    string
	custom  bool
	version int64
	count   int
}

// signature is a SignatureDef.
type signature struct {
	inputs, outputs []named
	subgraph        int64
}

// named is a tensor's index, with the name that a signature gives it.
type named struct {
	name   string
	tensor int64
}

// Read reads the TensorFlow Lite file of size bytes that r holds. It fails with
// fault.Corrupt for bytes that are no such model or that a library would
// stumble over, with fault.Unsupported for a model that cannot be served
// whatever the library (its weights lie in other files, an input has a type
// that no request can carry), with fault.TooLarge for one that is over a limit,
// and with fault.Internal where r cannot be read. Metadata and appended files
// that cannot be read are no error: Model.Notes says so.
func Read(r io.ReaderAt, size int64, limits Limits) (*Model, error) {
	p := &parser{reader: reader{src: r, size: size, lim: limits}, m: &Model{}}
	switch {
	case size <= 0:
		p.corrupt(0, "the file is empty")
	case size > limits.FileBytes:
		p.tooLarge("the file has %d bytes, the limit is %d", size, limits.FileBytes)
	}
	if root := p.model(); p.err == nil {
		p.tables(root, modelSubgraphs, limits.Kinds, "SubGraph", "subgraphs", p.subgraph)
		p.recursion()
	}
	if p.err == nil {
		p.readMetadata()
		p.readArchive()
	}
	if p.err != nil {
		return nil, p.err
	}
	p.m.Nodes = p.nodes
	p.m.Operators = p.operators()
	p.note()
	return p.m, nil
}

// model reads the table Model, but for its subgraphs.
func (p *parser) model() table {
	if p.err != nil {
		return table{}
	}
	root := p.root(span{0, p.size}, identifier, "Model")
	p.m.SchemaVersion = int64(p.scalar(root, modelVersion, 4, 0)) //nolint:gosec // 32 bits
	if p.err == nil && p.m.SchemaVersion < schemaVersion {
		p.fail(fault.New(fault.Unsupported, opRead, "the file has schema version %d, want %d", p.m.SchemaVersion, schemaVersion).
			WithHint("Convert the model again with a TensorFlow of 2018 or later."))
	}
	p.m.Description = p.label(p.string(root, modelDescription, "bytes of the description"))
	p.operatorCodes(root)
	p.readBuffers(root)
	p.metadataEntries(root)
	subgraphs := p.vector(root, modelSubgraphs, 4, "subgraphs")
	p.subgraphs = int(min(subgraphs.n, int64(p.lim.Kinds)+1)) // more are refused later
	if p.err == nil && p.subgraphs == 0 {
		p.fail(fault.New(fault.Corrupt, opRead, "the file has no subgraph").
			WithHint("Check that the file is a TensorFlow Lite model, and convert it again."))
	}
	p.signatures(root)
	p.m.Subgraphs = p.subgraphs
	p.calls = make([][]int, min(p.subgraphs, p.lim.Kinds))
	return root
}

// operatorCodes reads the kinds of operators that the file uses.
func (p *parser) operatorCodes(root table) {
	names := builtinTable()
	p.tables(root, modelCodes, p.lim.Kinds, "OperatorCode", "operator codes", func(i int, t table) {
		c := operatorCode{version: p.int32(t, codeVersion, 1)}
		custom := p.string(t, codeCustom, "bytes of the name of an operator")
		// The older field has 8 bits; files for newer operators hold a placeholder in it.
		number := max(p.int8(t, codeDeprecated), p.int32(t, codeBuiltin, 0))
		switch {
		case number < 0:
			p.corrupt(t.pos, "operator code %d has the number %d, want 0 or more", i, number)
		case number == operatorCustom:
			c.custom, c.name = true, p.name(custom, "the name of a custom operator")
			if c.name == "" {
				p.corrupt(t.pos, "operator code %d is a custom operator without a name", i)
			}
		default:
			c.name = builtinName(names, number)
		}
		p.codes = append(p.codes, c)
	})
}

// operators returns the operators that are used, each once, in the order of
// Model.Operators.
func (p *parser) operators() []OperatorCount {
	counts := map[operatorCode]int{}
	for _, c := range p.codes {
		n := c.count
		c.count = 0
		counts[c] += n
	}
	all := []OperatorCount{}
	for c, n := range counts {
		if n > 0 {
			all = append(all, OperatorCount{Name: c.name, Custom: c.custom, Version: c.version, Count: n})
		}
	}
	slices.SortFunc(all, OperatorCount.compare)
	return all
}

// metadataEntries reads the names in Model.metadata and keeps the buffers that
// matter.
func (p *parser) metadataEntries(root table) {
	p.tables(root, modelMetadata, p.lim.Kinds, "Metadata", "metadata entries", func(i int, t table) {
		name := p.string(t, metadataName, "bytes of the name of a metadata entry")
		index := p.scalar(t, metadataBuffer, 4, 0)
		if p.err == nil && index >= uint64(len(p.buffers)) && index != 0 {
			p.corrupt(t.pos, "metadata entry %d has buffer %d, the file has %d", i, index, len(p.buffers))
		}
		if p.err != nil || index >= uint64(len(p.buffers)) {
			return
		}
		data := p.buffers[index].data
		switch p.label(name) {
		case "min_runtime_version":
			p.m.MinRuntimeVersion = strings.Trim(p.label(data), "\x00 ")
		case "TFLITE_METADATA":
			p.metadata = data
		}
	})
}

// signatures reads Model.signature_defs: the keys of all, and the first one.
func (p *parser) signatures(root table) {
	p.tables(root, modelSignatures, p.lim.Kinds, "SignatureDef", "signatures", func(i int, t table) {
		key := p.name(p.string(t, signatureKey, "bytes of the key of a signature"), "the key of a signature")
		p.m.SignatureKeys = append(p.m.SignatureKeys, key)
		s := signature{subgraph: int64(p.scalar(t, signatureSubgraph, 4, 0))} //nolint:gosec // 32 bits
		if p.err == nil && s.subgraph >= int64(p.subgraphs) {
			p.corrupt(t.pos, "signature %q is of subgraph %d, the file has %d", fault.Clip(key), s.subgraph, p.subgraphs)
		}
		s.inputs = p.signatureSide(t, signatureInputs, "inputs of a signature")
		s.outputs = p.signatureSide(t, signatureOutputs, "outputs of a signature")
		if i == 0 {
			p.served, p.m.ServedSubgraph = &s, int(s.subgraph)
		}
	})
}

// signatureSide reads the TensorMaps in a slot.
func (p *parser) signatureSide(t table, slot int, what string) []named {
	var all []named
	p.tables(t, slot, p.lim.Tensors, "TensorMap", what, func(_ int, t table) {
		all = append(all, named{
			name:   p.name(p.string(t, mapName, "bytes of a name in a signature"), "a name in a signature"),
			tensor: int64(p.scalar(t, mapTensor, 4, 0)), //nolint:gosec // 32 bits
		})
	})
	return all
}

// recursion refuses subgraphs that run themselves, directly or not: a library
// would prepare them until its stack ends.
func (p *parser) recursion() {
	height := make([]int, len(p.calls)) // 0 for not seen, -1 for being looked at
	for i := range p.calls {
		p.visit(i, 0, height)
	}
}

func (p *parser) visit(i, depth int, height []int) int {
	if height[i] < 0 {
		p.fail(fault.New(fault.Corrupt, opRead, "subgraph %d runs itself", i).WithHint("Convert the model again; recursion is not possible."))
	}
	if depth+max(height[i], 1) > p.lim.Depth {
		p.tooLarge("more than %d subgraphs run each other in a row", p.lim.Depth)
	}
	if height[i] != 0 || p.err != nil {
		return height[i]
	}
	height[i] = -1
	most := 0
	for _, callee := range p.calls[i] {
		most = max(most, p.visit(callee, depth+1, height))
	}
	height[i] = most + 1
	return height[i]
}

// addNote appends a sentence to the model's notes.
func (p *parser) addNote(format string, args ...any) {
	p.m.Notes = append(p.m.Notes, fmt.Sprintf(format, args...))
}

// aside runs read, whose findings no library looks at: where the bytes are
// wrong or too many, a note says so, and reading goes on.
func (p *parser) aside(what string, read func()) bool {
	read()
	var e *fault.Error
	if !errors.As(p.err, &e) || e.Kind == fault.Internal {
		return p.err == nil
	}
	p.err = nil
	p.addNote("%s cannot be read: %s.", what, fault.Message(e))
	return false
}
