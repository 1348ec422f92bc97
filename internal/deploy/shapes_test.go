package deploy_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/deploy"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest/irmodel"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/modelfile"
	"verge/internal/tensor"
)

// picture is a model of pictures of any size, and of any number of boxes.
func picture(metadata map[string]string) []byte {
	return onnxmodel.Model{
		Metadata: metadata,
		Nodes: []onnxmodel.Node{
			{Op: "Identity", Inputs: []string{"images"}, Outputs: []string{"y"}},
			{Op: "Identity", Inputs: []string{"boxes"}, Outputs: []string{"z"}},
		},
		Inputs: []onnxmodel.Value{
			{Name: "images", DType: tensor.FP32, Shape: []any{"batch", 3, "height", "width"}},
			{Name: "boxes", DType: tensor.Int64, Shape: []any{"batch", 4}},
		},
		Outputs: []onnxmodel.Value{
			{Name: "y", DType: tensor.FP32, Shape: []any{"batch", 3, "height", "width"}},
			{Name: "z", DType: tensor.Int64, Shape: []any{"batch", 4}},
		},
	}.Encode()
}

// looked is what Check finds of a model, on a machine that has everything.
func looked(t *testing.T, spec string, data []byte) *deploy.Findings {
	t.Helper()
	file, err := deployfile.Parse([]byte(spec), "deployment.json")
	if err != nil {
		t.Fatal(err)
	}
	installed := func(string) (string, error) { return "1.20.0", nil }
	m := modelfile.File{Bytes: bytes.NewReader(data), Size: int64(len(data))}
	if graph, weights := irmodel.Split(data); len(weights) > 0 {
		m = modelfile.File{Bytes: bytes.NewReader(graph), Size: int64(len(graph)), Weights: int64(len(weights))}
	}
	return deploy.Check(file, m, nil, machine{cpus: 4, memory: 4 << 30}, installed)
}

func TestCheckTellsWhatIsWrongWithTheShapesOfInputs(t *testing.T) {
	const open = `dimension 2 of input "images" (images FP32[-1,3,-1,-1]) is dynamic, and nothing says how large it is in a test`
	const key, form = "model.input_shapes", "Give one number for each dimension of the input, as the model has it."
	const example = " has the form; its sizes are only an example."
	for name, test := range map[string]struct {
		shapes, more string
		model        []byte
		want         fault.Problems
	}{
		"what is open": {
			"{}", "", picture(nil),
			fault.Problems{{Path: key, Message: open, Hint: `Give model.input_shapes the sizes that the model was made for. {"images": [1,3,224,224]}` + example}},
		},
		"what is open, in a larger batch, in another library": {
			"{}", `,"deployment":{"batch_size":2,"runtime":"openvino"}`, picture(nil),
			fault.Problems{{Path: key, Message: open, Hint: `Give model.input_shapes the sizes that the model was made for. {"images": [2,3,224,224]}` + example}},
		},
		"what is open, where the file tells the size": {
			"{}", "", picture(map[string]string{"imgsz": "[320, 640]"}),
			fault.Problems{{
				Path: key, Message: open,
				Hint: `Give model.input_shapes the sizes that the model was made for; its file speaks of pictures of this size: {"images": [1,3,320,640]}.`,
			}},
		},
		"what is open behind the batch is no picture": {
			"{}", "", onnxmodel.Identity(tensor.FP32, "", "", 7),
			fault.Problems{{
				Path: key, Message: `dimension 1 of input "x" (x FP32[-1,-1,7]) is dynamic, and nothing says how large it is in a test`,
				Hint: `Give model.input_shapes the sizes that the model was made for. {"x": [1,16,7]}` + example,
			}},
		},
		"a picture with its channels last": {
			"{}", "", onnxmodel.Identity(tensor.FP32, "", "", "", 3),
			fault.Problems{{
				Path: key, Message: `dimension 1 of input "x" (x FP32[-1,-1,-1,3]) is dynamic, and nothing says how large it is in a test`,
				Hint: `Give model.input_shapes the sizes that the model was made for. {"x": [1,224,224,3]}` + example,
			}},
		},
		"several at once, and with another problem": {
			`{"image":[1,3,8,8],"images":[1,3,8],"boxes":[1,5]}`, `,"deployment":{"device_type":"gpu"}`, picture(nil),
			fault.Problems{
				{Path: key, Message: `input "boxes" has shape [1,5], want [-1,4]`, Hint: form},
				{
					Path: key, Message: `names "image", the model's inputs are [images FP32[-1,3,-1,-1] boxes INT64[-1,4]]`,
					Hint: "Correct the name in model.input_shapes, or leave it out.",
				},
				{Path: key, Message: `input "images" has shape [1,3,8] with 3 dimensions, want 4 as in [-1,3,-1,-1]`, Hint: form},
				{
					Path: "deployment.device_type", Message: "no gpu on this machine (looked for /dev/gpu*)",
					Hint: `Set deployment.device_type to "cpu", or deployment.fallback to "cpu".`,
				},
			},
		},
		"one name with two sizes": {
			`{"images":[1,3,8,8],"boxes":[2,4]}`, "", picture(nil),
			fault.Problems{{
				Path: key, Message: `dimension "batch" is 1 for one input and 2 for input "boxes"`, Hint: "Give the dimension one value in model.input_shapes.",
			}},
		},
		"an OpenVINO model": {
			"{}", "", irmodel.Identity(tensor.FP32, -1, 3, 64, -1),
			fault.Problems{{
				Path: key, Message: `dimension 3 of input "x" (x FP32[-1,3,64,-1]) is dynamic, and nothing says how large it is in a test`,
				Hint: `Give model.input_shapes the sizes that the model was made for. {"x": [1,3,64,224]}` + example,
			}},
		},
		"a TensorFlow Lite model": {
			"{}", "", tflitemodel.Identity(tensor.FP32, -1, -1, 4),
			fault.Problems{{
				Path: key, Message: `dimension 1 of input "x" (x FP32[-1,-1,4]) is dynamic, and nothing says how large it is in a test`,
				Hint: `Give model.input_shapes the sizes that the model was made for. {"x": [1,16,4]}` + example,
			}},
		},
		"a name of a TensorFlow Lite model": {
			`{"image":[1,4]}`, "", tflitemodel.Identity(tensor.FP32, 1, 4),
			fault.Problems{{
				Path: key, Message: `names "image", the model's inputs are [x FP32[1,4]]`, Hint: "Correct the name in model.input_shapes, or leave it out.",
			}},
		},
	} {
		f := looked(t, `{"model":{"path":"m.bin","input_shapes":`+test.shapes+`}`+test.more+`}`, test.model)
		if diff := cmp.Diff(test.want, f.Problems); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", name, diff)
		}
	}
}

