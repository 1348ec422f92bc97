package deploy

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"go.etcd.io/bbolt"

	"verge/client"
	"verge/internal/fault"
)

// The keys in bucketMeta that belong to the audit log. Both are a client.AuditMark.
const (
	auditHead   = "audit_head"   // the newest entry
	auditAnchor = "audit_anchor" // the last entry that was cut off
)

// maxAudit is how many entries the audit log holds; older ones are cut off.
const maxAudit = 10_000

// maxReason bounds what an entry says of why, in bytes.
const maxReason = 2 << 10

// checkReasons refuses texts that are not kept whole; the keys are those of a request.
func checkReasons(op string, reason, force string) error {
	var problems fault.Problems
	for _, r := range []struct{ key, text string }{{"reason", reason}, {"force_reason", force}} {
		if len(r.text) > maxReason {
			problems.Add(r.key, 0, "has %d bytes, at most %d are kept", len(r.text), maxReason)
		}
	}
	if err := problems.Err(); err != nil {
		return &fault.Error{Kind: fault.Invalid, Op: op, Err: err, Hint: "Say it in fewer words."}
	}
	return nil
}

// byNode is the actor of what nobody asked for.
func byNode() client.Actor { return client.Actor{Kind: client.ActorNode} }

// actOf is what a move means for the audit log; "" for one that changes nothing that
// outlives it.
func actOf(s step) client.Act {
	d := s.deployment
	switch {
	case s.from == "" && d.RollsBack != "":
		return client.ActRollback
	case s.from == "" && d.PromotedFrom != "":
		return client.ActPromote
	case s.from == "":
		return client.ActDeploy
	}
	switch d.Phase {
	case client.PhaseActivating:
		return client.ActActivate
	case client.PhaseRolledBack:
		return client.ActRolledBack
	case client.PhaseFailed:
		return client.ActFail
	case client.PhaseCanceled:
		return client.ActCancel
	default:
		return ""
	}
}

// acted is an act about a deployment, and what is known of why.
func acted(act client.Act, d *client.Deployment, why string) client.AuditEntry {
	return client.AuditEntry{Time: d.Updated, Act: act, Model: d.Model, Version: d.Version, Deployment: d.ID, Digest: d.Digest, Reason: why}
}

// consents adds to a change what a request allows that is refused otherwise.
func (m *Manager) consents(c *change, d *client.Deployment, req client.DeploymentRequest) error {
	if req.AllowSignatureChange {
		c.acts = append(c.acts, acted(client.ActAllowSignatureChange, d, req.Reason))
	}
	if req.ForceReason != "" {
		c.acts = append(c.acts, acted(client.ActForce, d, req.ForceReason))
	}
	if !req.Retry {
		return nil
	}
	c.pardon = []string{grave(d.Model, d.Digest)}
	t, err := m.store.buried(d.Model, d.Digest)
	if t != nil {
		c.acts = append(c.acts, acted(client.ActRetry, d, "its bytes were refused: "+t.Reason))
	}
	return err
}

// entries are what a change adds to the audit log.
func (c *change) entries() (all []client.AuditEntry) {
	by := c.by
	if by.Kind == "" {
		by = byNode()
	}
	for _, s := range c.steps {
		if act := actOf(s); act != "" {
			why := s.deployment.Reason
			if s.deployment.Error != nil {
				why = s.deployment.Error.Message
			}
			all = append(all, acted(act, s.deployment, why))
		}
	}
	all = append(all, c.acts...)
	for i := range all {
		all[i].By = by
	}
	return all
}

// appendAudit adds entries to the log, each with its number and its hash, and cuts the
// oldest off.
func appendAudit(tx *bbolt.Tx, entries []client.AuditEntry) error {
	if len(entries) == 0 {
		return nil
	}
	head := newest(tx)
	for i := range entries {
		e := &entries[i]
		e.Sequence, e.Before, e.Time = head.Sequence+1, head.Hash, e.Time.UTC()
		e.Reason = clip(e.Reason, maxReason)
		e.By.Name = clip(e.By.Name, maxReason)
		e.Hash = e.Sum()
		if err := put(tx, bucketAudit, string(sequenceKey(e.Sequence)), e); err != nil {
			return err
		}
		head = client.AuditMark{Sequence: e.Sequence, Hash: e.Hash}
	}
	if err := put(tx, bucketMeta, auditHead, head); err != nil {
		return err
	}
	return cutAudit(tx, head.Sequence)
}

