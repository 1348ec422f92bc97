package manage

import (
	"log/slog"
	"net/http"
	"path"
	"strings"

	"verge/client"
	"verge/internal/api"
	"verge/internal/fault"
	"verge/internal/report"
)

// Prefix is the path below which everything of this package lies.
const Prefix = "/v1"

// API is the handler of /v1.
type API struct {
	cfg  Config
	node Node
	log  *slog.Logger
	mux  *http.ServeMux
}

// route is one operation. The table of routes is the only place that names a path.
type route struct {
	method, path string
	id, summary  string // operationId and summary in the OpenAPI document
	serve        func(*API, http.ResponseWriter, *http.Request) error
	body         any // zero value of the request's type; nil for none, raw for bytes
	answer       any // zero value of the answer's type; nil for none, stream for events, document for any object
	status       int // of a success
	parameters   []parameter
	forms        []string // media types that the answer can have beside JSON
}

// parameter is what a request may say beside its path and body. in is "query" or
// "header".
type parameter struct{ in, name, kind, summary string }

// raw stands for a body that is bytes, not JSON.
type raw struct{}

// stream stands for an answer of one JSON object a line, or of server-sent events.
type stream struct{ of any }

// document stands for an answer that is any JSON object.
type document struct{}

func routes() []route {
	const (
		artifact   = Prefix + "/artifacts/{digest}"
		deployment = Prefix + "/deployments/{id}"
		model      = Prefix + "/models/{model}"
	)
	return []route{
		{method: http.MethodHead, path: artifact, id: "headArtifact", summary: "Tell whether the node holds an artifact; 404 with Upload-Offset where an upload was cut", serve: (*API).headArtifact, status: http.StatusOK},
		{
			method: http.MethodPut, path: artifact, id: "putArtifact", summary: "Upload an artifact, or go on with an upload that was cut; 409 with Upload-Offset where it was cut elsewhere", serve: (*API).putArtifact,
			body: raw{}, status: http.StatusCreated,
			parameters: []parameter{{"header", "Content-Range", "string", "bytes FIRST-LAST/TOTAL, which ends with the last byte; without it, the body is the whole"}},
		},
		{
			method: http.MethodGet, path: Prefix + "/deployments", id: "listDeployments", summary: "List deployments, the newest first", serve: (*API).listDeployments,
			answer: client.DeploymentList{}, status: http.StatusOK,
			parameters: []parameter{
				{"query", "model", "string", "only those of this model"},
				{"query", "limit", "integer", "at most so many"},
				{"query", "after", "string", "only those older than the deployment with this id"},
			},
		},
		{method: http.MethodPost, path: Prefix + "/deployments", id: "deploy", summary: "Begin a deployment", serve: (*API).deploy, body: client.DeploymentRequest{}, answer: client.Deployment{}, status: http.StatusAccepted},
		{method: http.MethodGet, path: deployment, id: "getDeployment", summary: "Show a deployment with its verdicts", serve: (*API).getDeployment, answer: client.Deployment{}, status: http.StatusOK},
		{
			method: http.MethodGet, path: deployment + "/events", id: "followDeployment", summary: "Follow what happens in a deployment until it ends, as NDJSON, or as server-sent events where the request accepts text/event-stream", serve: (*API).followDeployment,
			answer: stream{of: client.Event{}}, status: http.StatusOK,
			parameters: []parameter{
				{"query", "from", "integer", "the number of the first event to send"},
				{"header", "Last-Event-ID", "integer", "the number of the last event that is not to be sent again, where from is not given"},
			},
		},
		{
			method: http.MethodGet, path: deployment + "/report", id: "getReport", summary: "Show all that is kept of a deployment, as JSON or in another form", serve: (*API).getReport,
			answer: client.Report{}, status: http.StatusOK, parameters: []parameter{{"query", "format", "string", "json (the default), text, junit or html"}},
			forms: []string{mediaType(report.Text), mediaType(report.JUnit), mediaType(report.HTML)},
		},
		{method: http.MethodPost, path: deployment + "/cancel", id: "cancelDeployment", summary: "End a deployment that has not switched", serve: (*API).cancelDeployment, status: http.StatusNoContent},
		{method: http.MethodGet, path: Prefix + "/models", id: "listModels", summary: "Show the status of every model", serve: (*API).listModels, answer: client.ModelList{}, status: http.StatusOK},
		{method: http.MethodGet, path: model, id: "getModel", summary: "Show the status of one model", serve: (*API).getModel, answer: client.ModelStatus{}, status: http.StatusOK},
		{method: http.MethodDelete, path: model, id: "undeploy", summary: "Take a model out of service", serve: (*API).undeploy, status: http.StatusNoContent},
		{method: http.MethodPost, path: model + "/rollback", id: "rollback", summary: "Begin to serve an earlier version again", serve: (*API).rollback, body: client.RollbackRequest{}, answer: client.Deployment{}, status: http.StatusAccepted},
		{method: http.MethodPost, path: model + "/promote", id: "promote", summary: "Deploy the version of a lower stage to a higher one", serve: (*API).promote, body: client.PromoteRequest{}, answer: client.Deployment{}, status: http.StatusAccepted},
		{
			method: http.MethodPost, path: model + "/test", id: "test", summary: "Test what serves again, and follow that as NDJSON, or as server-sent events where the request accepts text/event-stream", serve: (*API).test,
			answer: stream{of: client.Event{}}, status: http.StatusOK,
		},
		{
			method: http.MethodPost, path: model + "/shadow", id: "shadow", summary: "Compare a version with the one that clients ask on what they ask, and follow that as NDJSON, or as server-sent events where the request accepts text/event-stream", serve: (*API).shadow,
			body: client.ShadowRequest{}, answer: stream{of: client.Event{}}, status: http.StatusOK,
		},
		{
			method: http.MethodGet, path: model + "/export", id: "exportModel", summary: "Write a version that is kept, with its deployment file and report, as one tar archive", serve: (*API).export, answer: raw{}, status: http.StatusOK,
			parameters: []parameter{{"query", "version", "integer", "without it, the one that serves"}},
		},
		{method: http.MethodPost, path: model + "/pin", id: "pin", summary: "Keep a version with all its files, or no longer", serve: (*API).pin, body: client.PinRequest{}, status: http.StatusNoContent},
		{
			method: http.MethodGet, path: Prefix + "/audit", id: "listAudit", summary: "List who changed what, the oldest first; the entries are chained by their hashes, which the node does not verify", serve: (*API).listAudit,
			answer: client.AuditPage{}, status: http.StatusOK,
			parameters: []parameter{
				{"query", "after", "integer", "only those behind the entry with this sequence"},
				{"query", "limit", "integer", "at most so many"},
			},
		},
		{method: http.MethodGet, path: Prefix + "/device", id: "getDevice", summary: "Show what the node runs on", serve: (*API).getDevice, answer: client.Device{}, status: http.StatusOK},
		{method: http.MethodGet, path: Prefix + "/runtimes", id: "listRuntimes", summary: "Show the inference libraries that the node found", serve: (*API).listRuntimes, answer: client.RuntimeList{}, status: http.StatusOK},
		{method: http.MethodGet, path: Prefix + "/health", id: "getHealth", summary: "Show the last result of the health checks", serve: (*API).getHealth, answer: client.HealthStatus{}, status: http.StatusOK},
		{method: http.MethodGet, path: Prefix + "/status", id: "getStatus", summary: "Show everything that the node tells about itself", serve: (*API).getStatus, answer: client.Status{}, status: http.StatusOK},
		{method: http.MethodGet, path: Prefix + "/openapi.json", id: "getOpenAPI", summary: "Show this document", serve: (*API).getOpenAPI, answer: document{}, status: http.StatusOK},
	}
}

