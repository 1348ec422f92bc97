package onnxruntime

import (
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"

	"verge/internal/native"
)

// cudaMemory returns the size in bytes of the memory of a GPU of NVIDIA's, by the
// driver's number for it, as the driver's library says. It fails where there is no
// such library or no such GPU. Functions of cuda.h; all return 0 for success.
func cudaMemory(ordinal int) (total uint64, ok bool) {
	runtime.LockOSThread() // the loader keeps its error text for each thread
	defer runtime.UnlockOSThread()
	library, err := purego.Dlopen("libcuda.so.1", purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return 0, false
	}
	succeeds := func(name string, args ...uintptr) bool {
		fn, err := purego.Dlsym(library, name)
		return err == nil && int32(native.Call(fn, args...)) == 0 //nolint:gosec // the functions return an int
	}
	// The driver writes an int and a size_t.
	out := new([2]uint64)
	device, size := uintptr(unsafe.Pointer(&out[0])), uintptr(unsafe.Pointer(&out[1]))
	ok = ordinal >= 0 && succeeds("cuInit", 0) && succeeds("cuDeviceGet", device, uintptr(ordinal)) &&
		succeeds("cuDeviceTotalMem_v2", size, uintptr(uint32(out[0]))) //nolint:gosec // an int was written
	total = out[1]
	runtime.KeepAlive(out)
	return total, ok && total > 0
}
