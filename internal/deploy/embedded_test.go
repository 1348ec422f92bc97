package deploy_test

import (
	"archive/zip"
	"bytes"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"verge/client"
	"verge/internal/deploy"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/tensor"
)

// normalized is TFLite metadata that describe the inputs of one subgraph, each
// with its mean and standard deviation.
func normalized(inputs ...[2][]float32) []byte {
	b := flatbuffers.NewBuilder(0)
	floats := func(values []float32) flatbuffers.UOffsetT {
		b.StartVector(4, len(values), 4)
		for i := range values {
			b.PrependFloat32(values[len(values)-1-i])
		}
		return b.EndVector(len(values))
	}
	object := func(slots map[int]flatbuffers.UOffsetT, kind byte) flatbuffers.UOffsetT {
		const most = 8
		b.StartObject(most)
		for slot, offset := range slots {
			b.PrependUOffsetTSlot(slot, offset, 0)
		}
		b.PrependByteSlot(0, kind, 0)
		return b.EndObject()
	}
	list := func(all ...flatbuffers.UOffsetT) flatbuffers.UOffsetT { return b.CreateVectorOfTables(all) }
	const normalization = 1
	var described []flatbuffers.UOffsetT
	for _, in := range inputs {
		options := object(map[int]flatbuffers.UOffsetT{0: floats(in[0]), 1: floats(in[1])}, 0)
		described = append(described, object(map[int]flatbuffers.UOffsetT{4: list(object(map[int]flatbuffers.UOffsetT{1: options}, normalization))}, 0))
	}
	graph := object(map[int]flatbuffers.UOffsetT{2: list(described...), 3: list(object(nil, 0))}, 0)
	b.FinishWithFileIdentifier(object(map[int]flatbuffers.UOffsetT{3: list(graph)}, 0), []byte("M001"))
	return b.FinishedBytes()
}

// appended puts files behind a model, each a name and its content.
func appended(tb testing.TB, model []byte, files ...string) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i := 0; i < len(files); i += 2 {
		file, err := w.Create(files[i])
		if err != nil {
			tb.Fatal(err)
		}
		file.Write([]byte(files[i+1]))
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return append(model, buf.Bytes()...)
}

// seeing is a model with inputs and one output; metadata nil gives it none.
func seeing(metadata []byte, inputs ...tflitemodel.Tensor) []byte {
	m := tflitemodel.Model{Graphs: []tflitemodel.Graph{{
		Tensors: append(inputs, tflitemodel.Tensor{Name: "y", DType: inputs[0].DType, Shape: inputs[0].Shape}),
		Outputs: []int{len(inputs)},
	}}}
	for i := range inputs {
		m.Graphs[0].Inputs = append(m.Graphs[0].Inputs, i)
	}
	m.Graphs[0].Operators = []tflitemodel.Operator{{Op: tflitemodel.ReLU, Inputs: []int{0}, Outputs: []int{len(inputs)}}}
	if metadata != nil {
		m.Metadata = map[string][]byte{"TFLITE_METADATA": metadata}
	}
	return m.Encode()
}

