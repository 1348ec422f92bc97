package oip_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/inference"
	"verge/internal/oip"
	"verge/internal/tensor"
)

func checkJSON(t *testing.T, text []byte) {
	t.Helper()
	if !json.Valid(text) {
		t.Fatalf("the answer %q is not JSON", text)
	}
}

// The bytes that tritonclient sends by default, and what Triton answers.
func TestWorkedBytes(t *testing.T) {
	const request = `{"inputs":[{"name":"in","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}],"parameters":{"binary_data_output":true}}`
	const want = `{"model_name":"m","model_version":"1","outputs":[{"name":"out","datatype":"FP32","shape":[2,2],"parameters":{"binary_data_size":16}}]}`
	if len(request) != 136 || len(want) != 134 {
		t.Fatalf("lengths %d and %d, want 136 and 134", len(request), len(want))
	}
	sent := le(1, -0.5, float32(math.NaN()), 1e-45)
	p, views, err := fill(request, sent, one(tensor.FP32, 2, 2), 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, views[0]); diff != "" {
		t.Errorf("input (-want +got):\n%s", diff)
	}
	a, err := p.Answer([]byte("x")[:0], oip.About{Model: "m", Version: 1}, []tensor.Tensor{{Name: "out", DType: tensor.FP32, Shape: []int64{2, 2}, Data: views[0]}})
	if err != nil {
		t.Fatal(err)
	}
	if string(a.JSON) != want || !a.Binary || a.Len() != 150 || len(a.Blobs) != 1 || &a.Blobs[0][0] != &views[0][0] {
		t.Errorf("answer %s, binary %t, %d bytes; want %s, true, 150, and the output's own memory", a.JSON, a.Binary, a.Len(), want)
	}
}

