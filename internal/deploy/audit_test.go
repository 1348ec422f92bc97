package deploy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"verge/client"
	"verge/internal/deploy"
	"verge/internal/fault"
)

// audited reads the whole audit log in small pages, and wants it to be a chain.
func (n *node) audited() []client.AuditEntry {
	n.tb.Helper()
	return n.auditedIn(3)
}

// auditedIn is audited with pages of a size.
func (n *node) auditedIn(size int) (all []client.AuditEntry) {
	n.tb.Helper()
	var chain *client.AuditChain
	for after := uint64(0); ; {
		page, err := n.manager.Audit(after, size)
		if err != nil {
			n.tb.Fatal(err)
		}
		if chain == nil {
			chain = client.NewAuditChain(page.Anchor)
		}
		for i := range page.Entries {
			if err := chain.Add(&page.Entries[i]); err != nil {
				n.tb.Fatal(err)
			}
		}
		all = append(all, page.Entries...)
		if after = page.Next; after == 0 {
			if err := chain.End(page.Head); err != nil {
				n.tb.Fatal(err)
			}
			return all
		}
	}
}

// acts says what is in an audit log, one line an entry.
func acts(all []client.AuditEntry) (lines []string) {
	for _, e := range all {
		by := e.By.Kind
		if by == client.ActorSocket {
			by = e.By.Name
		}
		lines = append(lines, strings.TrimSuffix(fmt.Sprintf("%s %s@%d by %s: %s", e.Act, e.Model, e.Version, by, e.Reason), ": "))
	}
	return lines
}

func TestTheAuditLogHasEveryActWithWhoAndWhy(t *testing.T) {
	n, second := deployed(t)
	n.set(behaviour{add: 1})
	n.back(0, "it sees ghosts")
	n.set(behaviour{load: func() error { return fault.New(fault.Unsupported, "fake.load", "the library is gone") }})
	req := n.request(base, "digits-bad.onnx")
	req.Retry, req.AllowSignatureChange, req.Reason, req.ForceReason = true, true, "it was the lamp", "the mast is on fire"
	n.wait(n.submit(req).ID)
	n.set(behaviour{add: 1})
	reached, release := n.hold(client.PhaseTesting)
	id := n.submit(n.request(base, "digits.onnx")).ID
	<-reached
	err := n.manager.Cancel(id, client.Actor{Kind: client.ActorSocket, Name: "bob"})
	release()
	n.wait(id)
	err = errors.Join(err, n.manager.Pin("m", 1, true, asker()), n.manager.Pin("m", 1, true, asker()), n.manager.Pin("m", 1, false, asker()))
	m := n.die(nil)
	m.manager.Restore()
	if err = errors.Join(err, m.manager.Undeploy("m", asker())); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"deploy m@1 by ada", "activate m@1 by ada", "deploy m@2 by ada", "activate m@2 by ada",
		"rollback m@1 by ada: it sees ghosts", "activate m@1 by ada: it sees ghosts", "rolled_back m@2 by ada: rolled back to version 1 on request: it sees ghosts",
		"deploy m@3 by ada: it was the lamp", "allow_signature_change m@3 by ada: it was the lamp",
		"force m@3 by ada: the mast is on fire",
		"retry m@3 by ada: its bytes were refused: rolled back to version 1 on request: it sees ghosts",
		"fail m@3 by node: loading: the library is gone", "deploy m@4 by ada", "cancel m@4 by bob: testing: canceled on request",
		"pin m@1 by ada", "unpin m@1 by ada", "start_after_death @0 by node", "undeploy m@1 by ada",
	}
	all := m.audited()
	if diff := cmp.Diff(want, acts(all)); diff != "" {
		t.Errorf("acts (-want +got):\n%s", diff)
	}
	if e := all[3]; e.Deployment != second || e.Digest == "" || e.Sequence != 4 || e.Time.IsZero() {
		t.Errorf("entry %+v", e)
	}
}

func TestTheAuditLogTellsOfRollbacksByTheNode(t *testing.T) {
	n, id, bad := observing(t, `"max_error_rate":0.25`, nil)
	bad.fails.Store(true)
	for range 30 {
		n.try()
	}
	n.wait(id)
	last := acts(n.audited())
	if got := last[len(last)-1]; !strings.HasPrefix(got, "rolled_back m@2 by node: observing: m@2 was rolled back to version 1: ") {
		t.Errorf("the last act is %q", got)
	}
	n, id, _ = observing(t, `"duration":"1h"`, nil)
	if _, err := n.manager.Rollback("m", 0, "it sees ghosts", asker()); err != nil {
		t.Fatal(err)
	}
	n.wait(id)
	last = acts(n.audited())
	want := []string{"rollback m@2 by ada: it sees ghosts", "rolled_back m@2 by node: observing: m@2 was rolled back to version 1: it was rolled back on request: it sees ghosts"}
	if diff := cmp.Diff(want, last[len(last)-2:]); diff != "" {
		t.Errorf("acts (-want +got):\n%s", diff)
	}

	n, _ = deployed(t)
	for range 3 {
		n = n.die(nil)
	}
	n.manager.Restore()
	last = acts(n.audited())
	if got, want := last[len(last)-1], "rolled_back m@2 by node: "+threeDeaths; got != want {
		t.Errorf("the last act is %q, want %q", got, want)
	}
}

