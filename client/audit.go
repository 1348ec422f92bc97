package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Act is what somebody changed.
type Act string

// The acts.
const (
	ActDeploy               Act = "deploy"   // a deployment was asked for
	ActPromote              Act = "promote"  // the version of a lower stage was asked for
	ActRollback             Act = "rollback" // an earlier version was asked for
	ActRetry                Act = "retry"    // with it: bytes that were rolled back before may serve again
	ActAllowSignatureChange Act = "allow_signature_change"
	ActForce                Act = "force"    // a stage may be given what it would refuse
	ActActivate             Act = "activate" // its version serves from here on
	ActRolledBack           Act = "rolled_back"
	ActFail                 Act = "fail"
	ActCancel               Act = "cancel"
	ActUndeploy             Act = "undeploy"
	ActPin                  Act = "pin"
	ActUnpin                Act = "unpin"
	ActStartAfterDeath      Act = "start_after_death" // the node began, and the one before it had not ended by itself
)

// AuditEntry is one act in the audit log. Entries are chained: each holds the hash of
// the one before it, so that none can be changed, taken out or put in without all
// hashes behind it changing too. Text in it is valid UTF-8.
type AuditEntry struct {
	Sequence   uint64    `json:"sequence"` // counts up by one, from 1
	Time       time.Time `json:"time"`     // in UTC
	Act        Act       `json:"act"`
	By         Actor     `json:"by"`
	Model      string    `json:"model,omitempty"`
	Version    int       `json:"version,omitempty"`
	Deployment string    `json:"deployment,omitempty"`
	Digest     string    `json:"digest,omitempty"` // of the model's file
	Reason     string    `json:"reason,omitempty"` // why, as far as somebody said; cut at 2 KiB
	Before     string    `json:"before"`           // Hash of the entry before it; "" in the first
	Hash       string    `json:"hash"`             // Sum of this one
}

// auditLayout names the encoding that Sum hashes.
const auditLayout = "verge-audit-1"

