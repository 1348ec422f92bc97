package openvino

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/tflitefile"
	"verge/internal/native"
	"verge/internal/tensor"
)

// side is one side of a model: its inputs or its outputs.
type side struct {
	what        string // for messages
	count, port symbol // of a compiled model

	declaredCount, declaredPort symbol // of a model before that
}

var (
	inputSide  = side{"input", compiledModelInputsSize, compiledModelInputByIndex, modelInputsSize, modelInputByIndex}      //nolint:gochecknoglobals // a constant
	outputSide = side{"output", compiledModelOutputsSize, compiledModelOutputByIndex, modelOutputsSize, modelOutputByIndex} //nolint:gochecknoglobals // a constant
)

// declared returns the names that a model has for its inputs or outputs before it is
// compiled, "" for none: compiling may add names from inside the graph, and the library
// tells only one. It is nil where the library cannot tell.
func (a *api) declared(model uintptr, sd side) []string {
	if a.functions[sd.declaredCount] == 0 || a.functions[sd.declaredPort] == 0 {
		return nil
	}
	var count uintptr
	if a.call(sd.declaredCount, model, uintptr(unsafe.Pointer(&count))) != nil || count > inference.MaxTensors {
		return nil
	}
	all := make([]string, count)
	for i := range all {
		var port uintptr
		if a.call(sd.declaredPort, model, uintptr(i), uintptr(unsafe.Pointer(&port))) == nil { // not negative
			all[i] = a.anyName(port)
			a.release(portFree, port)
		}
	}
	return all
}

// anyName returns one of the names of an ov_output_const_port, or "".
func (a *api) anyName(port uintptr) string {
	var name uintptr
	if a.call(portGetAnyName, port, uintptr(unsafe.Pointer(&name))) != nil {
		return ""
	}
	return a.take(name)
}

// specs reads the inputs or outputs of a compiled model. They are called as declared, and
// by names where those are of the same tensors.
func (a *api) specs(compiled uintptr, sd side, declared []string, names []tflitefile.Name) ([]inference.Spec, error) {
	const op = "openvino.load"
	var count uintptr
	if status := a.call(sd.count, compiled, uintptr(unsafe.Pointer(&count))); status != nil {
		return nil, status.fault(fault.Internal, op)
	}
	if count > inference.MaxTensors {
		return nil, fault.New(fault.Unsupported, op, "the model has %d %ss, at most %d are allowed", count, sd.what, inference.MaxTensors)
	}
	specs, own := make([]inference.Spec, 0, count), make([]string, 0, count)
	for i := range count {
		var port uintptr
		if status := a.call(sd.port, compiled, i, uintptr(unsafe.Pointer(&port))); status != nil {
			return nil, status.fault(fault.Internal, op)
		}
		spec, err := a.spec(port)
		a.release(portFree, port)
		if uintptr(len(declared)) == count && declared[i] != "" {
			spec.Name = declared[i]
		}
		own = append(own, spec.Name)
		spec.Name = inference.UniqueName(specs, spec.Name, sd.what)
		if err != nil {
			failure := fault.New(fault.Unsupported, op, "%s %q has %w", sd.what, spec.Name, err)
			if errors.Is(err, errString) {
				return nil, failure.WithHint(stringHint)
			}
			return nil, failure
		}
		specs = append(specs, spec)
	}
	if slices.EqualFunc(own, names, func(own string, n tflitefile.Name) bool { return own == n.Tensor }) {
		for i, n := range names {
			specs[i].Name = inference.UniqueName(specs[:i], n.Signature, sd.what)
		}
	}
	return specs, nil
}

// spec reads an ov_output_const_port. The error ends "… has". A shape of any rank is
// nil.
func (a *api) spec(port uintptr) (spec inference.Spec, err error) {
	var element uintptr
	spec.Name = a.anyName(port)
	if status := a.call(portGetElementType, port, uintptr(unsafe.Pointer(&element))); status != nil {
		return spec, status
	}
	if spec.DType, err = dtypeOf(int(int32(element))); err != nil { // the library wrote an int
		return spec, err
	}
	var shape struct { // ov_partial_shape_t
		minimum, maximum int64 // of the rank
		dimensions       uintptr
	}
	if status := a.call(portGetPartialShape, port, uintptr(unsafe.Pointer(&shape))); status != nil {
		return spec, status
	}
	defer native.Call(a.functions[partialShapeFree], uintptr(unsafe.Pointer(&shape)))
	if shape.minimum != shape.maximum {
		return spec, nil
	}
	if shape.maximum < 0 || shape.maximum > tensor.MaxRank {
		return spec, fmt.Errorf("%d dimensions, at most %d are allowed", shape.maximum, tensor.MaxRank)
	}
	spec.Shape = make([]int64, shape.maximum)
	for i, word := range native.Words(shape.dimensions, 2*len(spec.Shape)) { // ov_dimension_t: {minimum, maximum}
		switch {
		case i%2 == 0:
			spec.Shape[i/2] = int64(word) //nolint:gosec // the library's own int64
		case spec.Shape[i/2] != int64(word): //nolint:gosec // the library's own int64
			spec.Shape[i/2] = -1
		}
	}
	return spec, nil
}