// entry is the key of an entry of the audit log.
func entry(sequence uint64) []byte { return binary.BigEndian.AppendUint64(nil, sequence) }

func TestAChangedEntryIsFoundAndNamed(t *testing.T) {
	n, _ := deployed(t)
	n.close()
	for name, tc := range map[string]struct {
		from, to, want string
	}{
		"a bit of a name":   {`"model":"m"`, `"model":"l"`, "entry 2 of the audit log is wrong: what it says has the hash "},
		"a bit of a hash":   {`"hash":"`, `"hash":"x`, "entry 2 of the audit log is wrong: what it says has the hash "},
		"a bit of the JSON": {`{"sequence"`, `["sequence"`, "entry 2 of the audit log is wrong: it cannot be read: "},
		"its number":        {`"sequence":2`, `"sequence":3`, "entry 2 of the audit log is wrong: entry 3 is in its place"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyState(t, n.dir)
			edit(t, dir, func(tx *bbolt.Tx) error {
				bucket := tx.Bucket([]byte("audit"))
				raw := bucket.Get(entry(2))
				changed := bytes.Replace(raw, []byte(tc.from), []byte(tc.to), 1)
				if bytes.Equal(raw, changed) {
					t.Fatalf("entry %s has no %s", raw, tc.from)
				}
				return bucket.Put(entry(2), changed)
			})
			m := newNode(t, dir)
			page, err := m.manager.Audit(0, 100)
			if err == nil {
				chain := client.NewAuditChain(page.Anchor)
				for i := range page.Entries {
					if err = chain.Add(&page.Entries[i]); err != nil {
						break
					}
				}
			}
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) && !strings.HasPrefix(fault.Message(err), tc.want) {
				t.Errorf("%v, want %s…", err, tc.want)
			}
			m.set(behaviour{add: 1})
			m.manager.Restore()
			m.deploy(base, "digits.onnx") // the node works on
		})
	}
}

func TestTheAuditLogIsBoundedAndStillVerifies(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(base, "digits.onnx")
	if err := n.manager.Act(deploy.MaxAudit + 5); err != nil {
		t.Fatal(err)
	}
	all := n.auditedIn(1000)
	page, err := n.manager.Audit(0, 1)
	if err != nil || len(all) != deploy.MaxAudit || all[0].Sequence != 8 || page.Anchor.Sequence != 7 || page.Anchor.Hash != all[0].Before {
		t.Errorf("%d entries from %d, anchor %+v, %v", len(all), all[0].Sequence, page.Anchor, err)
	}
	n.close()
	m := newNode(t, n.dir)
	if err := m.manager.Act(1); err != nil {
		t.Fatal(err)
	}
	if all := m.auditedIn(1000); len(all) != deploy.MaxAudit || all[0].Sequence != 9 {
		t.Errorf("after a start: %d entries from %d", len(all), all[0].Sequence)
	}
}

func TestAnUnreadableMarkDoesNotKeepTheNodeFromItsWork(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(base, "digits.onnx")
	n.close()
	edit(t, n.dir, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("audit_head"), []byte("{")) })
	m := newNode(t, n.dir)
	if _, err := m.manager.Audit(0, 100); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("Audit: %v, want corrupt", err)
	}
	m.manager.Restore()
	m.deploy(base, "digits-bad.onnx")
	if got := m.audited(); len(got) != 4 {
		t.Errorf("%d entries in a chain, want 4", len(got))
	}
}

func TestAReasonThatIsTooLongIsRefused(t *testing.T) {
	n, _ := deployed(t)
	long := strings.Repeat("r", 2049)
	req := n.request(base, "digits.onnx")
	req.Reason, req.ForceReason = long, long
	_, err := n.manager.Submit(req, asker())
	check(t, "Submit", err, fault.Invalid, "reason: has 2049 bytes, at most 2048 are kept\nforce_reason: has 2049 bytes, at most 2048 are kept", "Say it in fewer words.")
	_, err = n.manager.Rollback("m", 0, long, asker())
	check(t, "Rollback", err, fault.Invalid, "reason: has 2049 bytes, at most 2048 are kept", "Say it in fewer words.")
	_, err = n.manager.Promote("m", client.PromoteRequest{To: "staging", ForceReason: long}, asker())
	check(t, "Promote", err, fault.Invalid, "force_reason: has 2049 bytes, at most 2048 are kept", "Say it in fewer words.")
}
