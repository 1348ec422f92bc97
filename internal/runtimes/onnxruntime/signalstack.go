package onnxruntime

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// signalStack is stack_t of sigaltstack(2).
type signalStack struct {
	base  uintptr
	flags int32
	size  uintptr
}

// keepSignalStack locks the caller to its thread, until the function that it returns
// is called, which gives the thread back the stack that Go takes its signals on.
// OpenVINO's plug-in for CPUs puts another in its place where it is loaded, and unmaps
// that where it is unloaded, on any thread: the next signal to the first one would end
// the process.
func keepSignalStack() (restore func()) {
	runtime.LockOSThread()
	before := swapSignalStack(nil)
	return func() {
		if after := swapSignalStack(nil); after.base != before.base || after.size != before.size {
			swapSignalStack(&before)
		}
		runtime.UnlockOSThread()
	}
}

// swapSignalStack returns the thread's signal stack, and sets another unless that is nil.
func swapSignalStack(to *signalStack) (was signalStack) {
	// It fails for a stack that is in use or too small only: none that was in place.
	unix.RawSyscall(unix.SYS_SIGALTSTACK, uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(&was)), 0) //nolint:errcheck // see above
	return was
}
