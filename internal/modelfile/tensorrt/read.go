package tensorrt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"verge/internal/fault"
)

const opRead = "tensorrt.read"

const damagedHint = "Build the engine again, or copy it again: it may have been cut off."

// Limits caps what a file may be. Every field must be positive; a file that goes over
// one is refused with fault.TooLarge.
type Limits struct {
	FileBytes   int64
	PrefixBytes int64 // of what may stand before the engine
}

// DefaultLimits suits any engine that runs on one machine.
func DefaultLimits() Limits { return Limits{FileBytes: 1 << 40, PrefixBytes: 1 << 20} }

// Model is what an engine file says about itself.
type Model struct {
	Tag                  string   `json:"tag"`                        // the first four characters, "ftrt" or "ptrt"
	SerializationVersion uint32   `json:"serialization_version"`      // of the file's format
	TensorRT             string   `json:"tensorrt_version,omitempty"` // that built it, such as "10.16.0.72"; "" where the file does not say
	Offset               int64    `json:"offset_bytes"`               // where the engine begins: 0, or behind what a tool has put before it
	EngineBytes          int64    `json:"engine_bytes"`               // from there to the end of the file
	Notes                []string `json:"notes,omitempty"`            // sentences for people
}

const (
	headerBytes = 28 // up to the end of TensorRT's version
	versionAt   = 24
	oldest      = 8  // major version that writes its own version, and the highest that
	newest      = 99 // is taken for one
)

// Read reads the file of size bytes that r holds. It fails with fault.Corrupt for bytes
// that are no engine or are cut inside its header, with fault.TooLarge for a file over a
// limit, and with fault.Internal where r cannot be read.
func Read(r io.ReaderAt, size int64, limits Limits) (*Model, error) {
	switch {
	case size <= 0:
		return nil, fault.New(fault.Corrupt, opRead, "the file is empty").WithHint(damagedHint)
	case size > limits.FileBytes:
		return nil, fault.New(fault.TooLarge, opRead, "the file has %d bytes, the limit is %d", size, limits.FileBytes)
	}
	m := &Model{}
	head, err := header(r, 0, size)
	if err != nil {
		return nil, err
	}
	if n := prefix(head, size); n > 0 {
		if n > limits.PrefixBytes {
			return nil, fault.New(fault.TooLarge, opRead, "%d bytes stand before the engine, the limit is %d", n, limits.PrefixBytes)
		}
		m.Offset = n
		m.note("A JSON text of %d bytes stands before the engine, as Ultralytics writes it.", n-4)
		if head, err = header(r, n, size); err != nil {
			return nil, err
		}
	}
	m.EngineBytes = size - m.Offset
	if len(head) < headerBytes {
		return nil, fault.New(fault.Corrupt, opRead, "the engine has %d bytes, its header alone has %d", len(head), headerBytes).WithHint(damagedHint)
	}
	if m.Tag = string(head[:4]); m.Tag != "ftrt" && m.Tag != "ptrt" {
		return nil, fault.New(fault.Corrupt, opRead, "the engine begins with % x, want ftrt or ptrt", head[:4]).WithHint(damagedHint)
	}
	m.describe(head)
	return m, nil
}

// header returns the first bytes of an engine that begins at an offset: headerBytes, or
// what the file has.
func header(r io.ReaderAt, offset, size int64) ([]byte, error) {
	head := make([]byte, min(size-offset, headerBytes))
	n, err := r.ReadAt(head, offset)
	if n < len(head) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fault.New(fault.Internal, opRead, "read at byte %d: %w", offset, err)
	}
	return head, nil
}

// prefix returns how many bytes stand before the engine in a file that begins with
// head: a JSON text and its length, or 0.
func prefix(head []byte, size int64) int64 {
	if len(head) < 5 || head[4] != '{' {
		return 0
	}
	n := int64(binary.LittleEndian.Uint32(head))
	if n < 2 || n > size-4 {
		return 0
	}
	return n + 4
}

// describe reads a whole header.
func (m *Model) describe(head []byte) {
	m.SerializationVersion = binary.LittleEndian.Uint32(head[4:])
	v := head[versionAt:headerBytes]
	switch {
	case m.Tag == "ptrt":
		m.note("The engine is of a format that versions of TensorRT before 8.6 wrote.")
	case m.SerializationVersion != 0:
		m.note("The serialization has version %d: which TensorRT built the engine is known for version 0 only.", m.SerializationVersion)
	case v[0] < oldest || v[0] > newest:
		m.note("The engine does not say which TensorRT built it: it is older than 8.6.")
	default:
		m.TensorRT = fmt.Sprintf("%d.%d.%d.%d", v[0], v[1], v[2], v[3])
	}
	m.note("Inputs, outputs and the GPU that the engine was built for are known to TensorRT only.")
}

func (m *Model) note(format string, args ...any) {
	m.Notes = append(m.Notes, fmt.Sprintf(format, args...))
}
