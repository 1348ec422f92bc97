package oip_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/oip"
	"verge/internal/tensor"
)

// signature is that of a model with inputs of fixed, dynamic, string and half type.
func signature() inference.Signature {
	return inference.Signature{
		Inputs: []inference.Spec{
			{Name: "in", DType: tensor.FP32, Shape: []int64{2, 2}},
			{Name: "n", DType: tensor.Int64, Shape: []int64{-1}, Symbols: []string{"N"}},
		},
		Outputs: []inference.Spec{{Name: "out", DType: tensor.FP32, Shape: []int64{2, 2}}, {Name: "s", DType: tensor.Bytes, Shape: []int64{-1}}},
	}
}

// one is a model of one input of that type and shape, and an output of the same.
func one(d tensor.DType, shape ...int64) inference.Signature {
	return inference.Signature{
		Inputs:  []inference.Spec{{Name: "in", DType: d, Shape: shape}},
		Outputs: []inference.Spec{{Name: "out", DType: d, Shape: shape}},
	}
}

func limits() oip.Limits {
	l := oip.DefaultLimits()
	l.TensorBytes = 1 << 20
	return l
}

// fill parses and matches a request, and fills views as a server does.
func fill(text string, rest []byte, g inference.Signature, maxBatch int) (*oip.Plan, [][]byte, error) {
	r, err := oip.ParseRequest([]byte(text), limits())
	if err != nil {
		return nil, nil, err
	}
	p, err := r.Match(g, maxBatch)
	if err != nil {
		return nil, nil, err
	}
	return place(p, rest)
}

