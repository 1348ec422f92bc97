package httpapi_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"verge/internal/version"
)

// floats are the bytes of numbers as they travel.
func floats(values ...float32) string {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return string(b)
}

// The worked bytes of the protocol: what tritonclient sends and expects.
func TestWorkedBytes(t *testing.T) {
	n := start(t, config(), models(), nil)
	const request = `{"inputs":[{"name":"in","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}],"parameters":{"binary_data_output":true}}`
	const want = `{"model_name":"m","model_version":"1","outputs":[{"name":"out","datatype":"FP32","shape":[2,2],"parameters":{"binary_data_size":16}}]}`
	if len(request) != 136 || len(want) != 134 {
		t.Fatalf("the example has %d and %d bytes", len(request), len(want))
	}
	data := floats(1, float32(math.Inf(-1)), float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32)
	w := n.dial(t)
	w.send(t, "POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: 136\r\nContent-Length: 152\r\n\r\n"+request+data)
	got := w.receive(t, "POST")
	if got.status != 200 || got.body != want+data {
		t.Errorf("answer %d %q", got.status, got.body)
	}
	for header, want := range map[string]string{
		"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "134", "Content-Length": "150", "Content-Encoding": "",
	} {
		if got := got.header.Get(header); got != want {
			t.Errorf("header %s is %q, want %q", header, got, want)
		}
	}
}

