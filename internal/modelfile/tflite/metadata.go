package tflite

import (
	"fmt"
	"math"

	"verge/internal/fault"
	"verge/internal/inference"
)

// Slots of the tables of TFLite metadata (metadata_schema.fbs of
// tflite-support, 1.5.0).
const (
	aboutName        = 0
	aboutDescription = 1
	aboutVersion     = 2
	aboutSubgraphs   = 3
	aboutAuthor      = 4
	aboutLicence     = 5

	subgraphInputs  = 2
	subgraphOutputs = 3

	partName        = 0
	partDescription = 1
	partContent     = 3
	partProcess     = 4
	partFiles       = 6

	contentKind       = 0 // a union: its number, then its table
	contentImage      = 2
	imageColourSpace  = 0
	processKind       = 0 // a union
	processNormalize  = 1
	normalizationMean = 0
	normalizationStd  = 1

	fileName        = 0
	fileType        = 2
	fileAxisLabels  = 2
	fileValueLabels = 3

	metadataIdentifier = "M001"
)

// Metadata is what the author of a model says about it for people and for
// programs (TFLite metadata). Nothing of it is checked against the model.
type Metadata struct {
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
	Version     string `json:"version,omitempty"`
	Author      string `json:"author,omitempty"`
	Licence     string `json:"licence,omitempty"`

	// Inputs and Outputs are as many as Model.Signature has, in its order; nil
	// where the metadata describe another number of tensors.
	Inputs  []TensorMetadata `json:"inputs,omitempty"`
	Outputs []TensorMetadata `json:"outputs,omitempty"`
}

// TensorMetadata says what an input or output means.
type TensorMetadata struct {
	Name        string `json:"name,omitempty"` // for people; requests use the signature's
	Description string `json:"description,omitempty"`
	Content     string `json:"content,omitempty"`      // "features", "image", "bounding boxes", "audio"
	ColourSpace string `json:"colour_space,omitempty"` // of an image: "RGB", "GRAYSCALE"

	// Mean and Std turn real numbers into what the model expects, (x - mean) / std:
	// one for all channels, or one for each.
	Mean []float32 `json:"mean,omitempty"`
	Std  []float32 `json:"std,omitempty"`

	Labels []string `json:"labels,omitempty"` // names of the appended files with a label on each line
	Files  []string `json:"files,omitempty"`  // names of all appended files that belong to the tensor
}

// readMetadata reads the TFLite metadata, a flatbuffer inside a buffer. No
// library looks at it, so it may be wrong.
func (p *parser) readMetadata() {
	if p.metadata.len() > 0 {
		p.aside("The TFLite metadata", func() { p.about(p.metadata) })
	}
}

// about reads the ModelMetadata in data.
func (p *parser) about(data span) {
	t := p.root(data, metadataIdentifier, "ModelMetadata")
	m := &Metadata{
		Name:        p.caption(t, aboutName),
		Description: p.caption(t, aboutDescription),
		Version:     p.caption(t, aboutVersion),
		Author:      p.caption(t, aboutAuthor),
		Licence:     p.caption(t, aboutLicence),
	}
	p.tables(t, aboutSubgraphs, p.lim.Kinds, "SubGraphMetadata", "subgraphs in the metadata", func(i int, t table) {
		if i == p.m.ServedSubgraph {
			m.Inputs = inOrder(p.parts(t, subgraphInputs), p.served.inputs)
			m.Outputs = inOrder(p.parts(t, subgraphOutputs), p.served.outputs)
		}
	})
	if p.err == nil {
		p.m.Metadata = m
	}
}

// caption returns the text in a slot, for people.
func (p *parser) caption(t table, slot int) string {
	return p.label(p.string(t, slot, "bytes of a text in the metadata"))
}

// inOrder returns the parts, which describe the tensors of a subgraph, in the
// order of the signature, whose tensors are positions in the subgraph.
func inOrder(parts []TensorMetadata, order []named) []TensorMetadata {
	var all []TensorMetadata
	for _, n := range order {
		if n.tensor >= int64(len(parts)) || len(parts) != len(order) {
			return nil
		}
		all = append(all, parts[n.tensor])
	}
	return all
}

// parts reads the TensorMetadata in a slot.
func (p *parser) parts(t table, slot int) []TensorMetadata {
	var all []TensorMetadata
	p.tables(t, slot, inference.MaxTensors, "TensorMetadata", "tensors in the metadata", func(_ int, t table) {
		m := TensorMetadata{Name: p.caption(t, partName), Description: p.caption(t, partDescription)}
		if content, ok := p.child(t, partContent, "Content"); ok {
			p.content(content, &m)
		}
		p.tables(t, partProcess, p.lim.Kinds, "ProcessUnit", "process units in the metadata", func(_ int, t table) {
			options, ok := p.child(t, processKind+1, "NormalizationOptions")
			if ok && p.scalar(t, processKind, 1, 0) == processNormalize {
				m.Mean, m.Std = p.finite(options, normalizationMean), p.finite(options, normalizationStd)
			}
		})
		p.tables(t, partFiles, p.lim.Kinds, "AssociatedFile", "files in the metadata", func(_ int, t table) {
			name := p.caption(t, fileName)
			m.Files = append(m.Files, name)
			if kind := p.int8(t, fileType); kind == fileAxisLabels || kind == fileValueLabels {
				m.Labels = append(m.Labels, name)
			}
		})
		all = append(all, m)
	})
	return all
}

// content reads a Content.
func (p *parser) content(t table, m *TensorMetadata) {
	kinds := map[uint64]string{1: "features", contentImage: "image", 3: "bounding boxes", 4: "audio"} // ContentProperties
	spaces := map[uint64]string{1: "RGB", 2: "GRAYSCALE"}                                             // ColorSpaceType
	kind := p.scalar(t, contentKind, 1, 0)
	properties, ok := p.child(t, contentKind+1, "ContentProperties")
	if !ok {
		return
	}
	m.Content = kinds[kind]
	if kind == contentImage {
		m.ColourSpace = spaces[p.scalar(properties, imageColourSpace, 1, 0)]
	}
}

// finite returns the numbers of the vector in a slot, which JSON can carry.
func (p *parser) finite(t table, slot int) []float32 {
	all := p.floats(t, slot, "numbers in the metadata")
	for _, f := range all {
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			p.fail(fault.New(fault.Corrupt, opRead, "the normalization in the metadata has the number %s", fmt.Sprint(f)))
		}
	}
	return all
}
