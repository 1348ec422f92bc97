package commands_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"verge/client"
	"verge/test/nodetest"
)

func TestAKilledNodeServesTheOldVersionOrTheNewOneAgain(t *testing.T) {
	p := digits(t)
	n := p.serve()
	p.deploys("fast.json")
	answer, err := ask(t.Context(), n.Client, "digits", 3)
	if err != nil {
		t.Fatal(err)
	}
	version := 1
	for _, phase := range append(slices.Clone(order), client.PhaseActivating) {
		t.Run(string(phase), func(t *testing.T) {
			file := "slow.json"
			if phase == client.PhaseActivating {
				file = "fast.json"
			}
			f := p.in(t).follow("deploy", file)
			f.reach(phase)
			n.signal(syscall.SIGKILL)
			n.wait()
			got := f.end()
			if phase != client.PhaseActivating || got != (outcome{}) { // it may just have ended
				want := outcome{Status: 4, Errors: "verge: no node answers at unix:DIR/s (connection refused): is `verge serve` running?\nHint: Start one: verge serve\n"}
				if got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
			p.only()

			n = p.serve()
			nodetest.Wait(t, "digits serves again", func() bool { return n.ModelReady(t.Context(), "digits", "") == nil })
			d, err := n.Deployment(t.Context(), f.last.Deployment)
			if err != nil {
				t.Fatal(err)
			}
			if phase == client.PhaseActivating {
				version = d.Version
				if d.Phase != client.PhaseCommitted || d.Error != nil {
					t.Errorf("it ended as %s with %+v, want committed", d.Phase, d.Error)
				}
			} else if d.Phase != client.PhaseFailed || !atOrAfter(phase, d.Error, "the node stopped before the deployment had switched") || d.Error.Hint != "Deploy again." {
				t.Errorf("it ended as %s with %+v, want failed", d.Phase, d.Error)
			}
			m := n.model("digits")
			if m.Version != version {
				t.Errorf("version %d serves, want %d", m.Version, version)
			}
			if got, err := ask(t.Context(), n.Client, "digits", 3); err != nil || !slices.Equal(got, answer) {
				t.Errorf("it answers %v (%v), want %v", got, err, answer)
			}
			p.only(n.cmd.Process.Pid, m.Worker.PID)
		})
	}
	n.stop()
}

func TestANodeThatIsKilledThreeTimesReturnsToTheVersionBefore(t *testing.T) {
	p := digits(t)
	n := p.serve()
	p.deploys("fast.json")
	p.deploys("fast.json", "--again")
	for kills := 1; kills <= 3; kills++ {
		n.signal(syscall.SIGKILL)
		n.wait()
		n = p.serve()
		nodetest.Wait(t, "digits serves again", func() bool { return n.ModelReady(t.Context(), "digits", "") == nil })
		if got, want := n.model("digits").Version, 2-kills/3; got != want {
			t.Errorf("after %d kills version %d serves, want %d", kills, got, want)
		}
	}
	var transcript strings.Builder
	for _, args := range [][]string{
		{"deploy", "fast.json"},
		{"pin", "digits@1"},
		{"deploy", "fast.json", "--retry", "--reason", "it was the power supply"},
		{"rollback", "digits", "--to", "1", "--reason", "or was it"},
		{"rollback", "digits", "--to", "7"},
		{"pin", "digits@1", "--remove"},
	} {
		got := p.run(args...)
		fmt.Fprintf(&transcript, "$ verge %s\n%s%sexit status %d\n", strings.Join(args, " "), figures(got.Out), figures(got.Errors), got.Status)
	}
	golden(t, "rollback.golden", transcript.String())
	n.stop()
}

func TestAKilledWorkerIsSeenByItsOwnClientsOnly(t *testing.T) {
	p := digits(t)
	n := p.serve()
	p.deploys("fast.json", "--name", "victim")
	p.deploys("fast.json", "--name", "other")
	victim, other := startLoad(t, n, "victim", 2), startLoad(t, n, "other", 2)
	nodetest.Wait(t, "both answer", func() bool { return victim.answers.Load() > 20 && other.answers.Load() > 20 })
	for range 2 {
		pid := workerOf(t, p, "victim")
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		nodetest.Wait(t, "another worker serves", func() bool {
			m, err := n.Model(t.Context(), "victim")
			return err == nil && m.State == "ready" && m.Worker.PID != pid
		})
		answers := victim.answers.Load()
		nodetest.Wait(t, "the victim answers again", func() bool { return victim.answers.Load() > answers+20 })
	}
	victim.end()
	other.end()
	if len(other.errors) > 0 || other.wrong.Load() != 0 {
		t.Errorf("clients of the other model saw errors %v and %d wrong answers in %d, want none", other.errors, other.wrong.Load(), other.answers.Load())
	}
	if victim.wrong.Load() != 0 {
		t.Errorf("clients of the victim saw %d wrong answers, want none", victim.wrong.Load())
	}
	failed := 0
	for why, count := range victim.errors {
		failed += count
		if !strings.Contains(why, "the worker died while it ran this request: signal: killed") {
			t.Errorf("%d requests failed with %q, want that the worker died", count, why)
		}
	}
	if failed > 2*2 {
		t.Errorf("%d requests failed, want at most the 2 that could run at each of the 2 deaths: %v", failed, victim.errors)
	}
	m := n.model("victim")
	left := m.PerformanceStats.ErrorCount - int64(failed) // what its clients did not wait for in the end
	if m.Worker.Deaths != 2 || left < 0 || left > 2 {
		t.Errorf("status tells of %d deaths and %d errors, want 2 and %d", m.Worker.Deaths, m.PerformanceStats.ErrorCount, failed)
	}
	t.Logf("the other model answered %d times, the victim %d; errors %v", other.answers.Load(), victim.answers.Load(), victim.errors)
	n.stop()
}

// workerOf reads the process of a model's worker from `verge status --json`.
func workerOf(t *testing.T, p *place, model string) int {
	t.Helper()
	got := p.run("status", model, "--json")
	_, after, _ := strings.Cut(got.Out, `"worker":{`)
	_, after, _ = strings.Cut(after, `"pid":`)
	digits, _, _ := strings.Cut(after, ",")
	pid, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatalf("no worker in %+v", got)
	}
	return pid
}

