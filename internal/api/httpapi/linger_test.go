package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// A client such as Python's urllib sends all of its body before it looks at the
// answer, and says that the connection is to be closed.
func TestARefusalReachesAClientThatIsStillSending(t *testing.T) {
	const size = 16 << 20 // more than sockets hold
	cfg := config()
	cfg.BodyTimeout = time.Minute
	n := start(t, cfg, models(), nil)
	body := strings.Repeat(" ", size)
	for name, c := range map[string]struct {
		text   string
		status int
	}{
		"unknown model, to be closed": {post("nobody", body, "Connection: close"), http.StatusNotFound},
		"unknown model, kept alive":   {post("nobody", body), http.StatusNotFound},
		"unknown model, in chunks":    {chunked("nobody", body), http.StatusNotFound},
		"wrong content type":          {post("m", body, "Connection: close", "Content-Type: text/xml"), http.StatusUnsupportedMediaType},
		"too large":                   {post("m", body, "Connection: close"), http.StatusRequestEntityTooLarge},
		"no such path":                {strings.Replace(post("m", body, "Connection: close"), "/v2/", "/v3/", 1), http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			w := n.dial(t)
			w.send(t, c.text) // fails where the node resets the connection
			if got := w.receive(t, "POST"); got.status != c.status || !got.close {
				t.Errorf("answer %+v, want %d and the end of the connection", got, c.status)
			}
			w.ended(t)
		})
	}
}

func TestTheRestOfARefusedBodyIsNotAwaitedForLong(t *testing.T) {
	cfg := config()
	cfg.BodyTimeout = short
	n := start(t, cfg, models(), nil)
	w := n.dial(t)
	w.send(t, strings.Replace(post("nobody", "{"), "Content-Length: 1", "Content-Length: 9000000", 1))
	if got := w.receive(t, "POST"); got.status != http.StatusNotFound {
		t.Errorf("answer %+v, want 404", got)
	}
	w.ended(t)
}
