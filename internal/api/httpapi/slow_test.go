package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"verge/internal/api/httpapi"
	"verge/internal/serve"
)

// short is a time after which a test wants a server to lose its patience.
const short = 50 * time.Millisecond

// busy starts a node whose model any runs until its request ends, has one slot and
// no queue; entered is told of each run that begins.
func busy(tb testing.TB, cfg httpapi.Config) (n *node, entered <-chan struct{}) {
	tb.Helper()
	begun := make(chan struct{}, 100)
	sessions := models()
	sessions["any"].run = func(ctx context.Context) error {
		begun <- struct{}{}
		return untilEnd(ctx)
	}
	return start(tb, cfg, sessions, func(c *serve.Config) { c.QueueSize = 0 }), begun
}

// cut returns a request to model m whose body stops before its end: within the JSON
// part, within the tensor, within a chunk, within a compressed stream.
func cut() map[string]string {
	binary := binaryIn("FP32", "[2,2]", "16")
	zipped := gzipped(good)
	chunk := chunked("m", good)
	return map[string]string{
		"JSON":       post("m", good)[:len(post("m", good))-10],
		"nothing":    post("m", good)[:len(post("m", good))-len(good)],
		"tensor":     framed("m", binary, "1234567890123456")[:len(framed("m", binary, "1234567890123456"))-4],
		"chunk":      chunk[:len(chunk)-10],
		"last chunk": chunk[:len(chunk)-5],
		"gzip":       strings.TrimSuffix(post("m", zipped, "Content-Encoding: gzip"), zipped[30:]),
	}
}

// A08
func TestABodyThatStopsIsA408AndGivesTheSlotBack(t *testing.T) {
	cfg := config()
	cfg.BodyTimeout = short
	n := start(t, cfg, models(), nil)
	for name, text := range cut() {
		t.Run(name, func(t *testing.T) {
			w := n.dial(t)
			w.send(t, text)
			got := w.receive(t, "POST")
			want := `{"error":"the body came too slowly: no byte for 50ms, or below 4096 bytes a second"}`
			if got.status != http.StatusRequestTimeout || got.body != want || !got.close {
				t.Errorf("answer %+v, want 408 %s", got, want)
			}
			w.ended(t)
			n.idle(t, "m")
		})
	}
}

// A10
func TestABodyBelowTheLeastRateIsA408(t *testing.T) {
	cfg := config()
	cfg.BodyTimeout, cfg.BodyMinRate = 4*short, 1<<20
	n := start(t, cfg, models(), nil)
	w := n.dial(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // a byte now and then, each well within the timeout
		defer close(done)
		tick := time.NewTicker(short / 5)
		defer tick.Stop()
		io.WriteString(w, strings.Replace(post("any", ""), "Content-Length: 0", "Content-Length: 60000", 1))
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				io.WriteString(w, " ")
			}
		}
	}()
	got := w.receive(t, "POST")
	close(stop)
	<-done
	if got.status != http.StatusRequestTimeout || !strings.Contains(got.body, "below 1048576 bytes a second") {
		t.Errorf("answer %+v, want 408", got)
	}
}

func TestWaitingInTheQueueIsNotSlowness(t *testing.T) {
	cfg := config()
	cfg.BodyTimeout, cfg.BodyMinRate = 2*short, 1<<30
	entered, release := make(chan struct{}, 2), make(chan struct{})
	sessions := models()
	sessions["any"].run = func(context.Context) error {
		entered <- struct{}{}
		<-release
		return nil
	}
	n := start(t, cfg, sessions, nil)
	first, second := n.dial(t), n.dial(t)
	first.send(t, post("any", in("UINT8", "[1]", "[1]")))
	<-entered
	data := strings.Repeat("x", 20_000) // more than the server reads ahead
	second.send(t, framed("any", strings.Replace(binaryIn("UINT8", "[20000]", "20000"), "{", `{"parameters":{"binary_data_output":true},`, 1), data))
	v := n.version(t, "any")
	eventually(t, "the second request waits", func() bool { return v.Status().Waiting == 1 })
	<-time.After(4 * short) // longer than a body may take
	close(release)
	if got := first.receive(t, "POST"); got.status != 200 {
		t.Errorf("first answer %+v", got)
	}
	if got := second.receive(t, "POST"); got.status != 200 {
		t.Errorf("second answer %+v, want 200: it was not the client that was slow", got)
	}
}

