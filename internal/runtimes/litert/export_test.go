package litert

import (
	"verge/internal/inference"
	"verge/internal/native"
)

// OpenWithEdgeTPU opens the classic library, which finds libedgetpu at a path.
func OpenWithEdgeTPU(path, edgeTPU string) (inference.Runtime, error) {
	library, err := native.Open(path)
	if err != nil {
		return nil, err
	}
	return openClassic(library, []string{edgeTPU})
}

// Declare sets the open dimensions of a file in a signature, and reports whether its
// model keeps values.
func Declare(data []byte, s inference.Signature) (stateful bool) {
	o := readOutline(data)
	o.declare(o.signed(), s)
	return o.stateful
}

// Listen returns what the process writes to its standard error while do runs, and
// Messages what the library has written among it.
var (
	Listen   = listen
	Messages = messages
)

// Clean shortens a text of a library.
func Clean(text string) string { return clean(text) }

// ToStringBuffer brings strings in binary form into the library's form.
func ToStringBuffer(data []byte, n int) ([]byte, error) { return appendStringBuffer(nil, data, n) }

// FromStringBuffer is its inverse.
func FromStringBuffer(buffer []byte, n int) ([]byte, error) {
	size, err := stringBufferSize(buffer, n)
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	copyStringBuffer(data, buffer)
	return data, nil
}
