package vendorprobe

import (
	"context"
	"errors"
	"time"
)

// WithLimit returns the Prober with another time limit.
func (p *Prober) WithLimit(limit time.Duration) *Prober {
	p.timeLimit = limit
	return p
}

// WithRun returns the Prober with processes that are only said to have been started:
// each fails when fn has returned.
func (p *Prober) WithRun(fn func(ctx context.Context)) *Prober {
	p.run = func(ctx context.Context, _, _ []string) *process {
		fn(ctx)
		return &process{err: errors.New("no program")}
	}
	return p
}

// Parse is parse.
func Parse(data []byte) (Answer, error) { return parse(data) }
