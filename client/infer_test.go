package client_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/client"
)

const headerLength = "Inference-Header-Content-Length"

// mirror keeps what it is sent, and gives one answer.
type mirror struct {
	header, body, path string
	visitor            string // its header X-Visitor
	metadata           int    // how often it was asked for
}

func (m *mirror) serve(answer, length string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			m.metadata++
			fmt.Fprint(w, `{"name":"m","inputs":[{"name":"a"},{"name":"b"}]}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		m.visitor = r.Header.Get("X-Visitor")
		m.path, m.header, m.body = r.URL.Path, r.Header.Get(headerLength), string(body)
		if length != "" {
			w.Header().Set(headerLength, length)
		}
		fmt.Fprint(w, answer)
	}
}

const goodBlob = "\x00\x00\x80\x3f\x00\x00\x00\x40"

func binaryAnswer(outputs, blobs string) (body, length string) {
	text := `{"model_name":"m","model_version":"3","id":"7","outputs":[` + outputs + `]}`
	return text + blobs, strconv.Itoa(len(text))
}

func TestInferSendsAndReadsBinaryTensors(t *testing.T) {
	body, length := binaryAnswer(`{"name":"y","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}},{"name":"s","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}}`, goodBlob+"\x01\x00\x00\x00x")
	var m mirror
	c := node(t, m.serve(body, length))
	got, err := c.Infer(t.Context(), client.InferRequest{
		Model: "m", Version: "3", ID: "7", Timeout: 1500 * time.Microsecond,
		Header:  http.Header{"x-visitor": {"ann"}, headerLength: {"12"}},
		Inputs:  []client.Tensor{client.FromFloat32s("a", []int64{1, 2}, []float32{1, 2}), client.FromStrings("b", []int64{1}, []string{"xy"})},
		Outputs: []client.Output{{Name: "y"}, {Name: "s", Classes: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const wantJSON = `{"id":"7","parameters":{"binary_data_output":true,"timeout":1500},"inputs":[` +
		`{"name":"a","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}},{"name":"b","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":6}}],` +
		`"outputs":[{"name":"y","parameters":{"binary_data":true}},{"name":"s","parameters":{"binary_data":true,"classification":2}}]}`
	if diff := cmp.Diff(wantJSON+goodBlob+"\x02\x00\x00\x00xy", m.body); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if m.visitor != "ann" || m.header != strconv.Itoa(len(wantJSON)) || m.path != "/v2/models/m/versions/3/infer" {
		t.Errorf("headers %s and %q, path %s", m.header, m.visitor, m.path)
	}
	values, err := got.Output("y").Float32s()
	if diff := cmp.Diff([]float32{1, 2}, values); diff != "" || err != nil || got.Model != "m" || got.Version != "3" || got.ID != "7" {
		t.Errorf("answer %+v: %v %s", got, err, diff)
	}
	text, err := got.Output("s").Strings()
	if diff := cmp.Diff([]string{"x"}, text); diff != "" || err != nil || got.Output("z") != nil {
		t.Error(err, diff)
	}
}

func TestInferSendsAndReadsJSON(t *testing.T) {
	var m mirror
	c := node(t, m.serve(`{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"INT64","shape":[2],"data":[9007199254740993,-1]},{"name":"z","datatype":"BYTES","shape":[1,1],"data":[["é"]]}]}`, ""))
	got, err := c.Infer(t.Context(), client.InferRequest{
		Model: "m", JSON: true,
		Inputs: []client.Tensor{client.FromInt64s("a", []int64{2}, []int64{9007199254740993, -1}), client.FromBools("b", []int64{1, 1}, []bool{true})},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"inputs":[{"name":"a","shape":[2],"datatype":"INT64","data":[9007199254740993,-1]},{"name":"b","shape":[1,1],"datatype":"BOOL","data":[true]}]}`
	if diff := cmp.Diff(want, m.body); diff != "" || m.header != "" {
		t.Errorf("header %q, request (-want +got):\n%s", m.header, diff)
	}
	values, err := got.Output("y").Int64s()
	if diff := cmp.Diff([]int64{9007199254740993, -1}, values); diff != "" || err != nil {
		t.Error(err, diff)
	}
	text, err := got.Output("z").Strings()
	if diff := cmp.Diff([]string{"é"}, text); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestInputsWithoutNamesAreMatchedByPosition(t *testing.T) {
	body, length := binaryAnswer(`{"name":"y","datatype":"UINT8","shape":[0],"parameters":{"binary_data_size":0}}`, "")
	var m mirror
	c := node(t, m.serve(body, length))
	two := []client.Tensor{client.FromUint8s("", []int64{1}, []uint8{1}), client.FromUint8s("", []int64{1}, []uint8{2})}
	for range 2 {
		if _, err := c.Infer(t.Context(), client.InferRequest{Model: "m", Inputs: two}); err != nil {
			t.Fatal(err)
		}
	}
	if m.metadata != 1 || !strings.Contains(m.body, `"inputs":[{"name":"a",`) || !strings.Contains(m.body, `{"name":"b",`) {
		t.Errorf("metadata was asked for %d times, request %s", m.metadata, m.body)
	}
	_, err := c.Infer(t.Context(), client.InferRequest{Model: "m", Inputs: two[:1]})
	if got, want := explain(c, err), `invalid: got 1 inputs, model "m" has 2`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestRequestsThatContradictThemselvesAreNotSent(t *testing.T) {
	c := node(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("sent %s", r.URL) })
	tests := []struct {
		req  client.InferRequest
		want string
	}{
		{client.InferRequest{}, "invalid: the request names no model"},
		{client.InferRequest{Model: "m", Timeout: -1, Inputs: []client.Tensor{{Name: "a"}}}, "invalid: timeout is -1ns, want 0 or more"},
		{client.InferRequest{Model: "m", Inputs: []client.Tensor{{Name: "a"}, {}}}, "invalid: 1 of 2 inputs have a name: name all, or none"},
		{client.InferRequest{Model: "m", Inputs: []client.Tensor{{Name: "a", Datatype: "FP32", Shape: []int64{2}, Data: []byte{1}}}}, `invalid: input "a": 1 bytes of data, want 8 for FP32[2]`},
		{client.InferRequest{Model: "m", Inputs: []client.Tensor{{Name: "a", Datatype: "BYTES", Shape: []int64{2}, Data: []byte("\x00\x00\x00\x00")}}}, `invalid: input "a": 1 strings, want 2 for BYTES[2]`},
		{client.InferRequest{Model: "m", JSON: true, Inputs: []client.Tensor{{Name: "a", Datatype: "FP16", Shape: []int64{1}, Data: []byte{0, 0}}}}, `invalid: input "a": FP16 has no JSON form, only a binary one`},
		{client.InferRequest{Model: "m", JSON: true, Inputs: []client.Tensor{client.FromFloat64s("a", []int64{1}, []float64{math.NaN()})}}, `invalid: input "a": element 0 is NaN, which JSON cannot say`},
	}
	for _, test := range tests {
		if _, err := c.Infer(t.Context(), test.req); explain(c, err) != test.want {
			t.Errorf("got %s\nwant %s", explain(c, err), test.want)
		}
	}
}

func TestHostileAnswersAreRefused(t *testing.T) {
	const y = `{"name":"y","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}}`
	binary := func(outputs, blobs string) [2]string {
		body, length := binaryAnswer(outputs, blobs)
		return [2]string{body, length}
	}
	tests := []struct {
		name   string
		answer [2]string
		want   string
	}{
		{"no JSON", [2]string{"x", ""}, "its JSON: invalid character 'x' looking for beginning of value"},
		{"a length over the body", [2]string{"{}", "3"}, `header Inference-Header-Content-Length is ["3"] for a body of 2 bytes`},
		{"a length with a sign", [2]string{"{}", "+2"}, `header Inference-Header-Content-Length is ["+2"] for a body of 2 bytes`},
		{"another id", [2]string{`{"id":"8","outputs":[]}`, ""}, `it answers request "8", asked was "7"`},
		{"an output is missing", [2]string{`{"id":"7","outputs":[]}`, ""}, `output "y" is missing`},
		{"an output twice", binary(y+","+y, goodBlob+goodBlob), `output 1 has the name "y", which is empty or taken`},
		{"too many outputs", binary(strings.Repeat(`{"name":"y"},`, 256)+`{"name":"y"}`, ""), "257 outputs, at most 256 are taken"},
		{"bytes left over", binary(y, goodBlob+"x"), "1 bytes after its last output"},
		{"bytes missing", binary(y, "x"), `output "y": binary_data_size is 8 where 1 bytes are left`},
		{"a negative size", binary(`{"name":"y","parameters":{"binary_data_size":-1}}`, ""), `output "y": binary_data_size is -1 where 0 bytes are left`},
		{"another size", binary(`{"name":"y","datatype":"FP32","shape":[3],"parameters":{"binary_data_size":8}}`, goodBlob), `output "y": 8 bytes of data, want 12 for FP32[3]`},
		{"an unknown type", binary(`{"name":"y","datatype":"FP8","shape":[8],"parameters":{"binary_data_size":8}}`, goodBlob), `output "y": unknown datatype "FP8", want one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, BF16, FP32, FP64, BYTES`},
		{"both forms", binary(`{"name":"y","datatype":"FP32","shape":[2],"data":[1],"parameters":{"binary_data_size":8}}`, goodBlob), `output "y": both data and binary_data_size`},
		{"neither form", binary(`{"name":"y","datatype":"FP32","shape":[2]}`, ""), `output "y": neither data nor binary_data_size`},
		{"a shape that claims the memory", binary(`{"name":"y","datatype":"FP32","shape":[1099511627776],"data":[1]}`, ""), `output "y": 3 bytes of JSON data, too few for 1099511627776 elements`},
		{"a negative dimension", binary(`{"name":"y","datatype":"FP32","shape":[-1],"data":[1]}`, ""), `output "y": dimension 0 is -1, want 0 or more`},
		{"data of another count", binary(`{"name":"y","datatype":"FP32","shape":[2],"data":[1]}`, ""), `output "y": data has 1 elements, want 2 for FP32[2]`},
		{"null among data", binary(`{"name":"y","datatype":"FP32","shape":[2],"data":[1,null]}`, ""), `output "y": element 1 of FP32[2]: null, want a number`},
		{"more than is taken", [2]string{strings.Repeat(" ", 1<<16), ""}, "more than 32768 bytes"},
	}
	for _, test := range tests {
		var m mirror
		c := node(t, m.serve(test.answer[0], test.answer[1]), client.WithAnswerLimit(1<<15))
		_, err := c.Infer(t.Context(), client.InferRequest{Model: "m", ID: "7", Inputs: []client.Tensor{client.FromUint8s("a", []int64{1}, []uint8{1})}, Outputs: []client.Output{{Name: "y"}}})
		want := "corrupt: the answer of NODE is not valid: " + test.want + " | Check that a Verge node listens there."
		if got := explain(c, err); got != want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, want)
		}
	}
}

func TestNumbersOfEveryType(t *testing.T) {
	for _, x := range []client.Tensor{
		client.FromBools("", []int64{}, []bool{true}), client.FromUint8s("", []int64{}, []uint8{1}), client.FromUint16s("", []int64{}, []uint16{1}),
		client.FromUint32s("", []int64{}, []uint32{1}), client.FromUint64s("", []int64{}, []uint64{1}), client.FromInt8s("", []int64{}, []int8{1}),
		client.FromInt16s("", []int64{}, []int16{1}), client.FromInt32s("", []int64{}, []int32{1}), client.FromInt64s("", []int64{}, []int64{1}),
		client.FromFloat32s("", []int64{}, []float32{1}), client.FromFloat64s("", []int64{}, []float64{1}),
		{Datatype: "FP16", Shape: []int64{}, Data: []byte{0, 0x3c}},
		{Datatype: "BF16", Shape: []int64{}, Data: []byte{0x80, 0x3f}},
	} {
		if got, err := x.Numbers(); err != nil || len(got) != 1 || got[0] != 1 {
			t.Errorf("%s: %v, %v; want 1", x.Datatype, got, err)
		}
	}
	x := client.FromInt8s("a", []int64{1}, []int8{1})
	if _, err := x.Float32s(); fmt.Sprint(err) != `tensor "a" is INT8, not FP32` {
		t.Error(err)
	}
	x = client.FromStrings("s", []int64{1}, []string{"1"})
	if _, err := x.Numbers(); fmt.Sprint(err) != `tensor "s" is BYTES, which is no number` {
		t.Error(err)
	}
}
