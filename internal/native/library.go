package native

import (
	"path/filepath"
	"runtime"

	"github.com/ebitengine/purego"

	"verge/internal/fault"
)

// Library is an open shared library. It is never unloaded: a library may own
// threads that outlive any handle. All methods are safe for concurrent use.
type Library struct {
	path   string
	handle uintptr
}

// Open loads the shared library at path, which becomes absolute, so that the
// library finds what lies beside it. What the system's loader would say
// cryptically or not at all is checked first, and fails with
//
//   - fault.NotFound when there is no file,
//   - fault.Invalid when it is not a regular file,
//   - fault.Corrupt when it is not a whole ELF shared library,
//   - fault.Unsupported when it is made for another processor or needs a newer
//     C library than the system's, and when the loader refuses it.
//
// Opening a library runs its code: open none that was not verified.
func Open(path string) (*Library, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.New(fault.Invalid, "native.open", "%w", err)
	}
	if err = Check(path); err != nil {
		return nil, err
	}
	runtime.LockOSThread() // the loader keeps its error text for each thread
	defer runtime.UnlockOSThread()
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fault.New(fault.Unsupported, "native.open", "the system's loader refuses it: %w", err).On(path).
			WithHint("Install the libraries that it needs; ldd lists them.")
	}
	return &Library{path: path, handle: handle}, nil
}

// Path returns the absolute path of the file that was opened.
func (l *Library) Path() string { return l.path }

// Symbol returns the address of a function or a variable of the library, or of
// one that it needs. It fails with fault.Unsupported when there is none.
func (l *Library) Symbol(name string) (uintptr, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	address, err := purego.Dlsym(l.handle, name)
	if err != nil {
		return 0, fault.New(fault.Unsupported, "native.symbol", "no symbol %s: %w", name, err).On(l.path).
			WithHint("Install a version of the library that this build knows.")
	}
	return address, nil
}

// Call calls the C function at address fn with up to 32 integer or pointer
// arguments, and returns its result. A result narrower than a register carries
// junk in its upper bits: cut it with int32(r) or byte(r). Objects whose address
// is converted to uintptr in the argument list are kept alive, and moved to the
// heap, for the call only. The list itself is allocated; one that is kept and passed
// as args... is not. A fault in the function ends the process.
//
//go:uintptrescapes
func Call(fn uintptr, args ...uintptr) uintptr {
	r, _, _ := purego.SyscallN(fn, args...)
	return r
}

// NewCallback returns the address of a C function that calls fn, which takes
// arguments of the size of a pointer or less, and returns at most one. A
// callback is never freed, and a process has about 2,000: make one for each
// purpose, and tell the calls apart by the pointer that C hands back. fn runs on
// the thread that C calls it on, which may be none of Go's.
func NewCallback(fn any) uintptr { return purego.NewCallback(fn) }

// glibc returns the version of the C library that this process runs on, such as
// "2.36"; "" where it is not the GNU one.
func glibc() string {
	fn := symbolOfProcess("gnu_get_libc_version")
	if fn == 0 {
		return ""
	}
	return String(Call(fn), 32)
}
