package deploy

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"verge/client"
)

// What the tail of a log holds at most.
const (
	tailRecords = 200
	tailBytes   = 64 << 10
	tailText    = 4 << 10 // of one record's message, and of its attributes
)

// tail is the last records about one deployment.
type tail struct {
	mu      sync.Mutex // guards all below
	records []client.ReportRecord
	bytes   int
	seen    int // records, with those that are not kept any more
}

// weight is what a record counts for, in bytes.
func weight(r *client.ReportRecord) int {
	const frame = 64 // time, level and punctuation
	return frame + len(r.Message) + len(r.Attrs)
}

func (t *tail) add(r client.ReportRecord) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen++
	t.records = append(t.records, r)
	t.bytes += weight(&r)
	for len(t.records) > tailRecords || t.bytes > tailBytes {
		t.bytes -= weight(&t.records[0])
		t.records = t.records[1:]
	}
}

// snapshot returns what is kept, and how many there were.
func (t *tail) snapshot() (kept []client.ReportRecord, seen int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]client.ReportRecord(nil), t.records...), t.seen
}

// tails gives records of a log to the deployments that they are about: those with its
// deployment_id, or with the model and the version that it deploys.
type tails struct {
	mu    sync.Mutex // guards about
	about map[subject]*tail
}

// subject is what a record is about.
type subject struct {
	deployment string
	model      string
	version    string
}

// subjectsOf are what records about a deployment may name.
func subjectsOf(d *client.Deployment) [2]subject {
	return [2]subject{{deployment: d.ID}, {model: d.Model, version: strconv.Itoa(d.Version)}}
}

// follow gives t the records about a deployment, until ignore.
func (ts *tails) follow(d *client.Deployment, t *tail) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, s := range subjectsOf(d) {
		ts.about[s] = t
	}
}

func (ts *tails) ignore(d *client.Deployment) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, s := range subjectsOf(d) {
		delete(ts.about, s)
	}
}

// of returns the tail for records about s, or nil.
func (ts *tails) of(s subject) *tail {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.about[subject{deployment: s.deployment}]; t != nil && s.deployment != "" {
		return t
	}
	return ts.about[subject{model: s.model, version: s.version}]
}

// tailing passes records on to the handler of the node's log, and gives those about a
// deployment to its tail, whatever level the node logs.
type tailing struct {
	slog.Handler

	tails  *tails
	about  subject
	attrs  string // that With added, as text
	groups string // "a.b."
}

// Enabled implements slog.Handler: debug records are only kept where they are logged.
func (h *tailing) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, level) || level >= slog.LevelInfo && h.about != subject{}
}

// Handle implements slog.Handler.
func (h *tailing) Handle(ctx context.Context, r slog.Record) error {
	about, text := h.about, strings.Builder{}
	text.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		about.note(&text, h.groups, a)
		return true
	})
	if t := h.tails.of(about); t != nil {
		t.add(client.ReportRecord{
			Time: r.Time.UTC(), Level: r.Level.String(), Message: clip(r.Message, tailText), Attrs: clip(strings.TrimSpace(text.String()), tailText),
		})
	}
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *tailing) WithAttrs(attrs []slog.Attr) slog.Handler {
	next, text := *h, strings.Builder{}
	text.WriteString(h.attrs)
	for _, a := range attrs {
		next.about.note(&text, h.groups, a)
	}
	next.Handler, next.attrs = h.Handler.WithAttrs(attrs), text.String()
	return &next
}

// WithGroup implements slog.Handler.
func (h *tailing) WithGroup(name string) slog.Handler {
	next := *h
	next.Handler, next.groups = h.Handler.WithGroup(name), h.groups+name+"."
	return &next
}

// note takes what an attribute says of the subject; any other it writes as text.
func (s *subject) note(text *strings.Builder, groups string, a slog.Attr) {
	value := a.Value.Resolve().String()
	switch {
	case groups == "" && a.Key == "deployment_id":
		s.deployment = value
	case groups == "" && a.Key == "model":
		s.model = value
	case groups == "" && a.Key == "version":
		s.version = value
	default:
		if strings.ContainsAny(value, " =\"\n") || value == "" {
			value = strconv.Quote(value)
		}
		fmt.Fprintf(text, " %s%s=%s", groups, a.Key, value)
	}
}

// clip cuts a text to so many bytes, between two characters, and makes it valid UTF-8.
func clip(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
