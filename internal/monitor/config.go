package monitor

import (
	"errors"
	"fmt"
	"time"
)

// Config says how much a Model remembers.
type Config struct {
	Window           int           // latencies that the figures of a snapshot rest on
	ThroughputWindow time.Duration // whole seconds
	Minutes          int           // minutes that have a histogram of their own
}

// Default returns the settings of a node.
func Default() Config {
	return Config{Window: 1000, ThroughputWindow: time.Minute, Minutes: 10}
}

// Validate returns every problem at once, each starting with its key, or nil.
func (c Config) Validate() error {
	const (
		mostWindow     = 1_000_000
		mostThroughput = time.Hour
		mostMinutes    = 24 * 60
	)
	var errs []error
	if c.Window < 1 || c.Window > mostWindow {
		errs = append(errs, fmt.Errorf("monitor.window is %d, want 1 to %d", c.Window, mostWindow))
	}
	if c.ThroughputWindow < time.Second || c.ThroughputWindow > mostThroughput || c.ThroughputWindow%time.Second != 0 {
		errs = append(errs, fmt.Errorf("monitor.throughput_window is %v, want whole seconds from %v to %v", c.ThroughputWindow, time.Second, mostThroughput))
	}
	if c.Minutes < 1 || c.Minutes > mostMinutes {
		errs = append(errs, fmt.Errorf("monitor.minutes is %d, want 1 to %d", c.Minutes, mostMinutes))
	}
	return errors.Join(errs...)
}
