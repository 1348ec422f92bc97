package commands_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/user"
	"regexp"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"verge/client"
)

func TestTheReportAndTheAuditLogNameWhoAsked(t *testing.T) {
	p := digits(t)
	n := p.serve()
	p.deploys("fast.json", "--reason", "the first")
	deployments, err := n.Deployments(t.Context(), client.DeploymentQuery{})
	if err != nil {
		t.Fatal(err)
	}
	id := deployments.Deployments[0].ID
	var r client.Report
	if got := p.run("report", id, "--format", "json"); got.Status != 0 || json.Unmarshal([]byte(got.Out), &r) != nil {
		t.Fatalf("report: %+v", got)
	}
	by := r.AskedBy
	if by == nil || by.Kind != client.ActorSocket || *by.UID != os.Getuid() || by.PID == 0 || by.PID == n.cmd.Process.Pid || by.PID == os.Getpid() {
		t.Errorf("asked by %+v", by)
	}
	if r.Runtime == nil || r.Runtime.Version == "" || r.Device.CPU == "" || r.Device.Processors == 0 || r.This == nil || *r.This.MemoryPeakBytes < 1<<20 {
		t.Errorf("runtime %+v, device %+v, this %+v", r.Runtime, r.Device, r.This)
	}
	for _, form := range []string{"r.html", "r.xml", "r.txt"} {
		if got := p.run("report", id, "-o", form); got.Status != 0 || !strings.Contains(string(p.read(form)), id) {
			t.Errorf("%s: %+v", form, got)
		}
	}
	if os.Getuid() == 0 { // root may open the socket to others
		if err := os.Chmod(p.path("s"), 0o666); err != nil {
			t.Fatal(err)
		}
		other := p.in(t)
		other.user = nobody()
		if got := other.run("pin", "digits@1"); got.Status != 0 {
			t.Errorf("pin as another user: %+v", got)
		}
		name := "uid 65534"
		if who, err := user.LookupId("65534"); err == nil {
			name = who.Username
		}
		if got := p.run("history", "--audit", "--limit", "1"); !strings.Contains(got.Out, "  pin   digits@1  "+name) {
			t.Errorf("the last act: %+v, want a pin by %s", got, name)
		}
	}
	n.stop()
}

func TestAChangedAuditLogIsFoundByTheCommand(t *testing.T) {
	p := digits(t)
	n := p.serve()
	p.deploys("fast.json", "--reason", "the first")
	right := regexp.MustCompile(`^the audit log is right: 2 entries since [0-9: -]+\nnewest hash: [0-9a-f]{64} \(entry 2\)\n$`)
	if got := p.run("history", "--verify"); got.Status != 0 || !right.MatchString(got.Out) {
		t.Errorf("verify: %+v", got)
	}
	n.stop()
	db, err := bbolt.Open(p.path("state/state.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		key, raw := tx.Bucket([]byte("audit")).Cursor().First()
		return tx.Bucket([]byte("audit")).Put(key, []byte(strings.Replace(string(raw), "the first", "the fjrst", 1))) // one bit
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	n = p.serve()
	if got := p.run("history", "--verify"); got.Status != 1 || got.Out != "" || !strings.HasPrefix(got.Errors, "verge: entry 1 of the audit log is wrong: what it says has the hash ") {
		t.Errorf("verify: %+v", got)
	}
	n.stop()
}
