package httpapi_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"verge/internal/api/httpapi"
	"verge/internal/serve"
)

// FuzzRequest sends any path, headers and body: the answer is a success, or an error
// that is the client's, in the protocol's form, and no slot stays behind.
func FuzzRequest(f *testing.F) {
	for _, path := range []string{"/v2", "/v2/models/m", "/v2/models/any/versions/1/infer", "/v2/models/m/infer", "/v2//", "/v2/models/..%2F..", "/%76%32/%"} {
		f.Add("GET", path, "", "", []byte(nil))
		f.Add("POST", path, "", "", []byte(good))
		f.Add("POST", path, "75", "", []byte(good))
		f.Add("POST", path, "0", "deflate", []byte(zlibbed("abc")))
		f.Add("POST", path, "75", "gzip", []byte(gzipped(good)))
		f.Add("POST", path, "88", "", []byte(binaryIn("FP32", "[2,2]", "16")+"1234567890123456"))
	}
	limits := serve.Default()
	limits.SlotsPerThread = 1
	server := serve.New(limits, slog.New(slog.DiscardHandler))
	var versions []*serve.Version
	for name, session := range models() {
		v, err := server.Add(serve.Spec{Model: name, Version: 1, Session: session, BatchSize: 1 << 20})
		if err != nil {
			f.Fatal(err)
		}
		server.Activate(v)
		versions = append(versions, v)
	}
	handler := httpapi.New(config(), server, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, method, path, frame, encoding string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
		u, err := r.URL.Parse("http://x" + path)
		if err != nil {
			t.Skip() // net/http answers
		}
		r.URL, r.Method = u, method
		if frame != "" {
			r.Header.Set("Inference-Header-Content-Length", frame)
		}
		if encoding != "" {
			r.Header.Set("Content-Encoding", encoding)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Errorf("%s %q is answered %d %s", method, path, w.Code, w.Body)
		}
		if w.Code >= 400 {
			var refusal map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &refusal); err != nil || len(refusal) != 1 || refusal["error"] == "" {
				t.Errorf("%s %q: the error is %q", method, path, w.Body)
			}
		}
		for _, v := range versions {
			if st := v.Status(); st.InFlight != 0 {
				t.Errorf("%s %q left %d requests of %s", method, path, st.InFlight, v)
			}
		}
	})
}
