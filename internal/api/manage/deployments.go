package manage

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"verge/client"
	"verge/internal/fault"
)

func (a *API) deploy(w http.ResponseWriter, r *http.Request) error {
	var req client.DeploymentRequest
	if err := readJSON(w, r, a.cfg.SpecBytes, &req); err != nil {
		return err
	}
	d, err := a.node.Deployments.Submit(req, actor(r))
	if err != nil {
		return err
	}
	return accepted(w, d)
}

// accepted answers with a deployment that has begun, or where there is nothing to do with
// the one that serves.
func accepted(w http.ResponseWriter, d *client.Deployment) error {
	w.Header().Set("Location", Prefix+"/deployments/"+url.PathEscape(d.ID))
	return writeJSON(w, http.StatusAccepted, d)
}

func (a *API) getDeployment(w http.ResponseWriter, r *http.Request) error {
	d, err := a.node.Deployments.Get(r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, d)
}

func (a *API) listDeployments(w http.ResponseWriter, r *http.Request) error {
	limit, err := a.limit(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	page := client.DeploymentList{Deployments: []client.Deployment{}}
	for _, d := range a.node.Deployments.List(query.Get("model"), limit+1, query.Get("after")) {
		if len(page.Deployments) == limit {
			page.Next = page.Deployments[limit-1].ID
			break
		}
		page.Deployments = append(page.Deployments, *d)
	}
	return writeJSON(w, http.StatusOK, page)
}

func (a *API) followDeployment(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	from, err := firstEvent(r)
	if err != nil {
		return err
	}
	if _, err = a.node.Deployments.Get(id); err != nil {
		return err
	}
	events, err := newEventWriter(w, strings.Contains(r.Header.Get("Accept"), eventStream))
	if err == nil && r.Method != http.MethodHead {
		err = a.node.Deployments.Events(r.Context(), id, from, events.event)
	}
	if err != nil { // the answer has begun: that it has no last event tells that it was cut off
		a.log.Debug("events were cut off", "deployment_id", id, "err", err)
	}
	return nil
}

func (a *API) test(w http.ResponseWriter, r *http.Request) error {
	return a.stream(w, r, func(fn func(client.Event) error) error {
		return a.node.Deployments.Test(r.Context(), r.PathValue("model"), fn)
	})
}

func (a *API) shadow(w http.ResponseWriter, r *http.Request) error {
	const longest = 3600
	var req client.ShadowRequest
	if err := readJSON(w, r, a.cfg.SpecBytes, &req); err != nil {
		return err
	}
	var problems fault.Problems
	if !(req.Sample > 0 && req.Sample <= 1) {
		problems.Add("sample", 0, "is %g, want a share above 0 and up to 1", req.Sample)
	}
	if !(req.Seconds > 0 && req.Seconds <= longest) {
		problems.Add("seconds", 0, "is %g, want a time above 0 and up to %d", req.Seconds, longest)
	}
	if !(req.MinAgreement >= 0 && req.MinAgreement <= 1) {
		problems.Add("min_agreement", 0, "is %g, want a share from 0 to 1", req.MinAgreement)
	}
	if !(req.Tolerance >= 0 && req.Tolerance <= 1) {
		problems.Add("tolerance", 0, "is %g, want a number from 0 to 1", req.Tolerance)
	}
	if err := problems.Err(); err != nil {
		return &fault.Error{Kind: fault.Invalid, Op: "manage.shadow", Err: err}
	}
	return a.stream(w, r, func(fn func(client.Event) error) error {
		return a.node.Deployments.Shadow(r.Context(), r.PathValue("model"), req, fn)
	})
}

// stream answers with the events that do tells. The answer begins with the first one, so
// that what keeps it from beginning is an error like any other.
func (a *API) stream(w http.ResponseWriter, r *http.Request, do func(fn func(client.Event) error) error) error {
	var events *eventWriter
	err := do(func(e client.Event) (err error) {
		if events == nil {
			if events, err = newEventWriter(w, strings.Contains(r.Header.Get("Accept"), eventStream)); err != nil {
				return err
			}
		}
		return events.event(e)
	})
	if err != nil && events != nil { // that it has no last event tells that it was cut off
		a.log.Debug("events were cut off", "model", r.PathValue("model"), "err", err)
		return nil
	}
	return err
}

// firstEvent returns the number of the first event that is asked for. A browser
// that connects again tells the last one that it has.
func firstEvent(r *http.Request) (uint64, error) {
	from, err := number(r, "from", math.MaxInt64)
	if last := r.Header.Get("Last-Event-ID"); err == nil && from == 0 && last != "" {
		if n, notNumber := strconv.ParseUint(last, 10, 63); notNumber == nil {
			from = n + 1
		}
	}
	return from, err
}

func (a *API) cancelDeployment(w http.ResponseWriter, r *http.Request) error {
	if err := a.node.Deployments.Cancel(r.PathValue("id"), actor(r)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) undeploy(w http.ResponseWriter, r *http.Request) error {
	if err := a.node.Deployments.Undeploy(r.PathValue("model"), actor(r)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) rollback(w http.ResponseWriter, r *http.Request) error {
	var req client.RollbackRequest
	if err := readJSON(w, r, a.cfg.SpecBytes, &req); err != nil {
		return err
	}
	if req.To < 0 {
		return fault.New(fault.Invalid, "manage.rollback", "to is %d, want a version, or 0 for the one before", req.To)
	}
	d, err := a.node.Deployments.Rollback(r.PathValue("model"), req.To, req.Reason, actor(r))
	if err != nil {
		return err
	}
	return accepted(w, d)
}

func (a *API) promote(w http.ResponseWriter, r *http.Request) error {
	var req client.PromoteRequest
	if err := readJSON(w, r, a.cfg.SpecBytes, &req); err != nil {
		return err
	}
	d, err := a.node.Deployments.Promote(r.PathValue("model"), req, actor(r))
	if err != nil {
		return err
	}
	return accepted(w, d)
}

func (a *API) pin(w http.ResponseWriter, r *http.Request) error {
	var req client.PinRequest
	if err := readJSON(w, r, a.cfg.SpecBytes, &req); err != nil {
		return err
	}
	if err := a.node.Deployments.Pin(r.PathValue("model"), req.Version, !req.Remove, actor(r)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// tarType is what an export is; nobody has registered a type for tar, and this is the one in use.
const tarType = "application/x-tar"

// export answers with a version as one file. The answer begins with its first byte, so that
// what keeps it from beginning is an error like any other; one that is cut shows as a
// connection that breaks.
func (a *API) export(w http.ResponseWriter, r *http.Request) error {
	version, err := number(r, "version", math.MaxInt32)
	if err != nil {
		return err
	}
	begun := &beginning{w: w}
	if err = a.node.Deployments.Export(r.Context(), r.PathValue("model"), int(version), begun); err == nil || !begun.done { //nolint:gosec // at most math.MaxInt32
		return err
	}
	a.log.Warn("export was cut off", "model", r.PathValue("model"), "version", version, "err", err)
	panic(http.ErrAbortHandler)
}

// beginning says what an answer is when its first byte is written, and hands on what is
// written piece by piece: there is a limit on the time that one takes, and none on all.
type beginning struct {
	w     http.ResponseWriter
	done  bool
	piece int // bytes since the last one was handed on
}

// Write implements io.Writer.
func (b *beginning) Write(p []byte) (int, error) {
	if !b.done {
		b.done = true
		b.w.Header().Set("Content-Type", tarType)
		b.w.WriteHeader(http.StatusOK)
	}
	n, err := b.w.Write(p)
	const size = 1 << 20
	if b.piece += n; err == nil && b.piece >= size {
		b.piece = 0
		err = http.NewResponseController(b.w).Flush()
	}
	return n, err
}