func TestTheExampleHasOneSizeForEachNameOfADimension(t *testing.T) {
	names := []string{"images", "depth", "scores"}
	shapes := [][]any{{"batch", 3, "height", "width"}, {"batch", 1, "height", "width", "deep"}, {4, "batch", "", "deep"}}
	var m onnxmodel.Model
	for i, name := range names {
		m.Nodes = append(m.Nodes, onnxmodel.Node{Op: "Identity", Inputs: []string{name}, Outputs: []string{"of " + name}})
		m.Inputs = append(m.Inputs, onnxmodel.Value{Name: name, DType: tensor.FP32, Shape: shapes[i]})
		m.Outputs = append(m.Outputs, onnxmodel.Value{Name: "of " + name, DType: tensor.FP32, Shape: shapes[i]})
	}
	for given, want := range map[string]string{
		"{}":                     `{"images": [2,3,224,224], "depth": [2,1,224,224,16], "scores": [4,2,16,16]}`,
		`{"images":[2,3,64,96]}`: `{"images": [2,3,64,96], "depth": [2,1,64,96,16], "scores": [4,2,16,16]}`,
	} {
		f := looked(t, `{"model":{"path":"m.onnx","input_shapes":`+given+`},"deployment":{"batch_size":2}}`, m.Encode())
		hint := "Give model.input_shapes the sizes that the model was made for. " + want + " has the form; its sizes are only an example."
		if len(f.Problems) != 1 || f.Problems[0].Hint != hint {
			t.Errorf("given %s: %v, want the hint %s", given, f.Problems, hint)
		}
	}
}

