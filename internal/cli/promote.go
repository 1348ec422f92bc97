package cli

import "verge/client"

type promoteCommand struct {
	Model  modelArg `arg:"" help:"Name of the model; NAME.STAGE names the stage that it comes from, which is the highest one below the other otherwise."`
	To     string   `required:"" placeholder:"STAGE" help:"Stage to deploy to: testing, staging or production."`
	Reason string   `placeholder:"TEXT" help:"Why, for the record."`
	Force  string   `placeholder:"REASON" help:"Why it is to be taken though a verdict cannot tell, or staging has not seen it."`
	JSON   bool     `help:"Print events, one JSON object a line."`

	timeFlags
}

// Run promotes, and follows until the end.
func (p *promoteCommand) Run(c *call) error {
	defer p.limit(c)()
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	d, err := node.Promote(c, string(p.Model), client.PromoteRequest{To: p.To, Reason: p.Reason, ForceReason: p.Force})
	if err != nil {
		return err
	}
	return c.follow(d, follower{node: node}, p.JSON)
}
