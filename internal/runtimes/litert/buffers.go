package litert

import (
	"runtime"
	"unsafe"

	"verge/internal/inference"
	"verge/internal/native"
	"verge/internal/tensor"
)

// buffers are the LiteRtTensorBuffers of one side of a slot, in signature order.
// They are made over memory of the arena and kept while it and the shapes stay.
type buffers struct {
	handles []uintptr       // 0 where there is none; handed to the library as it is
	tensors []tensor.Tensor // names, types, shapes, and Data over which the handles were made
	sizes   []int           // of Data
	room    []int           // bytes that the library may use for each: sizes or more
	made    bool            // all handles are there
	pins    runtime.Pinner  // keeps the memory in place where it is Go's
	memory  []byte
	offsets []int
}

func newBuffers(specs []inference.Spec) buffers {
	n := len(specs)
	b := buffers{handles: make([]uintptr, n), tensors: make([]tensor.Tensor, n), sizes: make([]int, n), room: make([]int, n)}
	for i, spec := range specs {
		b.tensors[i] = tensor.Tensor{Name: spec.Name, DType: spec.DType}
	}
	return b
}

// free destroys all handles.
func (b *buffers) free(a *api) {
	for i, h := range b.handles {
		a.destroy(destroyBuffer, h)
		b.handles[i] = 0
	}
	b.pins.Unpin()
	b.made = false
}

// reserve sets how many bytes the library may use for each tensor: all up to where
// the next one begins. It returns how many that are together.
func (b *buffers) reserve() (total int, err error) {
	b.offsets, total, err = inference.Layout(b.sizes)
	for i, n := range b.sizes {
		b.room[i] = max((n+inference.Align-1)/inference.Align, 1) * inference.Align
	}
	return total, err
}

// over makes a handle over each tensor's place in memory. Shapes, sizes and room are set.
func (b *buffers) over(a *api, memory []byte) *failure {
	b.free(a)
	b.memory = memory
	b.pins.Pin(unsafe.SliceData(memory))
	base := native.Address(memory)
	for i := range b.tensors {
		t := &b.tensors[i]
		b.show(i)
		s := a.call(createHostBuffer, uintptr(unsafe.Pointer(newType(t.DType, t.Shape))), base+uintptr(b.offsets[i]), uintptr(b.room[i]), // not negative
			0, uintptr(unsafe.Pointer(&b.handles[i])))
		if f := fail(s); f != nil {
			b.free(a)
			return f
		}
	}
	b.made = true
	return nil
}

// show sets Data of a tensor to the bytes that its size says.
func (b *buffers) show(i int) {
	begin, end := b.offsets[i], b.offsets[i]+b.sizes[i]
	b.tensors[i].Data = b.memory[begin:end:end]
}
