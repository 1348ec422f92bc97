package commands_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"verge/client"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
	"verge/test/nodetest"
)

// traced is a strace that watches one process and its threads.
type traced struct {
	stop func() []call
}

// call is a system call that moved bytes.
type call struct {
	name  string
	bytes int
}

// moves are the system calls that copy bytes between a process and a descriptor.
const moves = "read,readv,pread64,preadv,recvfrom,recvmsg,recvmmsg,write,writev,pwrite64,pwritev,sendto,sendmsg,sendmmsg,sendfile,splice,process_vm_readv,process_vm_writev"

// trace attaches to a process.
func trace(p *place, strace string, pid int) traced {
	p.t.Helper()
	file := p.path(fmt.Sprintf("trace-%d", pid))
	cmd := p.tool(strace, "-f", "-p", strconv.Itoa(pid), "-s", "0", "-e", "trace="+moves, "-o", file)
	errs := &record{}
	cmd.Stderr = errs
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the file says what it saw
	}()
	nodetest.Wait(p.t, "strace has attached", func() bool {
		select {
		case <-ended:
			if strings.Contains(","+os.Getenv("VERGE_REQUIRE")+",", ",strace,") {
				p.t.Fatalf("strace: %s", errs)
			}
			p.t.Skipf("needs strace that may attach: %s", errs)
		default:
		}
		return strings.Contains(errs.String(), " attached")
	})
	return traced{stop: func() []call {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			p.t.Fatal(err)
		}
		<-ended
		return calls(p.read(fmt.Sprintf("trace-%d", pid)))
	}}
}

// calls reads the calls that strace wrote and that moved bytes: a call that another
// thread interrupted stands on two lines, of which the second has the result.
func calls(text []byte) []call {
	line := regexp.MustCompile(`^\d+ +(?:<\.\.\. )?(\w+)[( ].*\) += (-?\d+)`)
	var all []call
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := line.FindStringSubmatch(lines.Text())
		if m == nil {
			continue // it failed, has not ended, or is a signal
		}
		if n, err := strconv.Atoi(m[2]); err == nil && n > 0 {
			all = append(all, call{m[1], n})
		}
	}
	return all
}

// sum adds the bytes that were read, and those that were written.
func sum(all []call) (in, out int) {
	for _, c := range all {
		if strings.Contains(c.name, "read") || strings.HasPrefix(c.name, "recv") {
			in += c.bytes
		} else {
			out += c.bytes
		}
	}
	return in, out
}

func TestTheNodeCopiesAPayloadOnceAndTheWorkerNever(t *testing.T) {
	nodetest.Require(t)
	strace := needTool(t, "strace", "strace")
	const elements, payload = 3 * 224 * 224, 4 * 3 * 224 * 224
	p := newPlace(t)
	p.write("identity.onnx", onnxmodel.Identity(tensor.FP32, 1, 3, 224, 224))
	p.write("x.json", []byte(`{"name":"identity","model":{"path":"identity.onnx"},"deployment":{"cpu_threads":1}}`))
	// Nothing else is to happen meanwhile.
	n := p.serve("--set", "health.interval=1h", "--set", "health.retry=1h", "--set", "worker.ping_interval=1h", "--set", "worker.ping_timeout=2h")
	p.deploys("x.json")
	n.checked("identity")
	numbers := make([]float32, elements)
	for i := range numbers {
		numbers[i] = float32(math.Sqrt(float64(i)))
	}
	ask := func() {
		t.Helper()
		in := client.FromFloat32s("x", []int64{1, 3, 224, 224}, numbers)
		answer, err := n.Infer(t.Context(), client.InferRequest{Model: "identity", Inputs: []client.Tensor{in}})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(answer.Outputs[0].Data, in.Data) {
			t.Fatal("the answer is not the input")
		}
	}
	ask() // the connection is there, and both processes have grown
	node, worker := trace(p, strace, n.cmd.Process.Pid), trace(p, strace, n.model("identity").Worker.PID)
	ask()
	if err := n.Live(t.Context()); err != nil { // on the same connection: the call that wrote the answer has ended
		t.Fatal(err)
	}
	nodeCalls, workerCalls := node.stop(), worker.stop()
	nodeIn, nodeOut := sum(nodeCalls)
	workerIn, workerOut := sum(workerCalls)
	t.Logf("the node read %d bytes and wrote %d, the worker read %d and wrote %d", nodeIn, nodeOut, workerIn, workerOut)
	const messages, rest = 4 << 10, 32 << 10 // rest: headers of HTTP, and what wakes the program's threads
	if workerIn == 0 || workerOut == 0 || workerIn+workerOut >= messages {
		t.Errorf("node and worker wrote each other %d bytes, want under %d: %v", workerIn+workerOut, messages, workerCalls)
	}
	for what, bytes := range map[string]int{"read": nodeIn, "wrote": nodeOut} {
		if bytes < payload || bytes > payload+rest {
			t.Errorf("the node %s %d bytes, want the payload of %d once: %v", what, bytes, payload, nodeCalls)
		}
	}
	n.stop()
}
