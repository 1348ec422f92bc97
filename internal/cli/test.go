package cli

import (
	"iter"

	"verge/client"
)

type testCommand struct {
	Model modelArg `arg:"" help:"Name of the model, or NAME.STAGE."`
	JSON  bool     `help:"Print events, one JSON object a line."`
}

// Run tests what serves, and shows the verdicts.
func (t *testCommand) Run(c *call) error {
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	shown := newView(c.std, t.JSON)
	defer shown.close()
	return c.verdicts(node.Test(c, string(t.Model)), shown, t.JSON)
}

// verdicts shows events that end with whether all is well.
func (c *call) verdicts(events iter.Seq2[client.Event, error], shown view, asJSON bool) error {
	for event, err := range events {
		if err != nil {
			return orWhatServes(err)
		}
		shown.event(event)
		if event.Type != client.EventEnd {
			continue
		}
		shown.close()
		if event.Phase == client.PhaseCommitted {
			return nil
		}
		if !asJSON && event.Error != nil {
			shown.note("%s", event.Error.Message)
			writeAdvice(c.std.Err, nil, event.Error.Hint)
		}
		return said{exitFailed}
	}
	return nil
}
