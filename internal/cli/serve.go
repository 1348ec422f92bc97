package cli

import (
	"context"
	"io"
	"log/slog"
	"os"

	"verge/internal/app"
	"verge/internal/config"
	"verge/internal/fault"
	"verge/internal/sandbox"
)

type serveCommand struct{}

// Run serves until a signal comes.
func (s *serveCommand) Run(c *call) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	log := newLog(c.std.Err, cfg.LogFormat, cfg.Level())
	if lookup(c.std.Environ, "NOTIFY_SOCKET") != "" {
		sandbox.Descend("/proc/self") // the service's control group is the node's alone
	}
	node, err := startNode(cfg, log)
	if err != nil {
		return err
	}
	manager := c.tellManager(node, log)
	defer manager.stop()
	<-c.Done()
	manager.stopping()
	return stopNode(node, cfg)
}

// startNode starts a node whose workers are this program.
func startNode(cfg config.Config, log *slog.Logger) (*app.Node, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fault.New(fault.Internal, "cli.serve", "find this program: %w", err)
	}
	return app.Start(cfg, []string{self, "worker"}, log)
}

// stopNode answers what was admitted, and stops.
func stopNode(node *app.Node, cfg config.Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), cfg.Limits.DrainTimeout)
	defer cancel()
	return node.Stop(ctx)
}

// newLog makes the log of a node.
func newLog(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

type workerCommand struct{}

// Run is the other side of a worker process.
func (w *workerCommand) Run(c *call) error { return app.Worker(c.Context) }
