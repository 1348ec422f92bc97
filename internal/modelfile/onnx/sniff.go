package onnx

import "io"

// modelFields are the fields of ModelProto with their encodings.
var modelFields = map[int32]wireType{ //nolint:gochecknoglobals // a constant table
	modelIRVersion: wireVarint, modelProducerName: wireLength, modelProducerVersion: wireLength,
	modelDomain: wireLength, modelVersion: wireVarint, modelDocString: wireLength, modelGraph: wireLength,
	modelOpsetImport: wireLength, modelMetadata: wireLength, modelTraining: wireLength,
	modelFunctions: wireLength, modelConfiguration: wireLength,
}

const (
	sniffFields    = 1 << 12 // fields that Sniff looks at
	sniffIRVersion = 1 << 10 // no IR version will be higher for a long time
)

// Sniff reports whether the file of size bytes that r holds looks like an ONNX
// model. ONNX has no magic number; what counts are the outermost fields of the
// file: they are a ModelProto's, and a graph is among them. A file that was cut
// off inside its graph still looks like one, so that Read can say what is wrong
// with it.
func Sniff(r io.ReaderAt, size int64) bool {
	p := &reader{src: r, size: size, lim: Limits{Fields: sniffFields}}
	s := span{0, size}
	var version, graph, unknown bool
	for s.len() > 0 {
		before := s
		f, _, err := p.next(&s)
		if err != nil {
			return !unknown && version && (graph || p.startsGraph(before))
		}
		wire, known := modelFields[f.number]
		switch {
		case known && f.wire != wire:
			return false
		case !known:
			unknown = true
		case f.number == modelIRVersion:
			version = f.value >= 1 && f.value <= sniffIRVersion
		case f.number == modelGraph:
			graph = true
		}
	}
	return version && graph
}

// startsGraph reports whether a cut-off field at the start of s is the graph.
func (r *reader) startsGraph(s span) bool {
	tag, err := r.varint(&s)
	return err == nil && tag == modelGraph<<3|uint64(wireLength)
}
