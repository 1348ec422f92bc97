package litert

import (
	"slices"

	"verge/internal/inference"
	"verge/internal/inference/tflitefile"
)

// outline is what a file says of its model and the libraries do not tell: LiteRT takes
// the open dimensions of files by older converters for 1. The numbers are those of
// schema.fbs, version 3.
type outline struct {
	file     tflitefile.File
	model    int // the root table
	graphs   tflitefile.Vector
	variable bool   // tensors keep their values from one run to the next, which LiteRT refuses
	stateful bool   // they do, or variables that operators write to
	custom   string // the first operator that is neither built in nor bundled; "" for none
}

// Slots of tables, and numbers of BuiltinOperator.
const (
	modelCodes, modelGraphs, modelSignatures = 1, 2, 7

	graphTensors, graphInputs, graphOutputs, graphOperators = 0, 1, 2, 3

	signatureInputs, signatureOutputs, signatureGraph = 0, 1, 4

	tensorShape, tensorIsVariable, tensorShapeSignature, tensorHasRank = 0, 5, 7, 8

	operatorCode, operatorOptions   = 0, 4
	codeOld, codeCustom, codeNumber = 0, 1, 3
	optionsGraph                    = 0 // of CALL_ONCE

	callOnce       = 129
	assignVariable = 144
)

// readOutline reads a file.
func readOutline(data []byte) *outline {
	o := &outline{file: data}
	o.model = o.file.Root()
	o.graphs = o.file.VectorOf(o.model, modelGraphs)
	codes := o.file.VectorOf(o.model, modelCodes)
	o.state(codes)
	for i := range codes.Count {
		name := o.file.Text(o.file.Field(o.file.Follow(codes.At(i)), codeCustom))
		if name != "" && o.custom == "" && !slices.Contains(bundled, name) {
			o.custom = name
		}
	}
	return o
}

// state finds out whether runs leave something to the next one. What a graph writes
// that runs once, to give variables their initial values, does not count.
func (o *outline) state(codes tflitefile.Vector) {
	f := o.file
	once, writes := map[int]bool{}, map[int]bool{}
	for g := range o.graphs.Count {
		graph := f.Follow(o.graphs.At(g))
		tensors, operators := f.VectorOf(graph, graphTensors), f.VectorOf(graph, graphOperators)
		for i := range tensors.Count {
			if at := f.Field(f.Follow(tensors.At(i)), tensorIsVariable); at != 0 && f.Byte(at) != 0 {
				o.variable = true
			}
		}
		for i := range operators.Count {
			operator := f.Follow(operators.At(i))
			switch o.builtin(codes, f.NumberOf(operator, operatorCode)) {
			case assignVariable:
				writes[g] = true
			case callOnce:
				if at := f.Field(operator, operatorOptions); at != 0 {
					once[f.NumberOf(f.Follow(at), optionsGraph)] = true
				}
			}
		}
	}
	o.stateful = o.variable
	for g := range writes {
		o.stateful = o.stateful || !once[g]
	}
}

// signed returns the graph of the first signature, which LiteRT serves, or the main one.
func (o *outline) signed() int {
	signatures := o.file.VectorOf(o.model, modelSignatures)
	if signatures.Count == 0 {
		return 0
	}
	return o.file.NumberOf(o.file.Follow(signatures.At(0)), signatureGraph)
}

// declare sets the shapes of a signature, which is in the order of a graph, to what
// the file says: -1 for the dimensions that it leaves open, nil for an output of which
// it does not say how many there are.
func (o *outline) declare(graph int, s inference.Signature) {
	if graph < 0 || graph >= o.graphs.Count {
		return
	}
	f := o.file
	table := f.Follow(o.graphs.At(graph))
	tensors := f.VectorOf(table, graphTensors)
	each := func(slot int, specs []inference.Spec, declare func(spec *inference.Spec, tensor int)) {
		ends := f.VectorOf(table, slot)
		for i := range specs {
			if index := f.Number(ends.At(i)); ends.Count == len(specs) && index >= 0 && index < tensors.Count {
				declare(&specs[i], f.Follow(tensors.At(index)))
			}
		}
	}
	each(graphInputs, s.Inputs, o.open)
	each(graphOutputs, s.Outputs, func(spec *inference.Spec, tensor int) {
		o.open(spec, tensor)
		if len(spec.Shape) == 0 && !o.ranked(tensor) {
			spec.Shape = nil
		}
	})
}

// open sets the dimensions that a tensor leaves open to -1.
func (o *outline) open(spec *inference.Spec, tensor int) {
	f := o.file
	shape := f.VectorOf(tensor, tensorShapeSignature)
	if shape.Count != len(spec.Shape) {
		return
	}
	for k := range spec.Shape {
		if f.Number(shape.At(k)) < 0 {
			spec.Shape[k] = -1
		}
	}
}

// ranked reports whether a tensor says how many dimensions it has. Where it says that
// there are none, older converters meant that they do not know.
func (o *outline) ranked(tensor int) bool {
	f := o.file
	if f.VectorOf(tensor, tensorShape).Count > 0 {
		return true
	}
	at := f.Field(tensor, tensorHasRank)
	return at != 0 && f.Byte(at) != 0
}

// builtin returns the number of an operator with that entry of the operator codes.
// Those up to 127 may be in the older field only.
func (o *outline) builtin(codes tflitefile.Vector, entry int) int {
	f := o.file
	if entry < 0 || entry >= codes.Count {
		return -1
	}
	code := f.Follow(codes.At(entry))
	old := 0
	if at := f.Field(code, codeOld); at != 0 {
		old = int(int8(f.Byte(at))) //nolint:gosec // so it is signed
	}
	return max(old, f.NumberOf(code, codeNumber))
}
