package cli_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"verge/client"
)

func TestADeploymentIsWatchedFromItsBeginning(t *testing.T) {
	n := deploying(committed).start(t)
	deployed := verge(t, "deploy", spec(t), "--node", n.address)
	watched := verge(t, "watch", "digits-20261123-7f3a", "--node", n.address)
	if watched.status != 0 || watched.out != deployed.out {
		t.Errorf("watch:\n%sdeploy:\n%s", watched.transcript(), deployed.transcript())
	}
	if r := verge(t, "watch", "digits-20261123-7f3a", "--json", "--node", n.address); r.status != 0 || !strings.HasPrefix(r.out, `{"seq":1,`) {
		t.Errorf("watch --json:\n%s", r.transcript())
	}
}

func TestADetachedDeploymentIsLeftToTheNode(t *testing.T) {
	n := deploying(func(*stream) { t.Error("its events were asked for") }).start(t)
	verge(t, "deploy", spec(t), "--detach", "--node", n.address).want(t, 0, "digits@2  deployment digits-20261123-7f3a\n", "")
	if r := verge(t, "deploy", spec(t), "--detach", "--json", "--node", n.address); r.status != 0 || !strings.HasPrefix(r.out, `{"id":"digits-20261123-7f3a","model":"digits","version":2,`) {
		t.Errorf("as JSON:\n%s", r.transcript())
	}
}

func TestADeploymentIsCanceledByItsID(t *testing.T) {
	n := (&fakeNode{}).start(t)
	verge(t, "cancel", "digits-20261123-7f3a", "--node", n.address).want(t, 0, "digits-20261123-7f3a is canceled\n", "")
	n = (&fakeNode{cancelKind: "conflict"}).start(t)
	verge(t, "cancel", "digits-20261123-7f3a", "--node", n.address).want(t, 1, "", "verge: deployment has switched already\n")
}

func TestTheHistoryHasTheNewestFirst(t *testing.T) {
	n := (&fakeNode{}).start(t)
	verge(t, "history", "--node", n.address).want(t, 0, "no deployment is known\n", "")
	at := func(minute int) time.Time { return time.Date(2026, 11, 23, 12, minute, 5, 0, time.FixedZone("", 3600)) }
	n.deployments = []client.Deployment{
		{ID: "digits-5", Model: "digits", Version: 1, Phase: client.PhaseCommitted, Created: at(5), RollsBack: "digits-4", Reason: "it sees ghosts"},
		{ID: "digits-4", Model: "digits", Version: 2, Phase: client.PhaseRolledBack, Created: at(4), Error: &client.Failure{Message: "rolled back to version 1 on request: it sees ghosts"}},
		{ID: "faces-3", Model: "faces", Version: 1, Phase: client.PhaseFailed, Created: at(3), Error: &client.Failure{Message: "checking: 2 problems\nmodel.path: no"}},
		{ID: "digits-2", Model: "digits", Version: 1, Phase: client.PhaseCommitted, Created: at(2)},
		{ID: "digits-1", Model: "digits", Version: 1, Phase: client.PhaseGating, Created: at(1)},
	}
	golden(t, "history", verge(t, "history", "--node", n.address).transcript()+verge(t, "history", "digits", "--limit", "3", "--node", n.address).transcript())
	r := verge(t, "history", "faces", "--json", "--node", n.address)
	if r.status != 0 || !strings.HasPrefix(r.out, `[{"id":"faces-3",`) || strings.Count(r.out, `"id"`) != 1 {
		t.Errorf("as JSON:\n%s", r.transcript())
	}
	for i := range 50 {
		n.deployments = append(n.deployments, client.Deployment{ID: fmt.Sprint("more-", i), Model: "more", Phase: client.PhaseFailed})
	}
	if lines := strings.Count(verge(t, "history", "--node", n.address).out, "\n"); lines != 21 {
		t.Errorf("%d lines, want a head and 20", lines)
	}
}
