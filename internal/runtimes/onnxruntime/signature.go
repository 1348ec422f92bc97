package onnxruntime

import (
	"fmt"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
	"verge/internal/tensor"
)

// side is one side of a model: its inputs or its outputs.
type side struct {
	what                  string // for messages
	count, name, typeInfo entry
}

var (
	inputSide  = side{"input", sessionGetInputCount, sessionGetInputName, sessionGetInputTypeInfo}     //nolint:gochecknoglobals // a constant
	outputSide = side{"output", sessionGetOutputCount, sessionGetOutputName, sessionGetOutputTypeInfo} //nolint:gochecknoglobals // a constant
)

// specs reads the inputs or outputs of a session, and their names as the library
// wants them back: C strings that belong to the allocator, to be freed by the
// caller, on failure too.
func (a *api) specs(session uintptr, sd side) (specs []inference.Spec, names []uintptr, err error) {
	const op = "onnxruntime.load"
	var out uintptr
	if status := a.call(sd.count, session, uintptr(unsafe.Pointer(&out))); status != nil {
		return nil, nil, status.fault(fault.Internal, op)
	}
	if out > inference.MaxTensors {
		return nil, nil, fault.New(fault.Unsupported, op, "the model has %d %ss, at most %d are allowed", out, sd.what, inference.MaxTensors)
	}
	for i := range out {
		var name, info uintptr
		if status := a.call(sd.name, session, i, a.allocator, uintptr(unsafe.Pointer(&name))); status != nil {
			return nil, names, status.fault(fault.Internal, op)
		}
		names = append(names, name)
		if status := a.call(sd.typeInfo, session, i, uintptr(unsafe.Pointer(&info))); status != nil {
			return nil, names, status.fault(fault.Internal, op)
		}
		spec, err := a.spec(info)
		a.release(releaseTypeInfo, info)
		spec.Name = native.String(name, maxText)
		if err != nil {
			return nil, names, fault.New(fault.Unsupported, op, "%s %q is a %w", sd.what, spec.Name, err)
		}
		specs = append(specs, spec)
	}
	return specs, names, nil
}

// spec reads an OrtTypeInfo. The error ends "… is a".
func (a *api) spec(info uintptr) (spec inference.Spec, err error) {
	var kind, shape, element uintptr
	if status := a.call(getONNXTypeFromTypeInfo, info, uintptr(unsafe.Pointer(&kind))); status != nil {
		return spec, status
	}
	if int32(kind) != onnxTypeTensor { // the library wrote an int
		names := []string{"value of unknown type", "tensor", "sequence", "map", "value of opaque type", "sparse tensor", "optional value"}
		return spec, fmt.Errorf("%s, want a tensor", names[min(uint32(kind), uint32(len(names)))%uint32(len(names))]) //nolint:gosec // a small number
	}
	if status := a.call(castTypeInfoToTensorInfo, info, uintptr(unsafe.Pointer(&shape))); status != nil {
		return spec, status
	}
	if status := a.call(getTensorElementType, shape, uintptr(unsafe.Pointer(&element))); status != nil {
		return spec, status
	}
	if spec.DType, err = dtypeOf(int(int32(element))); err != nil { // the library wrote an int
		return spec, fmt.Errorf("tensor with %w", err)
	}
	if byte(native.Call(a.functions[hasShape], shape)) == 0 { //nolint:gosec // the function returns a bool
		return spec, nil // of any rank: Shape stays nil
	}
	dimensions, err := a.dimensions(shape)
	if err != nil {
		return spec, fmt.Errorf("tensor: %w", err)
	}
	spec.Shape = dimensions
	for i, d := range dimensions {
		dimensions[i] = max(d, -1)
	}
	if !spec.Fixed() {
		symbols := make([]uintptr, len(dimensions))
		if status := a.call(getSymbolicDimensions, shape, uintptr(unsafe.Pointer(&symbols[0])), uintptr(len(symbols))); status != nil {
			return spec, status
		}
		names := make([]string, len(symbols))
		for i, s := range symbols {
			names[i] = native.String(s, 256) // belongs to info
		}
		spec.Symbols = inference.Symbols(names)
	}
	return spec, nil
}

// dimensions reads the shape of an OrtTensorTypeAndShapeInfo; never nil.
func (a *api) dimensions(info uintptr) ([]int64, error) {
	var rank uintptr
	if status := a.call(getDimensionsCount, info, uintptr(unsafe.Pointer(&rank))); status != nil {
		return nil, status
	}
	if rank > tensor.MaxRank {
		return nil, fmt.Errorf("%d dimensions, at most %d are allowed", rank, tensor.MaxRank)
	}
	dimensions := make([]int64, rank)
	if rank == 0 {
		return dimensions, nil
	}
	if status := a.call(getDimensions, info, uintptr(unsafe.Pointer(&dimensions[0])), rank); status != nil {
		return nil, status
	}
	return dimensions, nil
}
