package deploy_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/deploy"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/irmodel"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/modelfile"
	"verge/internal/tensor"
)

func TestCheckReadsTheFilesBesideTheModel(t *testing.T) {
	const names = "Name the arrays of the npz file as the model's inputs and outputs; verge inspect shows them."
	right := inferencetest.NPZ(t, 4, map[string][]float32{"x": {1, 2, 3, 4}, "y": {1, 2, 3, 4}})
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
		"arrays of another model": {"", nil, inferencetest.NPZ(t, 4, map[string][]float32{"x": {1, 2, 3, 4}, "z": {1, 2, 3, 4}}), fault.Problems{{
			Path: "tests.functional_test.golden", Hint: names,
			Message: "golden: \"z\" is neither an input nor an output, the model has [x FP32[-1,4]] and [y FP32[-1,4]]\nit has no output",
		}}},
		"where a choice may take other names, only the archive counts": {
			`,"deployment":{"optimization_level":2}`, nil, inferencetest.NPZ(t, 4, map[string][]float32{"z": {1, 2, 3, 4}}), nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := deployfile.Parse([]byte(`{"model":{"path":"m.onnx","labels":"l"},"tests":{"functional_test":{"golden":"g.npz"}}`+tt.spec+`}`), "d.json")
			if err != nil {
				t.Fatal(err)
			}
			f := deploy.Check(file, look(onnxmodel.Identity(tensor.FP32, "n", 4)), nil, machine{cpus: 4, memory: 1 << 32}, everyLibrary)
			f.CheckData(file, map[string][]byte{"labels": tt.labels, "golden": tt.golden})
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

// secondFirst is a model whose first signature is of its second graph.
func secondFirst() []byte {
	graph := func(constant ...float32) tflitemodel.Graph {
		data, _ := binary.Append([]byte{}, binary.LittleEndian, constant)
		return tflitemodel.Graph{
			Tensors: []tflitemodel.Tensor{
				{Name: "x", DType: tensor.FP32, Shape: []int{2}}, {Name: "c", DType: tensor.FP32, Shape: []int{2}, Data: data}, {Name: "y", DType: tensor.FP32, Shape: []int{2}},
			},
			Operators: []tflitemodel.Operator{{Op: tflitemodel.Add, Inputs: []int{0, 1}, Outputs: []int{2}, Options: tflitemodel.Options{Table: 11}}},
			Inputs:    []int{0}, Outputs: []int{2},
		}
	}
	return tflitemodel.Model{
		Graphs:     []tflitemodel.Graph{graph(1, 1), graph(2, 2)},
		Signatures: []tflitemodel.Signature{{Key: "second", Inputs: []tflitemodel.Name{{Name: "x", Tensor: 0}}, Outputs: []tflitemodel.Name{{Name: "y", Tensor: 2}}, Graph: 1}},
	}.Encode()
}

func TestARuntimeThatServesAModelAsSomethingElseIsPassedOver(t *testing.T) {
	shared := tflitemodel.Model{Graphs: []tflitemodel.Graph{{
		Tensors:   []tflitemodel.Tensor{{Name: "x", DType: tensor.FP32, Shape: []int{2}}, {Name: "y", DType: tensor.FP32, Shape: []int{2}}},
		Operators: []tflitemodel.Operator{{Op: tflitemodel.ReLU, Inputs: []int{0}, Outputs: []int{1}}}, Inputs: []int{0}, Outputs: []int{1, 0},
	}}}.Encode()
	const classic, main = "Set deployment.runtime to tflite, or leave it out.", "Set deployment.runtime to litert, or leave it out."
	texts := tflitemodel.Identity(tensor.Bytes, -1)
	for name, tt := range map[string]struct {
		model            []byte
		keys, taken, why string
		hint             string // of what is refused
	}{
		"variable tensors":             {tflitemodel.Previous(), `{}`, "tflite", "the model has variable tensors, which LiteRT refuses", ""},
		"and where all are measured":   {tflitemodel.Previous(), `{"optimization_level":2}`, "tflite", "the model has variable tensors, which LiteRT refuses", ""},
		"and where it is asked for":    {tflitemodel.Previous(), `{"runtime":"litert"}`, "litert", "the model has variable tensors, which LiteRT refuses", classic},
		"strings":                      {texts, `{}`, "tflite", "the model takes or gives strings, which LiteRT cannot carry", ""},
		"in LiteRT":                    {texts, `{"runtime":"litert"}`, "litert", "the model takes or gives strings, which LiteRT cannot carry", classic},
		"in OpenVINO":                  {texts, `{"runtime":"openvino"}`, "openvino", "the model takes or gives strings, which OpenVINO cannot carry", classic},
		"an output that is an input":   {shared, `{}`, "tflite", "one tensor of the model is an input and an output, or two outputs, which LiteRT answers wrongly", ""},
		"refused in LiteRT":            {shared, `{"runtime":"litert"}`, "litert", "one tensor of the model is an input and an output, or two outputs, which LiteRT answers wrongly", classic},
		"another graph":                {secondFirst(), `{}`, "litert", "runs tflite by default", ""},
		"another graph in the classic": {secondFirst(), `{"runtime":"tflite"}`, "tflite", "the first signature of the model is of subgraph 1, and tflite serves subgraph 0", main},
		"another graph in OpenVINO":    {secondFirst(), `{"runtime":"openvino"}`, "openvino", "the first signature of the model is of subgraph 1, and openvino serves subgraph 0", main},
	} {
		file, err := deployfile.Parse([]byte(`{"model":{"path":"m"},"deployment":`+tt.keys+`}`), "d.json")
		if err != nil {
			t.Fatal(err)
		}
		m := machine{cpus: 4, memory: 1 << 32}
		f := deploy.Check(file, look(tt.model), nil, m, everyLibrary)
		x := f.Explain(file, m, everyLibrary)
		for _, way := range x.Ways {
			if way.Runtime == "litert" {
				t.Errorf("%s: %s would be tried", name, way)
			}
		}
		switch {
		case f.Runtime != tt.taken:
			t.Errorf("%s: in %s, want %s", name, f.Runtime, tt.taken)
		case tt.hint == "" && (len(f.Problems) > 0 || x.Runtime.Taken != tt.taken+" 1.30.0" || x.Runtime.Why != tt.why):
			t.Errorf("%s: problems %v, explained %+v; want %s", name, f.Problems, x.Runtime, tt.why)
		case tt.hint != "" && (len(f.Problems) != 1 || f.Problems[0] != fault.Problem{Path: "deployment.runtime", Message: tt.why, Hint: tt.hint}):
			t.Errorf("%s: %+v, want %s, and %s", name, f.Problems, tt.why, tt.hint)
		}
	}
}

func TestAnUnfitRuntimeIsNoAlternative(t *testing.T) {
	file, err := deployfile.Parse([]byte(`{"model":{"path":"m"}}`), "d.json")
	if err != nil {
		t.Fatal(err)
	}
	m := machine{cpus: 4, memory: 1 << 32}
	x := deploy.Check(file, look(tflitemodel.Identity(tensor.Bytes, -1)), nil, m, everyLibrary).Explain(file, m, everyLibrary)
	want := []deploy.Alternative{
		{Runtime: "litert", Provider: "XNNPACK", Device: "cpu", Missing: []string{"the model takes or gives strings, which LiteRT cannot carry"}},
		{Runtime: "openvino", Provider: "CPU", Device: "cpu", Missing: []string{"the model takes or gives strings, which OpenVINO cannot carry"}},
	}
	if diff := cmp.Diff(want, x.Alternatives); diff != "" {
		t.Errorf("alternatives (-want +got):\n%s", diff)
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
		f.CheckData(file, map[string][]byte{"labels": []byte(tt.labels)})
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
