package modelfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"regexp"
	"syscall"
	"unicode"
	"unicode/utf8"

	"verge/internal/fault"
	"verge/internal/modelfile/onnx"
)

const opSniff = "modelfile.sniff"

// Format is a kind of model file, by its name in deployment files.
type Format string

// The formats.
const (
	ONNX     Format = "onnx"
	TFLite   Format = "tflite"
	OpenVINO Format = "openvino"
	TensorRT Format = "tensorrt"
)

// Title returns the format's name as people write it, with its article.
func (f Format) Title() string {
	switch f {
	case ONNX:
		return "an ONNX model"
	case TFLite:
		return "a TensorFlow Lite model"
	case OpenVINO:
		return "an OpenVINO model"
	case TensorRT:
		return "a TensorRT engine"
	}
	return "a model of format " + string(f)
}

// headBytes is how much of a file is looked at to recognise it.
const headBytes = 4096

// stranger is a kind of file that is no model that Verge could serve.
type stranger struct {
	name  string
	magic string
	at    int    // offset of magic
	hint  string // "" for the general one
}

const (
	exportHint = "Export the model to ONNX with the tool that made it."
	unpackHint = "Unpack it, and give the .onnx file in it."
	textHint   = "Give the model file itself."
)

// strangers is searched in order.
var strangers = [...]stranger{ //nolint:gochecknoglobals // a constant table
	{name: "a gzip archive", magic: "\x1f\x8b", hint: unpackHint},
	{name: "a Zstandard archive", magic: "\x28\xb5\x2f\xfd", hint: unpackHint},
	{name: "an xz archive", magic: "\xfd7zXZ\x00", hint: unpackHint},
	{name: "a bzip2 archive", magic: "BZh", hint: unpackHint},
	{name: "a 7-Zip archive", magic: "7z\xbc\xaf\x27\x1c", hint: unpackHint},
	{name: "a tar archive", magic: "ustar", at: 257, hint: unpackHint},
	{name: "an HDF5 file (Keras .h5)", magic: "\x89HDF\r\n\x1a\n", hint: "Export it to ONNX, for instance with python -m tf2onnx.convert --keras FILE --output model.onnx."},
	{name: "a GGUF file (llama.cpp)", magic: "GGUF"},
	{name: "a GGML file (llama.cpp)", magic: "lmgg"},
	{name: "a NumPy array", magic: "\x93NUMPY", hint: "Give the model file; data goes into tests.functional_test.golden or to verge predict."},
	{name: "an ONNX Runtime (ORT format) file", magic: "ORTM", at: 4, hint: "Give the .onnx file that it was made from."},
	{name: "a PNG picture", magic: "\x89PNG\r\n\x1a\n", hint: "Give the model file; pictures go to verge predict."},
	{name: "a JPEG picture", magic: "\xff\xd8\xff", hint: "Give the model file; pictures go to verge predict."},
	{name: "a GIF picture", magic: "GIF8", hint: "Give the model file."},
	{name: "a BMP picture", magic: "BM", hint: "Give the model file."},
	{name: "a PDF document", magic: "%PDF-"},
	{name: "an ELF program or library", magic: "\x7fELF"},
	{name: "a Git LFS pointer", magic: "version https://git-lfs", hint: "Fetch the real file with git lfs pull."},
}

// kerasHint and torchHint tell two kinds of model that are zip archives apart.
const (
	kerasHint = "Export it to ONNX, for instance with model.export(path, format=\"onnx\") of Keras."
	torchHint = "Export it to ONNX with torch.onnx.export(model, example, \"model.onnx\")."
)

// xmlNet matches the root element of an OpenVINO model at the start of a file. A
// declaration before it is let through, to be refused by the reader with a reason.
var xmlNet = regexp.MustCompile(`(?s)^\x{FEFF}?\s*(<\?xml.*?\?>)?\s*(<!--.*?-->\s*)*(<!DOCTYPE\s+net\b[^\[>]*(\[.*?\])?\s*>\s*)?<net[\s>]`)

// Sniff returns the format of the file of size bytes that r holds. It fails
// with fault.Invalid for a directory, a file that is recognised as no model or
// not recognised, with fault.Corrupt for one that is too short to be one, and with
// fault.Internal where r cannot be read.
func Sniff(r io.ReaderAt, size int64) (Format, error) {
	if size == 0 {
		return "", fault.New(fault.Corrupt, opSniff, "the file is empty").
			WithHint("Copy or export the model again.")
	}
	head := make([]byte, min(max(size, 0), headBytes))
	n, err := r.ReadAt(head, 0)
	if errors.Is(err, syscall.EISDIR) {
		return "", fault.New(fault.Invalid, opSniff, "this is a directory, not a file").WithHint("Give the model file in it.")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fault.New(fault.Internal, opSniff, "read the start of the file: %w", err)
	}
	head = head[:n]
	switch {
	case at(head, 4, "TFL3"):
		return TFLite, nil
	case at(head, 0, "ftrt"), at(head, 0, "ptrt"), engineBehindText(r, head):
		return TensorRT, nil
	case xmlNet.Match(head):
		return OpenVINO, nil
	}
	if s, ok := recognise(head, size); ok {
		if s.hint == "" {
			s.hint = exportHint
		}
		return "", fault.New(fault.Invalid, opSniff, "the file is %s, not a model that can be served", s.name).WithHint("%s", s.hint)
	}
	if onnx.Sniff(r, size) {
		return ONNX, nil
	}
	return "", unknown(head, size)
}