func TestTheModelsFileSaysHowPicturesBecomeInputs(t *testing.T) {
	colour := []int{1, 8, 8, 3}
	input := func(d tensor.DType, scale float32, zero int64) tflitemodel.Tensor {
		in := tflitemodel.Tensor{Name: "x", DType: d, Shape: colour}
		if scale != 0 {
			in.Scales, in.ZeroPoints = []float32{scale}, []int64{zero}
		}
		return in
	}
	half := [2][]float32{{127.5}, {127.5}}
	one := func(mean, scale []float64) map[string]client.Preprocess {
		return map[string]client.Preprocess{"x": {Mean: mean, Scale: scale}}
	}
	channels := [2][]float32{{1, 2, 3}, {4, 5, 8}}
	byChannel := input(tensor.Int8, 0, 0)
	byChannel.Scales, byChannel.ZeroPoints, byChannel.Axis = []float32{1, 2, 3}, []int64{0, 0, 0}, 3
	flat := input(tensor.Int8, 0.5, 0)
	flat.Shape = []int{1, 192}
	none := input(tensor.Int8, 0, 0)
	none.Scales, none.ZeroPoints = []float32{0}, []int64{0}
	as := func(d tensor.DType) inference.Spec {
		return inference.Spec{Name: "x", DType: d, Shape: []int64{1, 8, 8, 3}}
	}
	tests := map[string]struct {
		data    []byte
		session inference.Spec // of the runtime
		want    map[string]client.Preprocess
	}{
		"floats with normalization":    {seeing(normalized(half), input(tensor.FP32, 0, 0)), as(tensor.FP32), one([]float64{127.5}, []float64{1 / 127.5})},
		"floats by channel":            {seeing(normalized(channels), input(tensor.FP32, 0, 0)), as(tensor.FP32), one([]float64{1, 2, 3}, []float64{0.25, 0.2, 0.125})},
		"one deviation for three":      {seeing(normalized([2][]float32{{1, 2, 3}, {4}}), input(tensor.FP32, 0, 0)), as(tensor.FP32), one([]float64{1, 2, 3}, []float64{0.25, 0.25, 0.25})},
		"floats without metadata":      {seeing(nil, input(tensor.FP32, 0, 0)), as(tensor.FP32), nil},
		"bytes with normalization":     {seeing(normalized(half), input(tensor.Uint8, 0.0078125, 128)), as(tensor.Uint8), one([]float64{0}, []float64{1 / (127.5 / 128)})},
		"bytes without metadata":       {seeing(nil, input(tensor.Uint8, 0.0078125, 128)), as(tensor.Uint8), nil},
		"bytes that mean themselves":   {seeing(normalized(half), input(tensor.Uint8, 0, 0)), as(tensor.Uint8), nil},
		"INT8 with normalization":      {seeing(normalized(channels), input(tensor.Int8, 0.5, -1)), as(tensor.Int8), one([]float64{3, 4.5, 7}, []float64{0.5, 0.4, 0.25})},
		"INT8 without metadata":        {seeing(nil, input(tensor.Int8, 1.0/255, -128)), as(tensor.Int8), one([]float64{128}, []float64{1})},
		"INT8 that mean themselves":    {seeing(normalized(half), input(tensor.Int8, 0, 0)), as(tensor.Int8), nil},
		"a scale for each channel":     {seeing(normalized(half), byChannel), as(tensor.Int8), nil},
		"no picture":                   {seeing(normalized(half), flat), inference.Spec{Name: "x", DType: tensor.Int8, Shape: []int64{1, 192}}, nil},
		"a deviation of zero":          {seeing(normalized([2][]float32{{1}, {0}}), input(tensor.FP32, 0, 0)), as(tensor.FP32), nil},
		"no deviation":                 {seeing(normalized([2][]float32{{1}, {}}), input(tensor.FP32, 0, 0)), as(tensor.FP32), nil},
		"two means for three channels": {seeing(normalized([2][]float32{{1, 2}, {1, 1}}), input(tensor.FP32, 0, 0)), as(tensor.FP32), nil},
		"three means and two deviations": {
			seeing(normalized([2][]float32{{1, 2, 3}, {1, 1}}), input(tensor.FP32, 0, 0)), as(tensor.FP32), nil,
		},
		"a scale of zero": {seeing(nil, none), as(tensor.Int8), nil},
		"a runtime with another name": {
			seeing(normalized(half), input(tensor.FP32, 0, 0)),
			inference.Spec{Name: "image", DType: tensor.FP32, Shape: []int64{1, 8, 8, 3}},
			map[string]client.Preprocess{"image": {Mean: []float64{127.5}, Scale: []float64{1 / 127.5}}},
		},
		"a runtime that takes real numbers": {
			seeing(normalized(half), input(tensor.Int8, 0.5, 3)), as(tensor.FP32),
			one([]float64{127.5}, []float64{1 / 127.5}),
		},
		"a runtime that takes other integers":   {seeing(normalized(half), input(tensor.Int8, 0.5, 3)), as(tensor.Uint8), nil},
		"INT8 with metadata that make no sense": {seeing(normalized([2][]float32{{1}, {0}}), input(tensor.Int8, 1.0/255, -128)), as(tensor.Int8), one([]float64{128}, []float64{1})},
		"another format":                        {model(t, "digits.onnx"), as(tensor.Int8), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := deploy.PreprocessOf(tt.data, []inference.Spec{tt.session})
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateApprox(1e-6, 1e-6)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEachInputHasItsOwnPreprocessing(t *testing.T) {
	shape := []int{1, 8, 8, 1}
	inputs := []tflitemodel.Tensor{{Name: "left", DType: tensor.FP32, Shape: shape}, {Name: "right", DType: tensor.FP32, Shape: shape}}
	data := seeing(normalized([2][]float32{{1}, {2}}, [2][]float32{{3}, {4}}), inputs...)
	as := func(name string) inference.Spec {
		return inference.Spec{Name: name, DType: tensor.FP32, Shape: []int64{1, 8, 8, 1}}
	}
	want := map[string]client.Preprocess{"left": {Mean: []float64{1}, Scale: []float64{0.5}}, "right": {Mean: []float64{3}, Scale: []float64{0.25}}}
	got := deploy.PreprocessOf(data, []inference.Spec{as("right"), as("left"), as("third")})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheModelsFileFillsInWhatTheDeploymentLeavesOut(t *testing.T) {
	grey := tflitemodel.Tensor{Name: "x", DType: tensor.FP32, Shape: []int{4, 4}}
	bare := seeing(normalized([2][]float32{{127.5}, {127.5}}), grey)
	labelled := appended(t, bare, "labels.txt", "cat \n\ndog\r\n")
	damaged := appended(t, bare, "labels.txt", "cat")
	damaged[bytes.LastIndex(damaged, []byte("PK\x01\x02"))+10] = 99 // the method of packing
	own := map[string]client.Preprocess{"x": {Mean: []float64{127.5}, Scale: []float64{1 / 127.5}}}
	tests := map[string]struct {
		model      []byte
		spec       string // the rest of model
		artifacts  map[string][]byte
		labels     []string
		preprocess map[string]client.Preprocess
	}{
		"everything":                {labelled, ``, nil, []string{"cat", "", "dog"}, own},
		"labels of the deployment":  {labelled, `,"labels":"l.txt"`, map[string][]byte{"labels": []byte("one\ntwo\n")}, []string{"one", "two"}, own},
		"its preprocessing":         {labelled, `,"preprocess":{"size":[4,4]}`, nil, []string{"cat", "", "dog"}, nil},
		"no labels":                 {bare, ``, nil, nil, own},
		"an empty file of labels":   {appended(t, bare, "labels.txt", ""), ``, nil, nil, own},
		"labels that are too long":  {appended(t, bare, "labels.txt", string(bytes.Repeat([]byte("x"), 257))), ``, nil, nil, own},
		"labels in an unknown form": {damaged, ``, nil, nil, own},
		"another format":            {model(t, "digits.onnx"), ``, nil, nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := newNode(t, dir)
			picture := behaviour{inputs: []inference.Spec{{Name: "x", DType: tensor.FP32, Shape: []int64{4, 4}}}}
			n.set(picture)
			artifacts := map[string]string{"model": n.upload(tt.model)}
			for role, data := range tt.artifacts {
				artifacts[role] = n.upload(data)
			}
			d := n.wait(n.submit(client.DeploymentRequest{
				Spec:     []byte(`{"model":{"path":"m.bin"` + tt.spec + `},"tests":{"performance_test":false,"functional_test":false}}`),
				SpecName: "deployment.json", Artifacts: artifacts,
			}).ID)
			if d.Phase != client.PhaseCommitted {
				t.Fatalf("deployment ended %s: %+v", d.Phase, d.Error)
			}
			compare := func(when string, n *node) {
				t.Helper()
				s := n.served["m"]
				if diff := cmp.Diff(tt.labels, s.Labels); diff != "" {
					t.Errorf("%s: labels (-want +got):\n%s", when, diff)
				}
				if diff := cmp.Diff(tt.labels, s.Version.Labels()); diff != "" {
					t.Errorf("%s: labels of the classification extension (-want +got):\n%s", when, diff)
				}
				if diff := cmp.Diff(tt.preprocess, s.Preprocess, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
					t.Errorf("%s: preprocess (-want +got):\n%s", when, diff)
				}
			}
			compare("deployed", n)
			n.close()
			after := newNode(t, dir)
			after.set(picture)
			after.manager.Restore()
			compare("after a restart", after)
		})
	}
}