func TestCheckRefusesNoShapesThatALibraryMayTake(t *testing.T) {
	const golden = `,"tests":{"functional_test":{"golden":"g.npz"}}`
	anyRank := onnxmodel.Model{
		Nodes:   []onnxmodel.Node{{Op: "Identity", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		Inputs:  []onnxmodel.Value{{Name: "x", DType: tensor.FP32}},
		Outputs: []onnxmodel.Value{{Name: "y", DType: tensor.FP32}},
	}.Encode()
	question := onnxmodel.Model{ // both dimensions have the name that stands for none
		Nodes:   []onnxmodel.Node{{Op: "Identity", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		Inputs:  []onnxmodel.Value{{Name: "x", DType: tensor.FP32, Shape: []any{1, "?", "?"}}},
		Outputs: []onnxmodel.Value{{Name: "y", DType: tensor.FP32, Shape: []any{1, "?", "?"}}},
	}.Encode()
	for name, test := range map[string]struct {
		shapes, more string
		model        []byte
	}{
		"all that is open is given":                              {`{"images":[1,3,8,8]}`, "", picture(nil)},
		"one number for a name":                                  {`{"images":[2,3,8,8],"boxes":[2,4]}`, "", picture(nil)},
		"only the batch is open":                                 {"{}", `,"deployment":{"batch_size":8}`, onnxmodel.Join()},
		"names of dimensions that another library does not tell": {`{"images":[1,3,8,8],"boxes":[2,4]}`, `,"deployment":{"runtime":"openvino"}`, picture(nil)},
		"dimensions that are called ?":                           {`{"x":[1,8,9]}`, "", question},
		"an input of any rank":                                   {`{"x":[1,8,9]}`, "", anyRank},
		"an input of any rank, in another library":               {`{"x":[1,8,9]}`, `,"deployment":{"runtime":"openvino"}`, anyRank},
		"another library names inputs differently":               {`{"serving_default_x:0":[1,4]}`, `,"deployment":{"runtime":"openvino"}`, tflitemodel.Identity(tensor.FP32, 1, 4)},
		"golden answers may choose another way":                  {`{"other":[1,3,8,8]}`, `,"deployment":{"optimization_level":2}` + golden, picture(nil)},
	} {
		f := looked(t, `{"model":{"path":"m.bin","input_shapes":`+test.shapes+`}`+test.more+`}`, test.model)
		if len(f.Problems) > 0 {
			t.Errorf("%s: %v", name, f.Problems)
		}
	}
}

func TestTheHintOfALoadedModelIsThatOfCheck(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.set(behaviour{inputs: []inference.Spec{{Name: "x", DType: tensor.FP32, Shape: []int64{-1, 3, -1, 64}}}})
	d := n.wait(n.submit(n.request(base, "digits.onnx")).ID)
	const text = `loading: dimension 2 of input "x" (x FP32[-1,3,-1,64]) is dynamic, and nothing says how large it is in a test`
	const hint = `Give model.input_shapes the sizes that the model was made for. {"x": [1,3,224,64]} has the form; its sizes are only an example.`
	if d.Error == nil || d.Error.Message != text || d.Error.Hint != hint {
		t.Errorf("it ended with %+v, want %s, and the hint %s", d.Error, text, hint)
	}
}

func TestOnlyWhatTheFilesTellKeepsThemFromBeingSent(t *testing.T) {
	digits := model(t, "digits.onnx")
	zeros := make([]byte, 64)
	for name, test := range map[string]struct {
		spec     string
		model    []byte
		variants [][]byte
		want     string
	}{
		"a model that other things are wrong with": {
			spec:  `{"model":{"path":"m.onnx","format":"ONNX","input_shapes":{"x":[1]},"variants":[{"path":"n.onnx"}]},"deployment":{"runtime":"litert","device_type":"tpu"}}`,
			model: digits, variants: [][]byte{digits},
		},
		"no model": {
			spec: `{"model":{"path":"m.onnx"}}`, model: zeros,
			want: "model.path: the format of the file is not known (it begins with 00 00 00 00 00 00 00 00)",
		},
		"another format": {
			spec: `{"model":{"path":"m.tflite","format":"tflite"}}`, model: digits, want: "model.format: the file says tflite, but the bytes are onnx",
		},
		"a variant that is no model": {
			spec: `{"model":{"path":"m.onnx","variants":[{"path":"a.onnx"},{"path":"b.onnx"}]}}`, model: digits, variants: [][]byte{digits, zeros},
			want: "model.variants[1].path: the format of the file is not known (it begins with 00 00 00 00 00 00 00 00)",
		},
	} {
		file, err := deployfile.Parse([]byte(test.spec), "deployment.json")
		if err != nil {
			t.Fatal(err)
		}
		look := func(data []byte) modelfile.File {
			return modelfile.File{Bytes: bytes.NewReader(data), Size: int64(len(data))}
		}
		var variants []modelfile.File
		for _, v := range test.variants {
			variants = append(variants, look(v))
		}
		if got := deploy.CheckFiles(file, look(test.model), variants); fault.Message(got) != test.want {
			t.Errorf("%s: CheckFiles = %v, want %q", name, got, test.want)
		}
	}
}
