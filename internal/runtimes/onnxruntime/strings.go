package onnxruntime

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// copyStrings writes a tensor of n strings in binary form to dst, which has the
// right size. The library can give the contents of all strings in one piece: it goes
// to the end of dst, and from there each string moves forward to its place.
func (a *api) copyStrings(handle uintptr, n int, dst []byte) error {
	if n == 0 {
		return nil
	}
	content := dst[4*n:]
	offsets := make([]uintptr, n)
	if status := a.call(getStringTensorContent, handle, uintptr(unsafe.Pointer(unsafe.SliceData(content))), uintptr(len(content)),
		uintptr(unsafe.Pointer(&offsets[0])), uintptr(n)); status != nil { // not negative
		return status
	}
	at := 0
	for i, begin := range offsets {
		end := uintptr(len(content))
		if i+1 < n {
			end = offsets[i+1]
		}
		if begin > end || end > uintptr(len(content)) || end-begin > math.MaxUint32 {
			return fmt.Errorf("string %d of an output lies at %d to %d of %d bytes", i, begin, end, len(content))
		}
		length := int(end - begin)                                  // checked
		copy(dst[at+4:at+4+length], content[begin:end])             // forward, never over what is still to be moved
		binary.LittleEndian.PutUint32(dst[at:at+4], uint32(length)) //nolint:gosec // checked
		at += 4 + length
	}
	return nil
}
