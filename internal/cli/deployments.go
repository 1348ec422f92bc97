package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"verge/client"
	"verge/internal/fault"
)

type watchCommand struct {
	Deployment string `arg:"" help:"Id of the deployment."`
	JSON       bool   `help:"Print events, one JSON object a line."`

	timeFlags
}

// Run tells what happens in a deployment, from its beginning to its end.
func (w *watchCommand) Run(c *call) error {
	defer w.limit(c)()
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	d, err := node.Deployment(c, w.Deployment)
	if err != nil {
		return err
	}
	return c.follow(d, follower{node: node, watching: true}, w.JSON)
}

type cancelCommand struct {
	Deployment string `arg:"" help:"Id of the deployment."`
}

// Run ends a deployment that has not switched.
func (x *cancelCommand) Run(c *call) error {
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	if err := node.Cancel(c, x.Deployment); err != nil {
		return err
	}
	c.print("%s is canceled\n", x.Deployment)
	return nil
}

type historyCommand struct {
	Model  string `arg:"" optional:"" help:"Only deployments of this model."`
	Limit  int    `default:"20" placeholder:"N" help:"How many to show, the newest first; 20 unless given."`
	Audit  bool   `help:"Show who changed what, from the audit log, instead of deployments."`
	Verify bool   `help:"Check the whole audit log, entry by entry, instead of showing anything."`
	JSON   bool   `help:"Print JSON: one list, or what was found of the audit log."`
}

// Validate is called by kong.
func (h *historyCommand) Validate() error {
	if h.Limit < 1 {
		return fmt.Errorf("--limit is %d, want 1 or more", h.Limit)
	}
	if h.Verify && h.Audit {
		return errors.New("want --audit or --verify, not both")
	}
	return nil
}

// Run lists deployments, the newest first.
func (h *historyCommand) Run(c *call) error {
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	switch {
	case h.Verify:
		return h.verify(c, node)
	case h.Audit:
		return h.acts(c, node)
	}
	all, err := h.ask(c, node)
	if err != nil {
		return err
	}
	if h.JSON {
		return c.printJSON(all)
	}
	if len(all) == 0 {
		c.print("no deployment is known\n")
		return nil
	}
	t := tabwriter.NewWriter(c.std.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "BEGAN\tVERSION\tPHASE\tDEPLOYMENT\tWHY")
	for _, d := range all {
		fmt.Fprintf(t, "%s\t%s@%d\t%s\t%s\t%s\n", d.Created.UTC().Format(time.DateTime), d.Model, d.Version, d.Phase, d.ID, plain(why(&d)))
	}
	return t.Flush()
}

// pageSize is how many deployments a node lists at once.
const pageSize = 100

// ask fetches as many deployments as are wanted, page by page.
func (h *historyCommand) ask(c *call, node *client.Client) ([]client.Deployment, error) {
	all := []client.Deployment{}
	for after := ""; len(all) < h.Limit; {
		page, err := node.Deployments(c, client.DeploymentQuery{Model: h.Model, Limit: min(h.Limit-len(all), pageSize), After: after})
		if err != nil {
			return nil, err
		}
		all = append(all, page.Deployments...)
		if after = page.Next; after == "" {
			break
		}
	}
	return all, nil
}

// why is what a person wants to know of a deployment that has ended, in one line.
func why(d *client.Deployment) string {
	var parts []string
	if d.PromotedFrom != "" {
		parts = append(parts, "promoted from "+d.PromotedFrom)
	}
	if d.RollsBack != "" {
		parts = append(parts, "rolls back "+d.RollsBack)
	}
	if d.Reason != "" {
		parts = append(parts, d.Reason)
	}
	if d.Error != nil {
		text, _, more := strings.Cut(d.Error.Message, "\n")
		if more {
			text += " …"
		}
		parts = append(parts, text)
	}
	return fault.Clip(cmp.Or(strings.Join(parts, "; "), "-"))
}
