package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"verge/internal/cli"
)

// commands puts programs into PATH, in place of all others; each is a shell script.
func commands(t *testing.T, scripts map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

// unit is what systemctl show prints of the service.
func unit(facts ...string) map[string]string {
	return map[string]string{"systemctl": `while [ $# -gt 0 ]; do shift; done; echo "` + strings.Join(facts, "\n") + `"`}
}

func TestServiceStatusIsThatOfSystemdAndOfTheNode(t *testing.T) {
	node := (&fakeNode{status: serving()}).start(t)
	running := unit("LoadState=loaded", "ActiveState=active", "SubState=running", "UnitFileState=enabled", "Result=success", "MainPID=812",
		"NRestarts=1", "StateChangeTimestamp=Sun 2026-11-29 13:00:00 UTC")
	for name, test := range map[string]struct {
		systemctl map[string]string
		flags     []string
	}{
		"service-running":   {running, []string{"--node", node.address}},
		"service-no-answer": {running, []string{"--unix-socket", "/nowhere/verge.sock"}},
		"service-failed": {unit("LoadState=loaded", "ActiveState=activating", "SubState=auto-restart", "UnitFileState=disabled", "Result=watchdog",
			"MainPID=0", "NRestarts=3"), nil},
		"service-absent": {unit("LoadState=not-found", "ActiveState=inactive", "SubState=dead"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			commands(t, test.systemctl)
			golden(t, name, verge(t, append([]string{"service", "status"}, test.flags...)...).transcript())
		})
	}
}

func TestServiceLogsAreThoseOfTheJournal(t *testing.T) {
	commands(t, map[string]string{"journalctl": `echo "$*"`})
	verge(t, "service", "logs").want(t, 0, "--unit verge.service --lines 100 --no-pager\n", "")
	verge(t, "service", "logs", "-n", "5").want(t, 0, "--unit verge.service --lines 5 --no-pager\n", "")
	verge(t, "service", "logs", "--lines=-5").want(t, 2, "",
		"verge: service logs: --lines wants 0 or more\nHint: verge --help lists the commands, verge COMMAND --help their flags.\n")
	commands(t, nil)
	verge(t, "service", "logs").want(t, 1, "",
		"verge: journalctl is not here\nHint: Use a system with systemd, and run as a user whose PATH has journalctl.\n")
}

// whenWritten is called with each write.
type whenWritten func()

func (w whenWritten) Write(data []byte) (int, error) {
	w()
	return len(data), nil
}

func TestServiceLogsGoOnUntilASignal(t *testing.T) {
	commands(t, map[string]string{"journalctl": `echo begun; read -r never <"$0.pipe"`})
	ctx, cancel := context.WithCancelCause(t.Context())
	if err := syscall.Mkfifo(filepath.Join(os.Getenv("PATH"), "journalctl.pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := vergeWith(ctx, t, cli.IO{Out: whenWritten(func() { cancel(cli.Interrupted{Signal: os.Interrupt}) })}, "service", "logs", "-f")
	if r.status != 0 || r.err != "" {
		t.Errorf("%s", r.transcript())
	}
}

func TestServiceInstallPreparesAnImage(t *testing.T) {
	root := t.TempDir()
	commands(t, nil)
	golden(t, "service-install", verge(t, "service", "install", "--root", root).transcript(), root, "DIR")
	golden(t, "service-uninstall", verge(t, "service", "uninstall", "--root", root).transcript(), root, "DIR")
	verge(t, "service", "install", "--root", "/nowhere").want(t, 1, "",
		"verge: /nowhere is no folder\nHint: Name the folder that is the other system's /.\n")
}
