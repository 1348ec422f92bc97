package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"strings"

	"verge/internal/fault"
)

// hasCommand reports whether PATH has a program.
func hasCommand(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// run runs a program of the system to its end. What it says goes into the error.
func run(ctx context.Context, op, name string, args ...string) error {
	_, err := output(ctx, op, name, args...)
	return err
}

func succeeds(ctx context.Context, name string, args ...string) bool {
	return exec.CommandContext(ctx, name, args...).Run() == nil //nolint:gosec // programs of the system
}

// output is run, with what the program writes to standard output.
func output(ctx context.Context, op, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // programs of the system
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", commandFault(ctx, op, name, args, strings.TrimSpace(errs.String()), err)
	}
	return out.String(), nil
}

// commandFault says which command failed, and what it said.
func commandFault(ctx context.Context, op, name string, args []string, said string, err error) error {
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fault.New(fault.Unsupported, op, "%s is not here", name).WithHint("Use a system with systemd, and run as a user whose PATH has %s.", name)
	case ctx.Err() != nil:
		return fault.New(fault.Canceled, op, "%s: %w", name, ctx.Err())
	case said == "":
		said = err.Error()
	}
	return fault.New(fault.Internal, op, "%s: %s", strings.Join(append([]string{name}, args...), " "), said)
}

// Logs writes the last lines of the service's log, and with follow those that come until
// ctx ends, which is no error then.
func (s System) Logs(ctx context.Context, lines int, follow bool, out, errs io.Writer) error {
	const op = "service.logs"
	args := []string{"--unit", Unit, "--lines", strconv.Itoa(lines), "--no-pager"}
	if follow {
		args = append(args, "--follow")
	}
	cmd := exec.CommandContext(ctx, "journalctl", args...) //nolint:gosec // a program of the system
	cmd.Stdout, cmd.Stderr = out, errs
	err := cmd.Run()
	if follow && ctx.Err() != nil {
		err = nil
	}
	if err == nil {
		return nil
	}
	return commandFault(ctx, op, "journalctl", args, "", err)
}
