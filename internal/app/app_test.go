package app_test

import (
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"verge/internal/app"
	"verge/internal/config"
	"verge/internal/fault"
	"verge/test/nodetest"
)

func TestMain(m *testing.M) { nodetest.Main(m) }

// start starts a node that is expected to be refused.
func start(t *testing.T, cfg config.Config) error {
	t.Helper()
	node, err := app.Start(cfg, []string{"/nonexistent"}, slog.New(slog.DiscardHandler))
	if err == nil {
		if err = node.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		t.Fatal("the node started")
	}
	return err
}

func TestASecondNodeIsToldWhoHasTheState(t *testing.T) {
	cfg := nodetest.Settings(t)
	first := nodetest.Start(t, cfg)
	second := cfg
	second.UnixSocket += "2"
	err := start(t, second)
	want := cfg.StateDir + ": the state directory is in use by another node (pid " + strconv.Itoa(os.Getpid()) + ", started "
	if fault.KindOf(err) != fault.Conflict || !strings.HasPrefix(fault.Message(err), want) {
		t.Errorf("Start = %v, want a conflict that begins with %q", err, want)
	}
	if got, want := fault.HintOf(err), "Stop that node, or name another directory with --state-dir."; got != want {
		t.Errorf("hint %q, want %q", got, want)
	}
	if err := first.Live(t.Context()); err != nil {
		t.Errorf("the first node: %v", err)
	}
	first.Stop()
	nodetest.Start(t, second).Stop()
}

func TestAStartThatFailsLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := nodetest.Settings(t)
	cfg.HTTPAddress = taken.Addr().String()
	err = start(t, cfg)
	if want := "the address " + cfg.HTTPAddress + " is in use by another process"; fault.KindOf(err) != fault.Conflict || fault.Message(err) != want {
		t.Errorf("Start = %v, want the conflict %q", err, want)
	}
	if _, err := os.Stat(cfg.UnixSocket); !os.IsNotExist(err) {
		t.Errorf("the Unix socket is still there: %v", err)
	}
	cfg.HTTPAddress = "" // no TCP, and the state directory is free again
	nodetest.Start(t, cfg).Stop()
}

func TestAStateDirectoryThatCannotBeMade(t *testing.T) {
	cfg := nodetest.Settings(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.StateDir = filepath.Join(file, "state")
	if err := start(t, cfg); fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), "not a directory") || fault.HintOf(err) == "" {
		t.Errorf("Start = %v (%v), want invalid, with a hint", err, fault.KindOf(err))
	}
}

func TestANodeWithoutModels(t *testing.T) {
	node := nodetest.Start(t, nodetest.Settings(t))
	status, err := node.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.Node.PID != os.Getpid() || status.Node.Version == "" || len(status.Models) != 0 || status.SystemResources.AvailableMemoryMB <= 0 {
		t.Errorf("status %+v", status)
	}
	for name, path := range map[string]string{"lock": "lock", "state file": "state.db"} {
		var info os.FileInfo
		if info, err = os.Stat(filepath.Join(node.Config.StateDir, path)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the %s is %v (%v), want a file for its owner only", name, info, err)
		}
	}
	info, err := os.Stat(node.Config.StateDir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the state directory is %v (%v), want one for its owner only", info, err)
	}
	text, err := json.Marshal(status.HealthStatus)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{`"last_check"`, `"checks"`, `"memory"`, `"disk"`, `"cpu"`} {
		if !strings.Contains(string(text), key) {
			t.Errorf("health_status %s lacks %s", text, key)
		}
	}
	if _, err := node.Model(t.Context(), "digits"); err == nil || !strings.Contains(err.Error(), `model "digits" is not deployed`) {
		t.Errorf("status of an unknown model: %v", err)
	}
}
