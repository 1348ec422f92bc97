package deploy_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/deploy"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/inference/inferencetest/irmodel"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/modelfile"
	"verge/internal/tensor"
)

func TestCheckReadsTheFilesBesideTheModel(t *testing.T) {
	const names = "Name the arrays of the npz file as the model's inputs and outputs; verge inspect shows them."
	right := npz(t, map[string][]float32{"x": {1, 2, 3, 4}, "y": {1, 2, 3, 4}})
	for name, tt := range map[string]struct {
		spec           string // after model.path
		labels, golden []byte
		problems       fault.Problems
	}{
		"all is right": {"", []byte("cat\ndog\n"), right, nil},
		"labels that are no text": {"", []byte("cat\n\x00"), right, fault.Problems{
			{Path: "model.labels", Message: `line 2 of the labels file, "\x00", is not UTF-8 text`, Hint: "Save the labels as UTF-8, one class a line."},
		}},
		"no archive": {"", nil, []byte("nothing"), fault.Problems{{
			Path: "tests.functional_test.golden", Message: "the data is not a NumPy archive: zip: not a valid zip file",
			Hint: "Give a file that numpy.savez or numpy.savez_compressed wrote.",
		}}},
		"arrays of another model": {"", nil, npz(t, map[string][]float32{"x": {1, 2, 3, 4}, "z": {1, 2, 3, 4}}), fault.Problems{{
			Path: "tests.functional_test.golden", Hint: names,
			Message: "golden: \"z\" is neither an input nor an output, the model has [x FP32[-1,4]] and [y FP32[-1,4]]\nit has no output",
		}}},
		"where a choice may take other names, only the archive counts": {
			`,"deployment":{"optimization_level":2}`, nil, npz(t, map[string][]float32{"z": {1, 2, 3, 4}}), nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := deployfile.Parse([]byte(`{"model":{"path":"m.onnx","labels":"l"},"tests":{"functional_test":{"golden":"g.npz"}}`+tt.spec+`}`), "d.json")
			if err != nil {
				t.Fatal(err)
			}
			f := deploy.Check(file, look(onnxmodel.Identity(tensor.FP32, "n", 4)), nil, machine{cpus: 4, memory: 1 << 32}, everyLibrary)
			f.CheckData(file, tt.labels, tt.golden)
			if diff := cmp.Diff(tt.problems, f.Problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAVariantOfAnotherSignatureIsTold(t *testing.T) {
	file, err := deployfile.Parse([]byte(`{"model":{"path":"m.onnx","variants":[{"path":"same.onnx"},{"path":"other.onnx"},{"path":"two.onnx"}]}}`), "d.json")
	if err != nil {
		t.Fatal(err)
	}
	variants := []modelfile.File{
		look(onnxmodel.Identity(tensor.FP32, "rows", 4)), look(onnxmodel.Identity(tensor.Int8, "n", 4)), look(onnxmodel.Join()),
	}
	f := deploy.Check(file, look(onnxmodel.Identity(tensor.FP32, "n", 4)), variants, machine{cpus: 4, memory: 1 << 32}, everyLibrary)
	want := []string{
		"model.variants[1].path: other.onnx will not be taken: its input is x INT8[-1,4], the model's is x FP32[-1,4]",
		"model.variants[2].path: two.onnx will not be taken: it has 2 inputs, the model has 1",
	}
	if diff := cmp.Diff(want, f.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestAVariantThatIsTooLargeForTheDeviceIsRefused(t *testing.T) {
	file, err := deployfile.Parse([]byte(`{"model":{"path":"m.onnx","variants":[{"path":"large.onnx"}]},"deployment":{"device_type":"embedded"}}`), "d.json")
	if err != nil {
		t.Fatal(err)
	}
	small := look(onnxmodel.Identity(tensor.FP32, "n", 4))
	large := small
	large.Weights = 64<<20 - small.Size + 1
	f := deploy.Check(file, small, []modelfile.File{large}, machine{cpus: 4, memory: 1 << 32}, everyLibrary)
	want := fault.Problem{
		Path: "model.variants[0].path", Message: "the model has 67108865 bytes, the limit of device_type embedded is 67108864",
		Hint: "Deploy a smaller model, or another deployment.device_type.",
	}
	if f.Kind != fault.TooLarge || len(f.Problems) == 0 || f.Problems[0] != want {
		t.Errorf("%v: %+v, want %+v", f.Kind, f.Problems, want)
	}
}

func TestWeightsOfAnotherModelAreTold(t *testing.T) {
	file, err := deployfile.Parse([]byte(`{"model":{"path":"m.xml"}}`), "d.json")
	if err != nil {
		t.Fatal(err)
	}
	graph, weights := irmodel.Split(irmodel.Lookup())
	model := look(graph)
	for more, want := range map[int64][]string{
		0: nil,
		8: {"model.path: the .bin file has 8 bytes behind the last one that the .xml file uses: it may be another model's"},
	} {
		model.Weights = int64(len(weights)) + more
		f := deploy.Check(file, model, nil, machine{cpus: 4, memory: 1 << 32}, everyLibrary)
		if !cmp.Equal(want, f.Warnings) || len(f.Problems) > 0 {
			t.Errorf("with %d bytes more: warnings %q, problems %v; want %q", more, f.Warnings, f.Problems, want)
		}
	}
}

func TestWhatOnlyTheClassicLibraryRunsIsRunThere(t *testing.T) {
	shared := tflitemodel.Model{Graphs: []tflitemodel.Graph{{
		Tensors:   []tflitemodel.Tensor{{Name: "x", DType: tensor.FP32, Shape: []int{2}}, {Name: "y", DType: tensor.FP32, Shape: []int{2}}},
		Operators: []tflitemodel.Operator{{Op: tflitemodel.ReLU, Inputs: []int{0}, Outputs: []int{1}}}, Inputs: []int{0}, Outputs: []int{1, 0},
	}}}.Encode()
	for name, tt := range map[string]struct {
		model []byte
		why   string
	}{
		"variable tensors":           {tflitemodel.Previous(), "the model has variable tensors, which LiteRT refuses"},
		"strings":                    {tflitemodel.Identity(tensor.Bytes, -1), "the model takes or gives strings, which LiteRT cannot carry"},
		"an output that is an input": {shared, "one tensor of the model is an input and an output, or two outputs, which LiteRT answers wrongly"},
	} {
		for keys, want := range map[string]string{`{}`: "tflite", `{"optimization_level":2}`: "tflite", `{"runtime":"litert"}`: "litert"} {
			file, err := deployfile.Parse([]byte(`{"model":{"path":"m"},"deployment":`+keys+`}`), "d.json")
			if err != nil {
				t.Fatal(err)
			}
			m := machine{cpus: 4, memory: 1 << 32}
			f := deploy.Check(file, look(tt.model), nil, m, everyLibrary)
			if f.Runtime != want {
				t.Errorf("%s, %s: in %s, want %s", name, keys, f.Runtime, want)
			}
			if want == "tflite" {
				x := f.Explain(file, m, everyLibrary)
				if len(f.Problems) > 0 || x.Runtime.Taken != "tflite 1.30.0" || !strings.Contains(x.Runtime.Why, tt.why) {
					t.Errorf("%s, %s: problems %v, explained %+v", name, keys, f.Problems, x.Runtime)
				}
				continue
			}
			refused := fault.Problem{Path: "deployment.runtime", Message: tt.why, Hint: "Set deployment.runtime to tflite, or leave it out."}
			if len(f.Problems) != 1 || f.Problems[0] != refused {
				t.Errorf("%s, %s: %+v, want %+v", name, keys, f.Problems, refused)
			}
		}
	}
}

func TestLabelsOfAnotherLengthAreTold(t *testing.T) {
	for name, tt := range map[string]struct {
		shape  []any
		labels string
		want   []string
	}{
		"as many":          {[]any{"n", 3}, "a\nb\nc\n", nil},
		"fewer":            {[]any{"n", 3}, "a\nb\n", []string{`model.labels: it has 2 names, and output "y" has 3 values: no class will be named`}},
		"no row of scores": {[]any{"n", 2, 3}, "a\n", nil},
		"open":             {[]any{1, "n"}, "a\n", nil},
	} {
		file, err := deployfile.Parse([]byte(`{"model":{"path":"m","labels":"l"}}`), "d.json")
		if err != nil {
			t.Fatal(err)
		}
		f := deploy.Check(file, look(onnxmodel.Identity(tensor.FP32, tt.shape...)), nil, machine{cpus: 4, memory: 1 << 32}, everyLibrary)
		before := len(f.Warnings)
		f.CheckData(file, []byte(tt.labels), nil)
		if diff := cmp.Diff(tt.want, append([]string(nil), f.Warnings[before:]...)); diff != "" {
			t.Errorf("%s: warnings (-want +got):\n%s", name, diff)
		}
	}
}

func TestADelegateByPathIsOpenedByTheClassicLibrary(t *testing.T) {
	for keys, want := range map[string]string{`{"providers":["/lib/libx.so"]}`: "tflite", `{"providers":["XNNPACK"]}`: "litert"} {
		file, err := deployfile.Parse([]byte(`{"model":{"path":"m"},"deployment":`+keys+`}`), "d.json")
		if err != nil {
			t.Fatal(err)
		}
		if f := deploy.Check(file, look(tflitemodel.Join()), nil, machine{cpus: 4, memory: 1 << 32}, everyLibrary); f.Runtime != want || len(f.Problems) > 0 {
			t.Errorf("%s: in %s, %v; want %s", keys, f.Runtime, f.Problems, want)
		}
	}
}

func TestWhatTheLibraryWillRefuseIsTold(t *testing.T) {
	levitates := tflitemodel.Unknown()
	fly := onnxmodel.Model{
		Nodes:  []onnxmodel.Node{{Op: "Fly", Domain: "acme", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		Inputs: []onnxmodel.Value{{Name: "x", DType: tensor.FP32, Shape: []any{1}}}, Outputs: []onnxmodel.Value{{Name: "y", DType: tensor.FP32, Shape: []any{1}}},
	}.Encode()
	vector := irmodel.Port{DType: tensor.FP32, Shape: []int{1}}
	acme, _ := irmodel.Split(irmodel.Model{Layers: []irmodel.Layer{
		irmodel.Parameter("x", tensor.FP32, 1), {Name: "fly", Type: "Fly", Opset: "acme", Inputs: []string{"x"}, Outputs: []irmodel.Port{vector}}, irmodel.Result("fly"),
	}}.Encode())
	const unless = ": the load will fail unless an extension brings it"
	for name, tt := range map[string]struct {
		keys     string // of deployment
		model    []byte
		warnings []string
	}{
		"a custom operator":                   {`{}`, levitates, []string{"model.path: litert does not have operator Levitate" + unless}},
		"one in the classic library":          {`{"runtime":"tflite"}`, levitates, []string{"model.path: tflite does not have operator Levitate" + unless}},
		"one that a delegate may have":        {`{"providers":["/lib/libx.so"]}`, levitates, nil},
		"one that is built in":                {`{}`, tflitemodel.CustomOperator("Mfcc", tensor.FP32, 1), nil},
		"one of LiteRT":                       {`{}`, tflitemodel.CustomOperator("MaxUnpooling2D", tensor.FP32, 1), nil},
		"one of LiteRT, in the classic":       {`{"runtime":"tflite"}`, tflitemodel.CustomOperator("MaxUnpooling2D", tensor.FP32, 1), []string{"model.path: tflite does not have operator MaxUnpooling2D" + unless}},
		"OpenVINO reads ONNX by its own list": {`{"runtime":"openvino"}`, fly, nil},
		"and TensorFlow Lite":                 {`{"runtime":"openvino"}`, levitates, nil},
		"variable tensors": {`{}`, tflitemodel.Previous(), []string{
			"model.path: the model keeps values from one request to the next: all clients share them, and one request is computed at a time",
		}},
		"a domain of ONNX":            {`{}`, fly, []string{"model.path: onnxruntime does not have operators of acme" + unless}},
		"an operator set of OpenVINO": {`{}`, acme, []string{"model.path: openvino does not have operators of acme" + unless}},
	} {
		file, err := deployfile.Parse([]byte(`{"model":{"path":"m"},"deployment":`+tt.keys+`}`), "d.json")
		if err != nil {
			t.Fatal(err)
		}
		f := deploy.Check(file, look(tt.model), nil, machine{cpus: 4, memory: 1 << 32}, everyLibrary)
		if diff := cmp.Diff(tt.warnings, f.Warnings); diff != "" || len(f.Problems) > 0 {
			t.Errorf("%s: problems %v, warnings (-want +got):\n%s", name, f.Problems, diff)
		}
	}
}

// look is a model's file of these bytes.
func look(data []byte) modelfile.File {
	return modelfile.File{Bytes: bytes.NewReader(data), Size: int64(len(data))}
}

func everyLibrary(string) (string, error) { return "1.30.0", nil }
