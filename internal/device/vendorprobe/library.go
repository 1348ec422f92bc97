package vendorprobe

import (
	"encoding/binary"
	"path/filepath"

	"verge/internal/fault"
	"verge/internal/native"
)

// library is an open library and what its functions write to. It stays until the
// process ends, as does all that is in it.
type library struct {
	open      *native.Library
	functions map[string]uintptr
	kept      []box
}

// box is memory of ours that a function of C writes to. It is kept by the library, and
// so on the heap, where it does not move.
type box []byte

// openFirst opens the first of the paths that can be loaded into this process: a system
// has libraries of one name for several kinds of processors. Where none can, it fails
// as native.Open does for the first.
func openFirst(paths []string) (*native.Library, error) {
	var first error
	for _, path := range paths {
		open, err := native.Open(path)
		if err == nil {
			return open, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// bind finds functions. It fails with fault.Unsupported where one of those that are
// needed is not there; the others are then never called.
func bind(open *native.Library, needed, optional []string) (*library, error) {
	l := &library{open: open, functions: map[string]uintptr{}}
	for _, name := range needed {
		address, err := open.Symbol(name)
		if err != nil {
			return nil, fault.New(fault.Unsupported, "vendorprobe.bind", "it has no function %s", name).On(filepath.Base(open.Path()))
		}
		l.functions[name] = address
	}
	for _, name := range optional {
		if address, err := open.Symbol(name); err == nil {
			l.functions[name] = address
		}
	}
	return l, nil
}

// has says whether the library has the function.
func (l *library) has(name string) bool { return l.functions[name] != 0 }

// call calls a function that returns an int. The function is there.
func (l *library) call(name string, args ...uintptr) int32 {
	return int32(native.Call(l.functions[name], args...)) //nolint:gosec // the rest of the register is junk
}

// box returns zeroed memory of n bytes.
func (l *library) box(n int) box {
	b := make(box, n)
	l.kept = append(l.kept, b)
	return b
}

// text returns the C string of ours, with its zero byte.
func (l *library) text(s string) box {
	b := l.box(len(s) + 1)
	copy(b, s)
	return b
}

func (b box) address() uintptr    { return native.Address(b) }
func (b box) word(at int) uint32  { return binary.NativeEndian.Uint32(b[at:]) }
func (b box) long(at int) uint64  { return binary.NativeEndian.Uint64(b[at:]) }
func (b box) pointer() uintptr    { return uintptr(b.long(0)) } // of a 64-bit system
func (b box) string() string      { return native.String(b.address(), len(b)) }
func (b box) size() uintptr       { return uintptr(len(b)) }
func (b box) bytes(at int) *int64 { n := int64(min(b.long(at), 1<<62)); return &n }
