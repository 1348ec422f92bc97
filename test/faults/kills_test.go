package faults_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"verge/client"
	"verge/test/nodetest"
)

// plainNode is the real program, which is killed.
type plainNode struct {
	*client.Client

	cmd   *exec.Cmd
	ended chan struct{}
}

func (s *stage) plain(t *testing.T, state, socket string) *plainNode {
	t.Helper()
	verge, err := program()
	if err != nil {
		t.Fatal(err)
	}
	n := &plainNode{cmd: exec.CommandContext(t.Context(), verge, "serve"), ended: make(chan struct{})}
	n.cmd.Env = append(os.Environ(), "VERGE_STATE_DIR="+state, "VERGE_UNIX_SOCKET="+socket, "VERGE_HTTP_ADDRESS=")
	n.cmd.Stderr = t.Output()
	if err = n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(n.ended)
		_ = n.cmd.Wait() // it is killed
	}()
	if n.Client, err = client.New("unix:" + socket); err != nil {
		t.Fatal(err)
	}
	nodetest.Wait(t, "the node answers", func() bool {
		select {
		case <-n.ended:
			t.Fatal("the node ended")
		default:
		}
		return n.Live(t.Context()) == nil
	})
	return n
}

// kill ends the node at once, and waits until its workers have ended too.
func (n *plainNode) kill() {
	_ = n.cmd.Process.Kill() // it may have ended
	<-n.ended
	n.Close()
}

// A node is killed at any time, again and again, while clients deploy and ask. What the loop
// does not know is when: a call of the system in which the node was is one of few, so this
// finds what a fault at each call does not.
func TestANodeMayBeKilledAtAnyTime(t *testing.T) {
	s := newStage(t)
	dir, err := os.MkdirTemp("", "verge-kills-") //nolint:usetesting // t.TempDir makes paths that are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	state, socket := filepath.Join(dir, "state"), filepath.Join(dir, "s")
	if err := os.CopyFS(state, os.DirFS(s.state)); err != nil {
		t.Fatal(err)
	}
	digests := []string{s.first, s.second, s.third}
	var answers, committed, died int
	last := "" // deployment that a client was told to be committed
	n := s.plain(t, state, socket)
	rounds := count(t, "FAULTS_LOOP", 12)
	for round := range rounds {
		asked, told := s.disturb(t, n, digests[round%len(digests)], time.Duration(rand.IntN(900))*time.Millisecond)
		answers += asked
		if told != "" {
			last = told
			committed++
		}
		n = s.plain(t, state, socket)
		if left := files(t, filepath.Join(state, "tmp")); len(left) > 0 {
			t.Fatalf("round %d: tmp has %v", round, left)
		}
		nodetest.Wait(t, "digits serves again", func() bool { return n.ModelReady(t.Context(), "digits", "") == nil })
		m, err := n.Model(t.Context(), "digits")
		if err != nil {
			t.Fatal(err)
		}
		all, err := n.Deployments(t.Context(), client.DeploymentQuery{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		serves := ""
		for _, d := range all.Deployments {
			if !d.Phase.Final() || d.Phase != client.PhaseCommitted && (d.Error == nil || d.Error.Message == "") {
				t.Fatalf("round %d: %s is %s with %+v, want an end with a reason", round, d.ID, d.Phase, d.Error)
			}
			if d.Version == m.Version && d.Phase == client.PhaseCommitted {
				serves = d.Digest
			}
			// Three deaths before a version has settled take it back: that is what the loop does.
			byDeaths := d.Phase == client.PhaseRolledBack && strings.HasPrefix(d.Error.Message, "the node died 3 times")
			if d.ID == last && byDeaths {
				died++
			} else if d.ID == last && (d.Phase != client.PhaseCommitted || m.Version < d.Version) {
				t.Fatalf("round %d: %s was told to be committed and is %s %+v; version %d serves", round, d.ID, d.Phase, d.Error, m.Version)
			}
		}
		if got, err := ask(t.Context(), nodetest.At(t, n.Client), "digits", 3); err != nil || serves != "" && !slices.Equal(got, s.says[serves]) {
			t.Fatalf("round %d: version %d (%s) answers %v (%v), want %v", round, m.Version, serves, got, err, s.says[serves])
		}
		if left := artifacts(t, state); len(left) > len(digests) {
			t.Fatalf("round %d: %d artifacts", round, len(left))
		}
	}
	n.kill()
	t.Logf("%d kills: %d deployments were told to be committed, %d answers were right; in %d rounds the last one had been taken back after three deaths",
		rounds, committed, answers, died)
}

// disturb deploys a model and asks, until it kills the node. It returns how many answers
// there were, and the deployment that was told to be committed.
func (s *stage) disturb(t *testing.T, n *plainNode, digest string, after time.Duration) (answers int, committed string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	node := nodetest.At(t, n.Client)
	var clients sync.WaitGroup
	var right, wrong atomic.Int64
	clients.Go(func() {
		for ctx.Err() == nil {
			got, err := ask(ctx, node, "digits", 3)
			switch {
			case err != nil:
			case slices.ContainsFunc([]string{s.first, s.second, s.third}, func(d string) bool { return slices.Equal(got, s.says[d]) }):
				right.Add(1)
			default:
				wrong.Add(1)
			}
		}
	})
	clients.Go(func() {
		req, err := node.Request(ctx, spec, map[string]string{"model": s.models[digest]})
		if err != nil {
			return
		}
		req.Retry = true
		d, err := n.Deploy(ctx, req)
		if err != nil {
			return
		}
		for event, err := range n.Events(ctx, d.ID, 0) {
			if err == nil && event.Type == client.EventEnd && event.Phase == client.PhaseCommitted {
				committed = d.ID
			}
		}
	})
	<-time.After(after)
	n.kill()
	stop()
	clients.Wait()
	if wrong.Load() > 0 {
		t.Fatalf("%d answers were those of no version", wrong.Load())
	}
	return int(right.Load()), committed
}
