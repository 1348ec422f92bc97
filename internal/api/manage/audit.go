package manage

import (
	"math"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"strings"

	"verge/client"
	"verge/internal/api"
	"verge/internal/fault"
	"verge/internal/report"
)

// actor is who sent a request: this process itself, or the process at the other end of
// the Unix socket.
func actor(r *http.Request) client.Actor {
	peer, ok := api.PeerOf(r.Context())
	if !ok {
		return client.Actor{Kind: client.ActorSocket}
	}
	by := client.Actor{Kind: client.ActorSocket, UID: &peer.UID, GID: &peer.GID, PID: peer.PID}
	if peer.PID == os.Getpid() {
		by.Kind = client.ActorProcess
	}
	if who, err := user.LookupId(strconv.Itoa(peer.UID)); err == nil { // else the number must do
		by.Name = who.Username
	}
	return by
}

func (a *API) listAudit(w http.ResponseWriter, r *http.Request) error {
	limit, err := a.limit(r)
	if err != nil {
		return err
	}
	after, err := number(r, "after", math.MaxInt64)
	if err != nil {
		return err
	}
	page, err := a.node.Deployments.Audit(after, limit)
	if err != nil {
		return err
	}
	page.Entries = list(page.Entries)
	return writeJSON(w, http.StatusOK, page)
}

// mediaType is the type of a form without its parameters, as the OpenAPI document names it.
func mediaType(f report.Form) string {
	name, _, _ := strings.Cut(f.ContentType(), ";")
	return name
}

// getReport answers with a report in the form that is asked for. A page is shown by a
// browser without anything from elsewhere.
func (a *API) getReport(w http.ResponseWriter, r *http.Request) error {
	form := report.JSON
	if name := r.URL.Query().Get("format"); name != "" {
		var ok bool
		if form, ok = report.FormOf(name); !ok {
			return fault.New(fault.Invalid, "manage.report", "query parameter format is %.40q, want json, text, junit or html", name)
		}
	}
	found, err := a.node.Deployments.Report(r.PathValue("id"))
	if err != nil {
		return err
	}
	text, err := report.Write(found, form)
	if err != nil {
		return fault.New(fault.Internal, "manage.report", "%w", err)
	}
	header := w.Header()
	header.Set("Content-Type", form.ContentType())
	header.Set("Content-Length", strconv.Itoa(len(text)))
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(text) //nolint:gosec // package report escapes what is foreign; an error means that whoever asked has gone
	return nil
}