func TestANodeThatIsToldToStopAnswersWhatItTook(t *testing.T) {
	for name, address := range map[string]func(n *node) string{
		"Unix socket": func(n *node) string { return "unix:" + n.p.path("s") },
		"TCP": func(n *node) string {
			_, after, _ := strings.Cut(n.log.String(), "network=tcp address=")
			address, _, _ := strings.Cut(after, "\n")
			return "http://" + address
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := digits(t)
			n := p.serve()
			p.deploys("fast.json")
			other, err := client.New(address(n))
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			const most = 6
			clients := startLoad(t, &node{Client: other}, "digits", most)
			nodetest.Wait(t, "clients are answered", func() bool { return clients.answers.Load() > 50 })
			n.signal(syscall.SIGTERM)
			if status := n.wait(); status != 0 {
				t.Errorf("the node ended with status %d, want 0:\n%s", status, n.log)
			}
			clients.wg.Wait() // each ends when it finds no node
			unheard := 0
			for why, count := range clients.errors {
				switch {
				case strings.Contains(why, "is stopping"), strings.Contains(why, "no node answers"):
				case name == "TCP" && strings.Contains(why, " was lost ("):
					unheard += count
				default:
					t.Errorf("%d requests failed with %q, want refusals only", count, why)
				}
			}
			// A name can be taken from a Unix socket before it is closed. At a TCP port the
			// system goes on taking connections that nobody will hear: one of each client.
			if unheard > most {
				t.Errorf("%d requests were lost, want at most one of each client: %v", unheard, clients.errors)
			}
			if clients.wrong.Load() != 0 {
				t.Errorf("%d answers were wrong", clients.wrong.Load())
			}
			t.Logf("%d answers, then %v", clients.answers.Load(), clients.errors)
			if strings.Contains(n.log.String(), "level=WARN") || strings.Contains(n.log.String(), "level=ERROR") {
				t.Errorf("it logs warnings:\n%s", n.log)
			}
			p.tidy()
		})
	}
}

func TestASecondSignalEndsTheNodeAtOnce(t *testing.T) {
	p := digits(t)
	n := p.serve()
	f := p.follow("deploy", "slow.json")
	f.reach(client.PhaseTesting)
	n.signal(syscall.SIGTERM)
	nodetest.Wait(t, "it stops", func() bool { return strings.Contains(n.log.String(), "msg=stopping") })
	n.signal(syscall.SIGTERM) // it may have ended by now
	if status := n.wait(); status != 0 && status != -1 {
		t.Errorf("it ended with status %d, want killed or 0", status)
	}
	f.end()
	p.only()
}
