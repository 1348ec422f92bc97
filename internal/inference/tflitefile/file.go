package tflitefile

import "encoding/binary"

// File is a FlatBuffer. What lies outside of it reads as 0, which is also how the
// place of something that is not there is written.
type File []byte

// Vector is where a vector of elements of four bytes lies.
type Vector struct{ first, Count int }

// word is the size of an element, and of an offset.
const word = 4

// maxText is the longest text that is read, in bytes.
const maxText = 16 << 10

// At returns where an element lies.
func (v Vector) At(i int) int { return v.first + word*i }

// Root returns the root table.
func (f File) Root() int { return f.Follow(0) }

// Number reads 32 bits.
func (f File) Number(at int) int {
	if at < 0 || at > len(f)-word {
		return 0
	}
	return int(int32(binary.LittleEndian.Uint32(f[at:]))) //nolint:gosec // so it is signed
}

// Byte reads 8 bits.
func (f File) Byte(at int) byte {
	if at < 0 || at >= len(f) {
		return 0
	}
	return f[at]
}

// NumberOf returns the number in a field of a table; 0, as the schema's default, where
// it is not there.
func (f File) NumberOf(table, slot int) int {
	if at := f.Field(table, slot); at != 0 {
		return f.Number(at)
	}
	return 0
}

// Follow returns where the offset at a place leads.
func (f File) Follow(at int) int { return at + f.Number(at) }

// Field returns where the field of a table lies, or 0.
func (f File) Field(table, slot int) int {
	const header, half = 4, 2
	vtable := table - f.Number(table)
	at := vtable + header + half*slot
	if table <= 0 || vtable < 0 || at < 0 || at > len(f)-half || at+half > vtable+f.Number(vtable)&0xffff {
		return 0
	}
	offset := int(binary.LittleEndian.Uint16(f[at:]))
	if offset == 0 {
		return 0
	}
	return table + offset
}

// Vector returns the vector that the field at a place leads to.
func (f File) Vector(at int) Vector {
	if at == 0 {
		return Vector{}
	}
	begin := f.Follow(at)
	count := f.Number(begin)
	if begin <= 0 || count < 0 || count > (len(f)-begin)/word {
		return Vector{}
	}
	return Vector{begin + word, count}
}

// VectorOf returns the vector in a field of a table.
func (f File) VectorOf(table, slot int) Vector { return f.Vector(f.Field(table, slot)) }

// Text returns the text that the field at a place leads to.
func (f File) Text(at int) string {
	if at == 0 {
		return ""
	}
	begin := f.Follow(at)
	length := f.Number(begin)
	if begin <= 0 || length < 0 || length > min(len(f)-begin-word, maxText) {
		return ""
	}
	return string(f[begin+word : begin+word+length])
}