// New returns the handler of every path below Prefix. cfg is valid.
func New(cfg Config, node Node, log *slog.Logger) *API {
	a := &API{cfg: cfg, node: node, log: log, mux: http.NewServeMux()}
	allowed := map[string][]string{}
	for _, r := range routes() {
		a.handle(r.method+" "+r.path, r.serve)
		allowed[r.path] = append(allowed[r.path], r.method)
		if r.method == http.MethodGet {
			allowed[r.path] = append(allowed[r.path], http.MethodHead) // a pattern with GET takes both
		}
	}
	for path, methods := range allowed {
		a.handle(path, func(*API, http.ResponseWriter, *http.Request) error {
			return api.MethodNotAllowed(strings.Join(methods, ", "))
		})
	}
	a.handle("/", func(*API, http.ResponseWriter, *http.Request) error { return api.NoSuchPath() })
	return a
}

// handle registers a function whose error is the answer.
func (a *API) handle(pattern string, serve func(*API, http.ResponseWriter, *http.Request) error) {
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := serve(a, w, r); err != nil {
			a.fail(w, r, err)
		}
	})
}

// ServeHTTP implements http.Handler. A path that is not in its shortest form is
// not found, rather than redirected.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != path.Clean(r.URL.Path) {
		a.fail(w, r, api.NoSuchPath())
		return
	}
	a.mux.ServeHTTP(w, r)
}

// Forbidden answers every request with 401, and reveals nothing: for listeners
// on which the management API is not served.
func Forbidden(w http.ResponseWriter, _ *http.Request) {
	api.WriteManagementError(w, fault.New(fault.Unauthenticated, "manage.serve", "the management API is not served on this listener").
		WithHint("Use the node's Unix socket."))
}

// fail answers with an error. What the answer does not tell is logged.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	if !api.Classified(err) {
		a.log.Error("management request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	api.WriteManagementError(w, err)
}