// Sum returns the hash that the entry should have: SHA-256, in lower-case hexadecimal,
// over these texts in this order, each written as a netstring (its length in bytes in
// decimal, ":", the text, ","): "verge-audit-1", Before, Sequence, Time in UTC as RFC 3339 with
// the fraction of the second but without its last zeros, Act, By's kind, name, uid, gid and
// pid, Model, Version, Deployment, Digest, Reason. Numbers are in decimal; uid and gid
// are empty where they are absent, and the other numbers 0.
func (e *AuditEntry) Sum() string {
	sum := sha256.New()
	for _, text := range []string{
		auditLayout, e.Before, strconv.FormatUint(e.Sequence, 10), e.Time.UTC().Format(time.RFC3339Nano), string(e.Act),
		e.By.Kind, e.By.Name, optionalNumber(e.By.UID), optionalNumber(e.By.GID), strconv.Itoa(e.By.PID),
		e.Model, strconv.Itoa(e.Version), e.Deployment, e.Digest, e.Reason,
	} {
		fmt.Fprintf(sum, "%d:%s,", len(text), text)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func optionalNumber(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

// AuditMark is a place in the audit log. The zero AuditMark is before its first entry.
type AuditMark struct {
	Sequence uint64 `json:"sequence"`
	Hash     string `json:"hash"`
}

// AuditPage is a part of the audit log, the oldest entry first.
type AuditPage struct {
	Anchor  AuditMark    `json:"anchor"` // the last entry that was cut off for its age
	Head    AuditMark    `json:"head"`   // the newest entry, as the node noted it beside the log
	Entries []AuditEntry `json:"entries"`
	Next    uint64       `json:"next,omitempty"` // pass as AuditQuery.After for the next page; 0 at the end
}

// AuditQuery selects entries of the audit log.
type AuditQuery struct {
	After uint64 // only those behind the entry with this sequence
	Limit int    // at most this many; 0 for the node's default
}

// Audit returns a page of the audit log. The node does not verify it: VerifyAudit does.
func (c *Client) Audit(ctx context.Context, q AuditQuery) (*AuditPage, error) {
	query := url.Values{}
	if q.After > 0 {
		query.Set("after", strconv.FormatUint(q.After, 10))
	}
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	path := "/v1/audit"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	var page AuditPage
	if err := c.call(ctx, http.MethodGet, path, nil, &page); err != nil {
		return nil, err
	}
	return &page, nil
}

// AuditChain checks entries of an audit log, one after the other. The zero AuditChain
// expects the first entry there ever was.
type AuditChain struct {
	Entries int       // that were checked, and are right
	First   time.Time // of the oldest of them
	Anchor  AuditMark // behind which the oldest of them is
	Newest  AuditMark // the last of them; Anchor where there was none
}

// NewAuditChain returns a chain that begins behind a mark.
func NewAuditChain(anchor AuditMark) *AuditChain { return &AuditChain{Anchor: anchor, Newest: anchor} }

// Add checks the next entry. Its error is an *AuditError; the chain is then as it was.
func (a *AuditChain) Add(e *AuditEntry) error {
	wrong := func(format string, args ...any) error {
		return &AuditError{Sequence: a.Newest.Sequence + 1, Message: fmt.Sprintf(format, args...)}
	}
	switch sum := e.Sum(); {
	case e.Sequence != a.Newest.Sequence+1:
		return wrong("entry %d is in its place", e.Sequence)
	case e.Before != a.Newest.Hash:
		return wrong("it follows an entry with the hash %s, the one before it has %s", short(e.Before), short(a.Newest.Hash))
	case e.Hash != sum:
		return wrong("what it says has the hash %s, it claims %s", short(sum), short(e.Hash))
	}
	if a.Entries == 0 {
		a.First = e.Time
	}
	a.Entries++
	a.Newest = AuditMark{e.Sequence, e.Hash}
	return nil
}

// End checks that nothing is missing behind the last entry.
func (a *AuditChain) End(head AuditMark) error {
	if a.Newest == head {
		return nil
	}
	return &AuditError{
		Sequence: a.Newest.Sequence + 1,
		Message:  fmt.Sprintf("the log ends with entry %d, hash %s; the node noted entry %d, hash %s", a.Newest.Sequence, short(a.Newest.Hash), head.Sequence, short(head.Hash)),
	}
}

func short(hash string) string {
	const digits = 12
	if hash == "" {
		return "none"
	}
	return strings.ToValidUTF8(hash[:min(digits, len(hash))], "?")
}

// AuditError says which entry of an audit log is the first that is wrong.
type AuditError struct {
	Sequence uint64
	Message  string
}

// Error names the entry.
func (e *AuditError) Error() string {
	return fmt.Sprintf("entry %d of the audit log is wrong: %s", e.Sequence, e.Message)
}

// VerifyAudit reads the whole audit log and checks every hash of it here, whatever the
// node thinks of it. It fails with an *AuditError for a log that is not a chain.
// A chain that is right shows that nobody changed a part of it. It does not show that
// nobody wrote all of it anew: who can write the state file can do that. Keep Newest
// elsewhere, and look later whether the entry with that sequence still has that hash.
func (c *Client) VerifyAudit(ctx context.Context) (*AuditChain, error) {
	page, err := c.Audit(ctx, AuditQuery{})
	if err != nil {
		return nil, err
	}
	chain := NewAuditChain(page.Anchor)
	for {
		for i := range page.Entries {
			if err = chain.Add(&page.Entries[i]); err != nil {
				return chain, err
			}
		}
		if page.Next == 0 {
			return chain, chain.End(page.Head)
		}
		if len(page.Entries) == 0 {
			return chain, c.badAnswer("a page of the audit log without entries, and more behind it")
		}
		if page, err = c.Audit(ctx, AuditQuery{After: chain.Newest.Sequence}); err != nil {
			return chain, err
		}
		if page.Anchor.Sequence > chain.Newest.Sequence { // it was cut behind our back
			chain = NewAuditChain(page.Anchor)
		}
	}
}
