package litert

import (
	"encoding/binary"
	"fmt"
	"math"

	"verge/internal/tensor"
)

// A tensor of strings is a buffer in the classic library, as tensorflow/lite/
// string_util.h says: in four bytes each, little-endian, the number of strings, where
// each begins, and where the last ends, all from the start of the buffer; then the
// strings. No strings may be an empty buffer too.

const word = 4 // bytes of each number

// appendStringBuffer appends to an empty dst the buffer of a tensor of n strings that
// is given in binary form.
func appendStringBuffer(dst, data []byte, n int) ([]byte, error) {
	if err := tensor.CheckBytes(data, n); err != nil {
		return dst, err
	}
	at := word * (n + 2)            // where the next string begins
	size := at + len(data) - word*n // CheckBytes has seen a length for each
	if size > math.MaxInt32 {
		return dst, fmt.Errorf("%d strings take %d bytes, TensorFlow Lite takes up to %d", n, size, math.MaxInt32)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n)) //nolint:gosec // smaller than size
	for rest := data; len(rest) > 0; {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(at)) //nolint:gosec // smaller than size
		length := int(binary.LittleEndian.Uint32(rest))
		rest = rest[word+length:]
		at += length
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(at)) //nolint:gosec // as large as size
	for rest := data; len(rest) > 0; {
		end := word + int(binary.LittleEndian.Uint32(rest))
		dst = append(dst, rest[word:end]...)
		rest = rest[end:]
	}
	return dst, nil
}

// stringBufferSize returns how many bytes the n strings of a buffer take in binary
// form. It fails where the buffer has others or contradicts itself.
func stringBufferSize(buffer []byte, n int) (int, error) {
	if n == 0 && len(buffer) == 0 {
		return 0, nil
	}
	if len(buffer) < 2*word || n > len(buffer)/word-2 {
		return 0, fmt.Errorf("a buffer of %d bytes, too few for %d strings", len(buffer), n)
	}
	if has := binary.LittleEndian.Uint32(buffer); int64(has) != int64(n) {
		return 0, fmt.Errorf("a buffer of %d strings, want %d", has, n)
	}
	begin := uint32(word * (n + 2)) //nolint:gosec // smaller than the buffer, whose numbers are
	for i := range n + 1 {
		next := offsetAt(buffer, i)
		if next < begin || uint64(next) > uint64(len(buffer)) {
			return 0, fmt.Errorf("string %d begins at %d, want %d to %d", i, next, begin, len(buffer))
		}
		begin = next
	}
	return word*n + int(begin-offsetAt(buffer, 0)), nil
}

// copyStringBuffer writes the strings of a buffer that stringBufferSize took to dst,
// which has that size, in binary form.
func copyStringBuffer(dst, buffer []byte) {
	for i := 0; len(dst) > 0; i++ {
		text := buffer[offsetAt(buffer, i):offsetAt(buffer, i+1)]
		binary.LittleEndian.PutUint32(dst, uint32(len(text))) //nolint:gosec // a difference of two of them
		dst = dst[word+copy(dst[word:], text):]
	}
}

func offsetAt(buffer []byte, i int) uint32 { return binary.LittleEndian.Uint32(buffer[word*(i+1):]) }