// plan matches a request to a model of one output.
func plan(t *testing.T, members string, g inference.Signature) *oip.Plan {
	t.Helper()
	in := g.Inputs[0]
	text := fmt.Sprintf(`{"inputs":[{"name":"in","shape":%s,"datatype":"%s","data":[]}]%s}`, inference.FormatShape(in.Shape), in.DType, members)
	r, err := oip.ParseRequest([]byte(text), limits())
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Match(g, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// model has an input without elements, and that output.
func model(d tensor.DType, shape ...int64) inference.Signature {
	return inference.Signature{
		Inputs:  []inference.Spec{{Name: "in", DType: tensor.Uint8, Shape: []int64{0}}},
		Outputs: []inference.Spec{{Name: "out", DType: d, Shape: shape}},
	}
}

func TestAnswersInJSON(t *testing.T) {
	tests := []struct {
		name, members string
		out           tensor.Tensor
		want          string
	}{
		{"numbers", "", tensor.Tensor{DType: tensor.FP32, Shape: []int64{2, 1}, Data: le(0.1, -1e30)}, `{"model_name":"m","model_version":"7","outputs":[{"name":"out","datatype":"FP32","shape":[2,1],"data":[0.1,-1e+30]}]}`},
		{"an id", `,"id":"a\"b"`, tensor.Tensor{DType: tensor.Bool, Shape: []int64{}, Data: []byte{1}}, `{"id":"a\"b","model_name":"m","model_version":"7","outputs":[{"name":"out","datatype":"BOOL","shape":[],"data":[true]}]}`},
		{"an empty id", `,"id":""`, tensor.Tensor{DType: tensor.Uint8, Shape: []int64{0}, Data: []byte{}}, `{"id":"","model_name":"m","model_version":"7","outputs":[{"name":"out","datatype":"UINT8","shape":[0],"data":[]}]}`},
		{"strings", "", tensor.Tensor{DType: tensor.Bytes, Shape: []int64{2}, Data: tensor.AppendString(tensor.AppendString(nil, "é\x00"), "")}, `{"model_name":"m","model_version":"7","outputs":[{"name":"out","datatype":"BYTES","shape":[2],"data":["é\u0000",""]}]}`},
	}
	for _, test := range tests {
		p := plan(t, test.members, model(test.out.DType, test.out.Shape...))
		a, err := p.Answer(nil, oip.About{Model: "m", Version: 7}, []tensor.Tensor{test.out})
		if err != nil || string(a.JSON) != test.want || a.Binary || len(a.Blobs) != 0 {
			t.Errorf("%s: %v\n got %s\nwant %s", test.name, err, a.JSON, test.want)
			continue
		}
		checkJSON(t, a.JSON)
	}
}

func TestWhatAJSONAnswerCannotSayIsRefusedWithAdvice(t *testing.T) {
	const advice = ` | Ask for binary data: "parameters": {"binary_data_output": true}.`
	nan := tensor.Tensor{DType: tensor.FP32, Shape: []int64{2}, Data: le(1, float32(math.NaN()))}
	p := plan(t, "", model(tensor.FP32, 2))
	_, err := p.Answer(nil, oip.About{}, []tensor.Tensor{nan})
	if got, want := explain(err), `invalid: output "out": element 1 is NaN, which JSON cannot say`+advice; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	_, err = p.Answer(nil, oip.About{Limit: 10}, []tensor.Tensor{{DType: tensor.FP32, Shape: []int64{2}, Data: le(1, 2)}})
	if got, want := explain(err), "too_large: the JSON part of the answer is over its limit of 10 bytes"+advice; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	_, err = p.Answer(nil, oip.About{}, nil)
	if got, want := explain(err), `internal: the model returned 0 outputs, output "out" is missing`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	p = plan(t, `,"parameters":{"binary_data_output":true}`, model(tensor.FP32, 2))
	if a, err := p.Answer(nil, oip.About{}, []tensor.Tensor{nan}); err != nil || string(a.Blobs[0]) != string(nan.Data) {
		t.Errorf("binary: %v", err)
	}
}

func TestClassification(t *testing.T) {
	nan := float32(math.NaN())
	tests := []struct {
		name   string
		out    tensor.Tensor
		k      int
		labels []string
		shape  []int64
		want   []string
	}{
		{"one row", tensor.Tensor{DType: tensor.FP32, Shape: []int64{4}, Data: le(0.1, 0.7, 0.05, 0.15)}, 2, nil, []int64{2}, []string{"0.7:1", "0.15:3"}},
		{"a batch with labels", tensor.Tensor{DType: tensor.FP32, Shape: []int64{2, 2}, Data: le(0.25, 0.75, 0.5, -1e-7)}, 2, []string{"no", "yes: it is"}, []int64{2, 2}, []string{"0.75:1:yes: it is", "0.25:0:no", "0.5:0:no", "-1e-07:1:yes: it is"}},
		{"more than there are", tensor.Tensor{DType: tensor.FP32, Shape: []int64{1, 2}, Data: le(1, 2)}, 9, nil, []int64{1, 2}, []string{"2:1", "1:0"}},
		{"equal values, NaN last", tensor.Tensor{DType: tensor.FP32, Shape: []int64{4}, Data: le(nan, 1, 1, float32(math.Inf(-1)))}, 4, nil, []int64{4}, []string{"1:1", "1:2", "-Inf:3", "NaN:0"}},
		{"integers", tensor.Tensor{DType: tensor.Int8, Shape: []int64{3}, Data: []byte{0xff, 5, 0x80}}, 3, []string{"a"}, []int64{3}, []string{"5:1", "-1:0:a", "-128:2"}},
		{"no rows", tensor.Tensor{DType: tensor.FP32, Shape: []int64{0, 2}, Data: []byte{}}, 1, nil, []int64{0, 0}, nil},
	}
	for _, test := range tests {
		g := model(test.out.DType, test.out.Shape...)
		p := plan(t, fmt.Sprintf(`,"outputs":[{"name":"out","parameters":{"classification":%d,"binary_data":true}}]`, test.k), g)
		a, err := p.Answer(nil, oip.About{Model: "m", Version: 1, Labels: test.labels}, []tensor.Tensor{test.out})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		all, err := tensor.Strings(a.Blobs[0], 100)
		var got []string
		for _, s := range all {
			got = append(got, string(s))
		}
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", test.name, err, diff)
		}
		if head := `"datatype":"BYTES","shape":` + inference.FormatShape(test.shape); !strings.Contains(string(a.JSON), head) {
			t.Errorf("%s: %s lacks %s", test.name, a.JSON, head)
		}
	}
}

func TestDocumentsAboutModels(t *testing.T) {
	encode := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	batched := inference.Signature{
		Inputs:  []inference.Spec{{Name: "x", DType: tensor.FP32, Shape: []int64{-1, 8}}},
		Outputs: []inference.Spec{{Name: "y", DType: tensor.Bytes, Shape: []int64{-1}}},
	}
	for got, want := range map[string]string{
		encode(oip.NewModelMetadata("m", 3, "onnxruntime", batched)):                          `{"name":"m","versions":["3"],"platform":"onnxruntime_onnx","inputs":[{"name":"x","datatype":"FP32","shape":[-1,8]}],"outputs":[{"name":"y","datatype":"BYTES","shape":[-1]}]}`,
		encode(oip.NewModelConfig("m", "onnxruntime", 4, batched)):                            `{"name":"m","platform":"onnxruntime_onnx","backend":"onnxruntime","max_batch_size":4,"input":[{"name":"x","data_type":"TYPE_FP32","dims":[8]}],"output":[{"name":"y","data_type":"TYPE_STRING","dims":[]}]}`,
		encode(oip.NewModelConfig("m", "openvino", 4, one(tensor.FP32))):                      `{"name":"m","platform":"openvino","backend":"openvino","max_batch_size":0,"input":[{"name":"in","data_type":"TYPE_FP32","dims":[]}],"output":[{"name":"out","data_type":"TYPE_FP32","dims":[]}]}`,
		encode(oip.ServerMetadata{Name: "verge", Version: "1", Extensions: oip.Extensions()}): `{"name":"verge","version":"1","extensions":["binary_tensor_data","classification","model_configuration","parameters","schedule_policy"]}`,
		oip.Platform("tensorrt"): "tensorrt_plan",
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// BenchmarkRequest is one picture as JSON: frame, check and numbers.
func BenchmarkRequest(b *testing.B) {
	g := one(tensor.FP32, 1, 3, 224, 224)
	text := []byte(`{"inputs":[{"name":"in","shape":[1,3,224,224],"datatype":"FP32","data":[` + strings.Repeat("0.12345679,", 150527) + `0.5]}]}`)
	view := make([]byte, 602112)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := oip.ParseRequest(text, oip.DefaultLimits())
		if err != nil {
			b.Fatal(err)
		}
		p, err := r.Match(g, 1)
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Parts[0].Decode(view); err != nil {
			b.Fatal(err)
		}
	}
}
