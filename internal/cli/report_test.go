package cli_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"verge/client"
	"verge/internal/report"
)

// routeReports answers for reports, as the node writes them, and for the audit log, with
// two entries a page.
func (n *fakeNode) routeReports(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/deployments/{id}/report", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != n.report.Deployment.ID {
			answer(w, 404, map[string]string{"error": "no deployment is known", "kind": "not_found", "hint": "verge history lists those that are."})
			return
		}
		form, _ := report.FormOf(r.URL.Query().Get("format"))
		text, _ := report.Write(&n.report, form)
		w.Write(text)
	})
	mux.HandleFunc("GET /v1/audit", func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
		page := client.AuditPage{Entries: []client.AuditEntry{}}
		for _, e := range n.audit {
			switch {
			case e.Sequence <= after:
			case len(page.Entries) == 2:
				page.Next = page.Entries[1].Sequence
			default:
				page.Entries = append(page.Entries, e)
			}
			page.Head = client.AuditMark{Sequence: e.Sequence, Hash: e.Hash}
		}
		answer(w, 200, page)
	})
}

// reported is a fake node with a report and an audit log.
func reported(t *testing.T) *fakeNode {
	t.Helper()
	n := (&fakeNode{}).start(t)
	n.report = client.Report{
		Format: client.ReportFormat, Complete: true, VergeVersion: "0.3.0", DurationMS: 1234, File: "model: {path: digits.onnx}\n", FileName: "deployment.yaml",
		Deployment: client.Deployment{
			ID: "digits-20261123-7f3a", Model: "digits", Version: 2, Stage: "testing", Phase: client.PhaseFailed, Digest: "sha256:0123", Created: began(), Updated: began(),
			Verdicts: []client.Verdict{{Gate: "latency", Outcome: client.OutcomeFail, Figure: new(61.2), Limit: new(50.0), Unit: "ms", Samples: 20, Detail: "p95 of 20 runs"}},
			Error:    &client.Failure{Kind: "invalid", Message: "gating: latency is 61.2 ms, the limit is 50 ms", Hint: "Allow more, or deploy a smaller model."},
		},
		AskedBy: &client.Actor{Kind: client.ActorSocket, Name: "ada", UID: new(1000), GID: new(1000), PID: 4711},
		Device:  client.ReportDevice{Label: "Raspberry Pi 5", CelsiusAtBegin: new(51.0), CelsiusAtEnd: new(58.5)},
	}
	before := ""
	for i, e := range []client.AuditEntry{
		{Act: client.ActDeploy, Version: 1, By: client.Actor{Kind: client.ActorSocket, Name: "ada"}, Reason: "retrained\nwith last week's pictures"},
		{Act: client.ActActivate, Version: 1, By: client.Actor{Kind: client.ActorSocket, Name: "ada"}},
		{Act: client.ActDeploy, Version: 2, By: client.Actor{Kind: client.ActorProcess, UID: new(1000)}, Reason: "\x1b[2Jhidden"},
		{Act: client.ActRolledBack, Version: 2, By: client.Actor{Kind: client.ActorNode}, Reason: "observing: m@2 was rolled back"},
		{Act: client.ActStartAfterDeath, By: client.Actor{Kind: client.ActorNode}},
	} {
		if e.Act != client.ActStartAfterDeath {
			e.Model = "digits"
		}
		e.Sequence, e.Time, e.Before = uint64(i+1), began().Add(time.Duration(i)*time.Minute), before
		e.Hash = e.Sum()
		before, n.audit = e.Hash, append(n.audit, e)
	}
	return n
}

func TestReportShowsWhatIsKept(t *testing.T) {
	n := reported(t)
	id := n.report.Deployment.ID
	golden(t, "report", verge(t, "report", id, "--node", n.address).transcript())
	var r client.Report
	if got := verge(t, "report", id, "--format", "json", "--node", n.address); got.status != 0 || json.Unmarshal([]byte(got.out), &r) != nil || r.Deployment.ID != id {
		t.Errorf("as JSON:\n%s", got.transcript())
	}
	dir := t.TempDir()
	for name, begin := range map[string]string{"r.html": "<!DOCTYPE html>", "r.xml": "<?xml", "r.json": `{"format":1`, "r.txt": "digits@2 was not", "r": "digits@2 was not"} {
		path := filepath.Join(dir, name)
		if got := verge(t, "report", id, "-o", path, "--node", n.address); got.status != 0 || got.out+got.err != "" {
			t.Errorf("-o %s:\n%s", name, got.transcript())
		}
		if text := string(read(t, path)); !strings.HasPrefix(text, begin) {
			t.Errorf("%s begins with %.30q, want %q", name, text, begin)
		}
	}
	if got := verge(t, "report", id, "--format", "junit", "-o", "-", "--node", n.address); !strings.HasPrefix(got.out, "<?xml") {
		t.Errorf("to the standard output:\n%s", got.transcript())
	}
	if got := verge(t, "report", id, "-o", filepath.Join(dir, "none", "r"), "--node", n.address); got.status != 1 || !strings.Contains(got.err, "/none/r: no such file") {
		t.Errorf("into a folder that is not there:\n%s", got.transcript())
	}
	verge(t, "report", "none", "--node", n.address).want(t, 1, "", "verge: no deployment is known\nHint: verge history lists those that are.\n")
}

func TestReportSaysWhatItWants(t *testing.T) {
	for _, args := range [][]string{{"report"}, {"report", "x", "--schema"}, {"report", "x", "--format", "pdf"}, {"history", "--audit", "--verify"}} {
		if got := verge(t, args...); got.status != 2 || !strings.Contains(got.err, "want") {
			t.Errorf("%v:\n%s", args, got.transcript())
		}
	}
	schema, err := report.Schema()
	if err != nil {
		t.Fatal(err)
	}
	verge(t, "report", "--schema").want(t, 0, string(schema), "")
}

func TestHistoryShowsTheAuditLog(t *testing.T) {
	n := reported(t)
	golden(t, "history-audit", verge(t, "history", "--audit", "--node", n.address).transcript()+verge(t, "history", "digits", "--audit", "--limit", "2", "--node", n.address).transcript())
	var all []client.AuditEntry
	if got := verge(t, "history", "--audit", "--json", "--node", n.address); json.Unmarshal([]byte(got.out), &all) != nil || len(all) != 5 || all[0].Sequence != 5 {
		t.Errorf("as JSON:\n%s", got.transcript())
	}
}

func TestHistoryVerifiesTheAuditLog(t *testing.T) {
	n := reported(t)
	good := verge(t, "history", "--verify", "--node", n.address).transcript()
	asJSON := verge(t, "history", "--verify", "--json", "--node", n.address).transcript()
	n.audit[3].Reason = "nothing happened"
	bad := verge(t, "history", "--verify", "--node", n.address).transcript()
	badJSON := verge(t, "history", "--verify", "--json", "--node", n.address).transcript()
	n.audit = nil
	golden(t, "history-verify", good+asJSON+bad+badJSON+verge(t, "history", "--verify", "--node", n.address).transcript())
}

func TestAReportIsWrittenForItsUser(t *testing.T) {
	n := reported(t)
	path := filepath.Join(t.TempDir(), "r.txt")
	verge(t, "report", n.report.Deployment.ID, "-o", path, "--node", n.address)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o022 != 0 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
}
