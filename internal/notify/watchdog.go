package notify

import (
	"context"
	"time"
)

// Watchdog feeds the service manager's watchdog for as long as a check passes.
type Watchdog struct {
	Limit  time.Duration                   // after which the manager restarts what did not feed; 0 for no watchdog
	Check  func(ctx context.Context) error // ends when ctx does, and then fails
	Feed   func() error                    // sends Alive
	Failed func(err error)                 // hears why it was not fed
}

// Run checks at once and then twice within the limit, and feeds after each check that
// passes. A check has a quarter of the limit; after one that failed the next comes
// after an eighth, so that one bad moment is not the end. Run returns when ctx ends.
func (w Watchdog) Run(ctx context.Context) {
	const every, patience, again = 2, 4, 8 // parts of the limit
	if w.Limit <= 0 {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		begin := time.Now()
		err := w.once(ctx, w.Limit/patience)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.Failed(err)
			timer.Reset(w.Limit / again)
			continue
		}
		timer.Reset(w.Limit/every - time.Since(begin))
	}
}

func (w Watchdog) once(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := w.Check(ctx); err != nil {
		return err
	}
	return w.Feed()
}
