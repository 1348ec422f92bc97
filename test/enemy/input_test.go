package enemy_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
	"verge/test/nodetest"
)

// squeezed is text in a compressed form.
func squeezed(text string, wrap func(io.Writer) io.WriteCloser) string {
	var b bytes.Buffer
	w := wrap(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

func gzipped(text string) string {
	return squeezed(text, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

func deflated(text string) string {
	return squeezed(text, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
}

// secret is what no answer shows: paths, addresses, traces.
var secret = regexp.MustCompile(`/(work|tmp|root|home|usr)|0x[0-9a-f]{6}|goroutine|\.(go|cc|so)\b|127\.0\.0\.1`)

func TestBadInputLeavesTheNodeAsItWas(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	deploy(t, node, "control", plus(1))
	for name, model := range map[string][]byte{
		"plain": onnxmodel.Identity(tensor.FP32, "n", 4), "loop": rounds(), "text": onnxmodel.Identity(tensor.Bytes, "n"),
		"join": onnxmodel.Join(), "lookup": table(), "repeat": onnxmodel.Repeat(),
	} {
		deploy(t, node, name, model)
	}
	repeat := func(times string) string {
		return post("repeat", `{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]},{"name":"times","datatype":"INT64","shape":[1],"data":[`+times+`]}]}`)
	}
	bomb := strings.Repeat(" ", 65<<20) // the limit is 64 MiB
	good := input("FP32", "[1,4]", "[1,2,3,4]")
	for name, test := range map[string]struct {
		text   string
		status int
		want   string // in the message
	}{
		"a bomb of gzip":            {post("plain", gzipped(bomb), "Content-Encoding: gzip"), 413, "the JSON part has more than 67108864 bytes"},
		"a bomb of deflate":         {post("plain", deflated(bomb), "Content-Encoding: deflate"), 413, "the JSON part has more than 67108864 bytes"},
		"gzip in gzip":              {post("plain", gzipped(gzipped(good)), "Content-Encoding: gzip"), 400, "not valid JSON"},
		"a stream that is cut":      {post("plain", gzipped(good)[:40], "Content-Encoding: gzip"), 400, "the compressed body ended too early"},
		"100,000 inputs":            {post("plain", `{"inputs":[`+strings.Repeat(`{},`, 100_000)+`{}]}`), 400, "inputs[0] has no name"},
		"100,000 parameters":        {post("plain", `{"parameters":{`+members(100_000)+`},"inputs":[]}`), 400, "more than 256, the limit"},
		"a million arrays":          {post("plain", strings.Replace(good, "[1,2,3,4]", strings.Repeat("[", 1_000_000), 1)), 400, "more than 100 objects and arrays"},
		"an index out of range":     {post("lookup", input("INT64", "[1]", "[1000]")), 400, "indices element out of data bounds"},
		"the least index":           {post("lookup", input("INT64", "[1]", "[-9223372036854775808]")), 400, "indices element out of data bounds"},
		"an output beyond memory":   {repeat("1099511627776"), 400, "Tile output tensor would require more than"},
		"an output over the limit":  {repeat("50000000"), 413, "tensors of 200000000 bytes, the limit is 67108864. Ask for less at a time, or raise serve.output_bytes."},
		"a negative count":          {repeat("-5"), 400, "Tile repeat value must be non-negative"},
		"a loop that never ends":    {post("loop", strings.Replace(input("INT64", "[1]", "[1099511627776]"), "{", `{"parameters":{"timeout":200000},`, 1)), 504, "did not answer within 200ms"},
		"a string beyond its bytes": {framed("text", "BYTES", "[1]", "\xff\xff\xff\xffabc"), 400, "string 0 has 4294967295 bytes where 3 are left"},
		"a shape that overflows":    {framed("plain", "FP32", "[4611686018427387904,4]", "abcd"), 400, "overflows"},
		"batches that differ": {
			post("join", `{"inputs":[{"name":"a","datatype":"FP32","shape":[1,2],"data":[1,2]},{"name":"b","datatype":"FP32","shape":[2,3],"data":[1,2,3,4,5,6]}]}`),
			400, `input "b" has 2 for the dimension "n", input "a" has 1`,
		},
		"a path for a name": {post("..%2F..%2Fetc%2Fpasswd", good), 400, "breaks the grammar"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := raw(t, node, test.text)
			text := message(t, body)
			if status != test.status || !strings.Contains(text, test.want) {
				t.Errorf("answer %d %q, want %d with %q", status, text, test.status, test.want)
			}
			if found := secret.FindString(text); found != "" && test.status != http.StatusBadRequest {
				t.Errorf("answer %q shows %q", text, found)
			}
			live(t, node)
			if y, _, err := ask(t.Context(), node.Client, "control", "c", 0.1); err != nil || !slices.Equal(y, []float32{1.1, 1.1, 1.1, 1.1}) {
				t.Errorf("the control answers %v, %v", y, err)
			}
		})
	}
	for _, model := range []string{"plain", "loop", "text", "join", "lookup", "repeat"} {
		if w := worker(t, node, model); w.Deaths != 0 || w.State != "ready" {
			t.Errorf("worker of %s is %s after %d deaths, want none", model, w.State, w.Deaths)
		}
	}
}

// table returns a model that refuses an index above 9.
func table() []byte {
	return onnxmodel.Model{
		Nodes:        []onnxmodel.Node{{Op: "Gather", Inputs: []string{"t", "x"}, Outputs: []string{"y"}}},
		Initializers: []tensor.Tensor{onnxmodel.Floats("t", []int64{10}, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)},
		Inputs:       []onnxmodel.Value{{Name: "x", DType: tensor.Int64, Shape: []any{"n"}}},
		Outputs:      []onnxmodel.Value{{Name: "y", DType: tensor.FP32, Shape: []any{"n"}}},
	}.Encode()
}

// rounds returns a model that goes round a loop x INT64[1] times, and counts.
func rounds() []byte {
	body := onnxmodel.Model{
		Graph: "body",
		Nodes: []onnxmodel.Node{
			{Op: "Identity", Inputs: []string{"more"}, Outputs: []string{"go_on"}},
			{Op: "Add", Inputs: []string{"count", "one"}, Outputs: []string{"next"}},
		},
		Inputs: []onnxmodel.Value{
			{Name: "round", DType: tensor.Int64, Shape: []any{}}, {Name: "more", DType: tensor.Bool, Shape: []any{}}, {Name: "count", DType: tensor.FP32, Shape: []any{}},
		},
		Outputs: []onnxmodel.Value{{Name: "go_on", DType: tensor.Bool, Shape: []any{}}, {Name: "next", DType: tensor.FP32, Shape: []any{}}},
	}
	return onnxmodel.Model{
		Nodes: []onnxmodel.Node{
			{Op: "Squeeze", Inputs: []string{"x"}, Outputs: []string{"times"}},
			{Op: "Loop", Inputs: []string{"times", "", "none"}, Outputs: []string{"end"}, Attributes: map[string]any{"body": body}},
			{Op: "Unsqueeze", Inputs: []string{"end", "axes"}, Outputs: []string{"y"}},
		},
		Initializers: []tensor.Tensor{onnxmodel.Floats("none", []int64{}, 0), onnxmodel.Floats("one", []int64{}, 1), onnxmodel.Ints("axes", []int64{1}, 0)},
		Inputs:       []onnxmodel.Value{{Name: "x", DType: tensor.Int64, Shape: []any{1}}},
		Outputs:      []onnxmodel.Value{{Name: "y", DType: tensor.FP32, Shape: []any{1}}},
	}.Encode()
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `%s"p%d":1`, map[bool]string{true: ","}[i > 0], i)
	}
	return b.String()
}

// framed is a request whose one input follows its JSON part.
func framed(model, datatype, shape, data string) string {
	header := fmt.Sprintf(`{"inputs":[{"name":"x","datatype":%q,"shape":%s,"parameters":{"binary_data_size":%d}}]}`, datatype, shape, len(data))
	return post(model, header+data, fmt.Sprintf("Inference-Header-Content-Length: %d", len(header)))
}

func TestAThousandPipelinedRequestsAreAnsweredInTheirOrder(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	deploy(t, node, "plain", onnxmodel.Identity(tensor.FP32, "n", 4))
	const requests = 1000
	var text strings.Builder
	for n := range requests {
		body := strings.Replace(input("FP32", "[1,4]", fmt.Sprintf("[%d,0,0,0]", n)), "{", fmt.Sprintf(`{"id":"r%d",`, n), 1)
		one := post("plain", body)
		if n < requests-1 {
			one = strings.Replace(one, "Connection: close\r\n", "", 1)
		}
		text.WriteString(one)
	}
	_, answers := raw(t, node, text.String())
	found := regexp.MustCompile(`"id":"r(\d+)".*?"data":\[(\d+),`).FindAllStringSubmatch(answers, -1)
	if len(found) != requests {
		t.Fatalf("%d answers, want %d", len(found), requests)
	}
	for n, f := range found {
		if f[1] != fmt.Sprint(n) || f[2] != f[1] {
			t.Fatalf("answer %d is that to %s with %s", n, f[1], f[2])
		}
	}
}

func TestClientsThatBreakOffLeaveNothingBehind(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	deploy(t, node, "plain", onnxmodel.Identity(tensor.FP32, "n", 4))
	deploy(t, node, "loop", rounds())
	if _, body := raw(t, node, post("plain", input("FP32", "[1,4]", "[1,2,3,4]"))); !strings.Contains(body, "[1,2,3,4]") {
		t.Fatalf("answer %q", body)
	}
	before := descriptors(t)
	random := rand.New(rand.NewPCG(1, 2))
	whole := post("plain", input("FP32", "[1,4]", "[1,2,3,4]"))
	for n := range 300 {
		conn := dial(t, node)
		text := whole[:random.IntN(len(whole)+1)]
		if n%10 == 0 {
			text = post("loop", input("INT64", "[1]", "[1099511627776]")) // the run has to stop
		}
		io.WriteString(conn, text)
		if n%2 == 0 {
			conn.(*net.TCPConn).SetLinger(0) // a reset
		}
		conn.Close()
	}
	nodetest.Wait(t, "the loops have stopped", func() bool {
		status, _ := raw(t, node, post("loop", input("INT64", "[1]", "[3]")))
		return status == http.StatusOK
	})
	const slots = 30 // descriptors that slots may have, which are made when they are needed, and kept
	nodetest.Wait(t, "the connections are closed", func() bool { return descriptors(t) <= before+slots })
	t.Logf("%d descriptors, %d before", descriptors(t), before)
	if w := worker(t, node, "loop"); w.Deaths != 0 {
		t.Errorf("the worker of the loop died: %+v", w)
	}
}
