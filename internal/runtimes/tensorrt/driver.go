package tensorrt

import (
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"

	"verge/internal/fault"
	"verge/internal/native"
)

// driverLibrary is what the system's loader knows the driver by.
const driverLibrary = "libcuda.so.1"

// driverFunction is a function of the driver, by its place in driverSymbols.
type driverFunction int

// The functions that are called. Each returns a CUresult.
const (
	cuInit               driverFunction = iota // (0)
	cuDriverGetVersion                         // (&int)
	cuDeviceGetCount                           // (&int)
	cuDeviceGet                                // (&device, ordinal)
	cuDeviceGetName                            // (text, size, device)
	cuDeviceGetAttribute                       // (&int, attribute, device)
	cuPrimaryCtxRetain                         // (&context, device)
	cuCtxSetCurrent                            // (context)
	cuMemGetInfo                               // (&free, &total)
	cuMemAlloc                                 // (&address, size)
	cuMemFree                                  // (address)
	cuMemcpyHtoDAsync                          // (device address, address, size, stream)
	cuMemcpyDtoHAsync                          // (address, device address, size, stream)
	cuStreamCreate                             // (&stream, flags)
	cuStreamSynchronize                        // (stream)
	cuStreamDestroy                            // (stream)
	cuGetErrorName                             // (result, &text)
	cuGetErrorString                           // (result, &text)

	driverFunctions
)

// driverSymbols are the names of the functions in the library; those with a number
// are what cuda.h calls without.
var driverSymbols = [driverFunctions]string{ //nolint:gochecknoglobals // a constant table
	"cuInit", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute",
	"cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuMemGetInfo_v2", "cuMemAlloc_v2", "cuMemFree_v2",
	"cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuStreamCreate", "cuStreamSynchronize", "cuStreamDestroy_v2",
	"cuGetErrorName", "cuGetErrorString",
}

// driver is the open libcuda.so.1, initialised. It never changes.
type driver struct {
	functions [driverFunctions]uintptr
	version   string // of CUDA, the highest that it has: "12.8"
}

const noDriverHint = "Install NVIDIA's driver; a container has to be given the GPU (docker run --gpus all)."

// openDriver opens the driver by its path, or by its name as the system's loader finds
// it, and initialises it. It fails with fault.Unsupported where there is none or it
// does not start.
func openDriver(name string) (*driver, *fault.Error) {
	const op = "tensorrt.driver"
	runtime.LockOSThread() // the loader keeps its error text for each thread
	defer runtime.UnlockOSThread()
	handle, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		if strings.Contains(err.Error(), driverLibrary+": cannot open shared object file: No such file") {
			return nil, fault.New(fault.Unsupported, op, "no NVIDIA driver: %s is not on this system", driverLibrary).WithHint(noDriverHint)
		}
		return nil, fault.New(fault.Unsupported, op, "the NVIDIA driver does not load: %w", err).WithHint(noDriverHint)
	}
	d := &driver{}
	for i, symbol := range driverSymbols {
		if d.functions[i], err = purego.Dlsym(handle, symbol); err != nil {
			return nil, fault.New(fault.Unsupported, op, "the NVIDIA driver has no function %s", symbol).WithHint("Install a newer driver.")
		}
	}
	if f := d.call(cuInit, 0); f != nil {
		return nil, fault.New(fault.Unsupported, op, "the NVIDIA driver does not start: %w", f).WithHint(noDriverHint)
	}
	var version uint32
	if f := d.call(cuDriverGetVersion, uintptr(unsafe.Pointer(&version))); f != nil {
		return nil, f.fault(op)
	}
	d.version = fmt.Sprintf("%d.%d", version/1000, version/10%100)
	return d, nil
}

// Values of CUresult.
const cudaOutOfMemory = 2

// failure is a call of the driver that failed.
type failure struct {
	code int32
	name string // "CUDA_ERROR_OUT_OF_MEMORY"
	text string // "out of memory"
}

func (f *failure) Error() string { return fmt.Sprintf("%s (%s)", f.text, f.name) }

// fault returns the error with an operation, and its kind.
func (f *failure) fault(op string) *fault.Error {
	kind := fault.Internal
	if f.code == cudaOutOfMemory {
		kind = fault.Exhausted
	}
	return fault.New(kind, op, "the GPU: %w", f)
}

// call calls a function of the driver. Arguments as native.Call.
//
//go:uintptrescapes
func (d *driver) call(f driverFunction, args ...uintptr) *failure {
	code := int32(native.Call(d.functions[f], args...)) //nolint:gosec // the function returns an int
	if code == 0 {
		return nil
	}
	return d.explain(code)
}

// explain returns the failure of a result.
func (d *driver) explain(code int32) *failure {
	said := &failure{code: code, name: fmt.Sprintf("CUDA error %d", code), text: "the driver gives no reason"}
	for f, to := range map[driverFunction]*string{cuGetErrorName: &said.name, cuGetErrorString: &said.text} {
		var text uintptr
		if native.Call(d.functions[f], uintptr(code), uintptr(unsafe.Pointer(&text)))&0xffffffff == 0 && text != 0 { //nolint:gosec // passed on as it is
			*to = native.String(text, 256)
		}
	}
	return said
}
