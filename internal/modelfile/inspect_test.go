package modelfile_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference/inferencetest/irmodel"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/modelfile"
	"verge/internal/tensor"
)

func inspect(data []byte) (*modelfile.Info, error) {
	return modelfile.Inspect(modelfile.File{Bytes: bytes.NewReader(data), Size: int64(len(data))}, modelfile.DefaultLimits())
}

func digits(tb testing.TB) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "examples", "digits", "digits.onnx"))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestInspectReadsTheDigitsModel(t *testing.T) {
	info, err := inspect(digits(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.Format != modelfile.ONNX || info.SizeBytes != 96716 || info.ONNX == nil {
		t.Errorf("Inspect = %+v, want an ONNX model of 96716 bytes", info)
	}
	if got := info.Signature.Inputs[0].String(); got != "image FP32[-1,1,8,8]" {
		t.Errorf("input = %s, want image FP32[-1,1,8,8]", got)
	}
	if want := int64(96716 + 95784 + 296); info.MemoryEstimate != want { // file, parameters, activations
		t.Errorf("MemoryEstimate = %d, want %d", info.MemoryEstimate, want)
	}
}

func TestEachFormatIsKnownByItsBytes(t *testing.T) {
	tests := map[string]struct {
		data []byte
		want modelfile.Format
	}{
		"ONNX":                      {digits(t), modelfile.ONNX},
		"TensorFlow Lite":           {[]byte("\x1c\x00\x00\x00TFL3\x14\x00\x20\x00"), modelfile.TFLite},
		"OpenVINO":                  {[]byte("<?xml version=\"1.0\" ?>\n<net name=\"a\" version=\"10\">"), modelfile.OpenVINO},
		"OpenVINO with a comment":   {[]byte("\xef\xbb\xbf<?xml version=\"1.0\"?><!-- <x> -->\n<net>"), modelfile.OpenVINO},
		"OpenVINO, no declaration":  {[]byte("<net name=\"a\">"), modelfile.OpenVINO},
		"TensorRT":                  {[]byte("ftrt\x00\x00\x00\x00\xe8\x00\x00\x00"), modelfile.TensorRT},
		"TensorRT behind a text":    {[]byte("\x0e\x00\x00\x00{\"task\": \"x\"}\nftrt\x00\x00\x00\x00"), modelfile.TensorRT},
		"TensorRT of older version": {[]byte("ptrt\x00\x00\x00\x00\xe8\x00\x00\x00"), modelfile.TensorRT},
	}
	for name, tt := range tests {
		got, err := modelfile.Sniff(bytes.NewReader(tt.data), int64(len(tt.data)))
		if err != nil || got != tt.want {
			t.Errorf("Sniff(%s) = %q, %v, want %q", name, got, err, tt.want)
		}
	}
}

// archive is a zip file with one empty member of that name.
func archive(t *testing.T, member string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if _, err := w.Create(member); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsNoModelIsNamed(t *testing.T) {
	const (
		export = "Export the model to ONNX with the tool that made it."
		unpack = "Unpack it, and give the .onnx file in it."
		torch  = `Export it to ONNX with torch.onnx.export(model, example, "model.onnx").`
		itself = "Give the model file itself."
		give   = "Give an ONNX or TensorFlow Lite file, the .xml of an OpenVINO model, or a TensorRT engine. If this is one, it is damaged or was cut off: copy or export it again."
		data   = "Give the model file; data goes into tests.functional_test.golden or to verge predict."
	)
	no := func(what string) string { return "the file is " + what + ", not a model that can be served" }
	tests := map[string]struct {
		data    []byte
		kind    fault.Kind
		message string
		hint    string
	}{
		"empty":       {nil, fault.Corrupt, "the file is empty", "Copy or export the model again."},
		"4 bytes":     {[]byte{0, 0, 0x80, 0x3f}, fault.Corrupt, "a file of 4 B is too small for a model", give},
		"random":      {bytes.Repeat([]byte{0xca, 0xfe}, 50), fault.Invalid, "the format of the file is not known (it begins with ca fe ca fe ca fe ca fe)", give},
		"TensorRT":    {[]byte("ftrt\x00\x00\x00\x00"), fault.Corrupt, "the engine has 8 bytes, its header alone has 28", "Build the engine again, or copy it again: it may have been cut off."},
		"gzip":        {[]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), fault.Invalid, no("a gzip archive"), unpack},
		"tar":         {append(make([]byte, 257), "ustar\x0000"...), fault.Invalid, no("a tar archive"), unpack},
		"zip":         {archive(t, "a.txt"), fault.Invalid, no("a zip archive"), unpack},
		"PyTorch":     {archive(t, "model/data.pkl"), fault.Invalid, no("a PyTorch checkpoint"), torch},
		"Keras":       {archive(t, "metadata.json"), fault.Invalid, no("a Keras model"), `Export it to ONNX, for instance with model.export(path, format="onnx") of Keras.`},
		"npz":         {archive(t, "x.npy"), fault.Invalid, no("a NumPy archive"), data},
		"npy":         {[]byte("\x93NUMPY\x01\x00v\x00"), fault.Invalid, no("a NumPy array"), data},
		"pickle":      {[]byte("\x80\x04\x95\x10"), fault.Invalid, no("a Python pickle (PyTorch, scikit-learn)"), torch},
		"safetensors": {[]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"), fault.Invalid, no("a safetensors file (weights without a graph)"), torch},
		"GGUF":        {[]byte("GGUF\x03\x00\x00\x00"), fault.Invalid, no("a GGUF file (llama.cpp)"), export},
		"HDF5": {
			[]byte("\x89HDF\r\n\x1a\n"), fault.Invalid, no("an HDF5 file (Keras .h5)"),
			"Export it to ONNX, for instance with python -m tf2onnx.convert --keras FILE --output model.onnx.",
		},
		"SavedModel": {
			[]byte("\x08\x01\x12\x20\x0a\x10\x22\x05serve"), fault.Invalid, no("a TensorFlow SavedModel"),
			"Export it to ONNX with python -m tf2onnx.convert --saved-model DIR --output model.onnx.",
		},
		"a picture": {[]byte("\x89PNG\r\n\x1a\n"), fault.Invalid, no("a PNG picture"), "Give the model file; pictures go to verge predict."},
		"a web page": {
			[]byte("\n<!DOCTYPE HTML><html>"), fault.Invalid, no("a web page"),
			"Download the model itself: the page that offers it was saved in its place.",
		},
		"XML with declarations": {
			[]byte(`<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><net name="n" version="11">&b;</net>`), fault.Corrupt,
			"line 1: a document type or another declaration <!… is refused: OpenVINO writes none", "Convert the model again: an OpenVINO file has no <!DOCTYPE …> and no <!ENTITY …>.",
		},
		"XML":     {[]byte("<?xml version=\"1.0\"?><svg>"), fault.Invalid, no("an XML document"), itself},
		"JSON":    {[]byte(`{"model": {}}`), fault.Invalid, no("a JSON document"), itself},
		"text":    {[]byte("one\ntwo\n"), fault.Invalid, no("a text file"), itself},
		"Git LFS": {[]byte("version https://git-lfs.github.com/spec/v1\n"), fault.Invalid, no("a Git LFS pointer"), "Fetch the real file with git lfs pull."},
		"half an ONNX file": {
			digits(t)[:50_000], fault.Corrupt, "at byte 16: field 7 claims 96690 bytes, only 49980 are left",
			"Copy or export the model again; the file is damaged or was cut off.",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := inspect(tt.data)
			got := [...]string{fault.KindOf(err).String(), fault.Message(err), fault.HintOf(err)}
			want := [...]string{tt.kind.String(), tt.message, tt.hint}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestADirectoryIsNamed(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	_, err = modelfile.Inspect(modelfile.File{Bytes: dir, Size: 4096}, modelfile.DefaultLimits())
	if fault.Message(err) != "this is a directory, not a file" || fault.HintOf(err) != "Give the model file in it." {
		t.Errorf("Inspect(directory) = %v, hint %q", err, fault.HintOf(err))
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errors.New("input/output error") }

func TestAFileThatCannotBeReadIsNotCalledWrong(t *testing.T) {
	_, err := modelfile.Inspect(modelfile.File{Bytes: broken{}, Size: 100}, modelfile.DefaultLimits())
	if fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("Inspect = %v (%v), want the read error", err, fault.KindOf(err))
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(digits(f)[:400])
	f.Add([]byte("<?xml version=\"1.0\"?><net>"))
	f.Add([]byte("\x1c\x00\x00\x00TFL3"))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := inspect(data)
		if (info == nil) != (err != nil) {
			t.Fatalf("Inspect = %v, %v", info, err)
		}
		if err != nil && fault.KindOf(err) == fault.Internal && !errors.Is(err, io.EOF) {
			t.Fatalf("internal: %v", err)
		}
	})
}

func TestInspectReadsEachFormat(t *testing.T) {
	const ir = `<net name="a" version="11"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"><data shape="1,4" element_type="f32"/><output><port id="0" names="x"><dim>1</dim><dim>4</dim></port></output></layer>
<layer id="1" name="y" type="ReLU" version="opset1"><input><port id="0"/></input><output><port id="1" precision="FP32" names="y"><dim>1</dim><dim>4</dim></port></output></layer>
<layer id="2" name="z" type="Result" version="opset1"><input><port id="0"/></input></layer>
</layers><edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/><edge from-layer="1" from-port="1" to-layer="2" to-port="0"/></edges></net>`
	for name, tt := range map[string]struct {
		file          modelfile.File
		format        modelfile.Format
		input, output string
		size          int64
	}{
		"TensorFlow Lite": {
			modelfile.File{Bytes: bytes.NewReader(tflitemodel.Join()), Size: int64(len(tflitemodel.Join()))},
			modelfile.TFLite, "a FP32[-1,2]", "joined FP32[-1,5]", int64(len(tflitemodel.Join())),
		},
		"OpenVINO": {
			modelfile.File{Bytes: strings.NewReader(ir), Size: int64(len(ir)), Weights: 8},
			modelfile.OpenVINO, "x FP32[1,4]", "y FP32[1,4]", int64(len(ir)) + 8,
		},
	} {
		info, err := modelfile.Inspect(tt.file, modelfile.DefaultLimits())
		if err != nil {
			t.Errorf("Inspect(%s) = %v, want no error", name, err)
			continue
		}
		got := info.Signature
		if info.Format != tt.format || got.Inputs[0].String() != tt.input || got.Outputs[0].String() != tt.output || info.SizeBytes != tt.size || info.MemoryEstimate <= tt.size {
			t.Errorf("Inspect(%s) = %s of %d bytes, %v, %d bytes to serve it; want %s of %d bytes, %s, %s, and more than that", name, info.Format, info.SizeBytes, got, info.MemoryEstimate, tt.format, tt.size, tt.input, tt.output)
		}
	}
}

func TestThePrecisionIsThatOfMostWeights(t *testing.T) {
	constant := func(d tensor.DType, n int) tensor.Tensor {
		return tensor.Tensor{Name: "w", DType: d, Shape: []int64{int64(n)}, Data: make([]byte, n*d.Size())}
	}
	onnx := func(d tensor.DType, n int) []byte {
		return onnxmodel.Model{
			Nodes:        []onnxmodel.Node{{Op: "Cast", Inputs: []string{"w"}, Outputs: []string{"y"}, Attributes: map[string]any{"to": 1}}},
			Initializers: []tensor.Tensor{constant(d, n)},
			Inputs:       []onnxmodel.Value{{Name: "x", DType: tensor.FP32, Shape: []any{1}}},
			Outputs:      []onnxmodel.Value{{Name: "y", DType: tensor.FP32, Shape: []any{n}}},
		}.Encode()
	}
	ir := func(d tensor.DType, n int) []byte {
		return irmodel.Model{Layers: []irmodel.Layer{
			irmodel.Const("w", constant(d, n)),
			{
				Name: "c", Type: "Convert", Opset: "opset1", Data: map[string]string{"destination_type": "f32"}, Inputs: []string{"w"},
				Outputs: []irmodel.Port{{DType: tensor.FP32, Shape: []int{n}, Name: "y"}},
			},
			irmodel.Result("c"),
		}}.Encode()
	}
	tflite := func(d tensor.DType, n int) []byte {
		return tflitemodel.Model{Graphs: []tflitemodel.Graph{{
			Tensors: []tflitemodel.Tensor{
				{Name: "w", DType: d, Shape: []int{n}, Data: make([]byte, n*d.Size())},
				{Name: "y", DType: tensor.FP32, Shape: []int{n}},
				{Name: "x", DType: tensor.FP32, Shape: []int{1}},
			},
			Operators: []tflitemodel.Operator{{Op: tflitemodel.Dequantize, Inputs: []int{0}, Outputs: []int{1}}},
			Inputs:    []int{2}, Outputs: []int{1},
		}}}.Encode()
	}
	const n, none = 1000, "nothing in it is quantised"
	for name, tt := range map[string]struct {
		data      []byte
		want, why string
	}{
		"ONNX, 16 bits":                      {onnx(tensor.FP16, n), "fp16", "its weights are kept in 16 bits"},
		"ONNX, 32 bits":                      {onnx(tensor.FP32, n), "fp32", none},
		"ONNX, 16 bits, few":                 {onnx(tensor.FP16, 10), "fp32", none},
		"OpenVINO, 16 bits":                  {ir(tensor.FP16, n), "fp16", "its weights are kept in 16 bits"},
		"OpenVINO, 8 bits":                   {ir(tensor.Int8, n), "int8", "its weights are kept in 8 bits"},
		"OpenVINO, 32 bits":                  {ir(tensor.Int32, n), "fp32", none},
		"TensorFlow Lite, 16 bits":           {tflite(tensor.FP16, n), "fp16", "its weights are kept in 16 bits"},
		"TensorFlow Lite, 8 bits, or sparse": {tflite(tensor.Int8, n), "fp32", none},
	} {
		graph, weights := irmodel.Split(tt.data)
		info, err := modelfile.Inspect(modelfile.File{Bytes: bytes.NewReader(graph), Size: int64(len(graph)), Weights: int64(len(weights))}, modelfile.DefaultLimits())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, why := info.Precision(); got != tt.want || why != tt.why {
			t.Errorf("%s: Precision = %s, %s; want %s, %s", name, got, why, tt.want, tt.why)
		}
	}
}
