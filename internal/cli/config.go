package cli

type configCommand struct {
	Check configCheck `cmd:"" help:"Check the settings."`
	Show  configShow  `cmd:"" help:"Print the settings in effect, each with what it means, as a file of settings."`
}

type configCheck struct{}

// Run says whether the settings can be used.
func (*configCheck) Run(c *call) error {
	if _, err := c.config(); err != nil {
		return err
	}
	c.print("the settings are valid\n")
	return nil
}

type configShow struct{}

// Run prints the settings.
func (*configShow) Run(c *call) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	_, err = c.std.Out.Write(cfg.Show())
	return err
}
