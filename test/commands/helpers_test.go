package commands_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"verge/client"
	"verge/internal/tensor"
	"verge/test/nodetest"
)

// The deployment files of the tests. The slow one takes long in each phase from
// loading on: about 0.1 s, 0.5 s, and a minute and more.
const (
	fast = `{"name":"digits","model":{"path":"digits.onnx"},"deployment":{"cpu_threads":1}}`
	slow = `{"name":"digits","model":{"path":"digits-slow.onnx"},"deployment":{"cpu_threads":1,"max_latency_ms":60000},
	"tests":{"performance_test":{"runs":100000}}}`
)

// digits makes a place with the models of the digits example, and both files.
func digits(tb testing.TB) *place {
	tb.Helper()
	nodetest.Require(tb)
	p := newPlace(tb)
	p.example("digits.onnx", "digits-slow.onnx")
	p.write("fast.json", []byte(fast))
	p.write("slow.json", []byte(slow))
	return p
}

// deploys runs a deployment that must be committed.
func (p *place) deploys(args ...string) {
	p.t.Helper()
	if got := p.run(append([]string{"deploy"}, args...)...); got.Status != 0 {
		p.t.Fatalf("deploy %v: %+v", args, got)
	}
}

// model is the status of a model.
func (n *node) model(name string) *client.ModelStatus {
	n.p.t.Helper()
	m, err := n.Model(n.p.t.Context(), name)
	if err != nil {
		n.p.t.Fatal(err)
	}
	return m
}

// ask asks a model of the digits example about one of seventeen pictures.
func ask(ctx context.Context, node *client.Client, model string, picture int) ([]float64, error) {
	const pixels = 64
	image := make([]float32, pixels)
	for i := range image {
		image[i] = float32((i*7+picture)%17) / 16
	}
	answer, err := node.Infer(ctx, client.InferRequest{
		Model: model, ID: fmt.Sprint(picture), Inputs: []client.Tensor{client.FromFloat32s("image", []int64{1, 1, 8, 8}, image)},
	})
	if err != nil {
		return nil, err
	}
	out := answer.Outputs[0]
	return tensor.Floats(tensor.Tensor{DType: tensor.FP32, Shape: out.Shape, Data: out.Data})
}

const pictures = 17

// load asks one model again and again from several clients, and compares every
// answer with the first one about the same picture.
type load struct {
	answers, wrong atomic.Int64
	stop           context.CancelFunc
	wg             sync.WaitGroup

	mu     sync.Mutex // guards errors
	errors map[string]int
}

func startLoad(t *testing.T, n *node, model string, clients int) *load {
	t.Helper()
	want := make([][]float64, pictures)
	for i := range want {
		var err error
		if want[i], err = ask(t.Context(), n.Client, model, i); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{stop: cancel, errors: map[string]int{}}
	for c := range clients {
		l.wg.Go(func() {
			for i := c; ctx.Err() == nil; i++ {
				got, err := ask(ctx, n.Client, model, i%pictures)
				switch {
				case err == nil && slices.Equal(got, want[i%pictures]):
					l.answers.Add(1)
				case err == nil:
					l.wrong.Add(1)
				case ctx.Err() == nil:
					l.failed(err)
				}
				if errors.Is(err, client.ErrUnreachable) {
					return
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors[err.Error()]++
}

// end stops the clients, and waits for them.
func (l *load) end() {
	l.stop()
	l.wg.Wait()
}
