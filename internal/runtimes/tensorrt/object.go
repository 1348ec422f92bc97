package tensorrt

import (
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"

	"verge/internal/fault"
	"verge/internal/native"
)

// object is an object of the library. Its public face is two words: the table of its
// destructors, and the address of the implementation, which begins with the address
// of the table that the layout speaks of.
type object struct {
	public, implementation uintptr
}

// tables are those that were looked at and found to be in order.
type tables struct {
	mu   sync.Mutex // guards what follows
	good map[[2]uintptr]bool
	dims map[uintptr]func(this, name, profile, selector uintptr) dims
}

// word returns the machine word at an address.
func word(address uintptr) uintptr { return native.Words(address, 1)[0] }

const wordSize = 8

// adopt returns the object that the library has handed out at an address. It fails
// with fault.Unsupported where that does not look like an object of the class.
func (l *library) adopt(c class, address uintptr) (object, *fault.Error) {
	maps := readMappings()
	shown := maps != nil
	if address%wordSize != 0 || shown && !allows(maps, address, 2*wordSize, "r") {
		return object{}, l.unlike(c, "%#x is no object", address)
	}
	o := object{public: address, implementation: word(address + wordSize)}
	if o.implementation%wordSize != 0 || shown && !allows(maps, o.implementation, wordSize, "r") {
		return object{}, l.unlike(c, "it has no implementation")
	}
	outer, inner := word(o.public), word(o.implementation)
	key := [2]uintptr{outer, inner}
	l.tables.mu.Lock()
	defer l.tables.mu.Unlock()
	if l.tables.good[key] || !shown {
		return o, nil
	}
	entries := map[uintptr]bool{outer + destructorOfOwner*wordSize: true}
	for m := c.first; m < c.next; m++ {
		entries[inner+uintptr(l.layout.slots[m])*wordSize] = true
	}
	for entry := range entries {
		if entry%wordSize != 0 || !allows(maps, entry, wordSize, "r") || !allows(maps, word(entry), 1, "x") {
			return object{}, l.unlike(c, "its table of functions has others than functions")
		}
	}
	l.tables.good[key] = true
	return o, nil
}

// function returns the address of a method of an object.
func (l *library) function(o object, m method) uintptr {
	return word(word(o.implementation) + uintptr(l.layout.slots[m])*wordSize)
}

// call calls a method. Arguments as native.Call.
//
//go:uintptrescapes
func (l *library) call(o object, m method, args ...uintptr) uintptr {
	return native.Call(l.function(o, m), append([]uintptr{o.implementation}, args...)...)
}

// int is call for a method that returns an int32_t.
//
//go:uintptrescapes
func (l *library) int(o object, m method, args ...uintptr) int {
	return int(int32(l.call(o, m, args...))) //nolint:gosec // the upper half is junk
}

// probe is call for a method without arguments, before it is certain that it is what it
// should be: it is given some, an empty text for what would read one.
func (l *library) probe(o object, m method) uintptr {
	var empty [256]byte
	return l.call(o, m, uintptr(unsafe.Pointer(&empty)), uintptr(unsafe.Pointer(&empty)), uintptr(unsafe.Pointer(&empty)))
}

// free deletes an object, through the destructor of its public face.
func (l *library) free(o object) {
	if o.public != 0 {
		native.Call(word(word(o.public)+destructorOfOwner*wordSize), o.public)
	}
}

// maxRank is the highest number of dimensions that the library has.
const maxRank = 8

// dims is a Dims64: 72 bytes. A function that returns one writes it to memory of the
// caller, whose address goes where the machine's convention says.
type dims struct {
	rank int32 // -1 for no shape
	d    [maxRank]int64
}

// shape returns the dimensions, in memory of its own; false for no shape.
func (d *dims) shape() ([]int64, bool) {
	if d.rank < 0 || d.rank > maxRank {
		return nil, false
	}
	return append([]int64{}, d.d[:d.rank]...), true
}

// dims calls a method that returns a shape.
func (l *library) dims(o object, m method, name, profile, selector uintptr) dims {
	address := l.function(o, m)
	l.tables.mu.Lock()
	f := l.tables.dims[address]
	if f == nil {
		purego.RegisterFunc(&f, address)
		l.tables.dims[address] = f
	}
	l.tables.mu.Unlock()
	return f(o.implementation, name, profile, selector)
}
