package bench_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"verge/internal/inference"
	"verge/internal/oip"
	"verge/internal/tensor"
)

// request is an inference request to an identity model, as it goes over the wire.
func request(model string, elements int) []byte {
	data := make([]byte, 4*elements)
	for i := range data {
		data[i] = byte(i%7) * 8 // small numbers, none of them NaN
	}
	return wire(model, tensor.Tensor{Name: "x", DType: tensor.FP32, Shape: []int64{1, int64(elements)}, Data: data})
}

// wire is an inference request with one binary input, as it goes over the wire.
func wire(model string, input tensor.Tensor) []byte {
	header := fmt.Sprintf(`{"inputs":[{"name":%q,"shape":%s,"datatype":"%s","parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`,
		input.Name, inference.FormatShape(input.Shape), input.DType, len(input.Data))
	head := fmt.Sprintf("POST /v2/models/%s/infer HTTP/1.1\r\nHost: node\r\n%s: %d\r\nContent-Length: %d\r\n\r\n",
		model, oip.HeaderLength, len(header), len(header)+len(input.Data))
	return append(append([]byte(head), header...), input.Data...)
}

// caller is the least HTTP client: one connection, one request at a time.
type caller struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
	answer  []byte
}

func dial(b *testing.B, network, address string, request []byte) *caller {
	b.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return &caller{conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), request: request}
}

// call sends the request and reads the answer.
func (c *caller) call() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	status, err := c.reader.ReadString('\n')
	if err != nil {
		return err
	}
	length := 0
	for {
		line, err := c.reader.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "\r\n" {
			break
		}
		if value, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
	c.answer = slices.Grow(c.answer[:0], length)[:length]
	if _, err := io.ReadFull(c.reader, c.answer); err != nil {
		return err
	}
	if !strings.Contains(status, " 200 ") {
		return fmt.Errorf("%s%s", status, c.answer)
	}
	return nil
}

// one measures one client, and the bytes of its answers.
func one(b *testing.B, c *caller, tail []byte) {
	b.Helper()
	for range 200 {
		if err := c.call(); err != nil {
			b.Fatal(err)
		}
	}
	if !bytes.HasSuffix(c.answer, tail) {
		b.Fatal("the answer is not the input")
	}
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		begin := time.Now()
		if err := c.call(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-µs")
}

// many measures how much eight clients get together.
func many(b *testing.B, callers []*caller) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for _, c := range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := c.call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// doors returns what is measured: the node's two doors, each to a model in a worker
// and to one inside the node, and an echo at each.
func doors(b *testing.B) map[string]func(size string) (network, address, model string) {
	b.Helper()
	n := startNode(b)
	for size, elements := range sizes {
		n.deploy(b, "worker-"+size, elements, "process")
		n.deploy(b, "none-"+size, elements, "none")
	}
	self := selfPath(b)
	all := map[string]func(string) (string, string, string){}
	for network, address := range map[string]string{"unix": n.unix, "tcp": n.tcp} {
		target := freePort(b)
		if network == "unix" {
			target = n.unix + ".echo"
		}
		_, out := start(b, self, "echo", network, target)
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			b.Fatal(err)
		}
		all[network+"/echo"] = func(string) (string, string, string) { return network, target, "echo" }
		for _, isolation := range []string{"worker", "none"} {
			all[network+"/"+isolation] = func(size string) (string, string, string) { return network, address, isolation + "-" + size }
		}
	}
	return all
}

// BenchmarkRequest is one client: p50 and p99 of a request.
func BenchmarkRequest(b *testing.B) {
	all := doors(b)
	for _, size := range []string{"16B", "602KB"} {
		for _, door := range []string{"unix/echo", "unix/none", "unix/worker", "tcp/echo", "tcp/none", "tcp/worker"} {
			network, address, model := all[door](size)
			text := request(model, sizes[size])
			b.Run(size+"/"+door, func(b *testing.B) {
				one(b, dial(b, network, address, text), text[len(text)-4*sizes[size]:])
			})
		}
	}
}

// BenchmarkThroughput is eight clients.
func BenchmarkThroughput(b *testing.B) {
	const clients = 8
	all := doors(b)
	for _, size := range []string{"16B", "602KB"} {
		for _, door := range []string{"unix/echo", "unix/none", "unix/worker"} {
			network, address, model := all[door](size)
			text := request(model, sizes[size])
			b.Run(size+"/"+door, func(b *testing.B) {
				callers := make([]*caller, clients)
				for i := range callers {
					callers[i] = dial(b, network, address, text)
				}
				many(b, callers)
			})
		}
	}
}
