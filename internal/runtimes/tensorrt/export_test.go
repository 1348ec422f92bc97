package tensorrt

import (
	"log/slog"
	"unsafe"

	"verge/internal/inference"
)

// OpenWith is Open with a driver by its path.
func OpenWith(path, driver string, log *slog.Logger) (inference.Runtime, error) {
	return open(path, driver, log)
}

// Clean is clean.
func Clean(text string) string { return clean(text) }

// Split is split.
func Split(number int) (major, minor, patch int) { return split(number) }

// Adopt says why an object is refused that begins with these words, the second of
// which becomes the address of the words of its implementation.
func Adopt(rt inference.Runtime, words, implementation []uintptr) error {
	if len(implementation) > 0 {
		words[1] = addressOf(implementation)
	}
	if _, err := rt.(*trtRuntime).library.adopt(runtimeClass, addressOf(words)); err != nil {
		return err
	}
	return nil
}

func addressOf(words []uintptr) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(words))) }
