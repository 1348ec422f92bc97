// Command verge deploys AI models on this machine, serves them, and talks to the
// node that does.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"verge/internal/cli"
)

func main() {
	// The first signal ends the command in good order; after it, signals have
	// their usual effect, so that the second one ends the process at once.
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1) // holds the first; never closed
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		received := <-signals
		signal.Stop(signals)
		cancel(cli.Interrupted{Signal: received})
	}()
	os.Exit(cli.Run(ctx, os.Args[1:], cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ()}))
}