// A client that has sent all and waits for long must not look like one that is slow,
// nor like one that has gone; nor may a deadline of its body end the next request.
func TestARunMayLastLongerThanABody(t *testing.T) {
	cfg := config()
	cfg.BodyTimeout, cfg.WriteTimeout = short, short
	sessions := models()
	sessions["any"].run = func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * short):
			return nil
		}
	}
	n := start(t, cfg, sessions, nil)
	w := n.dial(t)
	for name, text := range map[string]string{
		"JSON":    post("any", in("UINT8", "[1]", "[1]")),
		"binary":  framed("any", binaryIn("UINT8", "[1]", "1"), "1"),
		"chunked": chunked("any", in("UINT8", "[1]", "[1]")),
		"gzip":    post("any", gzipped(in("UINT8", "[1]", "[1]")), "Content-Encoding: gzip"),
		"deflate": post("any", zlibbed(in("UINT8", "[1]", "[1]")), "Content-Encoding: deflate"),
	} {
		w.send(t, text)
		if got := w.receive(t, "POST"); got.status != 200 || got.close {
			t.Errorf("%s: answer %+v, want 200", name, got)
		}
	}
	w.send(t, post("any", `{"parameters":{"timeout":150000},`+in("UINT8", "[1]", "[1]")[1:])) // microseconds, over WriteTimeout
	got := w.receive(t, "POST")
	if got.status != http.StatusGatewayTimeout || got.body != `{"error":"model \"any\" did not answer within 150ms"}` || got.close {
		t.Errorf("answer %+v, want 504 and a connection that stays", got)
	}
	w.send(t, post("m", good))
	if got := w.receive(t, "POST"); got.body != goodAnswer {
		t.Errorf("the next answer is %+v", got)
	}
}

func TestTheDeadlineOfARequestBoundsItsBody(t *testing.T) {
	n := start(t, config(), models(), nil)
	w := n.dial(t)
	text := strings.Replace(binaryIn("FP32", "[2,2]", "16"), "{", `{"parameters":{"timeout":50000},`, 1)
	whole := framed("m", text, "1234567890123456")
	w.send(t, whole[:len(whole)-4])
	got := w.receive(t, "POST")
	if got.status != http.StatusGatewayTimeout || got.body != `{"error":"model \"m\" did not answer within 50ms"}` || !got.close {
		t.Errorf("answer %+v, want 504 and the end of the connection", got)
	}
	w.ended(t)
	n.idle(t, "m")
}

func TestAClientThatGoesAwayEndsItsRun(t *testing.T) {
	for name, text := range map[string]string{
		"JSON":    post("any", in("UINT8", "[1]", "[1]")),
		"binary":  framed("any", binaryIn("UINT8", "[1]", "1"), "1"),
		"raw":     post("any", "1", "Inference-Header-Content-Length: 0"),
		"chunked": chunked("any", in("UINT8", "[1]", "[1]")),
		"gzip":    post("any", gzipped(in("UINT8", "[1]", "[1]")), "Content-Encoding: gzip"),
		"deflate": post("any", zlibbed(in("UINT8", "[1]", "[1]")), "Content-Encoding: deflate"),
		"expect":  post("any", in("UINT8", "[1]", "[1]"), "Expect: 100-continue"),
	} {
		t.Run(name, func(t *testing.T) {
			n, entered := busy(t, config())
			w := n.dial(t)
			w.send(t, text)
			<-entered
			w.Close()
			n.idle(t, "any") // within patience, far below the default timeout of a request
		})
	}
}