// cutAudit cuts the entries off that are too many, and notes the last of them, to which
// the oldest that is left is chained.
func cutAudit(tx *bbolt.Tx, head uint64) error {
	anchor, err := mark(tx, auditAnchor)
	if err == nil && head <= anchor.Sequence+maxAudit || head <= maxAudit {
		return nil
	}
	cursor := tx.Bucket([]byte(bucketAudit)).Cursor()
	for key, raw := cursor.First(); key != nil && sequenceOf(key) <= head-maxAudit; key, raw = cursor.First() {
		anchor = markOf(key, raw)
		if err := cursor.Delete(); err != nil {
			return fmt.Errorf("shorten the audit log: %w", err)
		}
	}
	return put(tx, bucketMeta, auditAnchor, anchor)
}

func sequenceKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func sequenceOf(key []byte) uint64 {
	if len(key) != len(sequenceKey(0)) {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}

// markOf is the place of an entry. One that cannot be read has no hash: then the one
// behind it is not chained to anything, which shows when the log is verified.
func markOf(key, raw []byte) client.AuditMark {
	var e client.AuditEntry
	if json.Unmarshal(raw, &e) != nil {
		e.Hash = ""
	}
	return client.AuditMark{Sequence: sequenceOf(key), Hash: e.Hash}
}

// newest is the entry that the next one is chained to. What is wrong with the log does
// not keep a node from its work: it shows when the log is verified.
func newest(tx *bbolt.Tx) client.AuditMark {
	if head, err := mark(tx, auditHead); err == nil {
		return head
	}
	key, raw := tx.Bucket([]byte(bucketAudit)).Cursor().Last()
	return markOf(key, raw)
}

// mark reads a place in the audit log; without one it is before the first entry.
func mark(tx *bbolt.Tx, key string) (m client.AuditMark, err error) {
	if raw := tx.Bucket([]byte(bucketMeta)).Get([]byte(key)); raw != nil {
		if err := json.Unmarshal(raw, &m); err != nil {
			return m, fault.New(fault.Corrupt, "deploy.audit", "%w", err).On(bucketMeta + " " + key)
		}
	}
	return m, nil
}

// audit returns at most limit entries behind a sequence, as they are: who reads them
// verifies them. One that is no entry any more is fault.Corrupt, and named.
func (s *store) audit(after uint64, limit int) (*client.AuditPage, error) {
	page := &client.AuditPage{Entries: []client.AuditEntry{}}
	err := s.view(func(tx *bbolt.Tx) (err error) {
		if page.Anchor, err = mark(tx, auditAnchor); err != nil {
			return err
		}
		if page.Head, err = mark(tx, auditHead); err != nil {
			return err
		}
		if after == math.MaxUint64 {
			return nil
		}
		cursor := tx.Bucket([]byte(bucketAudit)).Cursor()
		last := after
		for key, raw := cursor.Seek(sequenceKey(after + 1)); key != nil; key, raw = cursor.Next() {
			if len(page.Entries) == limit {
				page.Next = last
				break
			}
			last = sequenceOf(key)
			var e client.AuditEntry
			if err := json.Unmarshal(raw, &e); err != nil {
				return fault.New(fault.Corrupt, "deploy.audit", "entry %d of the audit log is wrong: it cannot be read: %w", last, err)
			}
			page.Entries = append(page.Entries, e)
		}
		return nil
	})
	if err != nil {
		return nil, storageFault(err)
	}
	return page, nil
}

// Audit returns at most limit entries of the audit log behind the one with a sequence,
// the oldest first. They are not verified.
func (m *Manager) Audit(after uint64, limit int) (*client.AuditPage, error) {
	return m.store.audit(after, limit)
}
