package openvino

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
	"verge/internal/tensor"
)

// format is a format of model files.
type format int

const (
	formatUnknown format = iota
	formatIR
	formatONNX
	formatTFLite
)

// onnxTags are the bytes that an ONNX file may begin with: the tags of the fields of
// ModelProto, in onnx.proto.
var onnxTags = []byte{0x08, 0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72, 0xa2, 0xca} //nolint:gochecknoglobals // a constant table

// formatOf tells a file's format by how it begins. The library would try every
// reader that it has, some of which write to the standard error.
func formatOf(data []byte) format {
	const bom = "\xef\xbb\xbf"
	text := bytes.TrimLeft(bytes.TrimPrefix(data, []byte(bom)), " \t\r\n")
	switch {
	case bytes.HasPrefix(text, []byte("<")):
		return formatIR
	case len(data) >= 8 && string(data[4:8]) == "TFL3": // the FlatBuffer's identifier
		return formatTFLite
	case len(data) > 0 && bytes.IndexByte(onnxTags, data[0]) >= 0:
		return formatONNX
	}
	return formatUnknown
}

// assignPattern is how a layer that writes to a variable begins.
var assignPattern = regexp.MustCompile(`\stype\s*=\s*["']Assign["']`)

// keepsState reports whether a model in IR has variables, which the library keeps from
// one run of a request to its next. What reads models of other formats makes none.
func keepsState(data []byte) bool {
	return formatOf(data) == formatIR && assignPattern.Match(data)
}

// read makes an ov_model of a file's bytes, which the library copies, and of the
// weights beside it, which it does not.
func (s *session) read(core uintptr, m inference.Model) (model uintptr, failure *fault.Error) {
	const op = "openvino.load"
	switch formatOf(m.Data) {
	case formatUnknown:
		return 0, fault.New(fault.Corrupt, op, "the file is neither OpenVINO IR, nor ONNX, nor TensorFlow Lite")
	case formatTFLite:
		return s.readFile(core, m)
	default:
	}
	var weights uintptr
	if m.Weights != nil && len(m.Weights.Data) > 0 {
		s.pins.Pin(unsafe.SliceData(m.Weights.Data))
		size := int64(len(m.Weights.Data))
		if status := s.api.call(tensorCreateFromHostPtr, elementOf(tensor.Uint8), 1, uintptr(unsafe.Pointer(&size)),
			native.Address(m.Weights.Data), uintptr(unsafe.Pointer(&weights))); status != nil {
			return 0, status.fault(fault.Exhausted, op)
		}
		defer s.api.release(tensorFree, weights)
	}
	status := s.api.call(coreReadModelFromMemoryBuffer, core, native.Address(m.Data), uintptr(len(m.Data)), weights, uintptr(unsafe.Pointer(&model)))
	runtime.KeepAlive(m.Data)
	if status != nil {
		failure = status.loadFault(op)
		if weights == 0 && strings.Contains(status.text, "bin file") {
			return 0, failure.WithHint("Deploy the .bin file together with the .xml file.")
		}
		return 0, failure
	}
	return model, nil
}

// readFile makes an ov_model of a TensorFlow Lite file. The library reads those by
// path only, and only where that ends in .tflite: it gets a link to the memory file,
// which lies in the system's directory for temporary files until the file is read.
func (s *session) readFile(core uintptr, m inference.Model) (model uintptr, failure *fault.Error) {
	const op, name = "openvino.load", "model.tflite"
	fd := m.FD
	if fd < 0 {
		memory, err := native.NewReadOnlyMemory("model", len(m.Data), func(to []byte) error {
			copy(to, m.Data)
			return nil
		})
		if err != nil {
			return 0, &fault.Error{Kind: fault.KindOf(err), Op: op, Err: err}
		}
		defer memory.Close() //nolint:errcheck // it was only read
		fd = memory.FD()
	}
	directory, err := os.MkdirTemp("", "verge-openvino-")
	if err == nil {
		defer os.RemoveAll(directory) //nolint:errcheck // a link is left behind
		err = os.Symlink(fmt.Sprintf("/proc/self/fd/%d", fd), filepath.Join(directory, name))
	}
	if err != nil {
		return 0, fault.New(fault.Exhausted, op, "a link to the model, which OpenVINO reads by name: %w", err).
			WithHint("Set TMPDIR to a directory that can be written to.")
	}
	path, err := native.CString(filepath.Join(directory, name))
	if err != nil {
		return 0, &fault.Error{Kind: fault.KindOf(err), Op: op, Err: err}
	}
	status := s.api.call(coreReadModel, core, native.Address(path), 0, uintptr(unsafe.Pointer(&model)))
	runtime.KeepAlive(path)
	if status != nil {
		status.text = strings.ReplaceAll(status.text, directory+string(filepath.Separator), "")
		return 0, status.loadFault(op)
	}
	return model, nil
}
