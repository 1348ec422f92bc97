package manage_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"verge/client"
	"verge/internal/api/httpapi"
	"verge/internal/api/manage"
	"verge/internal/fault"
)

func digestOf(data string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(data))) }

func TestRefusals(t *testing.T) {
	n := start(t, nil)
	const nothing = `{"error":"no such path","kind":"not_found"}`
	allow := func(methods string) string {
		return `{"error":"method not allowed, want ` + methods + `","kind":"invalid"}`
	}
	bad := func(text string) string { return `{"error":"` + text + `","kind":"invalid"}` }
	for _, row := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"no path", "GET", "/v1", "", 404, nothing},
		{"an unknown path", "GET", "/v1/nothing", "", 404, nothing},
		{"a slash behind it", "GET", "/v1/models/", "", 404, nothing},
		{"two slashes", "GET", "/v1//models", "", 404, nothing},
		{"dots", "GET", "/v1/models/../status", "", 404, nothing},
		{"encoded dots", "GET", "/v1/models/%2e%2e", "", 404, nothing},
		{"an encoded dot", "GET", "/v1/models/%2e", "", 404, nothing},
		{"F01", "DELETE", "/v1/models/..%2F..%2Fetc", "", 404, nothing},
		{"a method", "PUT", "/v1/models", "{}", 405, allow("GET, HEAD")},
		{"a method of two", "PATCH", "/v1/deployments", "", 405, allow("GET, HEAD, POST")},
		{"a method of an artifact", "DELETE", "/v1/artifacts/" + digestOf("x"), "", 405, allow("HEAD, PUT")},
		{"an unknown deployment", "GET", "/v1/deployments/x", "", 404, `{"error":"no deployment \"x\" is known","kind":"not_found"}`},
		{"events of one", "GET", "/v1/deployments/x/events", "", 404, `{"error":"no deployment \"x\" is known","kind":"not_found"}`},
		{"an unknown model", "GET", "/v1/models/x", "", 404, `{"error":"unknown model \"x\"","kind":"not_found"}`},
		{"to undeploy it", "DELETE", "/v1/models/x", "", 404, `{"error":"unknown model \"x\"","kind":"not_found"}`},
		{"to cancel what has ended", "POST", "/v1/deployments/" + ended + "/cancel", "", 409, `{"error":"deployment \"` + ended + `\" has ended","kind":"conflict"}`},
		{"limit", "GET", "/v1/deployments?limit=4", "", 400, bad(`query parameter limit is \"4\", want a number from 0 to 3`)},
		{"a limit that is none", "GET", "/v1/deployments?limit=-1", "", 400, bad(`query parameter limit is \"-1\", want a number from 0 to 3`)},
		{"from", "GET", "/v1/deployments/" + ended + "/events?from=x", "", 400, bad(`query parameter from is \"x\", want a number from 0 to 9223372036854775807`)},
		{"no body", "POST", "/v1/deployments", "", 400, bad("the body is empty, want a JSON object")},
		{"half a body", "POST", "/v1/deployments", `{"spec":`, 400, bad("the body is not valid JSON: it ends too early")},
		{"no JSON", "POST", "/v1/deployments", `{spec}`, 400, bad("the body is not valid JSON: byte 2: invalid character 's' looking for beginning of object key string")},
		{"an array", "POST", "/v1/deployments", `[]`, 400, bad("the body is a JSON array, want an object")},
		{"a wrong type", "POST", "/v1/deployments", `{"artifacts":{"model":7}}`, 400, bad("member artifacts is a number, which it cannot be")},
		{"an unknown member", "POST", "/v1/deployments", `{"path":"/etc/passwd"}`, 400, bad(`the body has an unknown field \"path\"`)},
		{"more than an object", "POST", "/v1/deployments", `{} {}`, 400, bad("the body goes on behind its JSON object")},
		{"rubbish behind it", "POST", "/v1/deployments", `{} x`, 400, bad("the body is not valid JSON: byte 3: invalid character 'x' looking for beginning of value")},
		{"too much", "POST", "/v1/deployments", `{"spec":"` + strings.Repeat("x", 4096) + `"}`, 413, `{"error":"the body has more than 4096 bytes","kind":"too_large"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := n.ask(t, row.method, row.path, row.body)
			if got.status != row.status || got.body != row.want || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s is %+v\nwant %d %s", row.method, row.path, got, row.status, row.want)
			}
			if allowed := got.header.Get("Allow"); (allowed != "") != (row.status == 405) || allowed != "" && !strings.Contains(row.want, allowed) {
				t.Errorf("Allow is %q", allowed)
			}
		})
	}
	if text := n.log.String(); text != "" {
		t.Errorf("logged: %s", text)
	}
}

func TestAllProblemsOfADeploymentFileAreTold(t *testing.T) {
	n := start(t, nil)
	n.deployments.refuse = &fault.Error{
		Kind: fault.Invalid, Op: "deploy.submit", Hint: "Do.",
		Err: fault.Problems{{Path: "a", Line: 2, Message: "is 1"}, {Path: "b", Message: "is missing", Hint: "Add it."}},
	}
	got := n.ask(t, "POST", "/v1/deployments", `{"spec":{}}`)
	want := `{"error":"line 2: a: is 1\nb: is missing","kind":"invalid","hint":"Do.","problems":[{"path":"a","line":2,"message":"is 1"},{"path":"b","message":"is missing","hint":"Add it."}]}`
	if got.status != 400 || got.body != want {
		t.Errorf("answer %+v\nwant %s", got, want)
	}
}

func TestWhatNobodyClassifiedIsLoggedAndNotTold(t *testing.T) {
	n := start(t, nil)
	n.deployments.refuse = errors.New("open /secret: no")
	got := n.ask(t, "POST", "/v1/deployments", `{"spec":{}}`)
	if got.status != 500 || got.body != `{"error":"internal error","kind":"internal"}` {
		t.Errorf("answer %+v", got)
	}
	if text := n.log.String(); !strings.Contains(text, `level=ERROR msg="management request failed" method=POST path=/v1/deployments err="open /secret: no"`) {
		t.Errorf("logged %q", text)
	}
}

func TestDeployIsAcceptedWithItsLocation(t *testing.T) {
	n := start(t, nil)
	got := n.ask(t, "POST", "/v1/deployments", `{"spec":"text of a file","artifacts":{"model":"sha256:x"}}`)
	if got.status != http.StatusAccepted || got.header.Get("Location") != "/v1/deployments/"+running || !strings.HasPrefix(got.body, `{"id":"`+running+`"`) {
		t.Errorf("answer %+v", got)
	}
	if req := n.deployments.submitted[0]; string(req.Spec) != `"text of a file"` || req.Artifacts["model"] != "sha256:x" {
		t.Errorf("submitted %+v", req)
	}
}

func TestForbiddenRevealsNothing(t *testing.T) { // F10
	for _, path := range []string{"/v1", "/v1/models", "/v1/nothing"} {
		w := httptest.NewRecorder()
		manage.Forbidden(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		want := `{"error":"the management API is not served on this listener","kind":"unauthenticated","hint":"Use the node's Unix socket."}`
		if w.Code != http.StatusUnauthorized || w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestEventsComeAsLinesOrAsServerSentEvents(t *testing.T) {
	n := start(t, nil)
	const (
		first = `{"seq":1,"time":"2026-11-25T01:02:03Z","deployment":"` + ended + `","type":"phase","phase":"gating"}`
		last  = `{"seq":3,"time":"2026-11-25T01:02:03Z","deployment":"` + ended + `","type":"end","phase":"failed","message":"line 1\nline 2","error":{"kind":"invalid","message":"no","hint":"Do.","problems":[{"path":"a","line":1,"message":"m","hint":"h"}]}}`
	)
	const path = "/v1/deployments/" + ended + "/events"
	got := n.ask(t, "GET", path, "")
	lines := strings.Split(got.body, "\n")
	if got.status != 200 || got.header.Get("Content-Type") != "application/x-ndjson" || len(lines) != 4 || lines[0] != first || lines[2] != last || lines[3] != "" {
		t.Errorf("answer %+v", got)
	}
	for name, got := range map[string]answer{
		"from":          n.ask(t, "GET", path+"?from=3", "", "Accept: text/event-stream"),
		"Last-Event-ID": n.ask(t, "GET", path, "", "Accept: text/event-stream", "Last-Event-ID: 2"),
	} {
		want := "id: 3\nevent: end\ndata: " + last + "\n\n"
		if got.body != want || got.header.Get("Content-Type") != "text/event-stream" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: answer %+v\nwant %s", name, got, want)
		}
	}
	if got := n.ask(t, "HEAD", "/v1/deployments/"+running+"/events", ""); got.status != 200 {
		t.Errorf("HEAD is %+v", got)
	}
}

func TestEventsComeAsTheyHappenAndOutliveTheWriteTimeout(t *testing.T) {
	n := start(t, func(cfg *httpapi.Config, parts *manage.Node) {
		cfg.WriteTimeout = 50 * time.Millisecond
		parts.Deployments = late{&deployments{}}
	})
	got := n.ask(t, "GET", "/v1/deployments/"+ended+"/events", "")
	if got.status != 200 || strings.Count(got.body, "\n") != 3 {
		t.Errorf("answer %+v, want three events", got)
	}
}

// late has a pause before each event.
type late struct{ *deployments }

func (l late) Events(ctx context.Context, id string, from uint64, fn func(client.Event) error) error {
	return l.deployments.Events(ctx, id, from, func(e client.Event) error {
		<-time.After(100 * time.Millisecond)
		return fn(e)
	})
}

func TestAFollowerThatLeavesEndsItsEvents(t *testing.T) {
	n := start(t, nil)
	conn := n.dial(t)
	io.WriteString(conn, "GET /v1/deployments/"+running+"/events HTTP/1.1\r\nHost: x\r\n\r\n")
	buf := make([]byte, 1)
	if _, err := conn.Read(buf); err != nil {
		t.Fatal(err)
	}
	conn.Close() // or else Shutdown, and so the test, would not end
}

func TestUploads(t *testing.T) {
	n := start(t, nil)
	data := strings.Repeat("0123456789", 100)
	path := "/v1/artifacts/" + digestOf(data)
	put := func(body, contentRange string) answer {
		t.Helper()
		if contentRange == "" {
			return n.ask(t, "PUT", path, body)
		}
		return n.ask(t, "PUT", path, body, "Content-Range: "+contentRange)
	}
	if got := n.ask(t, "HEAD", path, ""); got.status != 404 || got.header.Get("Upload-Offset") != "0" {
		t.Errorf("HEAD before: %+v", got)
	}
	for _, text := range []string{
		"bytes 0-9/1000", "bytes 990-999/999", "bytes 1-1000/1000", "bytes +0-999/1000", "bytes 0-999/*", "items 0-999/1000",
		"bytes=0-999/1000", "bytes 0-999", "bytes 9223372036854775807-0/1", "bytes 0-9223372036854775807/9223372036854775808",
	} {
		want := fmt.Sprintf(`{"error":"Content-Range is \"%s\" for 1000 bytes, want bytes FIRST-LAST/TOTAL that ends with the last byte","kind":"invalid"}`, text)
		if got := put(data, text); got.status != 400 || got.body != want {
			t.Errorf("%s: %+v\nwant %s", text, got, want)
		}
	}
	const length = `{"error":"an upload names its length (Content-Length), and it is 1 byte or more","kind":"invalid"}`
	if got := n.ask(t, "PUT", path, "", "Content-Length: 0"); got.status != 400 || got.body != length {
		t.Errorf("an empty upload: %+v", got)
	}
	if got := n.ask(t, "PUT", path, "", "Transfer-Encoding: chunked"); got.status != 400 || got.body != length {
		t.Errorf("an upload in chunks: %+v", got)
	}

	conn := n.dial(t) // an upload that is cut
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n%s", path, data[:400])
	conn.CloseWrite()
	got := receive(t, conn, "PUT")
	if got.status != 400 || !strings.Contains(got.body, `the upload ended after 400 of 1000 bytes","kind":"invalid"}`) {
		t.Errorf("a cut upload: %+v", got)
	}
	if head := n.ask(t, "HEAD", path, ""); head.status != 404 || head.header.Get("Upload-Offset") != "400" {
		t.Errorf("HEAD after a cut: %+v", head)
	}
	got = put(data, "")
	if got.status != http.StatusConflict || got.header.Get("Upload-Offset") != "400" ||
		!strings.Contains(got.body, `the upload begins at byte 0, the store has 400 bytes of it","kind":"conflict"`) {
		t.Errorf("from the start again: %+v", got)
	}
	if got := put(data[400:], "bytes 400-999/1000"); got.status != http.StatusCreated || got.body != "" {
		t.Errorf("the rest: %+v", got)
	}
	if got := n.ask(t, "HEAD", path, ""); got.status != 200 || got.header.Get("Content-Length") != "1000" {
		t.Errorf("HEAD after: %+v", got)
	}
	if got := put(data, ""); got.status != http.StatusCreated {
		t.Errorf("once more: %+v", got)
	}
	if got := n.ask(t, "PUT", "/v1/artifacts/"+digestOf("x"), "y"); got.status != 422 || !strings.Contains(got.body, `"kind":"corrupt"`) {
		t.Errorf("other bytes: %+v", got)
	}
	if got := n.ask(t, "PUT", "/v1/artifacts/"+digestOf("y"), strings.Repeat("y", 1<<20)); got.status != 507 || !strings.Contains(got.body, `"kind":"exhausted"`) {
		t.Errorf("over the budget: %+v", got)
	}
	if got := n.ask(t, "PUT", "/v1/artifacts/sha256:x", "x"); got.status != 400 {
		t.Errorf("no digest: %+v", got)
	}
	if text := n.log.String(); text != "" {
		t.Errorf("logged: %s", text)
	}
}

