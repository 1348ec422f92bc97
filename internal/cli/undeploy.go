package cli

type undeployCommand struct {
	Model modelArg `arg:"" help:"Name of the model."`
}

// Run takes a model out of service.
func (u *undeployCommand) Run(c *call) error {
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	if err := node.Undeploy(c, string(u.Model)); err != nil {
		return err
	}
	c.print("%s is not served any more\n", string(u.Model))
	return nil
}
