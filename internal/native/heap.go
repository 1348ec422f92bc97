package native

import (
	"runtime"

	"github.com/ebitengine/purego"
)

// TrimHeap gives memory that C code has freed back to the system, as far as it lies
// in whole pages (malloc_trim(3)). The C library keeps it otherwise, for each thread
// that took some. It does nothing where the C library is not the GNU one.
func TrimHeap() {
	if fn := symbolOfProcess("malloc_trim"); fn != 0 {
		Call(fn, 0)
	}
}

// symbolOfProcess returns the address of a function of the libraries that this
// program itself is linked to, or 0.
func symbolOfProcess(name string) uintptr {
	runtime.LockOSThread() // the loader keeps its error text for each thread
	defer runtime.UnlockOSThread()
	fn, err := purego.Dlsym(purego.RTLD_DEFAULT, name)
	if err != nil {
		return 0
	}
	return fn
}
