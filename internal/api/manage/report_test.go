package manage_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/user"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/client"
)

func TestAReportComesInTheFormThatIsAskedFor(t *testing.T) {
	n := start(t, nil)
	for query, want := range map[string]struct{ kind, begin string }{
		"":              {"application/json", `{"format":1,"complete":true,`},
		"?format=json":  {"application/json", `{"format":1,"complete":true,`},
		"?format=text":  {"text/plain; charset=utf-8", "digits@3 was not deployed\n"},
		"?format=junit": {"application/xml", `<?xml version="1.0"`},
		"?format=html":  {"text/html; charset=utf-8", "<!DOCTYPE html>\n"},
	} {
		got := n.ask(t, "GET", "/v1/deployments/"+ended+"/report"+query, "")
		if got.status != 200 || got.header.Get("Content-Type") != want.kind || !strings.HasPrefix(got.body, want.begin) {
			t.Errorf("%q is answered %d, %s, %.60q", query, got.status, got.header.Get("Content-Type"), got.body)
		}
		if !strings.HasPrefix(got.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%q: a browser may load something from elsewhere", query)
		}
	}
	got := n.ask(t, "GET", "/v1/deployments/"+ended+"/report?format=pdf", "")
	if got.status != 400 || !strings.Contains(got.body, `query parameter format is \"pdf\", want json, text, junit or html`) {
		t.Errorf("an unknown form is answered %d %s", got.status, got.body)
	}
	if got := n.ask(t, "GET", "/v1/deployments/none/report", ""); got.status != 404 {
		t.Errorf("an unknown deployment is answered %d", got.status)
	}
}

func TestTheClientReadsReportsOfDeployments(t *testing.T) {
	n := start(t, nil)
	node := dialed(t, n)
	r, err := node.Report(t.Context(), ended)
	if err != nil || r.Deployment.ID != ended || *r.AskedBy.UID != 0 || r.This.Version != 1 || r.Log[0].Attrs != "a=b" {
		t.Errorf("Report = %+v, %v", r, err)
	}
	text, err := node.ReportDocument(t.Context(), running, "text")
	if err != nil || !strings.HasPrefix(string(text), "digits@3 is being deployed: gating\n") {
		t.Errorf("ReportDocument = %.80q, %v", text, err)
	}
	_, err = node.ReportDocument(t.Context(), "none", "html")
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Kind != "not_found" {
		t.Errorf("of no deployment: %v", err)
	}
}

func dialed(t *testing.T, n *node) *client.Client {
	t.Helper()
	c, err := client.New("unix:" + n.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestWhoAsksIsWhoIsAtTheOtherEndOfTheSocket(t *testing.T) {
	n := start(t, nil)
	node, ctx := dialed(t, n), t.Context()
	_, err := node.Deploy(ctx, client.DeploymentRequest{Spec: json.RawMessage(`{}`), Artifacts: map[string]string{}})
	errs := []error{err, node.Cancel(ctx, running), node.Undeploy(ctx, "digits"), node.Pin(ctx, "digits", client.PinRequest{Version: 1})}
	_, err = node.Rollback(ctx, "digits", client.RollbackRequest{})
	if err = errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	uid, gid := os.Getuid(), os.Getgid()
	want := client.Actor{Kind: client.ActorProcess, UID: &uid, GID: &gid, PID: os.Getpid()} // the node is this process
	if me, err := user.Current(); err == nil {
		want.Name = me.Username
	}
	if diff := cmp.Diff([]client.Actor{want, want, want, want, want}, n.deployments.actors); diff != "" {
		t.Errorf("who asked (-want +got):\n%s", diff)
	}
}

func TestTheClientVerifiesTheAuditLogItself(t *testing.T) {
	n := start(t, nil)
	node := dialed(t, n)
	chain, err := node.VerifyAudit(t.Context()) // 5 entries, 3 a page
	if err != nil || chain.Entries != 5 || chain.Newest != (client.AuditMark{Sequence: 5, Hash: chained()[4].Hash}) || !chain.First.Equal(instant()) {
		t.Errorf("VerifyAudit = %+v, %v", chain, err)
	}
	for name, tc := range map[string]struct {
		change   func(all []client.AuditEntry) []client.AuditEntry
		sequence uint64
		message  string
	}{
		"a word was changed": {func(all []client.AuditEntry) []client.AuditEntry {
			all[3].Reason = "another"
			return all
		}, 4, "what it says has the hash "},
		"and its hash too": {func(all []client.AuditEntry) []client.AuditEntry {
			all[3].Reason = "another"
			all[3].Hash = all[3].Sum()
			return all
		}, 5, "it follows an entry with the hash "},
		"one was taken out": {func(all []client.AuditEntry) []client.AuditEntry { return append(all[:1], all[2:]...) }, 2, "entry 3 is in its place"},
		"the last is gone":  {func(all []client.AuditEntry) []client.AuditEntry { return all[:4] }, 5, "the log ends with entry 4, "},
		"the first is gone": {func(all []client.AuditEntry) []client.AuditEntry { return all[1:] }, 1, "entry 2 is in its place"},
	} {
		n.deployments.mu.Lock()
		n.deployments.audit = tc.change(chained())
		n.deployments.mu.Unlock()
		_, err := node.VerifyAudit(t.Context())
		wrong, ok := errors.AsType[*client.AuditError](err)
		if !ok || wrong.Sequence != tc.sequence || !strings.HasPrefix(wrong.Message, tc.message) {
			t.Errorf("%s: %v, want entry %d: %s…", name, err, tc.sequence, tc.message)
		}
	}
}
