package health

import (
	"errors"
	"fmt"
	"time"
)

// Config says how often and for how long checks run.
type Config struct {
	Interval time.Duration // from one run of a check to the next
	Retry    time.Duration // the same after a run that did not find it healthy
	Timeout  time.Duration // of one run
}

// Default returns the settings of a node.
func Default() Config {
	return Config{Interval: 30 * time.Second, Retry: 2 * time.Second, Timeout: 10 * time.Second}
}

// Validate returns every problem at once, each starting with its key, or nil.
func (c Config) Validate() error {
	const (
		leastInterval, mostInterval = 100 * time.Millisecond, time.Hour
		leastTimeout, mostTimeout   = time.Millisecond, 10 * time.Minute
	)
	var errs []error
	if c.Interval < leastInterval || c.Interval > mostInterval {
		errs = append(errs, fmt.Errorf("health.interval is %v, want %v to %v", c.Interval, leastInterval, mostInterval))
	}
	if c.Retry < leastInterval || c.Retry > c.Interval {
		errs = append(errs, fmt.Errorf("health.retry is %v, want %v to health.interval (%v)", c.Retry, leastInterval, c.Interval))
	}
	if c.Timeout < leastTimeout || c.Timeout > mostTimeout {
		errs = append(errs, fmt.Errorf("health.timeout is %v, want %v to %v", c.Timeout, leastTimeout, mostTimeout))
	}
	return errors.Join(errs...)
}
