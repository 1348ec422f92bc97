package service

import (
	"context"
	"strconv"
	"strings"

	"verge/internal/fault"
)

// State is how systemd sees the service.
type State struct {
	Loaded   bool   // there is a unit
	Active   string // "active", "inactive", "activating", "failed", …
	Sub      string // "running", "dead", "auto-restart", …
	Enabled  bool   // it starts with the system
	Result   string // how it ended the last time: "success", "watchdog", "exit-code", …
	PID      int    // 0 where it does not run
	Restarts int    // since it was started by hand or with the system
	Since    string // of Active, as systemd writes times; ""
}

// Running reports whether the service is up.
func (s State) Running() bool { return s.Active == "active" }

// State asks systemd. It fails with fault.Unsupported where there is none.
func (s System) State(ctx context.Context) (State, error) {
	const op = "service.state"
	text, err := output(ctx, op, "systemctl", "show", Unit, "--property", "LoadState,ActiveState,SubState,UnitFileState,Result,MainPID,NRestarts,StateChangeTimestamp")
	if err != nil {
		if !s.booted() && fault.KindOf(err) == fault.Internal {
			err = noSystemd(op)
		}
		return State{}, err
	}
	values := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = value
	}
	pid, _ := strconv.Atoi(values["MainPID"])        // 0 where it says none
	restarts, _ := strconv.Atoi(values["NRestarts"]) // as above
	return State{
		Loaded: values["LoadState"] == "loaded", Active: values["ActiveState"], Sub: values["SubState"],
		Enabled: values["UnitFileState"] == "enabled", Result: values["Result"], PID: pid, Restarts: restarts, Since: values["StateChangeTimestamp"],
	}, nil
}
