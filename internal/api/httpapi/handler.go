package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"verge/internal/api"
	"verge/internal/fault"
	"verge/internal/oip"
	"verge/internal/version"
)

// Handler serves every path below /v2.
type Handler struct {
	cfg     Config
	models  Models
	log     *slog.Logger
	buffers sync.Pool // of *buffer
}

// New returns a Handler. cfg is valid.
func New(cfg Config, models Models, log *slog.Logger) *Handler {
	return &Handler{cfg: cfg, models: models, log: log, buffers: sync.Pool{New: func() any { return new(buffer) }}}
}

// endpoint is what a path stands for.
type endpoint struct {
	method         string
	serve          func(*Handler, http.ResponseWriter, *http.Request, endpoint) error
	model, version string
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, ok := find(r.URL.EscapedPath())
	switch {
	case !ok:
		h.fail(w, r, api.NoSuchPath())
	case e.method == http.MethodGet && r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.fail(w, r, api.MethodNotAllowed("GET, HEAD"))
	case e.method == http.MethodPost && r.Method != http.MethodPost:
		h.fail(w, r, api.MethodNotAllowed("POST"))
	default:
		if err := e.serve(h, w, r, e); err != nil {
			h.fail(w, r, err)
		}
	}
}

// fail answers with an error, and logs what the client is not told.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if !api.Classified(err) {
		h.log.Error("request failed", "path", r.URL.Path, "err", err)
	}
	api.WriteError(w, err)
}

// find is the table of paths. It works on the escaped path, so that a slash inside
// a name stays one; nothing is redirected.
func find(path string) (endpoint, bool) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, part := range parts {
		text, err := url.PathUnescape(part)
		if err != nil {
			return endpoint{}, false
		}
		parts[i] = text
	}
	if parts[0] != "v2" {
		return endpoint{}, false
	}
	get := func(serve func(*Handler, http.ResponseWriter, *http.Request, endpoint) error) (endpoint, bool) {
		return endpoint{method: http.MethodGet, serve: serve}, true
	}
	switch rest := parts[1:]; {
	case len(rest) == 0 || len(rest) == 1 && rest[0] == "":
		return get((*Handler).serverMetadata)
	case len(rest) == 2 && rest[0] == "health" && rest[1] == "live":
		return get((*Handler).live)
	case len(rest) == 2 && rest[0] == "health" && rest[1] == "ready":
		return get((*Handler).ready)
	case len(rest) == 1 && rest[0] == "models":
		return get((*Handler).listModels)
	case len(rest) >= 2 && rest[0] == "models":
		return findModel(rest[1], rest[2:])
	}
	return endpoint{}, false
}

// findModel is the table of paths below /v2/models/{name}.
func findModel(model string, rest []string) (endpoint, bool) {
	e := endpoint{method: http.MethodGet, model: model}
	if len(rest) >= 2 && rest[0] == "versions" {
		e.version, rest = rest[1], rest[2:]
		if e.version == "" {
			return endpoint{}, false
		}
	}
	switch {
	case len(rest) == 0:
		e.serve = (*Handler).modelMetadata
	case len(rest) == 1 && rest[0] == "ready":
		e.serve = (*Handler).modelReady
	case len(rest) == 1 && rest[0] == "config":
		e.serve = (*Handler).modelConfig
	case len(rest) == 1 && rest[0] == "infer":
		e.method, e.serve = http.MethodPost, (*Handler).infer
	default:
		return endpoint{}, false
	}
	return e, true
}

// answer writes one JSON document.
func (h *Handler) answer(w http.ResponseWriter, document any) error {
	text, err := json.Marshal(document)
	if err != nil {
		return fault.New(fault.Internal, "httpapi.answer", "encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // an error means that the client has gone
	return nil
}

func (h *Handler) serverMetadata(w http.ResponseWriter, _ *http.Request, _ endpoint) error {
	return h.answer(w, oip.ServerMetadata{Name: "verge", Version: version.Version, Extensions: oip.Extensions()})
}

func (h *Handler) live(w http.ResponseWriter, _ *http.Request, _ endpoint) error {
	return h.answer(w, map[string]bool{"live": true})
}

func (h *Handler) ready(w http.ResponseWriter, _ *http.Request, _ endpoint) error {
	if err := h.models.Ready(); err != nil {
		return err
	}
	return h.answer(w, map[string]bool{"ready": true})
}

// listModels is KServe's; the names are those that answer or will.
func (h *Handler) listModels(w http.ResponseWriter, _ *http.Request, _ endpoint) error {
	names := []string{}
	for _, entry := range h.models.Models() {
		names = append(names, entry.Model)
	}
	return h.answer(w, map[string][]string{"models": names})
}

func (h *Handler) modelReady(w http.ResponseWriter, _ *http.Request, e endpoint) error {
	v, err := h.models.Resolve(e.model, e.version)
	if err == nil {
		err = v.Ready()
	}
	if err != nil {
		return err
	}
	return h.answer(w, struct {
		Name  string `json:"name"`
		Ready bool   `json:"ready"`
	}{e.model, true})
}

func (h *Handler) modelMetadata(w http.ResponseWriter, _ *http.Request, e endpoint) error {
	v, err := h.models.Resolve(e.model, e.version)
	if err != nil {
		return err
	}
	return h.answer(w, oip.NewModelMetadata(e.model, v.Number(), v.Info().Runtime, v.Signature()))
}

func (h *Handler) modelConfig(w http.ResponseWriter, _ *http.Request, e endpoint) error {
	v, err := h.models.Resolve(e.model, e.version)
	if err != nil {
		return err
	}
	return h.answer(w, oip.NewModelConfig(e.model, v.Info().Runtime, v.BatchSize(), v.Signature()))
}
