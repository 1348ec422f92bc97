package native

import (
	"strings"
	"unsafe"

	"verge/internal/fault"
)

// CString returns s with the zero byte that ends a C string. Pass the address of
// its first element. It fails with fault.Invalid when s contains a zero byte,
// which C would take for the end.
func CString(s string) ([]byte, error) {
	if i := strings.IndexByte(s, 0); i >= 0 {
		return nil, fault.New(fault.Invalid, "native.cstring", "%q has a zero byte at %d, which a C library cannot take", fault.Clip(s), i)
	}
	return append([]byte(s), 0), nil
}

// String returns a copy of the C string at address, cut after limit bytes; "" for
// the null pointer.
func String(address uintptr, limit int) string {
	if address == 0 {
		return ""
	}
	p := (*byte)(pointer(address))
	n := 0
	for n < limit && *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// View returns the n bytes at address, which lie in C memory: they are valid as
// long as C keeps them. The null pointer gives nil.
func View(address uintptr, n int) []byte {
	if address == 0 || n <= 0 {
		return nil
	}
	return unsafe.Slice((*byte)(pointer(address)), n)
}

// Words returns the n machine words at address, such as an array of pointers, as
// View does.
func Words(address uintptr, n int) []uintptr {
	if address == 0 || n <= 0 {
		return nil
	}
	return unsafe.Slice((*uintptr)(pointer(address)), n)
}

// Address returns where data begins, or 0 where it is empty. The address is
// good while the caller keeps data alive; for a C library that remembers it,
// data has to be pinned, or not Go's.
func Address(data []byte) uintptr {
	if len(data) == 0 {
		return 0
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(data)))
}

// pointer converts an address that C gave. Written in one expression, vet would
// take it for arithmetic on a pointer of Go's.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

// Array returns the n elements of type T at address, as View does. T is laid out
// as in C.
func Array[T any](address uintptr, n int) []T {
	if address == 0 || n <= 0 {
		return nil
	}
	return unsafe.Slice((*T)(pointer(address)), n)
}
