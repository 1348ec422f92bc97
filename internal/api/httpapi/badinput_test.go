package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// post is a request to a model. The header Content-Length is that of the body.
func post(model, body string, headers ...string) string {
	return fmt.Sprintf("POST /v2/models/%s/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s", model, len(body), lined(headers), body)
}

func lined(headers []string) string {
	var b strings.Builder
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	return b.String()
}

// framed is a request whose JSON part is followed by data.
func framed(model, text, data string, headers ...string) string {
	return post(model, text+data, append(headers, fmt.Sprintf("Inference-Header-Content-Length: %d", len(text)))...)
}

// in is the JSON of a request with one input.
func in(datatype, shape, data string) string {
	return fmt.Sprintf(`{"inputs":[{"name":"in","datatype":%q,"shape":%s,"data":%s}]}`, datatype, shape, data)
}

// binaryIn is the same with its data behind the JSON part.
func binaryIn(datatype, shape, size string) string {
	return fmt.Sprintf(`{"inputs":[{"name":"in","datatype":%q,"shape":%s,"parameters":{"binary_data_size":%s}}]}`, datatype, shape, size)
}

// good is a request to model m.
const good = `{"inputs":[{"name":"in","datatype":"FP32","shape":[2,2],"data":[1,2,3,4]}]}`

// goodAnswer is the answer to it.
const goodAnswer = `{"model_name":"m","model_version":"1","outputs":[{"name":"out","datatype":"FP32","shape":[2,2],"data":[1,2,3,4]}]}`

func chunked(model string, chunks ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST /v2/models/%s/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", model)
	for _, c := range chunks {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(c), c)
	}
	return b.String() + "0\r\n\r\n"
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