func TestAClientThatGoesAwayInItsBodyGivesTheSlotBack(t *testing.T) {
	n := start(t, config(), models(), nil)
	for name, text := range cut() {
		w := n.dial(t)
		w.send(t, text)
		w.Close()
		n.idle(t, "m")
		_ = name
	}
}

func TestABodyThatEndsTooEarlyIsA400(t *testing.T) {
	n := start(t, config(), models(), nil)
	for name, want := range map[string]string{
		"JSON": "the body ended too early: unexpected EOF", "nothing": "the body ended too early: unexpected EOF",
		"tensor": `unexpected size for input \"in\": the body ended after 12 of 16 bytes`,
		"chunk":  "the body ended too early: unexpected EOF", "last chunk": "the body ended too early: unexpected EOF",
		"gzip": "the body ended too early: unexpected EOF",
	} {
		w := n.dial(t)
		w.send(t, cut()[name])
		w.closeWrite()
		got := w.receive(t, "POST")
		if got.status != 400 || got.body != `{"error":"`+want+`"}` || !got.close {
			t.Errorf("%s: answer %+v, want 400 %s", name, got, want)
		}
		n.idle(t, "m")
	}
}

// What is refused before its body was read is answered all the same, whether the
// body comes or not, and a small body that comes leaves the connection usable.
func TestARefusalDoesNotWaitForABodyThatNeverComes(t *testing.T) {
	cfg := config()
	cfg.BodyTimeout = short
	n := start(t, cfg, models(), nil)
	for name, row := range map[string]bad{
		"media type": {text: post("m", good, "Content-Type: text/xml"), status: 415},
		"model":      {text: post("nobody", good), status: 404},
		"method":     {text: strings.Replace(post("m", good), "POST", "PUT", 1), status: 405},
		"path":       {text: strings.Replace(post("m", good), "/v2", "/x", 1), status: 404},
	} {
		w := n.dial(t)
		w.send(t, strings.TrimSuffix(row.text, good))
		if got := w.receive(t, "POST"); got.status != row.status {
			t.Errorf("%s: answer %+v, want %d", name, got, row.status)
		}
		w.ended(t)
	}
	w := n.dial(t)
	w.send(t, post("nobody", good)+post("m", good))
	if got := w.receive(t, "POST"); got.status != 404 || got.close {
		t.Errorf("answer %+v, want 404", got)
	}
	if got := w.receive(t, "POST"); got.body != goodAnswer {
		t.Errorf("the next answer is %+v", got)
	}
}

func TestExpectContinue(t *testing.T) {
	n := start(t, config(), models(), nil)
	w := n.dial(t)
	text := post("m", good, "Expect: 100-continue")
	w.send(t, strings.TrimSuffix(text, good))
	line, err := w.in.ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, %v, want 100", line, err)
	}
	w.in.ReadString('\n')
	w.send(t, good)
	if got := w.receive(t, "POST"); got.body != goodAnswer || got.close {
		t.Errorf("answer %+v", got)
	}
	w.send(t, strings.TrimSuffix(post("nobody", good, "Expect: 100-continue"), good))
	if got := w.receive(t, "POST"); got.status != 404 || !got.close {
		t.Errorf("answer %+v, want 404 at once, and the end of the connection", got)
	}
}

