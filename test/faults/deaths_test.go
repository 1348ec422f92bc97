package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"verge/client"
	"verge/test/nodetest"
)

// workers lists the processes of workers that this process has started.
func workers(t *testing.T) (all []int) {
	t.Helper()
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	for _, path := range lists {
		text, _ := os.ReadFile(path)
		for word := range strings.FieldsSeq(string(text)) {
			command, _ := os.ReadFile("/proc/" + word + "/cmdline")
			if args := strings.Split(string(command), "\x00"); len(args) > 1 && args[1] == "worker" {
				pid, _ := strconv.Atoi(word)
				all = append(all, pid)
			}
		}
	}
	return all
}

func TestAWorkerMayDieInEachPhase(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	deploy(t, node, "digits")
	// Slow in each phase from loading on.
	const slow = `{"name":"digits","model":{"path":"digits-slow.onnx"},"deployment":{"cpu_threads":1,"max_latency_ms":60000},
		"tests":{"performance_test":{"runs":100000}}}`
	for _, phase := range []client.Phase{client.PhaseLoading, client.PhaseGating, client.PhaseTesting} {
		t.Run(string(phase), func(t *testing.T) {
			before := worker(t, node, "digits")
			clients := startLoad(t, node, "digits", 2)
			d := begin(t, node, slow, digits+"digits-slow.onnx")
			nodetest.Wait(t, "it is "+string(phase), func() bool { return at(t, node, d) == phase })
			// It dies as often as it is started again.
			nodetest.Wait(t, "the deployment ends", func() bool {
				for _, pid := range workers(t) {
					if pid != before.PID {
						_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
					}
				}
				return at(t, node, d).Final()
			})
			end, err := node.Deployment(t.Context(), d)
			if err != nil || end.Phase != client.PhaseFailed || end.Error == nil || end.Error.Message == "" {
				t.Errorf("it ended as %+v (%v), want failed with a reason", end, err)
			}
			clients.end()
			if clients.errors.Load()+clients.wrong.Load() != 0 {
				t.Errorf("clients saw %d errors and %d wrong answers: %v", clients.errors.Load(), clients.wrong.Load(), clients.why)
			}
			if after := worker(t, node, "digits"); after.PID != before.PID {
				t.Errorf("the worker that served is process %d now, was %d", after.PID, before.PID)
			}
			t.Logf("%s: %s", end.Phase, end.Error.Message)
		})
	}
	deploy(t, node, "digits")
}

func TestEitherWorkerMayDieAtTheSwitch(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	deploy(t, node, "digits")
	_, files := nodetest.Example(t, digits+"deployment.json")
	for _, whose := range []string{"old", "new", "both"} {
		before := worker(t, node, "digits")
		d := begin(t, node, `{"name":"digits","model":{"path":"digits.onnx"},"deployment":{"cpu_threads":1,"max_latency_ms":30000}}`, files["model"])
		for event, err := range node.Events(t.Context(), d, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if event.Type != client.EventPhase || event.Phase != client.PhaseActivating {
				continue
			}
			for _, pid := range workers(t) {
				if old := pid == before.PID; old == (whose == "old") || whose == "both" {
					_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
				}
			}
		}
		if got := at(t, node, d); got != client.PhaseCommitted {
			t.Errorf("%s: it ended as %s, want committed", whose, got)
		}
		nodetest.Wait(t, "the new version answers", func() bool {
			_, err := ask(t.Context(), node, "digits", 1)
			return err == nil
		})
		if after := worker(t, node, "digits"); after.PID == before.PID {
			t.Errorf("%s: process %d serves, which was that of the version before", whose, after.PID)
		}
	}
}

func TestOfManyDeploymentsAtOnceOneBegins(t *testing.T) {
	nodetest.Require(t)
	node := nodetest.Start(t, nodetest.Settings(t))
	deploy(t, node, "digits")
	_, files := nodetest.Example(t, digits+"deployment.json")
	req, err := node.Request(t.Context(), `{"name":"digits","model":{"path":"digits.onnx"},"deployment":{"cpu_threads":1,"max_latency_ms":30000}}`, map[string]string{"model": files["model"]})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex // guards begun
	var begun []string
	for range 8 {
		all.Go(func() {
			d, refused := node.Client.Deploy(t.Context(), req)
			mu.Lock()
			defer mu.Unlock()
			if refused == nil {
				begun = append(begun, d.ID)
			} else if !strings.Contains(refused.Error(), "is in progress") {
				t.Errorf("refused: %v", refused)
			}
		})
	}
	all.Wait()
	for _, id := range begun {
		nodetest.Wait(t, "it ends", func() bool { return at(t, node, id).Final() })
	}
	m, err := node.Model(t.Context(), "digits")
	if err != nil || len(begun) == 0 || m.Version != 1+len(begun) {
		t.Errorf("%d began, version %d serves (%v)", len(begun), m.Version, err)
	}
	if slices.Contains(begun, "") {
		t.Error("a deployment has no name")
	}
}

// begin submits a deployment and returns its name.
func begin(t *testing.T, node *nodetest.Node, spec, model string) string {
	t.Helper()
	return node.Begin(t.Context(), spec, map[string]string{"model": model}).ID
}

// at is the phase that a deployment is in.
func at(t *testing.T, node *nodetest.Node, id string) client.Phase {
	t.Helper()
	d, err := node.Deployment(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d.Phase
}
