package commands_test

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"syscall"
	"testing"

	"verge/client"
	"verge/test/nodetest"
)

// order lists the phases before the switch.
var order = []client.Phase{client.PhaseChecking, client.PhasePreparing, client.PhaseLoading, client.PhaseGating, client.PhaseTesting}

// atOrAfter reports whether a failure says that it came in a phase or a later one:
// what follows a signal is as fast as the first phases are.
func atOrAfter(phase client.Phase, failure *client.Failure, why string) bool {
	if failure == nil {
		return false
	}
	for _, p := range order[slices.Index(order, phase):] {
		if failure.Message == string(p)+": "+why {
			return true
		}
	}
	return false
}

var signals = map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 5}

func TestASignalCancelsADeploymentInEveryPhaseBeforeTheSwitch(t *testing.T) {
	p := digits(t)
	n := p.serve()
	p.deploys("fast.json")
	before := n.model("digits")
	answer, err := ask(t.Context(), n.Client, "digits", 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, phase := range order {
		for signal, status := range signals {
			t.Run(string(phase)+" "+signal.String(), func(t *testing.T) {
				in := p.in(t)
				f := in.follow("deploy", "slow.json")
				f.reach(phase)
				f.signal(signal)
				got := f.end()
				want := outcome{Status: status, Errors: "verge: canceling digits-ID; press Ctrl-C again to leave at once\n"}
				if got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
				if f.last.Type != client.EventEnd || f.last.Phase != client.PhaseCanceled || !atOrAfter(phase, f.last.Error, "canceled on request") {
					t.Errorf("the last event is %+v with %+v, want canceled", f.last, f.last.Error)
				}
				d, err := n.Deployment(t.Context(), f.last.Deployment)
				if err != nil || d.Phase != client.PhaseCanceled || d.Serves != "digits@1" {
					t.Errorf("deployment %+v (%v), want canceled while digits@1 serves", d, err)
				}
				in.only(n.cmd.Process.Pid, before.Worker.PID)
				if got, err := ask(t.Context(), n.Client, "digits", 3); err != nil || !slices.Equal(got, answer) {
					t.Errorf("the version that served answers %v (%v), want %v", got, err, answer)
				}
			})
		}
	}
	if after := n.model("digits"); after.Version != 1 || after.Worker.PID != before.Worker.PID || after.PerformanceStats.ErrorCount != 0 {
		t.Errorf("after all that %+v serves, want the same process without errors", after)
	}
	n.stop()
}

func TestASignalAtTheSwitchLeavesTheNewVersionWhole(t *testing.T) {
	p := digits(t)
	n := p.serve()
	p.deploys("fast.json")
	for signal, status := range signals {
		f := p.follow("deploy", "fast.json")
		f.reach(client.PhaseActivating)
		f.signal(signal)
		got := f.end()
		t.Logf("%+v", got)
		detached := outcome{Status: status, Errors: "verge: digits-ID has switched already: it goes on in the node (verge status)\n"}
		if (got != outcome{}) && got != detached {
			t.Errorf("%v: got %+v, want the end, or %+v", signal, got, detached)
		}
		nodetest.Wait(t, "the deployment is committed", func() bool {
			d, err := n.Deployment(t.Context(), f.last.Deployment)
			return err == nil && d.Phase == client.PhaseCommitted
		})
		if m := n.model("digits"); m.Deployment != f.last.Deployment || m.State != "ready" {
			t.Errorf("%+v serves, want what %s deployed", m, f.last.Deployment)
		}
		p.only(n.cmd.Process.Pid, n.model("digits").Worker.PID)
	}
	n.stop()
}

func TestASignalBeforeTheDeploymentBeganLeavesNone(t *testing.T) {
	p := digits(t)
	n := p.serve()
	for signal, status := range signals {
		n.signal(syscall.SIGSTOP) // it takes the connection, and nothing more
		cmd := p.command("deploy", "fast.json")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		nodetest.Wait(t, "it asks the node", func() bool { return sockets(cmd.Process.Pid) > 0 })
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		got := p.ended(cmd, cmd.Wait(), "", errs.String())
		n.signal(syscall.SIGCONT)
		want := outcome{Status: status, Errors: "verge: ended by signal: " + signal.String() + "\n"}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	list, err := n.Deployments(t.Context(), client.DeploymentQuery{})
	if err != nil || len(list.Deployments) > 0 {
		t.Errorf("deployments %+v (%v), want none", list, err)
	}
	n.stop()
}

func TestTheSecondSignalLeavesAtOnce(t *testing.T) {
	p := digits(t)
	n := p.serve()
	f := p.follow("deploy", "slow.json")
	f.reach(client.PhaseTesting)
	n.signal(syscall.SIGSTOP) // so that the first signal is not dealt with
	before := sockets(f.cmd.Process.Pid)
	f.signal(syscall.SIGINT)
	nodetest.Wait(t, "it asks the node to cancel", func() bool { return sockets(f.cmd.Process.Pid) > before })
	f.signal(syscall.SIGINT)
	_ = f.cmd.Wait() // the state says how
	if status := f.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("it ended as %v, want killed by the interrupt", f.cmd.ProcessState)
	}
	n.signal(syscall.SIGCONT)
	n.stop()
}

func TestACanceledDeploymentTellsWhatServes(t *testing.T) {
	p := digits(t)
	n := p.serve()
	p.deploys("fast.json")
	cmd := p.command("deploy", "slow.json")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for more := true; more && !strings.Contains(lines.Text(), "loading"); {
		more = lines.Scan()
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var rest []string
	for lines.Scan() {
		rest = append(rest, lines.Text())
	}
	got := p.ended(cmd, cmd.Wait(), "", errs.String())
	want := outcome{Status: 130, Errors: "verge: canceling digits-ID; press Ctrl-C again to leave at once\n" +
		"verge: digits@2 was canceled; digits@1 serves as before\n"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(rest) == 0 || !strings.HasPrefix(rest[0], "✗ gating") {
		t.Errorf("after the signal it prints %q, want that gating ended", rest)
	}
	n.stop()
}

func TestASignalToRunWhileItDeploysLeavesNothing(t *testing.T) {
	for signal, status := range signals {
		for _, phase := range []client.Phase{client.PhaseLoading, client.PhaseGating, client.PhaseTesting} {
			t.Run(string(phase)+" "+signal.String(), func(t *testing.T) {
				p := digits(t)
				f := p.follow("run", "slow.json")
				f.reach(phase)
				f.signal(signal)
				got := f.end()
				want := outcome{Status: status, Errors: "verge: canceling digits-ID; press Ctrl-C again to leave at once\n"}
				if got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
				p.tidy()
				n := p.serve()
				if models, err := n.Models(t.Context()); err != nil || len(models) != 0 {
					t.Errorf("models of the next node: %+v (%v), want none", models, err)
				}
				d, err := n.Deployment(t.Context(), f.last.Deployment)
				if err != nil || d.Phase != client.PhaseCanceled {
					t.Errorf("%+v (%v), want canceled", d, err)
				}
				n.stop()
			})
		}
	}
}
