package cli_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"verge/client"
)

// began is when everything in a fake node begins.
func began() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// fakeNode answers /v1 and /v2 at a Unix socket as a node does, from a script.
type fakeNode struct {
	address string

	// The deployment that any request begins.
	deployment client.Deployment
	script     func(s *stream) // the events; nil for none
	cancelKind string          // with which a cancellation is refused; "" takes it
	refuse     any             // body of a 400 for every deployment

	version string // that it says it is; "" for a node that does not say

	// What is served.
	status  client.Status
	inputs  []client.TensorMetadata
	outputs string // JSON of the outputs
	blob    []byte // behind it, for outputs in binary

	canceled chan struct{} // closed by a cancellation

	mu        sync.Mutex        // guards all below
	artifacts map[string][]byte // by digest
	request   client.DeploymentRequest
	asked     inferRequest
	undeploys []string

	deployments []client.Deployment // that are listed, the newest first
	changes     []string            // rollbacks and pins, with their bodies

	report   client.Report       // of any deployment
	exported []byte              // of any version; nil for none
	audit    []client.AuditEntry // chained, the oldest first
}

// inferRequest is what a client sent, as far as tests look.
type inferRequest struct {
	Path   string
	Inputs []struct {
		Name     string  `json:"name"`
		Datatype string  `json:"datatype"`
		Shape    []int64 `json:"shape"`
	} `json:"inputs"`
	Parameters map[string]any `json:"parameters"`
	Data       []byte         `json:"-"`
}

// stream is one connection of a follower.
type stream struct {
	*fakeNode

	gone  <-chan struct{} // closed when the follower has gone
	from  uint64
	seq   uint64
	write func(client.Event)
}

// send sends an event at so many seconds after the beginning, unless it is from
// before what was asked for.
func (s *stream) send(seconds float64, e client.Event) {
	s.seq++
	e.Seq, e.Deployment, e.Time = s.seq, s.deployment.ID, began().Add(time.Duration(seconds*float64(time.Second)))
	if e.Seq >= s.from {
		s.write(e)
	}
}

// await returns when something has happened, or the follower has gone.
func (s *stream) await(happened <-chan struct{}) {
	select {
	case <-happened:
	case <-s.gone:
	}
}

func (s *stream) phase(seconds float64, p client.Phase) {
	s.send(seconds, client.Event{Type: client.EventPhase, Phase: p})
}

// start opens the socket, until the test ends.
func (n *fakeNode) start(t *testing.T) *fakeNode {
	t.Helper()
	dir, err := os.MkdirTemp("", "verge-cli-") //nolint:usetesting // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	n.address, n.artifacts, n.canceled = "unix:"+path, map[string][]byte{}, make(chan struct{})
	server := httptest.NewUnstartedServer(n.routes())
	server.Listener.Close() // replaced
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return n
}

// listDeployments answers with two deployments a page.
func (n *fakeNode) listDeployments(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit, _ := strconv.Atoi(query.Get("limit"))
	page := client.DeploymentList{Deployments: []client.Deployment{}}
	seen := query.Get("after") == ""
	for _, d := range n.deployments {
		if seen && (query.Get("model") == "" || query.Get("model") == d.Model) {
			if len(page.Deployments) == min(2, limit) {
				page.Next = page.Deployments[len(page.Deployments)-1].ID
				break
			}
			page.Deployments = append(page.Deployments, d)
		}
		seen = seen || d.ID == query.Get("after")
	}
	answer(w, 200, page)
}

