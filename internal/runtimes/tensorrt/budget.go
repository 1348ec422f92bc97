package tensorrt

import (
	"sync"
	"unsafe"

	"verge/internal/fault"
)

// budget counts the device memory of a session, as far as it is known: the file, whose
// weights go there, what the engine says that an execution context takes, and the
// buffers of its tensors. What the driver and the library take for themselves is not
// in it.
type budget struct {
	device   *device
	fraction float64
	limit    int64 // bytes; 0 for none

	mu   sync.Mutex // guards used
	used int64
}

func newBudget(g *device, fraction float64) *budget {
	b := &budget{device: g, fraction: fraction}
	if fraction > 0 && g.memory > 0 {
		b.limit = max(1, int64(fraction*float64(g.memory))) // less than a byte is no reason to take it all
	}
	return b
}

// take adds bytes, or fails with fault.Exhausted where that is over the limit.
func (b *budget) take(what string, bytes int64) *fault.Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit > 0 && bytes > b.limit-b.used {
		return fault.New(fault.Exhausted, "tensorrt.memory", "%s needs %d bytes of GPU memory, %d of the model's %d are in use (%g of the GPU's %d)",
			what, bytes, b.used, b.limit, b.fraction, b.device.memory).
			WithHint("Raise deployment.gpu_memory_fraction, ask for less at a time, or build the engine for smaller shapes.")
	}
	b.used += bytes
	return nil
}

// give takes bytes back.
func (b *budget) give(bytes int64) {
	b.mu.Lock()
	b.used -= bytes
	b.mu.Unlock()
}

// buffer is device memory.
type buffer struct {
	address uintptr
	size    int
}

// grow makes the buffer hold n bytes. What it held is lost where it has to grow; the
// caller has made sure that nothing uses it, and is in the context.
func (m *buffer) grow(b *budget, what string, n int) *fault.Error {
	n = max(n, 1) // an address is needed even for a tensor without elements
	if n <= m.size {
		return nil
	}
	m.free(b)
	if err := b.take(what, int64(n)); err != nil {
		return err
	}
	var address uintptr
	if f := b.device.call(cuMemAlloc, uintptr(unsafe.Pointer(&address)), uintptr(n)); f != nil {
		b.give(int64(n))
		return fault.New(f.fault("").Kind, "tensorrt.memory", "%s needs %d bytes: %w", what, n, f)
	}
	m.address, m.size = address, n
	return nil
}

// free gives the memory back.
func (m *buffer) free(b *budget) {
	if m.address == 0 {
		return
	}
	b.device.call(cuMemFree, m.address) //nolint:errcheck // nothing could be done
	b.give(int64(m.size))
	*m = buffer{}
}