func place(p *oip.Plan, rest []byte) (*oip.Plan, [][]byte, error) {
	if err := p.CheckRest(int64(len(rest)), true); err != nil {
		return nil, nil, err
	}
	views := make([][]byte, len(p.Inputs))
	for i, in := range p.Inputs {
		views[i] = make([]byte, in.Bytes)
	}
	for i := range p.Parts {
		part := &p.Parts[i]
		var err error
		if part.Binary() {
			rest = rest[copy(part.Target(views[part.Index]), rest):]
			err = part.Check(views[part.Index])
		} else {
			err = part.Decode(views[part.Index])
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return p, views, nil
}

// explain returns the kind, the message and the hint of an error.
func explain(err error) string {
	if err == nil {
		return "<nil>"
	}
	text := fault.KindOf(err).String() + ": " + fault.Message(err)
	if hint := fault.HintOf(err); hint != "" {
		text += " | " + hint
	}
	return text
}

const (
	good    = `{"inputs":[{"name":"in","shape":[2,2],"datatype":"FP32","data":[[1,2],[3,4]]},{"name":"n","shape":[1],"datatype":"INT64","data":[9007199254740993]}]}`
	goodIn  = `{"name":"in","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]}`
	goodN   = `{"name":"n","shape":[1],"datatype":"INT64","data":[7]}`
	noBytes = "\x00\x00\x00\x00"
)

func TestWhatARequestIsRefusedFor(t *testing.T) {
	inputs := func(parts ...string) string { return `{"inputs":[` + strings.Join(parts, ",") + `]}` }
	in := func(members string) string { return inputs(`{`+members+`}`, goodN) }
	parameters := func(p string) string { return `{"parameters":` + p + `,"inputs":[` + goodIn + "," + goodN + `]}` }
	outputs := func(o string) string { return `{"outputs":` + o + `,"inputs":[` + goodIn + "," + goodN + `]}` }
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ","+format, i)
		}
		return b.String()[1:]
	}
	tests := []struct{ name, text, want string }{
		{"A01 an empty body", "", "invalid: the request is empty, want a JSON object"},
		{"B01 truncated", good[:40], "invalid: the request is not valid JSON: byte 40: the end of the text in a string"},
		{"B03 bytes behind the object", good + "x", "invalid: the request is not valid JSON: byte 149: 'x' behind the end of the document"},
		{"B04 a key twice", `{"inputs":[],"inputs":[]}`, `invalid: the request: the key "inputs" comes twice`},
		{"B04 a key twice in an input", in(`"name":"in","name":"in"`), `invalid: inputs[0]: the key "name" comes twice`},
		{"B04 a key twice in what is ignored", `{"x":{"a":1,"a":2}}`, `invalid: the request is not valid JSON: byte 12: the key "a" comes twice`},
		{"a key in another case", `{"Inputs":[]}`, `invalid: the request: the key "Inputs" is spelt "inputs"`},
		{"B07 invalid UTF-8", in("\"name\":\"\xff\""), "invalid: the request is not valid JSON: byte 20: invalid UTF-8 in a string"},
		{"B08 a NUL in a name", in(`"name":"a\u0000"`), "invalid: inputs[0].name holds the control character U+0000"},
		{"B08 a bidi character in the id", `{"id":"a\u202eb"}`, "invalid: id holds the control character U+202E"},
		{"B10 NaN", in(`"name":"in","shape":[2,2],"datatype":"FP32","data":[NaN,1,2,3]`), "invalid: the request is not valid JSON: byte 64: 'N', want a value"},
		{"B15 too many inputs", inputs(many(257, `{"name":"x%d","shape":[],"datatype":"FP32","data":[1]}`)), "invalid: inputs has more than 256 elements, the limit"},
		{"B15 too many parameters", parameters("{" + many(257, `"p%d":1`) + "}"), "invalid: parameters of the request: more than 256, the limit"},
		{"B17 no inputs", `{}`, "invalid: inputs is missing, want an array of one input or more"},
		{"B17 inputs null", `{"inputs":null}`, "invalid: inputs is null, want an array"},
		{"B17 inputs an object", `{"inputs":{}}`, "invalid: inputs is an object, want an array"},
		{"B17 inputs empty", `{"inputs":[]}`, "invalid: inputs is empty, want one input or more"},
		{"B18 a long id", `{"id":"` + strings.Repeat("x", 1<<20) + `"}`, "invalid: id has 1048576 bytes, the limit is 256"},
		{"B18 an id that is a number", `{"id":1}`, "invalid: id is a number, want a string"},
		{"B19 a parameter that is an object", parameters(`{"a":{}}`), `invalid: parameter "a" of the request is an object, want a string, a number or a boolean`},
		{"B20 a byte order mark", "\xef\xbb\xbf" + good, "invalid: the request is not valid JSON: byte 0: a byte order mark, want JSON in UTF-8 without one"},
		{"B20 UTF-16", "{\x00}\x00", "invalid: the request is not valid JSON: byte 1: the byte 0x00, want a string"},
		{"not an object", `[1]`, "invalid: the request is an array, want an object"},
		{"C01 an input is missing", inputs(goodIn), `invalid: input "n" is missing, the model needs "in", "n"`},
		{"C02 an unknown input", inputs(goodIn, strings.Replace(goodN, `"n"`, `"m"`, 1)), `invalid: input "m" is not one of the model's, which has "in", "n"`},
		{"C03 an input twice", inputs(goodIn, goodIn), `invalid: input "in" is given twice`},
		{"C04 an unknown output", outputs(`[{"name":"o"}]`), `invalid: output "o" is not one of the model's, which has "out", "s"`},
		{"an output twice", outputs(`[{"name":"out"},{"name":"out"}]`), `invalid: output "out" is asked for twice`},
		{"an output without a name", outputs(`[{}]`), "invalid: outputs[0] has no name"},
		{"C06 another datatype", in(`"name":"in","shape":[2,2],"datatype":"FP64","data":[1,2,3,4]`), `invalid: input "in" has datatype FP64, want FP32`},
		{"C07 an unknown datatype", in(`"name":"in","shape":[2,2],"datatype":"fp32","data":[1,2,3,4]`), `invalid: inputs[0].datatype: unknown datatype "fp32", want one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, BF16, FP32, FP64, BYTES`},
		{"C08 rank too low", in(`"name":"in","shape":[4],"datatype":"FP32","data":[1,2,3,4]`), `invalid: input "in" has shape [4] with 1 dimensions, want 2 as in [2,2]`},
		{"C08 rank 1000", in(`"name":"in","shape":[1` + strings.Repeat(",1", 999) + `]`), "invalid: inputs[0].shape has more than 16 dimensions, the limit"},
		{"C09 another dimension", in(`"name":"in","shape":[2,3],"datatype":"FP32","data":[1,2,3,4,5,6]`), `invalid: input "in" has shape [2,3], want [2,2]`},
		{"C11 a dynamic dimension", in(`"name":"in","shape":[-1,2]`), "invalid: inputs[0].shape: dimension 0 is -1, want 0 or more"},
		{"a dimension that is not whole", in(`"name":"in","shape":[1.5,2]`), "invalid: inputs[0].shape: 1.5 is not a whole number"},
		{"a dimension that is text", in(`"name":"in","shape":["2",2]`), "invalid: inputs[0].shape holds a string, want whole numbers"},
		{"C14 a size over the limit", inputs(goodIn, `{"name":"n","shape":[1048576],"datatype":"INT64","data":[]}`), "too_large: the inputs take 8388672 bytes, the limit is 1048576"},
		{"C19 too few elements", in(`"name":"in","shape":[2,2],"datatype":"FP32","data":[1,2,3]`), `invalid: input "in": data has 3 elements, want 4 for FP32[2,2]`},
		{"ragged", in(`"name":"in","shape":[2,2],"datatype":"FP32","data":[[1,2],[3]]`), `invalid: input "in": data[1] has 1 elements, want 2 for FP32[2,2]`},
		{"B11 out of range", in(`"name":"in","shape":[2,2],"datatype":"FP32","data":[1,2,3,1e40]`), `invalid: input "in": element 3 of FP32[2,2]: 1e40 is too large for 32 bits of floating point`},
		{"B12 not whole", inputs(goodIn, strings.Replace(goodN, `7`, `1.5`, 1)), `invalid: input "n": element 0 of INT64[1]: 1.5 is not a whole number`},
		{"null among numbers", in(`"name":"in","shape":[2,2],"datatype":"FP32","data":[1,2,3,null]`), `invalid: input "in": element 3 of FP32[2,2]: null, want a number`},
		{"data null", in(`"name":"in","shape":[2,2],"datatype":"FP32","data":null`), "invalid: inputs[0].data is null, want an array"},
		{"no data", in(`"name":"in","shape":[2,2],"datatype":"FP32"`), `invalid: input "in" has no data`},
		{"no data, other parameters", in(`"name":"in","shape":[2,2],"datatype":"FP32","parameters":{}`), `invalid: input "in" has neither data nor a parameter binary_data_size`},
		{"no name", in(`"shape":[]`), "invalid: inputs[0] has no name"},
		{"no shape", in(`"name":"in"`), `invalid: input "in" has no shape`},
		{"no datatype", in(`"name":"in","shape":[]`), `invalid: input "in" has no datatype`},
		{"D07 a truncated tensor", in(`"name":"in","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}`), "invalid: unexpected size for input: 4 bytes follow the JSON part, the inputs have 16"},
		{"D06 bytes behind the last input", good, "invalid: unexpected additional input data for model: 4 bytes behind the last input"},
		{"D08 a negative size", in(`"name":"in","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":-1}`), `invalid: parameter "binary_data_size" of inputs[0] is -1, want a whole number from 0 to 9223372036854775807`},
		{"D08 a size that is not whole", in(`"name":"in","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":1.5}`), `invalid: parameter "binary_data_size" of inputs[0] is 1.5, want a whole number from 0 to 9223372036854775807`},
		{"D08 a size that is text", in(`"name":"in","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":"16"}`), `invalid: parameter "binary_data_size" of inputs[0] is a string, want a whole number`},
		{"D08 a size of 2^63", in(`"name":"in","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":9223372036854775808}`), `invalid: parameter "binary_data_size" of inputs[0] is 9223372036854775808, want a whole number from 0 to 9223372036854775807`},
		{"a size over the limit", in(`"name":"in","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":1048577}`), `too_large: input "in" has 1048577 bytes, the limit is 1048576`},
		{"D10 a size that is not that of the shape", in(`"name":"in","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":4}`), `invalid: input "in" has 4 bytes, want 16 for FP32[2,2]`},
		{"D11 both data and size", in(`"name":"in","shape":[2,2],"datatype":"FP32","data":[1],"parameters":{"binary_data_size":16}`), `invalid: input "in" has both data and binary_data_size, want one of them`},
		{"D16 shared memory", in(`"name":"in","parameters":{"shared_memory_region":"r"}`), `unsupported: parameter "shared_memory_region" of inputs[0]: shared memory that clients name is off | Send the data itself, as binary data.`},
		{"D16 shared memory of an output", outputs(`[{"name":"out","parameters":{"shared_memory_region":"r"}}]`), `unsupported: parameter "shared_memory_region" of outputs[0]: shared memory that clients name is off | Send the data itself, as binary data.`},
		{"C30 a sequence", parameters(`{"sequence_id":5}`), `unsupported: parameter "sequence_id" of the request: sequences are not supported | Leave sequence_id, sequence_start and sequence_end out; keep the state with the client.`},
		{"C30 a sequence id of a wrong type", parameters(`{"sequence_id":true}`), `invalid: parameter "sequence_id" of the request is true or false, want a whole number`},
		{"a reserved parameter", parameters(`{"triton_x":1}`), `invalid: parameter "triton_x" of the request: keys that begin with triton_ are reserved`},
		{"a negative timeout", parameters(`{"timeout":-1}`), `invalid: parameter "timeout" of the request is -1, want a whole number from 0 to 9223372036854775807`},
		{"binary_data_output of a wrong type", parameters(`{"binary_data_output":1}`), `invalid: parameter "binary_data_output" of the request is a number, want true or false`},
		{"too many classes", outputs(`[{"name":"out","parameters":{"classification":1001}}]`), `invalid: parameter "classification" of outputs[0] is 1001, want a whole number from 0 to 1000`},
		{"classes of strings", outputs(`[{"name":"s","parameters":{"classification":1}}]`), `invalid: output "s" is BYTES, which has no classes`},
		{"parameters of a wrong type", parameters(`[]`), "invalid: parameters of the request is an array, want an object"},
	}
	for _, test := range tests {
		var rest []byte
		if strings.HasPrefix(test.name, "D06") || strings.HasPrefix(test.name, "D07") {
			rest = []byte(noBytes)
		}
		_, _, err := fill(test.text, rest, signature(), 0)
		if got := explain(err); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
	small := limits()
	small.JSONBytes = 10
	_, err := oip.ParseRequest([]byte(good), small)
	if got, want := explain(err), "too_large: the JSON part has 149 bytes, the limit is 10 | Send tensors as binary data."; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestTypesAndTensorsThatDoNotFitEachOther(t *testing.T) {
	tests := []struct {
		name, input string
		g           inference.Signature
		rest, want  string
	}{
		{"C13 a size that overflows", `"shape":[4,4611686018427387904],"datatype":"FP32","data":[]`, one(tensor.FP32, -1, -1), "", `invalid: input "in" shape [4 4611686018427387904] overflows`},
		{"C29 FP16 as JSON", `"shape":[1],"datatype":"FP16","data":[1]`, one(tensor.FP16, 1), "", `invalid: receiving FP16 data via JSON is not supported. Please use the binary data format for input "in"`},
		{"C28 BYTES to a number", `"shape":[1],"datatype":"BYTES","data":["a"]`, one(tensor.FP32, 1), "", `invalid: input "in" has datatype BYTES, want FP32`},
		{"C18 a scalar of two", `"shape":[],"datatype":"FP32","data":[1,2]`, one(tensor.FP32), "", `invalid: input "in": data has 2 elements, want 1 for FP32[]`},
		{"D13 too few strings", `"shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":8}`, one(tensor.Bytes, -1), "\x04\x00\x00\x00abcd", `invalid: input "in": 1 strings, want 2`},
		{"D13 trailing bytes", `"shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":7}`, one(tensor.Bytes, -1), "\x01\x00\x00\x00abc", `invalid: input "in": 2 bytes behind the last of 1 strings`},
		{"strings without room for their lengths", `"shape":[1000],"datatype":"BYTES","parameters":{"binary_data_size":7}`, one(tensor.Bytes, -1), "", `invalid: input "in" has 7 bytes, too few for 1000 strings`},
		{"a boolean that is neither", `"shape":[1],"datatype":"BOOL","parameters":{"binary_data_size":1}`, one(tensor.Bool, 1), "\x02", `invalid: input "in": element 0 of BOOL is the byte 2, want 0 or 1`},
	}
	for _, test := range tests {
		_, _, err := fill(`{"inputs":[{"name":"in",`+test.input+`}]}`, []byte(test.rest), test.g, 0)
		if got := explain(err); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
	r, err := oip.ParseRequest([]byte(`{"inputs":[{"name":"in","shape":[1],"datatype":"BOOL","parameters":{"binary_data_size":1}}]}`), limits())
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Match(one(tensor.Bool, 1), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := explain(p.CheckRest(0, false)), `invalid: input "in" has binary_data_size, but the request has no header Inference-Header-Content-Length`; got != want {
		t.Errorf("D05:\n got %s\nwant %s", got, want)
	}
	if got, want := explain(p.Parts[0].Short(0)), `invalid: unexpected size for input "in": the body ended after 0 of 1 bytes`; got != want {
		t.Errorf("Short:\n got %s\nwant %s", got, want)
	}
	if got, want := explain(oip.Trailing(0)), "invalid: unexpected additional input data for model: bytes behind the last input"; got != want {
		t.Errorf("Trailing:\n got %s\nwant %s", got, want)
	}
}

func TestBatchesAndSymbolsAreTheSameAcrossInputs(t *testing.T) {
	g := inference.Signature{
		Inputs: []inference.Spec{
			{Name: "a", DType: tensor.Uint8, Shape: []int64{-1, -1}, Symbols: []string{"", "L"}},
			{Name: "b", DType: tensor.Uint8, Shape: []int64{-1, -1}, Symbols: []string{"", "L"}},
		},
		Outputs: []inference.Spec{{Name: "y", DType: tensor.Uint8, Shape: []int64{-1}}},
	}
	request := func(a, b string) string {
		return `{"inputs":[{"name":"a","datatype":"UINT8","shape":` + a + `,"data":[1,2,3,4]},{"name":"b","datatype":"UINT8","shape":` + b + `,"data":[1,2,3,4]}]}`
	}
	for _, test := range []struct{ a, b, want string }{
		{"[2,2]", "[2,2]", "<nil>"},
		{"[2,2]", "[1,4]", `invalid: input "b" has 4 for the dimension "L", input "a" has 2`},
		{"[4,1]", "[4,1]", "invalid: the batch of 4 is over the 2 that the model was deployed for | Split the request, or deploy the model with a larger deployment.batch_size."},
		{"[2,1]", "[1,1]", `invalid: input "b" has a batch of 1, input "a" has one of 2`},
	} {
		text := request(test.a, test.b)
		if test.want == `invalid: input "b" has a batch of 1, input "a" has one of 2` {
			text = `{"inputs":[{"name":"a","datatype":"UINT8","shape":[2,1],"data":[1,2]},{"name":"b","datatype":"UINT8","shape":[1,1],"data":[1]}]}`
		}
		_, _, err := fill(text, nil, g, 2)
		if got := explain(err); got != test.want {
			t.Errorf("%s and %s:\n got %s\nwant %s", test.a, test.b, got, test.want)
		}
	}
	if _, _, err := fill(request("[4,1]", "[4,1]"), nil, g, 0); err != nil {
		t.Errorf("without a largest batch: %v", err)
	}
}

func TestWhatARequestSays(t *testing.T) {
	text := `{"x":[{"unknown":null}],"id":"é\"1","parameters":{"timeout":1500.0,"priority":2,"free":"text","sequence_id":0,"sequence_start":false,"binary_data_output":true},
		"inputs":[` + goodN + `,` + goodIn + `],"outputs":[{"name":"s","parameters":{"binary_data":false}},{"name":"out","parameters":{"classification":3}}]}`
	r, err := oip.ParseRequest([]byte(text), limits())
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != `é"1` || !r.HasID || r.Timeout != 1500*time.Microsecond || r.Priority != 2 {
		t.Errorf("id %q %t, timeout %v, priority %d", r.ID, r.HasID, r.Timeout, r.Priority)
	}
	p, err := r.Match(signature(), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []inference.Input{{Shape: []int64{2, 2}, Bytes: 16}, {Shape: []int64{1}, Bytes: 8}}
	if diff := cmp.Diff(want, p.Inputs); diff != "" {
		t.Errorf("inputs in signature order (-want +got):\n%s", diff)
	}
	if p.Parts[0].Index != 1 || p.Parts[1].Index != 0 {
		t.Errorf("parts are not in the order of the wire: %d, %d", p.Parts[0].Index, p.Parts[1].Index)
	}
	var chosen []string
	for _, out := range p.Outputs {
		chosen = append(chosen, fmt.Sprintf("%s binary=%t classes=%d", out.Name, out.Binary, out.Classes))
	}
	if diff := cmp.Diff([]string{"s binary=false classes=0", "out binary=true classes=3"}, chosen); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	r, err = oip.ParseRequest([]byte(strings.Replace(good, "{", `{"parameters":{"timeout":9223372036854775807},`, 1)), limits())
	if err != nil || r.Timeout < math.MaxInt64/1000*999 || r.HasID {
		t.Errorf("a huge timeout is %v, %v", r.Timeout, err)
	}
}

// The model's only input takes the body of a raw request.
func TestRawRequests(t *testing.T) {
	tests := []struct {
		name  string
		g     inference.Signature
		body  string
		shape []int64
		view  string
		want  string
	}{
		{"fixed", one(tensor.Uint8, 2, 2), "abcd", []int64{2, 2}, "abcd", "<nil>"},
		{"one dynamic", one(tensor.Uint8, -1, 2), "abcd", []int64{2, 2}, "abcd", "<nil>"},
		{"batch and one dynamic", one(tensor.Uint8, -1, -1, 2), "abcd", []int64{1, 2, 2}, "abcd", "<nil>"},
		{"a string", one(tensor.Bytes, -1, 1), "abc", []int64{1, 1}, "\x03\x00\x00\x00abc", "<nil>"},
		{"an empty string", one(tensor.Bytes, 1), "", []int64{1}, noBytes, "<nil>"},
		{"fixed, another size", one(tensor.FP32, 2), "abcd", nil, "", `invalid: raw request: input "in" has 4 bytes, want 8 for in FP32[2]`},
		{"no multiple", one(tensor.FP32, -1, 2), "abcd", nil, "", `invalid: raw request: input "in" has 4 bytes, want a multiple of 8 for in FP32[-1,2]`},
		{"two dynamic", one(tensor.Uint8, 2, -1, -1), "abcd", nil, "", `invalid: raw request: input "in" has shape [2,-1,-1], of which only one dimension can follow from the size of the body | Send a JSON part that describes the inputs.`},
		{"several strings", one(tensor.Bytes, 2), "abcd", nil, "", `invalid: raw request: input "in" has shape [2], the body is one string`},
		{"two inputs", signature(), "abcd", nil, "", "invalid: raw request: the model has 2 inputs, a raw request needs a model with one | Send a JSON part that describes the inputs."},
		{"over the limit", one(tensor.Uint8, -1), strings.Repeat("x", 1<<20+1), nil, "", "too_large: the inputs take 1048640 bytes, the limit is 1048576"},
	}
	for _, test := range tests {
		r, err := oip.RawRequest(test.g, len(test.body), limits())
		var p *oip.Plan
		if err == nil {
			p, err = r.Match(test.g, 0)
		}
		var views [][]byte
		if err == nil {
			p, views, err = place(p, []byte(test.body))
		}
		if got := explain(err); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
		if err == nil && (string(views[0]) != test.view || !cmp.Equal(p.Inputs[0].Shape, test.shape) || !p.Outputs[0].Binary) {
			t.Errorf("%s: %q with shape %v, want %q with %v", test.name, views[0], p.Inputs[0].Shape, test.view, test.shape)
		}
	}
}

func TestLimits(t *testing.T) {
	if err := oip.DefaultLimits().Validate(); err != nil {
		t.Error(err)
	}
	l := oip.DefaultLimits()
	l.Inputs, l.JSONBytes = 257, 0
	want := "limits.json_bytes is 0, want 1024 to 1073741824\nlimits.inputs is 257, want 1 to 256"
	if got := fmt.Sprint(l.Validate()); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// FuzzParseRequest: whatever the request, it is refused with an error of the three
// kinds, or fits memory of the size that the plan names.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(good), []byte{})
	f.Add([]byte(`{"inputs":[{"name":"in","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}},`+goodN+`],"parameters":{"binary_data_output":true}}`), make([]byte, 16))
	f.Add([]byte(`{"id":"1","parameters":{"timeout":5,"priority":1},"inputs":[`+goodIn+`,`+goodN+`],"outputs":[{"name":"out","parameters":{"classification":2}},{"name":"s","parameters":{"binary_data":true}}]}`), []byte{})
	for i := 1; i < len(good); i += 7 {
		f.Add([]byte(good[:i]), []byte{})
	}
	outputs := []tensor.Tensor{
		{Name: "out", DType: tensor.FP32, Shape: []int64{2, 2}, Data: make([]byte, 16)},
		{Name: "s", DType: tensor.Bytes, Shape: []int64{1}, Data: tensor.AppendString(nil, "a")},
	}
	f.Fuzz(func(t *testing.T, text, rest []byte) {
		p, _, err := fill(string(text), rest, signature(), 4)
		if err != nil {
			if k := fault.KindOf(err); k != fault.Invalid && k != fault.TooLarge && k != fault.Unsupported {
				t.Fatalf("%q: %v is of kind %s", text, err, k)
			}
			return
		}
		a, err := p.Answer(nil, oip.About{Model: "m", Version: 1}, outputs)
		if err != nil {
			t.Fatal(err)
		}
		checkJSON(t, a.JSON)
	})
}

func le(values ...float32) (data []byte) {
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}
