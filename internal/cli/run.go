package cli

import (
	"errors"
	"log/slog"
	"time"

	"verge/client"
	"verge/internal/config"
)

type runCommand struct {
	orderFlags
	consentFlags

	For  time.Duration `placeholder:"TIME" help:"Stop after this time, such as 60s, instead of at Ctrl-C."`
	JSON bool          `help:"Print events, one JSON object a line."`

	Watch bool `help:"Deploy again when the deployment file or a file that it names changes, to the stage development unless another is named."`
}

// Validate is called by kong.
func (r *runCommand) Validate() error {
	if r.For < 0 {
		return errors.New("--for wants a time above 0")
	}
	return nil
}

// Run starts a node, deploys to it, and keeps it for as long as it is wanted.
func (r *runCommand) Run(c *call) (err error) {
	r.development()
	order, err := r.read()
	if err != nil {
		return err
	}
	defer order.close()
	cfg, err := c.config()
	if err != nil {
		return err
	}
	level, quiet := &slog.LevelVar{}, c.quiet(cfg)
	level.Set(cfg.Level())
	if quiet {
		level.Set(slog.LevelError) // the deployment itself tells what goes wrong
	}
	node, err := startNode(cfg, newLog(c.std.Err, cfg.LogFormat, level))
	if err != nil {
		return err
	}
	defer func() {
		if stopped := stopNode(node, cfg); err == nil {
			err = stopped
		}
	}()
	seen := stamps(order.paths()) // before anybody changes what is being deployed
	if err := r.deploy(c, order, node.Addresses()); err != nil && !r.Watch {
		return err
	} else if err != nil {
		c.explain(err)
	}
	if quiet {
		level.Set(slog.LevelWarn)
	}
	if r.Watch {
		r.reload(c, seen, node.Addresses())
		return nil
	}
	r.wait(c)
	return nil
}

// deploy deploys to the node at addresses, and says where the model answers.
func (r *runCommand) deploy(c *call, o *order, addresses []string) error {
	node, err := client.New(addresses[0])
	if err != nil {
		return err
	}
	defer node.Close()
	if err := c.deploy(node, o, deployOptions{json: r.JSON, own: true, consent: r.consentFlags}); err != nil || r.JSON {
		return err
	}
	for _, address := range addresses {
		c.print("  %s\n", address)
	}
	c.print("verge predict %s FILE asks it; Ctrl-C stops the node\n", o.name)
	return nil
}

// quiet reports whether no level was asked for.
func (c *call) quiet(cfg config.Config) bool {
	asked := c.settings.LogLevel + c.settings.Set["log_level"] + lookup(c.std.Environ, "VERGE_LOG_LEVEL")
	return asked == "" && cfg.LogLevel == config.Default().LogLevel
}

// wait returns at a signal, or when the time is over.
func (r *runCommand) wait(c *call) {
	var over <-chan time.Time // never, without --for
	if r.For > 0 {
		timer := time.NewTimer(r.For)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
	case <-c.Done():
	}
}
