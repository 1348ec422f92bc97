package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"verge/client"
	"verge/internal/fault"
)

// SelfCheck asks the node what clients ask, at the node's own Unix socket, and returns
// nil where every answer comes before ctx ends: the listener, the server, the locks that
// requests take and those of the health checks are in the way. That a model is not ready
// is an answer.
//
// It writes nothing, and does not wait for the state file: a node whose disk has gone
// serves on, and would not start again. It keeps one connection, so that clients who
// hold all others do not look like a node that hangs.
func (n *Node) SelfCheck(ctx context.Context) error {
	const op = "app.selfcheck"
	if err := n.self.Live(ctx); err != nil {
		return fault.New(fault.Unavailable, op, "the node does not answer itself: %w", err)
	}
	if err := n.self.Ready(ctx); err != nil && !notReady(err) {
		return fault.New(fault.Unavailable, op, "the node does not tell itself whether it is ready: %w", err)
	}
	if _, err := n.self.Health(ctx); err != nil {
		return fault.New(fault.Unavailable, op, "the node does not tell itself its health: %w", err)
	}
	return nil
}

// notReady reports whether err is the node's answer that it is not ready.
func notReady(err error) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && e.Status == http.StatusServiceUnavailable
}

// Restored is closed when every committed model has been tried.
func (n *Node) Restored() <-chan struct{} { return n.restored }

// Summary says in one line what the node serves, and what it does not.
func (n *Node) Summary() string {
	all := n.server.Models()
	serving := 0
	for _, e := range all {
		if e.Version != nil {
			serving++
		}
	}
	switch err := n.server.Ready(); {
	case len(all) == 0:
		return "no model is deployed"
	case err != nil:
		return fmt.Sprintf("%d of %d models serving; %s", serving, len(all), fault.Message(err))
	case len(all) == 1:
		return "1 model serving"
	}
	return fmt.Sprintf("%d models serving", len(all))
}
