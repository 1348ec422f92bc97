// Package enemy_test attacks a whole node: its clients send what no client should,
// its workers are killed, its models are switched under load. After each attack the
// node is as it was.
package enemy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"verge/client"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
	"verge/test/nodetest"
)

func TestMain(m *testing.M) { nodetest.Main(m) }

// untested is the end of a deployment file that asks for no tests.
const untested = `"tests":{"performance_test":false,"functional_test":false,"load_test":false}`

// file writes data where a deployment can be given it.
func file(tb testing.TB, name string, data []byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// deploy deploys a model without tests.
func deploy(tb testing.TB, node *nodetest.Node, name string, model []byte) {
	tb.Helper()
	spec := fmt.Sprintf(`{"name":%q,"model":{"path":"m.onnx"},"deployment":{"cpu_threads":1,"batch_size":8},%s}`, name, untested)
	if d := node.Deploy(spec, map[string]string{"model": file(tb, "m.onnx", model)}); d.Phase != client.PhaseCommitted {
		tb.Fatalf("%s ended as %s: %+v", name, d.Phase, d.Error)
	}
}

// plus returns a model whose output y FP32[n,4] is its input x plus c.
func plus(c float32) []byte { return plusModel(c).Encode() }

func plusModel(c float32) onnxmodel.Model {
	return onnxmodel.Model{
		Nodes:        []onnxmodel.Node{{Op: "Add", Inputs: []string{"x", "c"}, Outputs: []string{"y"}}},
		Initializers: []tensor.Tensor{onnxmodel.Floats("c", []int64{1}, c)},
		Inputs:       []onnxmodel.Value{{Name: "x", DType: tensor.FP32, Shape: []any{"n", 4}}},
		Outputs:      []onnxmodel.Value{{Name: "y", DType: tensor.FP32, Shape: []any{"n", 4}}},
	}
}

// ask asks a model made by plus; every value of its one row is x.
func ask(ctx context.Context, node *client.Client, model, id string, x float32) (y []float32, version string, err error) {
	answer, err := node.Infer(ctx, client.InferRequest{
		Model: model, ID: id, Inputs: []client.Tensor{client.FromFloat32s("x", []int64{1, 4}, []float32{x, x, x, x})},
	})
	if err != nil {
		return nil, "", err
	}
	if answer.ID != id {
		return nil, "", fmt.Errorf("answer to %q, want %q", answer.ID, id)
	}
	y, err = answer.Outputs[0].Float32s()
	return y, answer.Version, err
}

// worker returns the process that serves a model.
func worker(tb testing.TB, node *nodetest.Node, model string) client.WorkerStatus {
	tb.Helper()
	m, err := node.Model(tb.Context(), model)
	if err != nil || m.Worker == nil {
		tb.Fatalf("worker of %s: %+v (%v)", model, m, err)
	}
	return *m.Worker
}

// raw sends bytes over a connection of its own, and returns the answers that came
// until its end.
func raw(tb testing.TB, node *nodetest.Node, text string) (status int, body string) {
	tb.Helper()
	conn := dial(tb, node)
	defer conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		io.WriteString(conn, text) // fails where the node has heard enough
	}()
	all, err := io.ReadAll(conn)
	<-sent
	if err != nil {
		tb.Fatalf("read: %v after %.200q", err, all)
	}
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	if _, err := fmt.Sscanf(head, "HTTP/1.1 %d", &status); err != nil {
		tb.Fatalf("answer %.200q", all)
	}
	return status, body
}

func dial(tb testing.TB, node *nodetest.Node) net.Conn {
	tb.Helper()
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(node.HTTP, "http://"), nodetest.Patience)
	if err != nil {
		tb.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(nodetest.Patience)); err != nil {
		tb.Fatal(err)
	}
	return conn
}

// post is the text of a request that asks for the end of its connection.
func post(model, body string, headers ...string) string {
	lines := append([]string{
		"POST /v2/models/" + model + "/infer HTTP/1.1", "Host: node", "Connection: close", fmt.Sprintf("Content-Length: %d", len(body)),
	}, headers...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

// input is the body of a request with one input x.
func input(datatype, shape, data string) string {
	return fmt.Sprintf(`{"inputs":[{"name":"x","datatype":%q,"shape":%s,"data":%s}]}`, datatype, shape, data)
}

// descriptors counts the open files of this process, which the node is a part of.
func descriptors(tb testing.TB) int {
	tb.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	return len(all)
}

// message returns the error that a body holds.
func message(tb testing.TB, body string) string {
	tb.Helper()
	var answer struct {
		Error string `json:"error"`
	}
	if err := json.NewDecoder(bytes.NewReader([]byte(body))).Decode(&answer); err != nil || answer.Error == "" {
		tb.Errorf("body %.200q, want an error (%v)", body, err)
	}
	return answer.Error
}

// live fails the test unless the node answers at once that it lives.
func live(tb testing.TB, node *nodetest.Node) {
	tb.Helper()
	resp, err := http.Get(node.HTTP + "/v2/health/live")
	if err != nil {
		tb.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		tb.Errorf("live is %s", resp.Status)
	}
}
