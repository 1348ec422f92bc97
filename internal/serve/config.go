package serve

import (
	"errors"
	"fmt"
	"time"
)

// Config bounds what the versions of a Server take. It does not change while
// the Server lives.
type Config struct {
	QueueSize      int           // requests that may wait for a slot of one version; 0 refuses at once
	SlotsPerThread int           // slots for each run that a session allows at a time: while one computes, others are read and written
	InputBytes     int           // most bytes that the inputs of one request take in a slot
	OutputBytes    int           // the same for outputs
	DefaultTimeout time.Duration // from Begin to the end of Run, for requests that ask for none
	MaxTimeout     time.Duration // what a request may ask for; more is cut to it
}

// Default returns settings for a board of four cores and 1 GiB of memory.
func Default() Config {
	return Config{
		QueueSize: 64, SlotsPerThread: 4,
		InputBytes: 64 << 20, OutputBytes: 64 << 20,
		DefaultTimeout: 30 * time.Second, MaxTimeout: 5 * time.Minute,
	}
}

// timeout is how long a request may take that asks for so long: 0 or less for nothing.
func (c Config) timeout(asked time.Duration) time.Duration {
	if asked <= 0 {
		asked = c.DefaultTimeout
	}
	return min(asked, c.MaxTimeout)
}

// Validate returns every problem at once, each starting with its key, or nil.
func (c Config) Validate() error {
	const (
		mostQueue, mostSlots = 1 << 16, 64
		leastBytes           = 4 << 10
		mostBytes            = 1 << 30 // fits an int of 32 bits
		mostTimeout          = 24 * time.Hour
	)
	var errs []error
	outside := func(key string, got, least, most any) {
		errs = append(errs, fmt.Errorf("serve.%s is %v, want %v to %v", key, got, least, most))
	}
	if c.QueueSize < 0 || c.QueueSize > mostQueue {
		outside("queue_size", c.QueueSize, 0, mostQueue)
	}
	if c.SlotsPerThread < 1 || c.SlotsPerThread > mostSlots {
		outside("slots_per_thread", c.SlotsPerThread, 1, mostSlots)
	}
	if c.InputBytes < leastBytes || c.InputBytes > mostBytes {
		outside("input_bytes", c.InputBytes, leastBytes, mostBytes)
	}
	if c.OutputBytes < leastBytes || c.OutputBytes > mostBytes {
		outside("output_bytes", c.OutputBytes, leastBytes, mostBytes)
	}
	if c.MaxTimeout < time.Millisecond || c.MaxTimeout > mostTimeout {
		outside("max_timeout", c.MaxTimeout, time.Millisecond, mostTimeout)
	}
	if c.DefaultTimeout < time.Millisecond || c.DefaultTimeout > c.MaxTimeout {
		errs = append(errs, fmt.Errorf("serve.default_timeout is %v, want %v to serve.max_timeout (%v)", c.DefaultTimeout, time.Millisecond, c.MaxTimeout))
	}
	return errors.Join(errs...)
}
