package worker

import (
	"errors"
	"fmt"
	"time"
)

// Config bounds what a worker may take and do. It does not change while the Host
// lives.
type Config struct {
	StartTimeout    time.Duration // from the start of the process until the model is loaded
	PingInterval    time.Duration // between two questions whether the process is there, and two looks at its memory
	PingTimeout     time.Duration // without an answer for so long it hangs, and is replaced
	CancelGrace     time.Duration // for a run to stop once its request has ended; then the process is replaced
	StopGrace       time.Duration // from being told to stop to SIGTERM, and from there to SIGKILL
	RestartDelay    time.Duration // before the first restart; doubles with each death in a row
	MaxRestartDelay time.Duration
	StableAfter     time.Duration // a process that served for so long resets the delay
	MaxDeaths       int           // so many within DeathWindow, and it is not started again
	DeathWindow     time.Duration
	LogRecords      int    // of a worker's library that are logged in ten seconds; further ones are counted
	CGroup          string // directory of the control group under which workers get theirs; "" finds it
}

// Default returns settings for a small board.
func Default() Config {
	return Config{
		StartTimeout: 2 * time.Minute,
		PingInterval: 2 * time.Second, PingTimeout: 10 * time.Second,
		CancelGrace: 2 * time.Second, StopGrace: 2 * time.Second,
		RestartDelay: 200 * time.Millisecond, MaxRestartDelay: 30 * time.Second, StableAfter: time.Minute,
		MaxDeaths: 5, DeathWindow: 10 * time.Minute,
		LogRecords: 100,
	}
}

// Validate returns every problem at once, each starting with its key, or nil.
func (c Config) Validate() error {
	const (
		least = time.Millisecond
		most  = 24 * time.Hour
	)
	var errs []error
	for _, d := range []struct {
		key         string
		got         time.Duration
		least, most time.Duration
	}{
		{"start_timeout", c.StartTimeout, least, most},
		{"ping_interval", c.PingInterval, least, most},
		{"ping_timeout", c.PingTimeout, c.PingInterval, most},
		{"cancel_grace", c.CancelGrace, least, most},
		{"stop_grace", c.StopGrace, least, most},
		{"restart_delay", c.RestartDelay, least, most},
		{"max_restart_delay", c.MaxRestartDelay, c.RestartDelay, most},
		{"stable_after", c.StableAfter, least, most},
		{"death_window", c.DeathWindow, least, 7 * most},
	} {
		if d.got < d.least || d.got > d.most {
			errs = append(errs, fmt.Errorf("worker.%s is %v, want %v to %v", d.key, d.got, d.least, d.most))
		}
	}
	if c.MaxDeaths < 1 || c.MaxDeaths > 1000 {
		errs = append(errs, fmt.Errorf("worker.max_deaths is %d, want 1 to 1000", c.MaxDeaths))
	}
	if c.LogRecords < 1 || c.LogRecords > 100_000 {
		errs = append(errs, fmt.Errorf("worker.log_records is %d, want 1 to 100000", c.LogRecords))
	}
	return errors.Join(errs...)
}
