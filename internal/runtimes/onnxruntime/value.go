package onnxruntime

import (
	"fmt"
	"runtime"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
	"verge/internal/tensor"
)

// values are the OrtValues of one side of a slot, in signature order. They are made
// over memory of the arena and kept while it and the shapes stay.
type values struct {
	handles []uintptr       // 0 where there is none; handed to the library as it is
	tensors []tensor.Tensor // names, types, shapes, and Data over which the handles were made
	sizes   []int
	base    uintptr        // where the memory began
	made    bool           // the handles of all tensors but strings are there
	pins    runtime.Pinner // keeps base in place where it is Go's
}

func newValues(specs []inference.Spec) values {
	v := values{handles: make([]uintptr, len(specs)), tensors: make([]tensor.Tensor, len(specs)), sizes: make([]int, len(specs))}
	for i, spec := range specs {
		v.tensors[i] = tensor.Tensor{Name: spec.Name, DType: spec.DType}
	}
	return v
}

// free releases all handles.
func (v *values) free(a *api) {
	for i, h := range v.handles {
		a.release(releaseValue, h)
		v.handles[i] = 0
	}
	v.pins.Unpin()
	v.made = false
}

// over lays the tensors out in memory and makes a handle over each that is not of
// strings. Shapes and sizes are set.
func (v *values) over(a *api, memory []byte, offsets []int) *statusError {
	v.free(a)
	v.base = native.Address(memory)
	v.pins.Pin(unsafe.SliceData(memory))
	for i := range v.tensors {
		t := &v.tensors[i]
		t.Data = memory[offsets[i] : offsets[i]+v.sizes[i] : offsets[i]+v.sizes[i]]
		if t.DType == tensor.Bytes {
			continue
		}
		err := a.call(createTensorWithData, a.memory, v.base+uintptr(offsets[i]), uintptr(v.sizes[i]), // not negative
			uintptr(unsafe.Pointer(unsafe.SliceData(t.Shape))), uintptr(len(t.Shape)), elementOf(t.DType), uintptr(unsafe.Pointer(&v.handles[i])))
		if err != nil {
			v.free(a)
			return err
		}
	}
	v.made = true
	return nil
}

// fillStrings makes the handle of a tensor of strings from its binary form, which it checks.
func (v *values) fillStrings(a *api, i int) error {
	const op = "onnxruntime.run"
	t := &v.tensors[i]
	a.release(releaseValue, v.handles[i])
	v.handles[i] = 0
	n, err := tensor.Elements(t.Shape)
	if err == nil {
		err = tensor.CheckBytes(t.Data, n)
	}
	var elements [][]byte
	if err == nil {
		elements, err = tensor.Strings(t.Data, n)
	}
	if err != nil {
		return fault.New(fault.Invalid, op, "input %q: %w", t.Name, err)
	}
	if err := a.call(createTensor, a.allocator, uintptr(unsafe.Pointer(unsafe.SliceData(t.Shape))), uintptr(len(t.Shape)),
		elementOf(tensor.Bytes), uintptr(unsafe.Pointer(&v.handles[i]))); err != nil {
		return err.fault(fault.Exhausted, op)
	}
	for k, element := range elements {
		var buffer uintptr
		if err := a.call(getStringTensorElementBuffer, v.handles[i], uintptr(k), uintptr(len(element)), uintptr(unsafe.Pointer(&buffer))); err != nil { // not negative
			return err.fault(fault.Exhausted, op)
		}
		copy(native.View(buffer, len(element)), element)
	}
	return nil
}

// madeOutput is one output that the library made.
type madeOutput struct {
	shape   []int64
	size    int // in the arena
	strings int // number of strings, or -1
}

// look reads shape and size of an output that the library made, and checks its type.
func (a *api) look(handle uintptr, spec inference.Spec) (m madeOutput, err error) {
	var info, element uintptr
	if status := a.call(getTensorTypeAndShape, handle, uintptr(unsafe.Pointer(&info))); status != nil {
		return m, status
	}
	defer a.release(releaseTensorTypeAndShapeInfo, info)
	if status := a.call(getTensorElementType, info, uintptr(unsafe.Pointer(&element))); status != nil {
		return m, status
	}
	if element != elementOf(spec.DType) {
		return m, fmt.Errorf("has element type number %d, want %s", int32(element), spec.DType) // the library wrote an int
	}
	if m.shape, err = a.dimensions(info); err != nil {
		return m, err
	}
	if spec.DType != tensor.Bytes {
		m.strings = -1
		m.size, err = tensor.ByteSize(spec.DType, m.shape)
		return m, err
	}
	if m.strings, err = tensor.Elements(m.shape); err != nil {
		return m, err
	}
	var length uintptr
	if status := a.call(getStringTensorDataLength, handle, uintptr(unsafe.Pointer(&length))); status != nil {
		return m, status
	}
	m.size = int(length) + 4*m.strings // both are in memory already
	return m, nil
}

// copyOut copies an output that the library made to where it lies in the arena.
func (a *api) copyOut(handle uintptr, m madeOutput, dst []byte) error {
	if m.strings >= 0 {
		return a.copyStrings(handle, m.strings, dst)
	}
	if m.size == 0 {
		return nil
	}
	var data uintptr
	if status := a.call(getTensorMutableData, handle, uintptr(unsafe.Pointer(&data))); status != nil {
		return status
	}
	copy(dst, native.View(data, m.size))
	return nil
}
