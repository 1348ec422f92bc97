package tensorrt

import (
	"encoding/binary"
	"fmt"

	"verge/internal/fault"
)

// header is what the first bytes of an engine file say. modelfile/tensorrt says where
// that is known from.
type header struct {
	engine []byte // the engine itself, behind what a tool may have put before it
	built  string // version of TensorRT that it was built with; "" where the file does not say
}

// readHeader looks at a file before the library does. It fails with fault.Corrupt for
// what is no engine, and with fault.Unsupported for one of a format before that of
// TensorRT 8.
func readHeader(data []byte) (h header, failure *fault.Error) {
	const op = "tensorrt.load"
	const fixed, versionAt = 28, 24
	h.engine = data
	if len(data) > 4 && data[4] == '{' { // the length of a JSON text, and that, as Ultralytics writes it
		if n := int64(binary.LittleEndian.Uint32(data)); n < int64(len(data)-4) {
			h.engine = data[4+n:]
		}
	}
	switch {
	case len(h.engine) < fixed:
		return h, fault.New(fault.Corrupt, op, "a TensorRT engine of %d bytes, want %d or more", len(h.engine), fixed)
	case string(h.engine[:4]) == "ptrt":
		return h, fault.New(fault.Unsupported, op, "the engine was built with a TensorRT that is too old (it begins with ptrt)").WithHint(rebuildHint)
	case string(h.engine[:4]) != "ftrt":
		return h, fault.New(fault.Corrupt, op, "not a TensorRT engine: it begins with % x, want ftrt", h.engine[:4])
	}
	const oldest, newest = 8, 99
	if v := h.engine[versionAt:]; binary.LittleEndian.Uint32(h.engine[4:]) == 0 && v[0] >= oldest && v[0] <= newest {
		h.built = fmt.Sprintf("%d.%d.%d.%d", v[0], v[1], v[2], v[3])
	}
	return h, nil
}
