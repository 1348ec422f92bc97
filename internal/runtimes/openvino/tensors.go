package openvino

import (
	"fmt"
	"runtime"
	"unsafe"

	"verge/internal/inference"
	"verge/internal/native"
	"verge/internal/tensor"
)

// tensors are the ov_tensors of one side of a slot, in signature order. They are made
// over memory of the arena and kept while it and the shapes stay.
type tensors struct {
	handles []uintptr       // 0 where there is none
	list    []tensor.Tensor // names, types, shapes, and Data over which the handles were made
	sizes   []int
	made    bool           // the handles are there, and the request has them
	pins    runtime.Pinner // keeps the memory in place where it is Go's
}

func newTensors(specs []inference.Spec) tensors {
	v := tensors{handles: make([]uintptr, len(specs)), list: make([]tensor.Tensor, len(specs)), sizes: make([]int, len(specs))}
	for i, spec := range specs {
		v.list[i] = tensor.Tensor{Name: spec.Name, DType: spec.DType}
	}
	return v
}

// free releases all handles.
func (v *tensors) free(a *api) {
	for i, h := range v.handles {
		a.release(tensorFree, h)
		v.handles[i] = 0
	}
	v.pins.Unpin()
	v.made = false
}

// over lays the tensors out in memory, makes a handle over each, and gives it to a
// request with set. Shapes and sizes are set.
func (v *tensors) over(a *api, request uintptr, set symbol, memory []byte, offsets []int) *statusError {
	v.free(a)
	v.pins.Pin(unsafe.SliceData(memory))
	for i := range v.list {
		t := &v.list[i]
		t.Data = memory[offsets[i] : offsets[i]+v.sizes[i] : offsets[i]+v.sizes[i]]
		status := a.call(tensorCreateFromHostPtr, elementOf(t.DType), uintptr(len(t.Shape)), uintptr(unsafe.Pointer(unsafe.SliceData(t.Shape))),
			native.Address(memory)+uintptr(offsets[i]), uintptr(unsafe.Pointer(&v.handles[i]))) // not negative
		if status == nil {
			status = a.call(set, request, uintptr(i), v.handles[i])
		}
		if status != nil {
			v.free(a)
			return status
		}
	}
	v.made = true
	return nil
}

// holds reports whether a request has the tensors that it was given: get returns those
// that it has. Where an output of the model is an input as it is, the library takes the
// one that is set for the other.
func (v *tensors) holds(a *api, request uintptr, get symbol) bool {
	for i := range v.list {
		if v.sizes[i] == 0 {
			continue
		}
		var handle, data uintptr
		if a.call(get, request, uintptr(i), uintptr(unsafe.Pointer(&handle))) != nil { // not negative
			return false
		}
		status := a.call(tensorData, handle, uintptr(unsafe.Pointer(&data)))
		a.release(tensorFree, handle)
		if status != nil || data != native.Address(v.list[i].Data) {
			return false
		}
	}
	return true
}

// madeOutput is one output that the library made.
type madeOutput struct {
	handle uintptr
	shape  []int64
	data   []byte // the library's
}

// fetch returns an output that the library made, and checks its type. The handle is
// the caller's to free, on failure too.
func (a *api) fetch(request uintptr, i int, spec inference.Spec) (m madeOutput, err error) {
	if status := a.call(getOutputTensorByIndex, request, uintptr(i), uintptr(unsafe.Pointer(&m.handle))); status != nil { // not negative
		return m, status
	}
	var element uintptr
	if status := a.call(tensorGetElementType, m.handle, uintptr(unsafe.Pointer(&element))); status != nil {
		return m, status
	}
	if uintptr(uint32(element)) != elementOf(spec.DType) { // the library wrote an int
		return m, fmt.Errorf("has element type number %d, want %s", int32(element), spec.DType) // the library wrote an int
	}
	if m.shape, err = a.shape(m.handle, spec.DType); err != nil {
		return m, err
	}
	size, err := tensor.ByteSize(spec.DType, m.shape)
	if err != nil || size == 0 {
		return m, err
	}
	var data uintptr
	if status := a.call(tensorData, m.handle, uintptr(unsafe.Pointer(&data))); status != nil {
		return m, status
	}
	m.data = native.View(data, size)
	return m, nil
}

// isScalar says whether an ov_tensor holds one element.
func (a *api) isScalar(handle uintptr, d tensor.DType) bool {
	var size uintptr
	one, err := tensor.ByteSize(d, nil)
	return err == nil && a.call(tensorGetByteSize, handle, uintptr(unsafe.Pointer(&size))) == nil && size == uintptr(one)
}

// shape returns the shape of an ov_tensor; never nil. The library gives none of a scalar:
// up to release 2026.4, ov_shape_create makes no shape without dimensions.
func (a *api) shape(handle uintptr, d tensor.DType) ([]int64, error) {
	var raw [2]uintptr // ov_shape_t: {rank, dimensions}
	if status := a.call(tensorGetShape, handle, uintptr(unsafe.Pointer(&raw))); status != nil {
		if a.isScalar(handle, d) {
			return []int64{}, nil
		}
		return nil, status
	}
	defer native.Call(a.functions[shapeFree], uintptr(unsafe.Pointer(&raw)))
	if raw[0] > tensor.MaxRank {
		return nil, fmt.Errorf("has %d dimensions, at most %d are allowed", raw[0], tensor.MaxRank)
	}
	shape := make([]int64, raw[0])
	for i, d := range native.Words(raw[1], len(shape)) {
		shape[i] = int64(d) //nolint:gosec // the library's own int64
	}
	return shape, nil
}