func TestARefusalOfAnUploadComesBeforeItsBytes(t *testing.T) {
	n := start(t, nil)
	for _, length := range []int{1000, 10 << 20} {
		path := "/v1/artifacts/" + digestOf("z")
		got := n.raw(t, "PUT", fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nContent-Range: bytes 7-%d/%d\r\nExpect: 100-continue\r\n\r\n", path, length, length+6, length+7))
		if got.status != http.StatusConflict || !got.close {
			t.Errorf("%d bytes: %+v, want 409 and the end of the connection", length, got)
		}
	}
}

func TestASlowBodyIsA408(t *testing.T) {
	n := start(t, func(cfg *httpapi.Config, _ *manage.Node) { cfg.BodyTimeout = 50 * time.Millisecond })
	const want = `{"error":"the body came too slowly: no byte for 50ms, or below 4096 bytes a second","kind":"deadline"}`
	for _, text := range []string{
		"POST /v1/deployments HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{",
		"PUT /v1/artifacts/" + digestOf("x") + " HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\nx",
	} {
		got := n.raw(t, "POST", text)
		if got.status != http.StatusRequestTimeout || got.body != want {
			t.Errorf("answer %+v\nwant 408 %s", got, want)
		}
	}
	if text := n.log.String(); text != "" {
		t.Errorf("logged: %s", text)
	}
}

// An upload may last longer than any one time-out, as long as its bytes come.
func TestALongUploadIsAnswered(t *testing.T) {
	n := start(t, func(cfg *httpapi.Config, _ *manage.Node) {
		cfg.BodyTimeout, cfg.WriteTimeout, cfg.BodyMinRate = 100*time.Millisecond, 50*time.Millisecond, 10
	})
	conn := n.dial(t)
	const data = "0123456789"
	fmt.Fprintf(conn, "PUT /v1/artifacts/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", digestOf(data), len(data))
	for i := range len(data) {
		<-time.After(25 * time.Millisecond)
		io.WriteString(conn, data[i:i+1])
	}
	if got := receive(t, conn, "PUT"); got.status != http.StatusCreated {
		t.Errorf("answer %+v", got)
	}
}