func (n *fakeNode) routes() http.Handler {
	mux := http.NewServeMux()
	if n.version != "" {
		mux.HandleFunc("GET /v2", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 200, client.ServerMetadata{Name: "verge", Version: n.version})
		})
	}
	mux.HandleFunc("HEAD /v1/artifacts/{digest}", n.headArtifact)
	mux.HandleFunc("PUT /v1/artifacts/{digest}", n.putArtifact)
	mux.HandleFunc("POST /v1/deployments", n.postDeployment)
	mux.HandleFunc("GET /v1/deployments", n.listDeployments)
	mux.HandleFunc("GET /v1/deployments/{id}", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, n.deployment) })
	mux.HandleFunc("GET /v1/deployments/{id}/events", func(w http.ResponseWriter, r *http.Request) { n.events(w, r) })
	mux.HandleFunc("POST /v1/deployments/{id}/cancel", func(w http.ResponseWriter, _ *http.Request) {
		if n.cancelKind != "" {
			answer(w, http.StatusConflict, map[string]string{"error": "deployment has switched already", "kind": n.cancelKind})
			return
		}
		close(n.canceled)
		answer(w, 202, struct{}{})
	})
	n.routeReports(mux)
	mux.HandleFunc("POST /v1/models/{model}/test", func(w http.ResponseWriter, r *http.Request) { n.events(w, r) })
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, n.status) })
	mux.HandleFunc("GET /v1/models/{model}", func(w http.ResponseWriter, r *http.Request) {
		for _, m := range n.status.Models {
			if m.Model == r.PathValue("model") {
				answer(w, 200, m)
				return
			}
		}
		answer(w, 404, map[string]string{"error": `model "` + r.PathValue("model") + `" is not deployed`, "kind": "not_found", "hint": "verge status lists the models that are."})
	})
	mux.HandleFunc("GET /v1/models/{model}/export", func(w http.ResponseWriter, r *http.Request) {
		if n.exported == nil {
			answer(w, 404, map[string]string{"error": "version " + r.URL.Query().Get("version") + " of " + r.PathValue("model") + " is not kept", "kind": "not_found", "hint": "These are: digits@2."})
			return
		}
		n.mu.Lock()
		n.changes = append(n.changes, r.PathValue("model")+" export "+r.URL.RawQuery)
		n.mu.Unlock()
		w.Write(n.exported) // the client sees it
	})
	mux.HandleFunc("POST /v1/models/{model}/{what}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n.mu.Lock()
		n.changes = append(n.changes, r.PathValue("model")+" "+r.PathValue("what")+" "+string(body))
		n.mu.Unlock()
		if r.PathValue("what") == "pin" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, 202, n.deployment)
	})
	mux.HandleFunc("DELETE /v1/models/{model}", func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.undeploys = append(n.undeploys, r.PathValue("model"))
		w.WriteHeader(http.StatusNoContent)
	})
	for _, path := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			answer(w, 200, client.ModelMetadata{Name: r.PathValue("model"), Versions: []string{"1", "2"}, Platform: "onnx", Inputs: n.inputs})
		})
		mux.HandleFunc("POST "+path+"/infer", n.infer)
	}
	return mux
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // the client sees it
}

func (n *fakeNode) headArtifact(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.artifacts[r.PathValue("digest")]; !ok {
		w.WriteHeader(http.StatusNotFound)
	}
}

func (n *fakeNode) putArtifact(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	sum := sha256.Sum256(data)
	if digest := "sha256:" + hex.EncodeToString(sum[:]); err != nil || digest != r.PathValue("digest") {
		answer(w, 422, map[string]string{"error": "its bytes have " + digest, "kind": "corrupt"})
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.artifacts[r.PathValue("digest")] = data
	w.WriteHeader(http.StatusCreated)
}

func (n *fakeNode) postDeployment(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := json.NewDecoder(r.Body).Decode(&n.request); err != nil || n.refuse != nil {
		answer(w, 400, n.refuse)
		return
	}
	answer(w, 202, n.deployment)
}

func (n *fakeNode) events(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.ParseUint(r.URL.Query().Get("from"), 10, 64)
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	s := &stream{fakeNode: n, gone: r.Context().Done(), from: from, write: func(e client.Event) {
		encoder.Encode(e)                     // the client has gone
		http.NewResponseController(w).Flush() // the client has gone
	}}
	n.script(s)
}

func (n *fakeNode) infer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	length, _ := strconv.Atoi(r.Header.Get("Inference-Header-Content-Length"))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = inferRequest{}
	if err == nil {
		err = json.Unmarshal(body[:length], &n.asked)
	}
	if err != nil {
		answer(w, 400, map[string]string{"error": err.Error()})
		return
	}
	n.asked.Path, n.asked.Data = r.URL.Path, body[length:]
	version := r.PathValue("version")
	if version == "" {
		version = "1"
	}
	header, err := json.Marshal(map[string]any{"model_name": r.PathValue("model"), "model_version": version, "outputs": json.RawMessage(n.outputs)})
	if err != nil {
		answer(w, 500, map[string]string{"error": err.Error()})
		return
	}
	if n.blob != nil {
		w.Header().Set("Inference-Header-Content-Length", strconv.Itoa(len(header)))
	}
	w.Write(append(header, n.blob...)) // the client sees it
}
