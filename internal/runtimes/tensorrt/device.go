package tensorrt

import (
	"fmt"
	"runtime"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/native"
)

// device is the first GPU of the driver, with its primary context, which is kept as
// long as the process.
type device struct {
	*driver
	context    uintptr
	current    []uintptr // the argument that makes it current
	name       string    // "NVIDIA Jetson Orin Nano"
	capability string    // "8.7"
	memory     int64     // bytes
}

// openDevice returns the first GPU. It fails with fault.Unsupported where there is none.
func openDevice(d *driver) (*device, *fault.Error) {
	const op = "tensorrt.device"
	const capabilityMajor, capabilityMinor = 75, 76 // of CUdevice_attribute
	var count uint32
	if f := d.call(cuDeviceGetCount, uintptr(unsafe.Pointer(&count))); f != nil {
		return nil, f.fault(op)
	}
	if count == 0 {
		return nil, fault.New(fault.Unsupported, op, "the NVIDIA driver finds no GPU").
			WithHint("Look at CUDA_VISIBLE_DEVICES and nvidia-smi; a container has to be given the GPU.")
	}
	var ordinal, major, minor uint32
	var free, total uint64
	name := make([]byte, 256)
	g := &device{driver: d}
	f := d.call(cuDeviceGet, uintptr(unsafe.Pointer(&ordinal)), 0)
	if f == nil {
		f = d.call(cuDeviceGetName, native.Address(name), uintptr(len(name)), uintptr(ordinal))
	}
	if f == nil {
		f = d.call(cuDeviceGetAttribute, uintptr(unsafe.Pointer(&major)), capabilityMajor, uintptr(ordinal))
	}
	if f == nil {
		f = d.call(cuDeviceGetAttribute, uintptr(unsafe.Pointer(&minor)), capabilityMinor, uintptr(ordinal))
	}
	if f == nil {
		f = d.call(cuPrimaryCtxRetain, uintptr(unsafe.Pointer(&g.context)), uintptr(ordinal))
	}
	g.current = []uintptr{g.context}
	if f == nil {
		if f = g.enter(); f == nil {
			defer g.leave()
			f = d.call(cuMemGetInfo, uintptr(unsafe.Pointer(&free)), uintptr(unsafe.Pointer(&total)))
		}
	}
	if f != nil {
		return nil, f.fault(op)
	}
	g.name = native.String(native.Address(name), len(name))
	g.capability = fmt.Sprintf("%d.%d", major, minor)
	g.memory = int64(total)
	return g, nil
}

// enter holds the calling goroutine on its thread and makes the context current there.
// Where it succeeds, the caller calls leave.
func (g *device) enter() *failure {
	runtime.LockOSThread()
	if code := int32(native.Call(g.functions[cuCtxSetCurrent], g.current...)); code != 0 { //nolint:gosec // the function returns an int
		runtime.UnlockOSThread()
		return g.explain(code)
	}
	return nil
}

// leave lets the goroutine go. The context stays current on the thread, where nobody
// minds it.
func (g *device) leave() { runtime.UnlockOSThread() }
