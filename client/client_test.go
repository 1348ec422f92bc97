package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"verge/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node starts a server that answers everything with handler, and a client of it.
func node(t *testing.T, handler http.HandlerFunc, options ...client.Option) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	c, err := client.New(server.URL, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		server.Close()
	})
	return c
}

// answer returns a handler with one answer to everything.
func answer(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// explain returns kind, message and hint of an error, with the address left out.
func explain(c *client.Client, err error) string {
	if err == nil {
		return "<nil>"
	}
	var e *client.Error
	if !errors.As(err, &e) {
		return "no *client.Error: " + err.Error()
	}
	text := e.Kind + ": " + e.Message
	if e.Hint != "" {
		text += " | " + e.Hint
	}
	if c != nil {
		text = strings.ReplaceAll(text, c.Address(), "NODE")
	}
	return text
}

func TestAddresses(t *testing.T) {
	long := "unix:/" + strings.Repeat("x", 107)
	for address, want := range map[string]string{
		"":                  `invalid: node address "": want http://host:port or unix:/path/to/verge.sock`,
		"localhost:8000":    `invalid: node address "localhost:8000": want http://host:port or unix:/path/to/verge.sock`,
		"https://h:1":       `invalid: node address "https://h:1": want http://host:port or unix:/path/to/verge.sock`,
		"http://h:1/v2":     `invalid: node address "http://h:1/v2": want nothing after http://host:port`,
		"http://u:p@h":      `invalid: node address "http://u:p@h": want nothing after http://host:port`,
		"unix:verge.sock":   `invalid: node address "unix:verge.sock": the path of a Unix socket begins with /`,
		"unix:/a\x00b":      `invalid: node address "unix:/a\x00b": the path of a Unix socket has no NUL`,
		long:                "invalid: node address: the path of a Unix socket has at most 107 bytes, " + long[5:] + " has 108",
		"http://h:1/":       "<nil>",
		"http://[::1]:8000": "<nil>",
		"unix:///run/v":     "<nil>",
	} {
		if _, err := client.New(address); explain(nil, err) != want {
			t.Errorf("New(%q):\n got %s\nwant %s", address, explain(nil, err), want)
		}
	}
}

func TestANodeBehindAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verge.sock")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(answer(http.StatusOK, `{"name":"verge","version":"1","extensions":["parameters"]}`))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	c, err := client.New("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.ServerMetadata(t.Context())
	want := &client.ServerMetadata{Name: "verge", Version: "1", Extensions: []string{"parameters"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestEveryRefusalHasAKindAndAMessage(t *testing.T) {
	tests := []struct {
		status int
		body   string
		want   string
	}{
		{400, `{"error":"no"}`, "invalid: no"},
		{422, `{"error":"no","kind":"invalid","hint":"Do."}`, "invalid: no | Do."},
		{418, "<html>", "invalid: the node answered 418 I'm a teapot"},
		{401, "", "unauthenticated: the node answered 401 Unauthorized"},
		{403, "", "denied: the node answered 403 Forbidden"},
		{404, "null", "not_found: the node answered 404 Not Found"},
		{408, "", "deadline: the node answered 408 Request Timeout"},
		{409, "", "conflict: the node answered 409 Conflict"},
		{413, "", "too_large: the node answered 413 Request Entity Too Large"},
		{422, "", "corrupt: the node answered 422 Unprocessable Entity"},
		{429, "", "quota: the node answered 429 Too Many Requests"},
		{499, `{"error":"gone"}`, "canceled: gone"},
		{500, `{"error":`, "internal: the node answered 500 Internal Server Error"},
		{501, "", "unsupported: the node answered 501 Not Implemented"},
		{503, `{"error":"loading"}`, "unavailable: loading"},
		{504, "", "deadline: the node answered 504 Gateway Timeout"},
		{507, "", "exhausted: the node answered 507 Insufficient Storage"},
		{302, "", "internal: the node answered 302 Found"},
	}
	for _, test := range tests {
		c := node(t, answer(test.status, test.body, "Retry-After", "7", "Location", "/elsewhere"))
		err := c.Ready(t.Context())
		if got := explain(c, err); got != test.want {
			t.Errorf("%d %s:\n got %s\nwant %s", test.status, test.body, got, test.want)
		}
		var e *client.Error
		if errors.As(err, &e) && (e.Status != test.status || e.RetryAfter != 7*time.Second) {
			t.Errorf("%d: status %d, retry after %v; want 7s", test.status, e.Status, e.RetryAfter)
		}
	}
}

func TestProblemsOfADeploymentFileComeBackAtOnce(t *testing.T) {
	c := node(t, answer(422, `{"error":"two problems","kind":"invalid","problems":[{"path":"a","line":3,"message":"m"},{"path":"b","message":"n","hint":"h"}]}`))
	_, err := c.Deploy(t.Context(), client.DeploymentRequest{Spec: []byte("{}")})
	var e *client.Error
	want := []client.Problem{{Path: "a", Line: 3, Message: "m"}, {Path: "b", Message: "n", Hint: "h"}}
	if !errors.As(err, &e) || cmp.Diff(want, e.Problems) != "" {
		t.Errorf("Deploy: %v with %+v, want %+v", err, e, want)
	}
}

func TestWhyThereIsNoAnswer(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + listener.Addr().String()
	listener.Close() // nobody listens there now
	c, err := client.New(address)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Live(t.Context())
	if got, want := explain(c, err), "unavailable: no node answers at NODE (connection refused): is `verge serve` running? | Start one: verge serve"; got != want || !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("nobody listens:\n got %s\nwant %s", got, want)
	}

	c = node(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if got, want := explain(c, c.Live(t.Context())), "unavailable: the connection to NODE was lost (EOF)"; got != want {
		t.Errorf("the connection breaks:\n got %s\nwant %s", got, want)
	}

	waiting := make(chan struct{}, 2)
	c = node(t, func(_ http.ResponseWriter, r *http.Request) {
		waiting <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-waiting
		cancel()
	}()
	if got, want := explain(c, c.Live(ctx)), "canceled: canceled while waiting for NODE"; got != want {
		t.Errorf("canceled:\n got %s\nwant %s", got, want)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err = c.Live(ctx)
	if got, want := explain(c, err), "deadline: NODE did not answer in time"; got != want || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline:\n got %s\nwant %s", got, want)
	}
}

func TestAnAnswerThatIsNotFromANode(t *testing.T) {
	const hint = " | Check that a Verge node listens there."
	c := node(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(conn, "SSH-2.0-x\r\n")
		conn.Close()
	})
	if got, want := explain(c, c.Live(t.Context())), "corrupt: the answer of NODE is not valid: it does not speak HTTP"+hint; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	c = node(t, answer(200, "<html>"))
	_, err := c.Status(t.Context())
	if got, want := explain(c, err), "corrupt: the answer of NODE is not valid: GET /v1/status: invalid character '<' looking for beginning of value"+hint; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	c = node(t, answer(200, "", "Content-Length", "99999999999"))
	_, err = c.Status(t.Context())
	if got, want := explain(c, err), "corrupt: the answer of NODE is not valid: 99999999999 bytes, at most 67108864 are taken"+hint; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// Each call has its verb and its path, with names quoted.
func TestRoutes(t *testing.T) {
	var got string
	c := node(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Method + " " + r.RequestURI
		fmt.Fprint(w, "{}")
	})
	ctx := t.Context()
	calls := map[string]func() error{
		"GET /v2/health/live":               func() error { return c.Live(ctx) },
		"GET /v2/health/ready":              func() error { return c.Ready(ctx) },
		"GET /v2/models/a%2Fb/ready":        func() error { return c.ModelReady(ctx, "a/b", "") },
		"GET /v2/models/m/versions/3/ready": func() error { return c.ModelReady(ctx, "m", "3") },
		"GET /v2/models/m":                  func() error { _, err := c.ModelMetadata(ctx, "m", ""); return err },
		"POST /v1/deployments":              func() error { _, err := c.Deploy(ctx, client.DeploymentRequest{Spec: []byte("{}")}); return err },
		"GET /v1/deployments/d-1":           func() error { _, err := c.Deployment(ctx, "d-1"); return err },
		"GET /v1/deployments":               func() error { _, err := c.Deployments(ctx, client.DeploymentQuery{}); return err },
		"POST /v1/deployments/d-1/cancel":   func() error { return c.Cancel(ctx, "d-1") },
		"GET /v1/models":                    func() error { _, err := c.Models(ctx); return err },
		"GET /v1/models/m":                  func() error { _, err := c.Model(ctx, "m"); return err },
		"DELETE /v1/models/m":               func() error { return c.Undeploy(ctx, "m") },
		"GET /v1/device":                    func() error { _, err := c.Device(ctx); return err },
		"GET /v1/runtimes":                  func() error { _, err := c.Runtimes(ctx); return err },
		"GET /v1/health":                    func() error { _, err := c.Health(ctx); return err },
		"GET /v1/status":                    func() error { _, err := c.Status(ctx); return err },
		"GET /v1/deployments?after=d&limit=5&model=m": func() error {
			_, err := c.Deployments(ctx, client.DeploymentQuery{Model: "m", Limit: 5, After: "d"})
			return err
		},
	}
	for want, call := range calls {
		if err := call(); err != nil || got != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
}
