package tflitefile

import "verge/internal/inference"

// Slots of tables.
const (
	modelGraphs, modelSignatures = 2, 7

	graphTensors, graphInputs, graphOutputs = 0, 1, 2

	tensorName = 3

	signatureInputs, signatureOutputs, signatureGraph = 0, 1, 4

	mapName, mapTensor = 0, 1
)

// Name is what an input or output is called.
type Name struct {
	Signature string // in requests
	Tensor    string // inside the graph
}

// Names reads the names of the inputs and outputs from the first signature of a
// file, in the order of the main graph, as LiteRT has them. There are none where the
// file has no signature, or one that is not about the inputs and outputs of that
// graph.
func Names(data []byte) (inputs, outputs []Name) {
	f := File(data)
	model := f.Root()
	graphs, signatures := f.VectorOf(model, modelGraphs), f.VectorOf(model, modelSignatures)
	if graphs.Count == 0 || signatures.Count == 0 {
		return nil, nil
	}
	main, signature := f.Follow(graphs.At(0)), f.Follow(signatures.At(0))
	if f.NumberOf(signature, signatureGraph) != 0 {
		return nil, nil
	}
	tensors := f.VectorOf(main, graphTensors)
	inputs, ok := f.names(f.VectorOf(signature, signatureInputs), f.VectorOf(main, graphInputs), tensors)
	if ok {
		outputs, ok = f.names(f.VectorOf(signature, signatureOutputs), f.VectorOf(main, graphOutputs), tensors)
	}
	if !ok {
		return nil, nil
	}
	return inputs, outputs
}

// names returns what a vector of TensorMap calls each end of a graph; false where it
// is not about all of them, each once.
func (f File) names(maps, ends, tensors Vector) ([]Name, bool) {
	if maps.Count != ends.Count || ends.Count > inference.MaxTensors {
		return nil, false
	}
	all, named := make([]Name, ends.Count), make([]bool, ends.Count)
	for i := range maps.Count {
		table := f.Follow(maps.At(i))
		wanted := f.NumberOf(table, mapTensor)
		place := -1
		for k := range ends.Count {
			if !named[k] && f.Number(ends.At(k)) == wanted {
				place = k
				break
			}
		}
		if place < 0 || wanted < 0 || wanted >= tensors.Count {
			return nil, false
		}
		named[place] = true
		all[place] = Name{
			Signature: f.Text(f.Field(table, mapName)),
			Tensor:    f.Text(f.Field(f.Follow(tensors.At(wanted)), tensorName)),
		}
	}
	return all, true
}