func zlibbed(text string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

// bad is one row of the catalogue of bad input.
type bad struct {
	id     string // of the catalogue, with a letter where it has several cases
	text   string // the request
	status int
	want   string // the whole error, or what a text/plain answer of net/http begins with
	close  bool   // the connection ends with the answer
}

func badTransport() []bad {
	big := strings.Repeat(" ", 128<<10-len(good))
	return []bad{
		{id: "A01", text: post("m", ""), status: 400, want: "the request is empty, want a JSON object"},
		{id: "A01 blank", text: post("m", " \n"), status: 400, want: "the request is empty, want a JSON object"},
		{id: "A02", text: strings.Replace(post("m", good), fmt.Sprint("Content-Length: ", len(good)), "Content-Length: 131073", 1), status: 413, want: "the body has 131073 bytes, the limit is 131072", close: true},
		{id: "A02 JSON part", text: strings.Replace(post("m", good), fmt.Sprint("Content-Length: ", len(good)), "Content-Length: 65537", 1), status: 413, want: "the JSON part has 65537 bytes, the limit is 65536. Send tensors as binary data.", close: true},
		{id: "A02 tensors", text: "POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 65547\r\nInference-Header-Content-Length: 10\r\n\r\n", status: 413, want: "65537 bytes follow the JSON part, the limit is 65536", close: true},
		{id: "A03", text: chunked("m", good, big), status: 413, want: "the JSON part has more than 65536 bytes, the limit is 65536. Send tensors as binary data.", close: true},
		{id: "A05 negative", text: "POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", status: 400, want: "400 Bad Request", close: true},
		{id: "A05 2^64", text: "POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n", status: 400, want: "400 Bad Request", close: true},
		{id: "A05 two", text: post("m", good, "Content-Length: 3"), status: 400, want: "400 Bad Request", close: true},
		{id: "A07", text: "POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", status: 501, want: "Unsupported transfer encoding", close: true},
		{id: "A12 bytes", text: "GET /v2 HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2<<20), status: 431, want: "431 Request Header Fields Too Large", close: true},
		{id: "A12 count", text: "GET /v2 HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 20_000), status: 431, want: "431 Request Header Fields Too Large", close: true},
		{id: "A13 gzip", text: post("m", gzipped(strings.Repeat(" ", 1<<20)), "Content-Encoding: gzip"), status: 413, want: "the JSON part has more than 65536 bytes, the limit is 65536. Send tensors as binary data.", close: true},
		{id: "A13 deflate", text: post("any", zlibbed(strings.Repeat("x", 1<<20)), "Content-Encoding: deflate", "Inference-Header-Content-Length: 0"), status: 413, want: "the body has more than 131072 bytes", close: true},
		{id: "A15 br", text: post("m", good, "Content-Encoding: br"), status: 415, want: `content encoding "br", want gzip, deflate or none`},
		{id: "A15 two", text: post("m", good, "Content-Encoding: gzip", "Content-Encoding: gzip"), status: 415, want: `content encoding "gzip,gzip", want gzip, deflate or none`},
		{id: "A15 long", text: post("m", good, "Content-Encoding: "+strings.Repeat("x", 99)), status: 415, want: `content encoding "` + strings.Repeat("x", 64) + `"…, want gzip, deflate or none`},
		{id: "A15 not gzip", text: post("m", good, "Content-Encoding: gzip"), status: 400, want: "the body is not compressed as its header Content-Encoding says"},
		{id: "A15 not zlib", text: post("m", good, "Content-Encoding: deflate"), status: 400, want: "the body is not compressed as its header Content-Encoding says"},
		{id: "A15 cut gzip", text: post("m", gzipped(good)[:40], "Content-Encoding: gzip"), status: 400, want: "the compressed body ended too early"},
		{id: "A15 no gzip", text: post("m", "", "Content-Encoding: gzip"), status: 400, want: "the compressed body ended too early"},
		{id: "A15 checksum", text: post("m", gzipped(good)[:len(gzipped(good))-8]+"12345678", "Content-Encoding: gzip"), status: 400, want: "the compressed body is damaged: gzip: invalid checksum"},
		{id: "A15 behind zlib", text: post("m", zlibbed(good)+"x", "Content-Encoding: deflate"), status: 400, want: "the compressed body is damaged: bytes behind the compressed stream"},
		{id: "A16 multipart", text: post("m", good, "Content-Type: multipart/form-data; boundary=x"), status: 415, want: `content type "multipart/form-data; boundary=x", want application/json or application/octet-stream`},
		{id: "A16 xml", text: post("m", good, "Content-Type: text/xml"), status: 415, want: `content type "text/xml", want application/json or application/octet-stream`},
		{id: "A16 malformed", text: post("m", good, "Content-Type: application/json; ="), status: 415, want: `content type "application/json; =", want application/json or application/octet-stream`},
		{id: "bad chunk", text: strings.Replace(chunked("m", good), fmt.Sprintf("%x\r\n", len(good)), "zz\r\n", 1), status: 400, want: "the body is not framed as HTTP asks: invalid byte in chunk length", close: true},
		{id: "expectation", text: post("m", good, "Expect: tea"), status: 417, want: "", close: true},
		{id: "HTTP/2", text: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", status: 404, want: "no such path", close: true},
		{id: "OPTIONS *", text: "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", status: 404, want: "no such path"},
	}
}

func badJSON() []bad {
	return []bad{
		{id: "B03", text: post("m", good+"x"), status: 400, want: "the request is not valid JSON: "},
		{id: "B04", text: post("m", `{"inputs":[],"inputs":[]}`), status: 400, want: `the request: `},
		{id: "B04 case", text: post("m", `{"Inputs":[]}`), status: 400, want: `the request: the key "Inputs" is spelt "inputs"`},
		{id: "B07", text: post("m", strings.Replace(good, `"in"`, "\"\xff\"", 1)), status: 400, want: "the request is not valid JSON: "},
		{id: "B08", text: post("m", `{"id":"a\u0000b",`+good[1:]), status: 400, want: "id holds the control character U+0000"},
		{id: "B08 bidi", text: post("m", strings.Replace(good, `"in"`, "\"\u202e\"", 1)), status: 400, want: "inputs[0].name holds the control character U+202E"},
		{id: "B10", text: post("m", in("FP32", "[2,2]", "[1,2,3,NaN]")), status: 400, want: "the request is not valid JSON: "},
		{id: "B11 FP32", text: post("m", in("FP32", "[2,2]", "[1,2,3,1e40]")), status: 400, want: `input "in": `},
		{id: "B11 UINT8", text: post("any", in("UINT8", "[1]", "[300]")), status: 400, want: `input "in": `},
		{id: "B11 UINT32", text: post("u32", in("UINT32", "[1]", "[-1]")), status: 400, want: `input "in": `},
		{id: "B12 fraction", text: post("int", in("INT32", "[1]", "[1.5]")), status: 400, want: `input "in": `},
		{id: "B12 string", text: post("int", in("INT32", "[1]", `["5"]`)), status: 400, want: `input "in": `},
		{id: "B12 bool", text: post("flag", in("BOOL", "[2]", "[1,0]")), status: 400, want: `input "in": `},
		{id: "B14", text: post("text", in("BYTES", "[1]", `["`+strings.Repeat("x", 60<<10)+`"]`)+strings.Repeat(" ", 8<<10)), status: 413, want: "the JSON part has 69", close: true},
		{id: "B15 inputs", text: post("m", `{"inputs":[`+strings.Repeat("{},", 1000)+`{}]}`), status: 400, want: "inputs[0] has no name"},
		{id: "B15 parameters", text: post("m", `{"parameters":{`+manyKeys(300)+`},`+good[1:]), status: 400, want: "parameters of the request: more than 256, the limit"},
		{id: "B17 missing", text: post("m", `{}`), status: 400, want: "inputs is missing, want an array of one input or more"},
		{id: "B17 null", text: post("m", `{"inputs":null}`), status: 400, want: "inputs is null, want an array"},
		{id: "B17 object", text: post("m", `{"inputs":{}}`), status: 400, want: "inputs is an object, want an array"},
		{id: "B17 empty", text: post("m", `{"inputs":[]}`), status: 400, want: "inputs is empty, want one input or more"},
		{id: "B18 long", text: post("m", `{"id":"`+strings.Repeat("x", 60_000)+`",`+good[1:]), status: 400, want: "id has 60000 bytes, the limit is 256"},
		{id: "B18 number", text: post("m", `{"id":1,`+good[1:]), status: 400, want: "id is a number, want a string"},
		{id: "B19", text: post("m", `{"parameters":{"x":[]},`+good[1:]), status: 400, want: `parameter "x" of the request is an array, want a string, a number or a boolean`},
		{id: "B20 BOM", text: post("m", "\ufeff"+good), status: 400, want: "the request is not valid JSON: "},
		{id: "B20 UTF-16", text: post("m", "\xff\xfe{\x00}\x00"), status: 400, want: "the request is not valid JSON: "},
	}
}

// manyKeys is the inside of an object of n members.
func manyKeys(n int) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"k%d":1`, i)
	}
	return strings.Join(keys, ",")
}

func badTensors() []bad {
	return []bad{
		{id: "C01", text: post("two", `{"inputs":[{"name":"in1","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`), status: 400, want: `input "in2" is missing, the model needs "in1", "in2"`},
		{id: "C02", text: post("m", strings.Replace(good, `"in"`, `"x"`, 1)), status: 400, want: `input "x" is not one of the model's, which has "in"`},
		{id: "C03", text: post("m", strings.Replace(good, "]}]", "]},"+good[11:len(good)-2]+"]", 1)), status: 400, want: `input "in" is given twice`},
		{id: "C04", text: post("m", `{"outputs":[{"name":"x"}],`+good[1:]), status: 400, want: `output "x" is not one of the model's, which has "out"`},
		{id: "C06", text: post("m", in("INT32", "[2,2]", "[1,2,3,4]")), status: 400, want: `input "in" has datatype INT32, want FP32`},
		{id: "C07 unknown", text: post("m", in("FP128", "[2,2]", "[1,2,3,4]")), status: 400, want: "inputs[0].datatype: "},
		{id: "C07 case", text: post("m", in("fp32", "[2,2]", "[1,2,3,4]")), status: 400, want: "inputs[0].datatype: "},
		{id: "C08", text: post("m", in("FP32", "[4]", "[1,2,3,4]")), status: 400, want: `input "in" has shape [4] with 1 dimensions, want 2 as in [2,2]`},
		{id: "C08 1000", text: post("m", in("FP32", "["+strings.Repeat("1,", 999)+"1]", "[1]")), status: 400, want: "inputs[0].shape has more than 16 dimensions, the limit"},
		{id: "C09", text: post("m", in("FP32", "[2,3]", "[1,2,3,4,5,6]")), status: 400, want: `input "in" has shape [2,3], want [2,2]`},
		{id: "C11", text: post("batch", in("FP32", "[-1,4]", "[1,2,3,4]")), status: 400, want: "inputs[0].shape: dimension 0 is -1, want 0 or more"},
		{id: "C13", text: framed("two", `{"inputs":[{"name":"in1","datatype":"FP32","shape":[4611686018427387908,2],"parameters":{"binary_data_size":16}},{"name":"in2","datatype":"UINT8","shape":[1],"data":[1]}]}`, strings.Repeat("x", 16)), status: 400, want: `input "in1" `},
		{id: "C14", text: framed("any", binaryIn("UINT8", "[1099511627776]", "1099511627776"), ""), status: 413, want: `input "in" has 1099511627776 bytes, the limit is 65536`, close: true},
		{id: "C18", text: post("scalar", in("FP32", "[]", "[1,2]")), status: 400, want: `input "in": `},
		{id: "C19 few", text: post("m", in("FP32", "[2,2]", "[1,2,3]")), status: 400, want: `input "in": `},
		{id: "C19 many", text: post("m", in("FP32", "[2,2]", "[1,2,3,4,5]")), status: 400, want: `input "in": `},
		{id: "C20", text: post("batch", in("FP32", "[3,4]", "[1,2,3,4,1,2,3,4,1,2,3,4]")), status: 400, want: "the batch of 3 is over the 2 that the model was deployed for. Split the request, or deploy the model with a larger deployment.batch_size."},
		{id: "C20 differ", text: post("two", `{"inputs":[{"name":"in1","datatype":"FP32","shape":[1,2],"data":[1,2]},{"name":"in2","datatype":"UINT8","shape":[2],"data":[1,2]}]}`), status: 400, want: `input "in2" has a batch of 2, input "in1" has one of 1`},
		{id: "C28", text: post("m", in("BYTES", "[2,2]", `["a","b","c","d"]`)), status: 400, want: `input "in" has datatype BYTES, want FP32`},
		{id: "C29", text: post("half", in("FP16", "[2]", "[1,2]")), status: 400, want: `receiving FP16 data via JSON is not supported. Please use the binary data format for input "in"`},
		{id: "C30", text: post("m", `{"parameters":{"sequence_id":1},`+good[1:]), status: 501, want: `parameter "sequence_id" of the request: sequences are not supported. Leave sequence_id, sequence_start and sequence_end out; keep the state with the client.`},
		{id: "D01", text: post("m", good, "Inference-Header-Content-Length: 100000"), status: 400, want: "header Inference-Header-Content-Length is 100000, the body has 75 bytes"},
		{id: "D01 compressed", text: post("m", gzipped(good), "Content-Encoding: gzip", "Inference-Header-Content-Length: 100"), status: 400, want: "the body has 75 bytes, header Inference-Header-Content-Length says 100 for its JSON part"},
		{id: "D02", text: post("m", good, "Inference-Header-Content-Length: 50"), status: 400, want: "the request is not valid JSON: "},
		{id: "D sign", text: post("m", good, "Inference-Header-Content-Length: +75"), status: 400, want: `header Inference-Header-Content-Length is "+75", want one number`},
		{id: "D letters", text: post("m", good, "Inference-Header-Content-Length: 75x"), status: 400, want: `header Inference-Header-Content-Length is "75x", want one number`},
		{id: "D empty", text: post("m", good, "Inference-Header-Content-Length:"), status: 400, want: `header Inference-Header-Content-Length is "", want one number`},
		{id: "D two", text: post("m", good, "Inference-Header-Content-Length: 75", "Inference-Header-Content-Length: 75"), status: 400, want: `header Inference-Header-Content-Length is "75, 75", want one number`},
		{id: "D huge", text: post("m", good, "Inference-Header-Content-Length: 99999999999999999999"), status: 400, want: `header Inference-Header-Content-Length is "99999999999999999999", want one number`},
		{id: "D05", text: post("m", binaryIn("FP32", "[2,2]", "16")), status: 400, want: `input "in" has binary_data_size, but the request has no header Inference-Header-Content-Length`},
		{id: "D06", text: framed("m", binaryIn("FP32", "[2,2]", "16"), strings.Repeat("x", 18)), status: 400, want: "unexpected additional input data for model: 2 bytes behind the last input"},
		{id: "D06 JSON", text: framed("m", good, "x"), status: 400, want: "unexpected additional input data for model: 1 bytes behind the last input"},
		{id: "D06 compressed", text: post("m", gzipped(good+"x"), "Content-Encoding: gzip", "Inference-Header-Content-Length: 75"), status: 400, want: "unexpected additional input data for model: bytes behind the last input"},
		{id: "D07", text: framed("m", binaryIn("FP32", "[2,2]", "16"), "12345678"), status: 400, want: "unexpected size for input: 8 bytes follow the JSON part, the inputs have 16"},
		{id: "D07 compressed", text: post("m", gzipped(binaryIn("FP32", "[2,2]", "16")+"12345678"), "Content-Encoding: gzip", fmt.Sprintf("Inference-Header-Content-Length: %d", len(binaryIn("FP32", "[2,2]", "16")))), status: 400, want: `unexpected size for input "in": the body ended after 8 of 16 bytes`},
		{id: "D08 negative", text: framed("m", binaryIn("FP32", "[2,2]", "-1"), ""), status: 400, want: `parameter "binary_data_size" of inputs[0] is -1, want a whole number from 0 to 9223372036854775807`},
		{id: "D08 float", text: framed("m", binaryIn("FP32", "[2,2]", "1.5"), ""), status: 400, want: `parameter "binary_data_size" of inputs[0] is 1.5, want a whole number from 0 to 9223372036854775807`},
		{id: "D08 string", text: framed("m", binaryIn("FP32", "[2,2]", `"16"`), ""), status: 400, want: `parameter "binary_data_size" of inputs[0] is a string, want a whole number`},
		{id: "D08 2^63", text: framed("m", binaryIn("FP32", "[2,2]", "9223372036854775808"), ""), status: 400, want: `parameter "binary_data_size" of inputs[0] is 9223372036854775808, want a whole number from 0 to 9223372036854775807`},
		{id: "D10", text: framed("m", binaryIn("FP32", "[2,2]", "12"), "123456789012"), status: 400, want: `input "in" has 12 bytes, want 16 for FP32[2,2]`},
		{id: "D11", text: framed("m", strings.Replace(good, `"data"`, `"parameters":{"binary_data_size":16},"data"`, 1), ""), status: 400, want: `input "in" has both data and binary_data_size, want one of them`},
		{id: "D13 count", text: framed("text", binaryIn("BYTES", "[2]", "8"), "\x04\x00\x00\x00abcd"), status: 400, want: `input "in": `},
		{id: "D13 trailing", text: framed("text", binaryIn("BYTES", "[1]", "7"), "\x01\x00\x00\x00abc"), status: 400, want: `input "in": `},
		{id: "BOOL", text: framed("flag", binaryIn("BOOL", "[2]", "2"), "\x01\x02"), status: 400, want: `input "in": `},
		{id: "D16", text: post("m", `{"inputs":[{"name":"in","datatype":"FP32","shape":[2,2],"parameters":{"shared_memory_region":"r"}}]}`), status: 501, want: `parameter "shared_memory_region" of inputs[0]: shared memory that clients name is off. Send the data itself, as binary data.`},
		{id: "raw size", text: post("m", "123", "Inference-Header-Content-Length: 0"), status: 400, want: `raw request: input "in" has 3 bytes, want 16 for in FP32[2,2]`},
		{id: "raw inputs", text: post("two", "123", "Inference-Header-Content-Length: 0"), status: 400, want: "raw request: the model has 2 inputs, a raw request needs a model with one. Send a JSON part that describes the inputs."},
		{id: "NaN in JSON", text: framed("m", binaryIn("FP32", "[2,2]", "16"), "\x00\x00\xc0\x7f"+strings.Repeat("\x00", 12)), status: 400, want: `output "out": `},
	}
}

func badPaths() []bad {
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }
	name := func(model string) string { return get("/v2/models/" + model) }
	return []bad{
		{id: "F01", text: name("..%2F..%2Fetc%2Fpasswd"), status: 400, want: "model name "},
		{id: "F01 infer", text: post("..%2F..%2Fetc%2Fpasswd", good), status: 400, want: "model name "},
		{id: "F03 dots", text: get("/v2/models/../health/live"), status: 404, want: "no such path"},
		{id: "F03 encoded dots", text: get("/v2/models/%2e%2e"), status: 400, want: "model name "},
		{id: "F03 slashes", text: get("/v2//health/live"), status: 404, want: "no such path"},
		{id: "F03 first", text: get("//v2/health/live"), status: 404, want: "no such path"},
		{id: "F03 last", text: get("/v2/health/live/"), status: 404, want: "no such path"},
		{id: "F04 empty", text: name(""), status: 400, want: "model name "},
		{id: "F04 blank", text: name("%20"), status: 400, want: "model name "},
		{id: "F04 dot", text: name("."), status: 400, want: "model name "},
		{id: "F04 dash", text: name("-x"), status: 400, want: "model name "},
		{id: "F04 long", text: name(strings.Repeat("x", 10_000)), status: 400, want: "model name "},
		{id: "F04 NUL", text: name("a%00b"), status: 400, want: "model name "},
		{id: "F07", text: name("nobody"), status: 404, want: `unknown model "nobody"`},
		{id: "F07 infer", text: post("nobody", strings.Repeat("x", 200_000)), status: 404, want: `unknown model "nobody"`},
		{id: "F07 version", text: name("m/versions/2"), status: 404, want: `unknown version 2 of model "m", version 1 serves`},
		{id: "version zero", text: name("m/versions/01"), status: 400, want: "version "},
		{id: "version word", text: name("m/versions/x"), status: 400, want: "version "},
		{id: "version none", text: name("m/versions/"), status: 404, want: "no such path"},
		{id: "F08", text: name("soon"), status: 503, want: `model "soon" is not ready: loading`},
		{id: "F08 infer", text: post("soon", good), status: 503, want: `model "soon" is not ready: loading`},
		{id: "outside", text: get("/"), status: 404, want: "no such path"},
		{id: "unknown", text: get("/v2/repository/index"), status: 404, want: "no such path"},
		{id: "management", text: get("/v1/models"), status: 404, want: "no such path"},
		{id: "A17 GET", text: get("/v2/models/m/infer"), status: 405, want: "method not allowed, want POST"},
		{id: "A17 HEAD", text: "HEAD /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n\r\n", status: 405, want: ""},
		{id: "A17 PUT", text: strings.Replace(post("m", good), "POST", "PUT", 1), status: 405, want: "method not allowed, want POST"},
		{id: "A17 DELETE", text: strings.Replace(get("/v2/models/m/infer"), "GET", "DELETE", 1), status: 405, want: "method not allowed, want POST"},
		{id: "A17 TRACE", text: strings.Replace(get("/v2/models/m/infer"), "GET", "TRACE", 1), status: 405, want: "method not allowed, want POST"},
		{id: "A17 CONNECT", text: strings.Replace(get("/v2/models/m/infer"), "GET", "CONNECT", 1), status: 405, want: "method not allowed, want POST"},
		{id: "A17 POST", text: strings.Replace(get("/v2/models/m"), "GET", "POST", 1), status: 405, want: "method not allowed, want GET, HEAD"},
	}
}

func TestBadInputIsRefusedAndHarmsNothing(t *testing.T) {
	n := start(t, config(), models(), nil)
	n.models.Announce("soon", "loading")
	control := n.dial(t)
	rows := append(append(append(badTransport(), badJSON()...), badTensors()...), badPaths()...)
	for _, row := range rows {
		t.Run(row.id, func(t *testing.T) {
			w := n.dial(t)
			sent := make(chan struct{}) // closed when the request was sent, or could not be
			go func() {
				defer close(sent)
				io.WriteString(w, row.text) // the server may close before all was sent
			}()
			method, _, _ := strings.Cut(row.text, " ")
			got := w.receive(t, method)
			checkRefusal(t, row, got)
			if row.close {
				w.closeWrite() // the server reads on for a while, so that the answer is not lost
				w.ended(t)
			} else {
				w.send(t, "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
				if next := w.receive(t, "GET"); next.body != `{"live":true}` {
					t.Errorf("the next answer on the connection is %+v", next)
				}
			}
			w.Close()
			<-sent
			control.send(t, post("m", good))
			if got := control.receive(t, "POST"); got.status != 200 || got.body != goodAnswer {
				t.Errorf("after it, a good request is answered %+v", got)
			}
			for _, e := range n.models.Models() {
				if e.Version != nil {
					n.idle(t, e.Model)
				}
			}
		})
	}
	if text := n.log.String(); text != "" {
		t.Errorf("logged: %s", text)
	}
}

// checkRefusal looks at the whole form of an error.
func checkRefusal(t *testing.T, row bad, got answer) {
	t.Helper()
	if got.status != row.status || got.close != row.close {
		t.Errorf("status %d, close %t, want %d, %t: %s", got.status, got.close, row.status, row.close, got.body)
	}
	if kind := got.header.Get("Content-Type"); kind != "application/json" {
		if row.close && strings.HasPrefix(got.body, row.want) && (kind == "" || kind == "text/plain; charset=utf-8") {
			return // net/http's own
		}
		t.Errorf("Content-Type %q with %q, want application/json", kind, got.body)
	}
	if strings.HasPrefix(row.text, "HEAD") {
		return
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || len(body) != 1 {
		t.Fatalf("the body is %q, want {\"error\": text}", got.body)
	}
	// Where package oip or tensor words the rest, the row names the beginning.
	beginning := strings.HasSuffix(row.want, " ") || row.id == "B14"
	if text := body["error"]; !strings.HasPrefix(text, row.want) || text != row.want && !beginning {
		t.Errorf("error\n got %q\nwant %q", text, row.want)
	}
	if wait := got.header.Get("Retry-After"); (wait == "1") != (got.status == http.StatusServiceUnavailable) {
		t.Errorf("Retry-After is %q with status %d", wait, got.status)
	}
	if allow := got.header.Get("Allow"); (allow != "") != (got.status == http.StatusMethodNotAllowed) {
		t.Errorf("Allow is %q with status %d", allow, got.status)
	}
}

// B01: a good request, cut at every byte.
func TestACutRequestIsRefusedWhereverItIsCut(t *testing.T) {
	n := start(t, config(), models(), nil)
	w := n.dial(t)
	for length := range len(good) {
		w.send(t, post("m", good[:length]))
		if got := w.receive(t, "POST"); got.status != 400 {
			t.Errorf("%q is answered %d %s, want 400", good[:length], got.status, got.body)
		}
	}
}

// A18
func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	n := start(t, config(), models(), nil)
	w := n.dial(t)
	const requests = 1000
	go func() {
		for i := range requests {
			io.WriteString(w, post("m", fmt.Sprintf(`{"id":"%d",`, i)+good[1:]))
		}
	}()
	for i := range requests {
		want := fmt.Sprintf(`{"id":"%d",`, i) + goodAnswer[1:]
		if got := w.receive(t, "POST"); got.body != want {
			t.Fatalf("answer %d is %d %s, want %s", i, got.status, got.body, want)
		}
	}
}

// A08, A10: see slow_test.go. H01 with a queue of none:
func TestAFullQueueIsToldAtOnce(t *testing.T) {
	n, entered := busy(t, config())
	first := n.dial(t)
	first.send(t, post("any", in("UINT8", "[1]", "[1]")))
	<-entered
	began := time.Now()
	got := n.raw(t, post("any", in("UINT8", "[1]", "[1]")))
	if got.status != 503 || got.header.Get("Retry-After") != "1" ||
		got.body != `{"error":"queue of model \"any\" is full (0 waiting). Repeat the request later, or raise serve.queue_size."}` {
		t.Errorf("answer %+v", got)
	}
	t.Logf("refused after %v", time.Since(began))
	first.Close()
	n.idle(t, "any")
}
