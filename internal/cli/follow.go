package cli

import (
	"context"
	"errors"
	"sync"
	"time"

	"verge/client"
	"verge/internal/fault"
)

// timeFlags bound how long a command waits.
type timeFlags struct {
	Timeout time.Duration `placeholder:"TIME" help:"How long it may take, such as 5m: after that, a deployment that has not switched is canceled, and the status is 5."`
}

// Validate is called by kong.
func (t *timeFlags) Validate() error {
	if t.Timeout < 0 {
		return errors.New("--timeout wants a time above 0")
	}
	return nil
}

// limit ends the command's context after the time, where there is one.
func (t *timeFlags) limit(c *call) (done func()) {
	if t.Timeout == 0 {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(c.Context, t.Timeout)
	c.Context = ctx
	return cancel
}

// follower tells what happens in a deployment until its end.
type follower struct {
	*call

	node *client.Client
	id   string
	view view
	own  bool // the node is this process

	back     bool // that it is rolled back is what was asked for
	watching bool // somebody else's deployment, which a signal does not cancel
}

// follow shows a deployment from its beginning to its end.
func (c *call) follow(d *client.Deployment, f follower, events bool) error {
	f.call, f.id, f.view = c, d.ID, newView(c.std, events)
	defer f.view.close()
	f.view.begin(d)
	return f.follow()
}

// follow goes on over connections that break. A signal before the switch cancels
// the deployment, one after it leaves it to the node.
func (f *follower) follow() error {
	ctx, leave := context.WithCancel(context.WithoutCancel(f.Context))
	defer leave()
	asked := make(chan struct{}) // closed when a signal has been dealt with
	unsignaled := context.AfterFunc(f.Context, func() {
		defer close(asked)
		if !f.cancel() {
			leave()
		}
	})
	settle := sync.OnceFunc(func() {
		if !unsignaled() {
			<-asked
		}
	})
	defer settle()
	const pause, most = 100 * time.Millisecond, 20
	for from, lost := uint64(0), 0; ; {
		last, err := f.events(ctx, from)
		switch {
		case last != nil && last.Type == client.EventEnd:
			settle() // what is said about the signal comes before the end
			return f.outcome(last)
		case ctx.Err() != nil:
			return f.canceled()
		case last != nil:
			from, lost = last.Seq+1, 0 // the connection broke: go on from there
		case kindOf(err) != fault.Unavailable || errors.Is(err, client.ErrUnreachable) || lost == most:
			return err
		default:
			lost++ // a node that ends still takes connections in its last moment
			wait(ctx, pause)
		}
	}
}

// wait returns after a time, or when ctx ends.
func wait(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// events shows what comes until the stream ends, and returns the last event.
func (f *follower) events(ctx context.Context, from uint64) (last *client.Event, err error) {
	for event, err := range f.node.Events(ctx, f.id, from) {
		if err != nil {
			return last, err
		}
		f.view.event(event)
		last = &event
	}
	return last, nil
}

// cancel is what a signal does to a deployment. It reports whether the end is to
// be waited for.
func (f *follower) cancel() (wait bool) {
	if f.watching {
		f.view.note("%s goes on in the node (verge watch %s)", f.id, f.id)
		return false
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(f.Context), patience)
	defer done()
	err := f.node.Cancel(ctx, f.id)
	late := errors.Is(context.Cause(f.Context), context.DeadlineExceeded)
	switch {
	case err == nil && late:
		f.view.note("canceling %s: --timeout is over", f.id)
		return true
	case err == nil:
		f.view.note("canceling %s; press Ctrl-C again to leave at once", f.id)
		return true
	}
	if kindOf(err) != fault.Conflict {
		message, _, _ := describe(err)
		f.view.note("%s was not canceled: %s", f.id, message)
		return false
	}
	if d, err := f.node.Deployment(ctx, f.id); err == nil && d.Phase.Final() {
		return true // it has just ended; the events say how
	}
	if f.own {
		f.view.note("%s has switched already: it serves again when a node starts on this state", f.id)
	} else {
		f.view.note("%s has switched already: it goes on in the node (verge status)", f.id)
	}
	return false
}

// outcome is the end of a deployment as an exit status.
func (f *follower) outcome(end *client.Event) error {
	serves := ""
	if end.Phase != client.PhaseCommitted {
		ctx, done := context.WithTimeout(context.WithoutCancel(f.Context), patience)
		defer done()
		if d, err := f.node.Deployment(ctx, f.id); err == nil {
			serves = d.Serves
		}
	}
	if f.back && end.Phase == client.PhaseRolledBack {
		end.Phase, end.Error = client.PhaseCommitted, nil
		f.view.end(end, serves)
		return nil
	}
	f.view.end(end, serves)
	switch end.Phase { // an end has a final phase; all others have failed
	case client.PhaseCommitted:
		return nil
	case client.PhaseRolledBack:
		return said{exitRolledBack}
	case client.PhaseCanceled:
		return f.canceled()
	default:
		return said{exitFailed}
	}
}
