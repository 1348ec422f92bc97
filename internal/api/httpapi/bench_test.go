package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"verge/internal/api/httpapi"
	"verge/internal/serve"
)

// BenchmarkInfer is one binary request and its answer over a Unix socket, with a
// model that copies its input; BenchmarkEcho is the least that net/http can do with
// the same bytes. The bytes of memory per request do not depend on those of a tensor.
func BenchmarkInfer(b *testing.B) {
	for _, size := range []int{1024, 602_112} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			cfg := httpapi.Default()
			n := start(b, cfg, models(), func(c *serve.Config) { c.SlotsPerThread = 1 })
			server := httpapi.NewServer(cfg, httpapi.New(cfg, n.models, slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler))
			header := fmt.Sprintf(`{"inputs":[{"name":"in","datatype":"UINT8","shape":[%d],"parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`, size, size)
			request := fmt.Sprintf("POST /v2/models/any/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nInference-Header-Content-Length: %d\r\n\r\n%s", len(header)+size, len(header), header)
			ask(b, server.Serve, server.Shutdown, append([]byte(request), make([]byte, size)...))
		})
	}
}

func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{1024, 602_112} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			buf := make([]byte, size) // one connection, so one request at a time
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.ReadFull(r.Body, buf)
				w.Header().Set("Content-Length", fmt.Sprint(size))
				w.Write(buf)
			})}
			request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
			ask(b, server.Serve, server.Shutdown, append([]byte(request), make([]byte, size)...))
		})
	}
}

// ask sends the same request over and over on one connection, and reads the answers
// without taking memory for them.
func ask(b *testing.B, serve func(net.Listener) error, shutdown func(context.Context) error, request []byte) {
	b.Helper()
	listener, err := httpapi.ListenUnix(filepath.Join(b.TempDir(), "s"), 0o600)
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serve(listener) }()
	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		conn.Close()
		shutdown(b.Context())
		<-done
	}()
	in := bufio.NewReaderSize(conn, 64<<10)
	length := 0
	b.ReportAllocs()
	b.SetBytes(int64(len(request)))
	for b.Loop() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if rest, ok := cutPrefix(line, "Content-Length: "); ok {
				length = 0
				for _, c := range rest {
					if c >= '0' && c <= '9' {
						length = length*10 + int(c-'0')
					}
				}
			}
			if len(line) == 2 {
				break
			}
		}
		if n, err := in.Discard(length); err != nil || n < len(request)/2 {
			b.Fatalf("an answer of %d bytes, %v", n, err)
		}
	}
}

func cutPrefix(line []byte, prefix string) ([]byte, bool) {
	if len(line) < len(prefix) || string(line[:len(prefix)]) != prefix {
		return nil, false
	}
	return line[len(prefix):], true
}
