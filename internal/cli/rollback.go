package cli

import (
	"fmt"
	"strconv"
	"strings"

	"verge/client"
	"verge/internal/fault"
)

type rollbackCommand struct {
	Model  modelArg `arg:"" help:"Name of the model."`
	To     *int     `placeholder:"N" help:"Version to return to; without it, the one before the one that serves."`
	Reason string   `placeholder:"TEXT" help:"Why, for the record."`
	JSON   bool     `help:"Print events, one JSON object a line."`

	timeFlags
}

// Validate is called by kong.
func (r *rollbackCommand) Validate() error {
	if err := r.timeFlags.Validate(); err != nil {
		return err
	}
	if r.To != nil && *r.To < 1 {
		return fmt.Errorf("--to is %d, want a version, 1 or more", *r.To)
	}
	return nil
}

// Run rolls back, and follows until the end.
func (r *rollbackCommand) Run(c *call) error {
	defer r.limit(c)()
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	req := client.RollbackRequest{Reason: r.Reason}
	if r.To != nil {
		req.To = *r.To
	}
	d, err := node.Rollback(c, string(r.Model), req)
	if err != nil {
		return err
	}
	return c.follow(d, follower{node: node, back: true}, r.JSON)
}

type pinCommand struct {
	Version string `arg:"" name:"model@n" help:"Name and version of the model."`
	Remove  bool   `help:"Keep it no longer than it is needed."`
}

// Run keeps a version, or no longer.
func (p *pinCommand) Run(c *call) error {
	model, text, _ := strings.Cut(p.Version, "@")
	version, err := strconv.Atoi(text)
	if err != nil || version < 1 || model == "" {
		return fault.New(fault.Invalid, "cli.pin", "%q is no version of a model", fault.Clip(p.Version)).WithHint("Give name and version, as in digits@2.")
	}
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	if err := node.Pin(c, model, client.PinRequest{Version: version, Remove: p.Remove}); err != nil {
		return err
	}
	what := "is kept"
	if p.Remove {
		what = "is kept no longer than it is needed"
	}
	c.print("%s@%d %s\n", model, version, what)
	return nil
}