// engineBehindText reports whether a TensorRT engine comes behind a JSON text, whose
// length of 32 bits stands before it, as Ultralytics writes its engines.
func engineBehindText(r io.ReaderAt, head []byte) bool {
	const length, most = 4, 1 << 20
	if len(head) <= length || head[length] != '{' {
		return false
	}
	n := binary.LittleEndian.Uint32(head)
	magic := make([]byte, 4)
	if n > most {
		return false
	}
	_, err := r.ReadAt(magic, length+int64(n))
	return err == nil && string(magic) == "ftrt"
}

// at reports whether magic stands at that offset of head.
func at(head []byte, offset int, magic string) bool {
	return len(head) >= offset+len(magic) && string(head[offset:offset+len(magic)]) == magic
}

// recognise says which kind of other file begins with head.
func recognise(head []byte, size int64) (stranger, bool) {
	for _, s := range strangers {
		if at(head, s.at, s.magic) {
			return s, true
		}
	}
	switch {
	case at(head, 0, "PK\x03\x04"):
		return recogniseZip(head), true
	case len(head) >= 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5:
		return stranger{name: "a Python pickle (PyTorch, scikit-learn)", hint: torchHint}, true
	case isSafetensors(head, size):
		return stranger{name: "a safetensors file (weights without a graph)", hint: torchHint}, true
	case at(head, 0, "\x08\x01\x12") && (bytes.Contains(head, []byte("serve")) || bytes.Contains(head, []byte("MetaGraph"))):
		return stranger{
			name: "a TensorFlow SavedModel",
			hint: "Export it to ONNX with python -m tf2onnx.convert --saved-model DIR --output model.onnx.",
		}, true
	}
	return recogniseText(head)
}

// recogniseZip tells the kinds of zip archive apart by their first members.
func recogniseZip(head []byte) stranger {
	switch {
	case bytes.Contains(head, []byte("/data.pkl")), bytes.Contains(head, []byte("data/constants.pkl")):
		return stranger{name: "a PyTorch checkpoint", hint: torchHint}
	case bytes.Contains(head, []byte("metadata.json")), bytes.Contains(head, []byte("model.weights.h5")):
		return stranger{name: "a Keras model", hint: kerasHint}
	case bytes.Contains(head, []byte(".npy")):
		return stranger{name: "a NumPy archive", hint: "Give the model file; data goes into tests.functional_test.golden or to verge predict."}
	}
	return stranger{name: "a zip archive", hint: unpackHint}
}

// isSafetensors reports whether head begins with the length of a JSON header
// that fits the file, and that header.
func isSafetensors(head []byte, size int64) bool {
	if len(head) < 9 || head[8] != '{' {
		return false
	}
	n := binary.LittleEndian.Uint64(head)
	return n >= 2 && n <= uint64(max(size-8, 0)) // not negative
}

// recogniseText tells the kinds of text file apart.
func recogniseText(head []byte) (stranger, bool) {
	if !isText(head) {
		return stranger{}, false
	}
	text := bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))))
	switch {
	case bytes.HasPrefix(text, []byte("<!doctype html")), bytes.HasPrefix(text, []byte("<html")):
		return stranger{name: "a web page", hint: "Download the model itself: the page that offers it was saved in its place."}, true
	case bytes.HasPrefix(text, []byte("<")):
		return stranger{name: "an XML document", hint: textHint}, true
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return stranger{name: "a JSON document", hint: textHint}, true
	}
	return stranger{name: "a text file", hint: textHint}, true
}

// isText reports whether head, of which the last character may be cut, is text
// for people: four bytes or more of UTF-8 without control characters.
func isText(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	for len(head) > 0 {
		c, n := utf8.DecodeRune(head)
		if c == utf8.RuneError && n == 1 {
			return len(head) < utf8.UTFMax && !utf8.FullRune(head)
		}
		if unicode.IsControl(c) && c != '\n' && c != '\r' && c != '\t' && c != '\f' {
			return false
		}
		head = head[n:]
	}
	return true
}

// unknown is the error for bytes of which nothing is known.
func unknown(head []byte, size int64) error {
	const hint = "Give an ONNX or TensorFlow Lite file, the .xml of an OpenVINO model, or a TensorRT engine. If this is one, it is damaged or was cut off: copy or export it again."
	if size < 16 {
		return fault.New(fault.Corrupt, opSniff, "a file of %d B is too small for a model", size).WithHint(hint)
	}
	return fault.New(fault.Invalid, opSniff, "the format of the file is not known (it begins with % x)", head[:min(len(head), 8)]).
		WithHint(hint)
}