// A11
func TestAReaderThatIsTooSlowIsCutOffAndGivesTheSlotBack(t *testing.T) {
	cfg := config()
	cfg.Requests.TensorBytes, cfg.WriteTimeout = 32<<20, short
	n := start(t, cfg, models(), nil)
	const size = 32 << 20 // more than the sockets' buffers hold
	w := n.dial(t)
	header := binaryIn("UINT8", fmt.Sprintf("[%d]", size), fmt.Sprint(size))
	header = strings.Replace(header, "{", `{"parameters":{"binary_data_output":true},`, 1)
	go func() {
		fmt.Fprintf(w, "POST /v2/models/any/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nInference-Header-Content-Length: %d\r\n\r\n%s", len(header)+size, len(header), header)
		w.Write(make([]byte, size))
	}()
	if _, err := w.in.Peek(1); err != nil { // the answer begins, and is not read on
		t.Fatal(err)
	}
	n.idle(t, "any")
	resp, err := http.ReadResponse(w.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if err == nil || got >= size {
		t.Errorf("read %d bytes and %v, want an answer that is cut off", got, err)
	}
}

// A09, and connections that say nothing.
func TestHeadersThatComeTooSlowlyEndTheConnection(t *testing.T) {
	cfg := config()
	cfg.ReadHeaderTimeout, cfg.IdleTimeout = short, short
	n := start(t, cfg, models(), nil)
	silent, slow := n.dial(t), n.dial(t)
	slow.send(t, "GET /v2 HTTP/1.1\r\nHost: x\r\nX")
	silent.ended(t)
	slow.ended(t)
	idle := n.dial(t)
	idle.send(t, "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := idle.receive(t, "GET"); got.body != `{"live":true}` {
		t.Errorf("answer %+v", got)
	}
	idle.ended(t)
}

func TestConnectionsOverTheLimitWait(t *testing.T) {
	cfg := config()
	cfg.MaxConnections = 1
	n := start(t, cfg, models(), nil)
	first, second := n.dial(t), n.dial(t)
	const live = "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
	first.send(t, live)
	first.receive(t, "GET")
	second.send(t, live)
	second.SetReadDeadline(time.Now().Add(short))
	if b, err := second.in.Peek(1); err == nil {
		t.Fatalf("the second connection is answered %q while the first is open", b)
	}
	second.SetReadDeadline(time.Now().Add(patience))
	first.Close()
	if got := second.receive(t, "GET"); got.body != `{"live":true}` {
		t.Errorf("answer %+v", got)
	}
}

func TestShutdownLetsARequestEnd(t *testing.T) {
	entered, release := make(chan struct{}, 1), make(chan struct{})
	sessions := models()
	sessions["any"].run = func(context.Context) error {
		entered <- struct{}{}
		<-release
		return nil
	}
	n := start(t, config(), sessions, nil)
	w := n.dial(t)
	w.send(t, post("any", in("UINT8", "[1]", "[7]")))
	<-entered
	done := make(chan error, 1)
	go func() { done <- n.server.Shutdown(context.Background()) }()
	eventually(t, "new connections are refused", func() bool {
		resp, err := n.client.Get("http://" + n.address + "/v2/health/live")
		if err == nil {
			resp.Body.Close()
		}
		return err != nil
	})
	close(release)
	if got := w.receive(t, "POST"); got.status != 200 || !strings.Contains(got.body, `"data":[7]`) {
		t.Errorf("answer %+v", got)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownCutsOffWhatDoesNotEnd(t *testing.T) {
	n, entered := busy(t, config())
	w := n.dial(t)
	w.send(t, post("any", in("UINT8", "[1]", "[7]")))
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if err := n.server.Shutdown(ctx); err != context.DeadlineExceeded { //nolint:errorlint // as it is documented
		t.Errorf("Shutdown = %v, want the context's error", err)
	}
	w.ended(t)
	n.idle(t, "any")
}

// The whole body is on its way at once where a client sends fast: nothing here may
// depend on how it is cut into packets.
func TestABodyMayComeInPieces(t *testing.T) {
	n := start(t, config(), models(), nil)
	w := n.dial(t)
	text := framed("m", binaryIn("FP32", "[2,2]", "16"), string(bytes.Repeat([]byte{0, 0, 128, 63}, 4)))
	for _, b := range []byte(text) {
		w.send(t, string([]byte{b}))
	}
	if got := w.receive(t, "POST"); got.status != 200 || !strings.Contains(got.body, `"data":[1,1,1,1]`) {
		t.Errorf("answer %+v", got)
	}
}
