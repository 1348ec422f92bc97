package faults_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"verge/test/nodetest"
)

func TestADamagedModelIsNotServedAndComesBackWithADeployment(t *testing.T) {
	nodetest.Require(t)
	for name, change := range map[string]func(data []byte) []byte{
		"a flipped bit": func(data []byte) []byte {
			data[len(data)/2] ^= 4
			return data
		},
		"a cut": func(data []byte) []byte { return data[:len(data)-1] },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := nodetest.Settings(t)
			node := nodetest.Start(t, cfg)
			deploy(t, node, "digits")
			node.Stop()
			stored := files(t, cfg.StateDir+"/artifacts")
			if len(stored) != 1 {
				t.Fatalf("artifacts %v, want one", stored)
			}
			whole, err := os.ReadFile(stored[0])
			if err != nil {
				t.Fatal(err)
			}
			damaged := change(bytes.Clone(whole))
			if err = os.Chmod(stored[0], 0o600); err == nil {
				err = os.WriteFile(stored[0], damaged, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}

			node = nodetest.Start(t, cfg)
			reason := ""
			nodetest.Wait(t, "the model is refused", func() bool {
				if _, err := ask(t.Context(), node, "digits", 1); err != nil {
					reason = err.Error()
				}
				return strings.Contains(reason, "not loaded")
			})
			if !strings.Contains(reason, "its bytes have sha256:") {
				t.Errorf("it is refused with %q", reason)
			}
			if left, err := os.ReadFile(stored[0]); err != nil || !bytes.Equal(left, damaged) {
				t.Errorf("the file was touched (%v)", err)
			}
			deploy(t, node, "digits") // the same bytes
			if _, err := ask(t.Context(), node, "digits", 1); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadFile(stored[0]); err != nil || !bytes.Equal(left, whole) {
				t.Errorf("the file is not whole again (%v)", err)
			}
		})
	}
}

func TestANodeWithADamagedStateDoesNotStartAndRemovesNothing(t *testing.T) {
	nodetest.Require(t)
	s := newStage(t)
	state := t.TempDir() + "/state"
	if err := os.CopyFS(state, os.DirFS(s.state)); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(state + "/state.db")
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.ReplaceAll(data, []byte(`"serving":`), []byte(`"rerving":`)) // one bit of each copy: nobody looks for that name
	if err = os.WriteFile(state+"/state.db", data, 0o600); err != nil {
		t.Fatal(err)
	}
	before := artifacts(t, state)
	verge, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), verge, "serve")
	cmd.Env = append(os.Environ(), "VERGE_STATE_DIR="+state, "VERGE_UNIX_SOCKET="+t.TempDir()+"/s", "VERGE_HTTP_ADDRESS=")
	said, err := cmd.CombinedOutput()
	out := string(said)
	if err == nil || !strings.Contains(out, "its records do not have the sum that was written with them") || !strings.Contains(out, "Hint: Bring state.db back") {
		t.Errorf("verge serve: %v\n%s", err, out)
	}
	if after := artifacts(t, state); len(after) != len(before) {
		t.Errorf("artifacts %v, want %v", after, before)
	}
	if left, err := os.ReadFile(state + "/state.db"); err != nil || !bytes.Equal(left, data) {
		t.Errorf("the state file was touched (%v)", err)
	}
}
