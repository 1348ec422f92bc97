package cli

import (
	"verge/client"
)

type testCommand struct {
	Model string `arg:"" help:"Name of the model, or NAME.STAGE."`
	JSON  bool   `help:"Print events, one JSON object a line."`
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
	for event, err := range node.Test(c, t.Model) {
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
		if !t.JSON && event.Error != nil {
			shown.note("%s", event.Error.Message)
			writeAdvice(c.std.Err, nil, event.Error.Hint)
		}
		return said{exitFailed}
	}
	return nil
}
