package litert

import (
	"runtime"
	"unsafe"

	"verge/internal/native"
)

// buffers are the LiteRtTensorBuffers of one side of a compiled model. They are made
// over memory of the arena and kept while it and the shapes stay.
type buffers struct {
	handles []uintptr      // 0 where there is none; handed to the library as it is
	made    bool           // all handles are there
	pins    runtime.Pinner // keeps the memory in place where it is Go's
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

// over makes a handle over each tensor's place.
func (b *buffers) over(a *api, r *region) *failure {
	b.free(a)
	b.pins.Pin(unsafe.SliceData(r.memory))
	base := native.Address(r.memory)
	for i := range r.tensors {
		t := &r.tensors[i]
		s := a.call(createHostBuffer, uintptr(unsafe.Pointer(newType(t.DType, t.Shape))), base+uintptr(r.offsets[i]), uintptr(r.room[i]), // not negative
			0, uintptr(unsafe.Pointer(&b.handles[i])))
		if f := fail(s); f != nil {
			b.free(a)
			return f
		}
	}
	b.made = true
	return nil
}
