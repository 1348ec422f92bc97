package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"verge/client"
	"verge/internal/app"
	"verge/internal/config"
	"verge/internal/runtimeinstall"
)

// call is one command line that is being executed.
type call struct {
	context.Context //nolint:containedctx // a call is one command, and ends with it
	std             IO
	settings        *settings
}

// config reads the settings that the command line, the environment and the file give.
func (c *call) config() (config.Config, error) {
	path := c.settings.Config
	if path == "" {
		path = lookup(c.std.Environ, "VERGE_CONFIG")
	}
	return config.Load(path, c.std.Environ, c.settings.overrides())
}

// client returns a client of the node.
func (c *call) client() (*client.Client, error) {
	if c.settings.Node != "" {
		return client.New(c.settings.Node)
	}
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	return client.New("unix:" + cfg.NodeSocket(os.Geteuid(), c.std.Environ, isThere))
}

// isThere reports whether a path names something that this user can see.
func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// libraries finds native libraries where the settings say.
func (c *call) libraries() (*runtimeinstall.Runtimes, error) {
	return c.librariesOf(runtimeinstall.Platform{})
}

// librariesOf finds those of a platform; the zero Platform is this machine's.
func (c *call) librariesOf(platform runtimeinstall.Platform) (*runtimeinstall.Runtimes, error) {
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	return app.LibrariesOf(cfg, platform)
}

// patience is how long a command that was told to end waits for the node.
const patience = 10 * time.Second

// lingering returns a context that outlives c by patience: for what must not be
// cut in two by a signal.
func (c *call) lingering() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.Context))
	stop := context.AfterFunc(c.Context, func() {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() { stop(); cancel() }
}

// print writes a result. A reader that has gone is no error.
func (c *call) print(format string, args ...any) { fmt.Fprintf(c.std.Out, format, args...) }

// printJSON prints one document on one line.
func (c *call) printJSON(value any) error {
	encoder := json.NewEncoder(c.std.Out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
