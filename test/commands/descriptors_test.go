package commands_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"verge/client"
	"verge/test/nodetest"
)

// open returns how many descriptors a process has.
func open(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// limit sets how many descriptors a process may have.
func limit(t *testing.T, pid int, descriptors uint64) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: descriptors, Max: was.Max}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestANodeWithoutDescriptorsGoesOn(t *testing.T) {
	p := digits(t)
	n := p.serve()
	p.deploys("fast.json")
	before := n.model("digits")
	clients := startLoad(t, n, "digits", 2)
	nodetest.Wait(t, "clients are answered", func() bool { return clients.answers.Load() > 50 })
	pid := n.cmd.Process.Pid
	for _, spare := range []int{0, 1, 3, 6, 10} { // for a connection, a file, the pipes of a worker, …
		const many = 4096
		limit(t, pid, uint64(open(t, pid)+spare))
		got := p.run("deploy", "slow.json", "--timeout", "3s", "--reason", "with "+strconv.Itoa(spare))
		answers := clients.answers.Load()
		nodetest.Wait(t, "clients are answered meanwhile", func() bool { return clients.answers.Load() > answers+20 })
		limit(t, pid, many)
		if got.Status == 0 || !strings.Contains(got.Errors, "verge: ") {
			t.Errorf("with %d descriptors the deployment ended with %+v", spare, got)
		}
		t.Logf("with %d: %d %s", spare, got.Status, got.Errors)
		nodetest.Wait(t, "nothing goes on", func() bool {
			all, err := n.Deployments(t.Context(), client.DeploymentQuery{})
			if err != nil {
				return false
			}
			for _, d := range all.Deployments {
				if !d.Phase.Final() {
					return false
				}
			}
			return true
		})
	}
	clients.end()
	if len(clients.errors) > 0 {
		t.Errorf("clients saw %v", clients.errors)
	}
	if after := n.model("digits"); after.Worker.PID != before.Worker.PID {
		t.Errorf("the worker that served is process %d now, was %d", after.Worker.PID, before.Worker.PID)
	}
	p.deploys("fast.json", "--again")
}