func TestAnswers(t *testing.T) {
	n := start(t, config(), models(), nil)
	const bytesIn = `{"inputs":[{"name":"in","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":11}}]}`
	const text = "\x02\x00\x00\x00ab\x01\x00\x00\x00c"
	nan := floats(float32(math.NaN())) + floats(0, 0, 0)
	for _, row := range []struct {
		name, request, want string
		length              string // the header of the answer
	}{
		{"JSON", post("m", good), goodAnswer, ""},
		{"nested", post("m", in("FP32", "[2,2]", "[[1,2],[3,4]]")), goodAnswer, ""},
		{"octet stream without a frame", post("m", good, "Content-Type: application/octet-stream"), goodAnswer, ""},
		{"curl -d", post("m", good, "Content-Type: application/x-www-form-urlencoded"), goodAnswer, ""},
		{"charset", post("m", good, "Content-Type: application/json; charset=utf-8"), goodAnswer, ""},
		{"version", post("m/versions/1", good), goodAnswer, ""},
		{"query", strings.Replace(post("m", good), "infer", "infer?x=y;z", 1), goodAnswer, ""},
		{"escaped path", strings.Replace(post("m", good), "/models/m", "/%6dodels/%6d", 1), goodAnswer, ""},
		{"HTTP/1.0", strings.Replace(post("m", good), "HTTP/1.1", "HTTP/1.0", 1), goodAnswer, ""},
		{"id", post("m", `{"id":"a\"b",`+good[1:]), `{"id":"a\"b",` + goodAnswer[1:], ""},
		{"empty id", post("m", `{"id":"",`+good[1:]), `{"id":"",` + goodAnswer[1:], ""},
		{"unknown member", post("m", `{"x":{"y":[null]},`+good[1:]), goodAnswer, ""}, // B06
		{"whole floats", post("int", in("INT32", "[2]", "[5.0,1e3]")), `{"model_name":"int","model_version":"1","outputs":[{"name":"out","datatype":"INT32","shape":[2],"data":[5,1000]}]}`, ""},
		{"scalar", post("scalar", in("FP32", "[]", "[1.5]")), `{"model_name":"scalar","model_version":"1","outputs":[{"name":"out","datatype":"FP32","shape":[],"data":[1.5]}]}`, ""},        // C18
		{"zero elements", post("batch", in("FP32", "[0,4]", "[]")), `{"model_name":"batch","model_version":"1","outputs":[{"name":"out","datatype":"FP32","shape":[0,4],"data":[]}]}`, ""},   // C15
		{"zero bytes", framed("any", binaryIn("UINT8", "[0]", "0"), ""), `{"model_name":"any","model_version":"1","outputs":[{"name":"out","datatype":"UINT8","shape":[0],"data":[]}]}`, ""}, // C15
		{"strings", framed("text", bytesIn, text), `{"model_name":"text","model_version":"1","outputs":[{"name":"out","datatype":"BYTES","shape":[2],"data":["ab","c"]}]}`, ""},              // JSON out of binary
		{"binary strings", post("text", `{"parameters":{"binary_data_output":true},`+in("BYTES", "[2]", `["ab","c"]`)[1:]), `{"model_name":"text","model_version":"1","outputs":[{"name":"out","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":11}}]}` + text, "136"},
		{"binary for one", post("m", `{"outputs":[{"name":"out","parameters":{"binary_data":true}}],`+good[1:]), `{"model_name":"m","model_version":"1","outputs":[{"name":"out","datatype":"FP32","shape":[2,2],"parameters":{"binary_data_size":16}}]}` + floats(1, 2, 3, 4), "134"},
		{"JSON for one", post("m", `{"parameters":{"binary_data_output":true},"outputs":[{"name":"out","parameters":{"binary_data":false}}],`+good[1:]), goodAnswer, ""},
		{"NaN", framed("m", strings.Replace(binaryIn("FP32", "[2,2]", "16"), "{", `{"parameters":{"binary_data_output":true},`, 1), nan), `{"model_name":"m","model_version":"1","outputs":[{"name":"out","datatype":"FP32","shape":[2,2],"parameters":{"binary_data_size":16}}]}` + nan, "134"}, // C21
		{"raw", post("m", floats(1, 2, 3, 4), "Inference-Header-Content-Length: 0"), `{"model_name":"m","model_version":"1","outputs":[{"name":"out","datatype":"FP32","shape":[2,2],"parameters":{"binary_data_size":16}}]}` + floats(1, 2, 3, 4), "134"},
		{"raw string", post("text", "hello", "Inference-Header-Content-Length: 0"), `{"model_name":"text","model_version":"1","outputs":[{"name":"out","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":9}}]}` + "\x05\x00\x00\x00hello", "135"},
		{"raw chunked", strings.Replace(chunked("any", "ab", "c"), "\r\n", "\r\nInference-Header-Content-Length: 0\r\n", 1), `{"model_name":"any","model_version":"1","outputs":[{"name":"out","datatype":"UINT8","shape":[3],"parameters":{"binary_data_size":3}}]}abc`, "134"},
		{"classification", post("batch", `{"outputs":[{"name":"out","parameters":{"classification":2}}],`+in("FP32", "[1,4]", "[0.25,2,1,3]")[1:]), `{"model_name":"batch","model_version":"1","outputs":[{"name":"out","datatype":"BYTES","shape":[1,2],"data":["3:3","2:1:one"]}]}`, ""},
		{"chunked", chunked("m", good[:10], good[10:]), goodAnswer, ""},
		{"gzip", post("m", gzipped(good), "Content-Encoding: gzip"), goodAnswer, ""},
		{"deflate", post("m", zlibbed(good), "Content-Encoding: deflate"), goodAnswer, ""},
		{"identity", post("m", good, "Content-Encoding: identity"), goodAnswer, ""},
		{"gzip, binary", post("m", gzipped(binaryIn("FP32", "[2,2]", "16")+floats(1, 2, 3, 4)), "Content-Encoding: gzip", fmt.Sprintf("inference-header-content-length: %d", len(binaryIn("FP32", "[2,2]", "16")))), goodAnswer, ""},
		{"deflate, raw", post("any", zlibbed("abc"), "Content-Encoding: deflate", "Inference-Header-Content-Length: 0"), `{"model_name":"any","model_version":"1","outputs":[{"name":"out","datatype":"UINT8","shape":[3],"parameters":{"binary_data_size":3}}]}abc`, "134"},
		{"accepts gzip", post("m", good, "Accept-Encoding: gzip"), goodAnswer, ""},
		{"in order of the wire", framed("two", `{"inputs":[{"name":"in2","datatype":"UINT8","shape":[1],"parameters":{"binary_data_size":1}},{"name":"in1","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}],"outputs":[{"name":"out2"},{"name":"out1"}]}`, "\x07"+floats(1, 2)), `{"model_name":"two","model_version":"1","outputs":[{"name":"out2","datatype":"UINT8","shape":[1],"data":[7]},{"name":"out1","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := n.raw(t, row.request)
			if got.status != 200 || got.body != row.want {
				t.Errorf("answer %d\n got %q\nwant %q", got.status, got.body, row.want)
			}
			kind := "application/json"
			if row.length != "" {
				kind = "application/octet-stream"
			}
			if got.header.Get("Content-Type") != kind || got.header.Get("Inference-Header-Content-Length") != row.length {
				t.Errorf("headers %v, want %s and %q", got.header, kind, row.length)
			}
			n.idle(t, "m")
		})
	}
}

// A02, the first half: as much as the limit is taken.
func TestABodyOfExactlyTheLimitIsTaken(t *testing.T) {
	n := start(t, config(), models(), nil)
	header := strings.Replace(binaryIn("UINT8", "[65536]", "65536"), "{", `{"parameters":{"binary_data_output":true},`, 1)
	header += strings.Repeat(" ", 64<<10-len(header))
	data := strings.Repeat("\xa5", 64<<10)
	got := n.raw(t, framed("any", header, data))
	if got.status != 200 || !strings.HasSuffix(got.body, data) {
		t.Errorf("answer %d with %d bytes", got.status, len(got.body))
	}
}

func TestDocuments(t *testing.T) {
	n := start(t, config(), models(), nil)
	for path, want := range map[string]string{
		"/v2":                     `{"name":"verge","version":"VERSION","extensions":["binary_tensor_data","classification","model_configuration","parameters","schedule_policy"]}`,
		"/v2/":                    `{"name":"verge","version":"VERSION","extensions":["binary_tensor_data","classification","model_configuration","parameters","schedule_policy"]}`,
		"/v2/health/live":         `{"live":true}`,
		"/v2/health/ready":        `{"ready":true}`,
		"/v2/models":              `{"models":["any","batch","double","flag","half","int","m","scalar","text","two","u32"]}`,
		"/v2/models/m/ready":      `{"name":"m","ready":true}`,
		"/v2/models/m/versions/1": `{"name":"m","versions":["1"],"platform":"onnxruntime_onnx","inputs":[{"name":"in","datatype":"FP32","shape":[2,2]}],"outputs":[{"name":"out","datatype":"FP32","shape":[2,2]}]}`,
		"/v2/models/scalar":       `{"name":"scalar","versions":["1"],"platform":"onnxruntime_onnx","inputs":[{"name":"in","datatype":"FP32","shape":[]}],"outputs":[{"name":"out","datatype":"FP32","shape":[]}]}`,
		"/v2/models/batch/config": `{"name":"batch","platform":"onnxruntime_onnx","backend":"onnxruntime","max_batch_size":2,"input":[{"name":"in","data_type":"TYPE_FP32","dims":[4]}],"output":[{"name":"out","data_type":"TYPE_FP32","dims":[4]}]}`,
		"/v2/models/m/config":     `{"name":"m","platform":"onnxruntime_onnx","backend":"onnxruntime","max_batch_size":0,"input":[{"name":"in","data_type":"TYPE_FP32","dims":[2,2]}],"output":[{"name":"out","data_type":"TYPE_FP32","dims":[2,2]}]}`,
		"http://other/v2/models/m/versions/1/ready": `{"name":"m","ready":true}`, // the absolute form
	} {
		w := n.dial(t)
		w.send(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		got := w.receive(t, "GET")
		want = strings.Replace(want, "VERSION", version.Version, 1)
		if got.status != 200 || got.body != want || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("GET %s is %d %s, want %s", path, got.status, got.body, want)
		}
		w.send(t, "HEAD "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		head := w.receive(t, "HEAD")
		if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(want)) {
			t.Errorf("HEAD %s is %+v", path, head)
		}
	}
}

func TestReadinessNamesItsReason(t *testing.T) {
	n := start(t, config(), models(), nil)
	get := func(path string) answer { return n.raw(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n") }
	check := func(path string, want string) {
		t.Helper()
		got := get(path)
		if got.status != http.StatusServiceUnavailable || got.body != want || got.header.Get("Retry-After") != "1" {
			t.Errorf("GET %s is %+v, want 503 %s", path, got, want)
		}
	}
	n.models.Announce("soon", "loading")
	check("/v2/health/ready", `{"error":"model \"soon\" is not ready: loading"}`)
	check("/v2/models/soon/ready", `{"error":"model \"soon\" is not ready: loading"}`)
	if got := get("/v2/models/m/ready"); got.status != 200 {
		t.Errorf("another model: %+v", got)
	}
	n.models.Withdraw("soon")
	n.version(t, "m").SetHealth(fmt.Errorf("wrong answers"))
	check("/v2/models/m/ready", `{"error":"version 1 of model \"m\" is not ready: wrong answers"}`)
	if err := n.models.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	const stopping = `{"error":"the node is stopping. Ask again when it runs again."}`
	check("/v2/health/ready", stopping)
	check("/v2/models/m/ready", stopping)
	if got := n.raw(t, post("m", good)); got.status != 503 || got.body != stopping {
		t.Errorf("infer: %+v", got)
	}
	if got := get("/v2/health/live"); got.status != 200 {
		t.Errorf("live: %+v", got)
	}
}
