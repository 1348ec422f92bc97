package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"verge/client"
	"verge/internal/fault"
)

// The exit statuses.
const (
	exitDone        = 0 // done, or nothing to do
	exitFailed      = 1
	exitUsage       = 2
	exitRolledBack  = 3
	exitUnreachable = 4 // no node answers
	exitTimeout     = 5 // time-out, or canceled
	exitInterrupted = 130
)

// said is an outcome that was shown, with the exit status that it has.
type said struct{ status int }

// Error implements error.
func (s said) Error() string { return fmt.Sprintf("exit status %d", s.status) }

// statusOf is the one table from errors to exit statuses.
func statusOf(err error) int {
	var outcome said
	var interrupted Interrupted
	switch {
	case errors.As(err, &outcome):
		return outcome.status
	case errors.As(err, &interrupted) && interrupted.Signal == os.Interrupt:
		return exitInterrupted
	case errors.As(err, &interrupted):
		return exitTimeout
	case errors.Is(err, client.ErrUnreachable):
		return exitUnreachable
	}
	switch kindOf(err) { // all others have failed
	case fault.Deadline, fault.Canceled:
		return exitTimeout
	default:
		return exitFailed
	}
}

// canceled is the end of something that was canceled, by a signal or by others.
func (c *call) canceled() said {
	if interrupted, ok := errors.AsType[Interrupted](context.Cause(c.Context)); ok {
		return said{statusOf(interrupted)}
	}
	return said{exitTimeout}
}

// kindOf is the kind of an error of this program or of a node.
func kindOf(err error) fault.Kind {
	if e, ok := errors.AsType[*client.Error](err); ok {
		kind, _ := fault.ParseKind(e.Kind)
		return kind
	}
	return fault.KindOf(err)
}

// about puts the file in hand before an error that does not name it.
func about(path string, err error) error {
	return &fault.Error{Kind: kindOf(err), Op: "cli.run", Subject: path, Hint: fault.HintOf(err), Err: err}
}

// explain tells a person what went wrong, and what to do.
func (c *call) explain(err error) {
	if _, ok := errors.AsType[said](err); ok {
		return
	}
	message, hint, problems := describe(err)
	if len(problems) > 0 {
		message = fmt.Sprintf("%s%d %s", subjectOf(err), len(problems), plural(len(problems), "problem"))
	}
	fmt.Fprintln(c.std.Err, "verge:", message)
	writeAdvice(c.std.Err, problems, hint)
}

// writeAdvice tells every problem, and what to do: a hint that belongs to one of
// several problems comes below it.
func writeAdvice(w io.Writer, problems []client.Problem, hint string) {
	several := len(problems) > 1
	for _, p := range problems {
		fmt.Fprintln(w, "  "+fault.Problem(p).String())
		if p.Hint != "" && (several || p.Hint != hint) {
			fmt.Fprintln(w, "    Hint:", p.Hint)
		}
		if several && p.Hint == hint {
			hint = ""
		}
	}
	if hint != "" {
		fmt.Fprintln(w, "Hint:", hint)
	}
}

// describe is an error for people.
func describe(err error) (message, hint string, problems []client.Problem) {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.Message, cmp.Or(e.Hint, fault.HintOf(err)), e.Problems
	}
	return fault.Message(err), fault.HintOf(err), clientProblems(problemsOf(err))
}

// problemsOf returns the problems in err.
func problemsOf(err error) fault.Problems {
	var all fault.Problems
	errors.As(err, &all)
	return all
}

func clientProblems(all fault.Problems) []client.Problem {
	var out []client.Problem
	for _, p := range all {
		out = append(out, client.Problem(p))
	}
	return out
}

// subjectOf returns "deployment.json: " for an error about that file.
func subjectOf(err error) string {
	var e *fault.Error
	if errors.As(err, &e) && e.Subject != "" {
		return e.Subject + ": "
	}
	return ""
}
