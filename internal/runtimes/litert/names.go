package litert

import (
	"encoding/binary"

	"verge/internal/inference"
)

// namesOf reads the names of the inputs and outputs from the first signature of a
// file, which the classic interface does not tell and LiteRT serves under, in the
// order of the main graph, as LiteRT does. There are none where the file has no
// signature, or one that is not about the inputs and outputs of that graph. The
// numbers are those of schema.fbs, version 3.
func namesOf(data []byte) (inputs, outputs []string) {
	const (
		root                                     = 0
		modelGraphs, modelSignatures             = 2, 7
		graphInputs, graphOutputs                = 1, 2
		signatureInputs, signatureOutputs, graph = 0, 1, 4
	)
	f := flatFile(data)
	model := f.follow(root)
	graphs, signatures := f.vector(f.field(model, modelGraphs)), f.vector(f.field(model, modelSignatures))
	if graphs.count == 0 || signatures.count == 0 {
		return nil, nil
	}
	main, signature := f.follow(graphs.at(0)), f.follow(signatures.at(0))
	if at := f.field(signature, graph); at != 0 && f.number(at) != 0 {
		return nil, nil
	}
	inputs, ok := f.names(f.vector(f.field(signature, signatureInputs)), f.vector(f.field(main, graphInputs)))
	if ok {
		outputs, ok = f.names(f.vector(f.field(signature, signatureOutputs)), f.vector(f.field(main, graphOutputs)))
	}
	if !ok {
		return nil, nil
	}
	return inputs, outputs
}

// names returns what a vector of TensorMap calls each of a graph's tensors; false
// where it is not about all of them, each once.
func (f flatFile) names(maps, tensors flatVector) ([]string, bool) {
	const name, tensor = 0, 1
	if maps.count != tensors.count || tensors.count > inference.MaxTensors {
		return nil, false
	}
	all, named := make([]string, tensors.count), make([]bool, tensors.count)
	for i := range maps.count {
		table := f.follow(maps.at(i))
		wanted := 0 // as the schema's default
		if at := f.field(table, tensor); at != 0 {
			wanted = f.number(at)
		}
		place := -1
		for k := range tensors.count {
			if !named[k] && f.number(tensors.at(k)) == wanted {
				place = k
				break
			}
		}
		if place < 0 {
			return nil, false
		}
		all[place], named[place] = f.text(f.field(table, name)), true
	}
	return all, true
}

// flatFile is a FlatBuffer. What lies outside of it reads as 0, which is also how
// the place of something that is not there is written.
type flatFile []byte

// flatVector is where a vector of elements of four bytes lies.
type flatVector struct{ first, count int }

func (v flatVector) at(i int) int { return v.first + word*i }

// number reads 32 bits.
func (f flatFile) number(at int) int {
	if at < 0 || at > len(f)-word {
		return 0
	}
	return int(int32(binary.LittleEndian.Uint32(f[at:]))) //nolint:gosec // so it is signed
}

// follow returns where the offset at a place leads.
func (f flatFile) follow(at int) int { return at + f.number(at) }

// field returns where the field of a table lies, or 0.
func (f flatFile) field(table, slot int) int {
	const header, half = 4, 2
	vtable := table - f.number(table)
	at := vtable + header + half*slot
	if table <= 0 || vtable < 0 || at > len(f)-half || at+half > vtable+f.number(vtable)&0xffff {
		return 0
	}
	offset := int(binary.LittleEndian.Uint16(f[at:]))
	if offset == 0 {
		return 0
	}
	return table + offset
}

// vector returns the vector that the field at a place leads to.
func (f flatFile) vector(at int) flatVector {
	if at == 0 {
		return flatVector{}
	}
	begin := f.follow(at)
	count := f.number(begin)
	if begin <= 0 || count < 0 || count > (len(f)-begin)/word {
		return flatVector{}
	}
	return flatVector{begin + word, count}
}

// text returns the text that the field at a place leads to.
func (f flatFile) text(at int) string {
	if at == 0 {
		return ""
	}
	begin := f.follow(at)
	length := f.number(begin)
	if begin <= 0 || length < 0 || length > min(len(f)-begin-word, maxText) {
		return ""
	}
	return string(f[begin+word : begin+word+length])
}
