package deploy

import (
	"context"
	"sync"
	"time"

	"verge/client"
)

// maxEvents bounds what one deployment remembers for those who come late; a
// deployment of the base file makes about three hundred.
const maxEvents = 4096

// eventLog is what happened in one deployment, for any number of followers.
type eventLog struct {
	mu     sync.Mutex // guards all below
	events []client.Event
	ended  bool
	wake   chan struct{} // closed, and replaced, when something was added
}

func newEventLog() *eventLog { return &eventLog{wake: make(chan struct{})} }

// add numbers and keeps an event. Past maxEvents only phases, verdicts and the
// end are kept, and those are few.
func (l *eventLog) add(e client.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || len(l.events) >= maxEvents && e.Type == client.EventProgress {
		return
	}
	e.Seq = uint64(len(l.events)) + 1
	l.events = append(l.events, e)
	l.ended = e.Type == client.EventEnd
	close(l.wake)
	l.wake = make(chan struct{})
}

// follow calls fn for each event with a number of from or more, until the end,
// an error of fn, or the end of ctx.
func (l *eventLog) follow(ctx context.Context, from uint64, fn func(client.Event) error) error {
	next := int(max(from, 1)) - 1 //nolint:gosec // compared with a length before use
	for {
		l.mu.Lock()
		fresh, ended, wake := l.events[min(max(next, 0), len(l.events)):], l.ended, l.wake
		l.mu.Unlock()
		for _, e := range fresh {
			if err := fn(e); err != nil {
				return err
			}
			next++
		}
		if ended {
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// replay makes the log of a deployment that an earlier process ran.
func replay(d *client.Deployment) *eventLog {
	l := newEventLog()
	for _, phase := range d.Phases {
		l.add(client.Event{Time: phase.Started, Deployment: d.ID, Type: client.EventPhase, Phase: phase.Phase})
		for i := range d.Verdicts {
			if d.Verdicts[i].Phase == phase.Phase {
				l.add(client.Event{Time: d.Verdicts[i].Time, Deployment: d.ID, Type: client.EventVerdict, Phase: phase.Phase, Verdict: &d.Verdicts[i]})
			}
		}
	}
	l.add(endEvent(d, d.Updated))
	return l
}

func endEvent(d *client.Deployment, at time.Time) client.Event {
	return client.Event{Time: at, Deployment: d.ID, Type: client.EventEnd, Phase: d.Phase, Error: d.Error}
}
