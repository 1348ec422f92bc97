package onnxruntime

import (
	"unsafe"

	"verge/internal/fault"
	"verge/internal/native"
	"verge/internal/version"
)

// maxText is the longest text of the library that is read, in bytes.
const maxText = 16 << 10

// api is the library's table of functions, and the two objects that every call
// with memory needs. It never changes.
type api struct {
	version   string // of the library
	functions [entries]uintptr
	memory    uintptr // OrtMemoryInfo of plain CPU memory
	allocator uintptr // the default one
}

// bind finds the table of functions of an open library. It fails with
// fault.Unsupported when the library is too old for it, or another library.
func bind(library *native.Library) (*api, error) {
	const op = "onnxruntime.open"
	getBase, err := library.Symbol("OrtGetApiBase")
	if err != nil {
		return nil, fault.New(fault.Unsupported, op, "not ONNX Runtime: it has no function OrtGetApiBase").On(library.Path()).
			WithHint("Install it with `verge runtime install onnxruntime`, and take this file away.")
	}
	base := native.Words(native.Call(getBase), 2) // {GetApi, GetVersionString}
	if base == nil {
		return nil, fault.New(fault.Unsupported, op, "the library has no interface").On(library.Path())
	}
	a := &api{version: native.String(native.Call(base[1]), 64)}
	if version.Compare(a.version, MinimumVersion) < 0 {
		return nil, fault.New(fault.Unsupported, op, "ONNX Runtime has version %q, want %s or newer", a.version, MinimumVersion).On(library.Path()).
			WithHint("Install it with `verge runtime install onnxruntime`.")
	}
	table := native.Call(base[0], apiVersion)
	if table == 0 {
		return nil, fault.New(fault.Unsupported, op, "ONNX Runtime %s has no interface of version %d", a.version, apiVersion).On(library.Path()).
			WithHint("Install it with `verge runtime install onnxruntime`.")
	}
	copy(a.functions[:], native.Words(table, int(entries)))

	var out uintptr
	if err := a.status(native.Call(a.functions[createCPUMemoryInfo], 0, 0, uintptr(unsafe.Pointer(&out)))); err != nil {
		return nil, err.fault(fault.Internal, op)
	}
	a.memory = out
	if err := a.status(native.Call(a.functions[getAllocatorWithDefaultOptions], uintptr(unsafe.Pointer(&out)))); err != nil {
		return nil, err.fault(fault.Internal, op)
	}
	a.allocator = out
	return a, nil
}

// call calls a function that returns a status. Arguments as native.Call.
//
//go:uintptrescapes
func (a *api) call(e entry, args ...uintptr) *statusError {
	return a.status(native.Call(a.functions[e], args...))
}

// release frees an object with its function; the null pointer is left alone.
func (a *api) release(e entry, object uintptr) {
	if object != 0 {
		native.Call(a.functions[e], object)
	}
}

// take returns a copy of a text that the default allocator owns, and frees it.
func (a *api) take(text uintptr) string {
	s := native.String(text, maxText)
	a.free(text)
	return s
}

// free gives what the default allocator made back to it.
func (a *api) free(p uintptr) {
	if p != 0 {
		a.status(native.Call(a.functions[allocatorFree], a.allocator, p)) //nolint:errcheck // the function cannot fail
	}
}

// providers returns the names of the execution providers compiled in.
func (a *api) providers() ([]string, *statusError) {
	var names, count uintptr
	if err := a.call(getAvailableProviders, uintptr(unsafe.Pointer(&names)), uintptr(unsafe.Pointer(&count))); err != nil {
		return nil, err
	}
	n := int(int32(count)) // the library wrote an int
	list := make([]string, 0, n)
	for _, name := range native.Words(names, n) {
		list = append(list, native.String(name, 256))
	}
	return list, a.call(releaseAvailableProviders, names, uintptr(n))
}
