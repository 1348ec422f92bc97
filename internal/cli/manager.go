package cli

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"

	"verge/internal/app"
	"verge/internal/fault"
	"verge/internal/notify"
)

// manager is the service manager that has started this node, if one has.
type manager struct {
	node *app.Node
	log  *slog.Logger
	to   *notify.Manager // nil for none
	stop func()          // ends what tells it, and waits for that

	mu   sync.Mutex // guards last, and the order of what is told
	last string     // status that was told
}

// tellManager tells the service manager that the node listens, from now on what it
// serves, and feeds its watchdog. Committed models are still being loaded: how long that
// takes has no influence on whether the start counts as done.
func (c *call) tellManager(node *app.Node, log *slog.Logger) *manager {
	m := &manager{node: node, log: log, stop: func() {}}
	var err error
	if m.to, err = notify.New(c.std.Environ, os.Getpid()); err != nil {
		log.Warn("the service manager is told nothing", "err", err)
	}
	if m.to == nil {
		return m
	}
	m.tell(node.Summary(), notify.Ready)
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.Context)) // the watchdog is fed while the node stops
	var running sync.WaitGroup
	running.Go(func() {
		select {
		case <-node.Restored():
			m.tell(node.Summary())
		case <-ctx.Done():
		}
	})
	watchdog := notify.Watchdog{
		Limit: m.to.Watchdog(), Check: node.SelfCheck, Failed: m.failed,
		Feed: func() error { return m.send(node.Summary(), notify.Alive) },
	}
	running.Go(func() { watchdog.Run(ctx) })
	m.stop = func() {
		cancel()
		running.Wait()
	}
	return m
}

// stopping tells that the node stops.
func (m *manager) stopping() { m.tell("answering what was admitted", notify.Stopping) }

// failed says why the watchdog was not fed.
func (m *manager) failed(err error) {
	m.log.Error("self-check failed; the service manager's watchdog is not fed", "err", err)
	m.tell(fault.Message(err))
}

func (m *manager) tell(status string, states ...notify.State) {
	if err := m.send(status, states...); err != nil {
		m.log.Warn("the service manager was not told", "err", err)
	}
}

// send sends states, and the status where it is another one.
func (m *manager) send(status string, states ...notify.State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if status != m.last {
		m.last = status
		states = append(slices.Clip(states), notify.Status(status))
	}
	if len(states) == 0 {
		return nil
	}
	return m.to.Send(states...)
}
