package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"verge/client"
	"verge/internal/fault"
	"verge/internal/modelname"
)

// proof is what history --verify found, for programs.
type proof struct {
	Valid    bool             `json:"valid"`
	Entries  int              `json:"entries"`               // that are right
	First    *time.Time       `json:"first,omitempty"`       // time of the oldest of them
	Anchor   client.AuditMark `json:"anchor"`                // the last entry that was cut off
	Newest   client.AuditMark `json:"newest"`                // the last entry that is right
	Sequence uint64           `json:"wrong_entry,omitempty"` // the first entry that is wrong; 0 for none
	Why      string           `json:"why,omitempty"`         // what is wrong with it
}

// verify checks the chain of the audit log here, from the hashes up, and says what it
// found. The error of a log that is wrong was said.
func (h *historyCommand) verify(c *call, node *client.Client) error {
	chain, err := node.VerifyAudit(c)
	wrong, isWrong := errors.AsType[*client.AuditError](err)
	if err != nil && !isWrong {
		return err
	}
	p := proof{Valid: !isWrong, Entries: chain.Entries, Anchor: chain.Anchor, Newest: chain.Newest}
	if chain.Entries > 0 {
		p.First = &chain.First
	}
	if isWrong {
		p.Sequence, p.Why = wrong.Sequence, wrong.Message
	}
	switch {
	case h.JSON:
		if err := c.printJSON(p); err != nil {
			return err
		}
	case isWrong:
		fmt.Fprintln(c.std.Err, "verge:", plain(wrong.Error()))
		fmt.Fprintf(c.std.Err, "Hint: What is before it is right (%d %s); what is behind it proves nothing.\n", chain.Entries, plural2(chain.Entries, "entry", "entries"))
	case chain.Entries == 0:
		c.print("the audit log is empty\n")
	default:
		c.print("the audit log is right: %d %s since %s%s\n", chain.Entries, plural2(chain.Entries, "entry", "entries"), chain.First.UTC().Format(time.DateTime), cutOff(chain.Anchor))
		c.print("newest hash: %s (entry %d)\n", plain(chain.Newest.Hash), chain.Newest.Sequence)
	}
	if isWrong {
		return said{exitFailed}
	}
	return nil
}

func cutOff(anchor client.AuditMark) string {
	if anchor.Sequence == 0 {
		return ""
	}
	return fmt.Sprintf(", behind entry %d, with which older ones were cut off", anchor.Sequence)
}

func plural2(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// acts lists who changed what, the newest first.
func (h *historyCommand) acts(c *call, node *client.Client) error {
	all := []client.AuditEntry{}
	for after := uint64(0); ; {
		page, err := node.Audit(c, client.AuditQuery{After: after})
		if err != nil {
			return err
		}
		for i := range page.Entries {
			e := &page.Entries[i]
			if name, _, _ := modelname.Split(e.Model); h.Model == "" || h.Model == e.Model || h.Model == name {
				all = append(all, *e)
			}
		}
		all = all[max(len(all)-h.Limit, 0):]
		if page.Next <= after {
			break
		}
		after = page.Next
	}
	slices.Reverse(all)
	if h.JSON {
		return c.printJSON(all)
	}
	if len(all) == 0 {
		what := "nothing"
		if h.Model != "" {
			what += " of " + h.Model
		}
		c.print("%s was changed yet\n", what)
		return nil
	}
	t := tabwriter.NewWriter(c.std.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHEN\tWHAT\tVERSION\tWHO\tWHY")
	for i := range all {
		e := &all[i]
		version := "-"
		if e.Model != "" {
			version = fmt.Sprintf("%s@%d", plain(e.Model), e.Version)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", e.Time.UTC().Format(time.DateTime), plain(string(e.Act)), version, who(e.By), plain(cmp.Or(firstLine(e.Reason), "-")))
	}
	return t.Flush()
}

// who is an actor in a word or two.
func who(by client.Actor) string {
	name := plain(by.Name)
	if name == "" && by.UID != nil {
		name = fmt.Sprintf("uid %d", *by.UID)
	}
	switch by.Kind {
	case client.ActorNode:
		return "the node"
	case client.ActorProcess:
		return cmp.Or(name, "?") + " (verge run)"
	}
	return cmp.Or(name, "?")
}

// firstLine is a text as a table has room for it.
func firstLine(text string) string {
	line, _, more := strings.Cut(text, "\n")
	if more {
		line += " …"
	}
	return fault.Clip(line)
}
