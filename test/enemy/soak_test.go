package enemy_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"verge/client"
	"verge/test/nodetest"
)

// level is what a node takes of the process that it is in.
type level struct {
	goroutines, descriptors int
	heap                    uint64 // bytes in use
}

func levelNow(tb testing.TB) level {
	tb.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return level{runtime.NumGoroutine(), descriptors(tb), m.HeapAlloc}
}

// soak is a model whose versions change while clients ask.
type soak struct {
	t       *testing.T
	node    *nodetest.Node
	numbers int      // of versions, given out
	served  []string // versions, in the order in which they began to serve
}

const soakSpec = `{"name":"m","model":{"path":"m.onnx"},"deployment":{"cpu_threads":1,"batch_size":8,"max_latency_ms":30000},%s%s}`

// deploy deploys the next version; the process of the one that serves stays the same until
// it switches.
func (s *soak) deploy(more string) {
	s.t.Helper()
	before, err := s.node.Model(s.t.Context(), "m")
	if err != nil {
		s.t.Fatal(err)
	}
	s.numbers++
	d := s.node.Begin(s.t.Context(), fmt.Sprintf(soakSpec, untested, more), map[string]string{"model": file(s.t, "m.onnx", plus(float32(s.numbers)))})
	for event, err := range s.node.Events(s.t.Context(), d.ID, 0) {
		if err != nil {
			s.t.Fatal(err)
		}
		now, err := s.node.Model(s.t.Context(), "m")
		if err != nil {
			s.t.Fatal(err)
		}
		if now.Version == before.Version && now.Worker.State == "ready" && now.Worker.PID != before.Worker.PID {
			s.t.Errorf("in %s the worker of version %d is process %d, was %d", event.Phase, now.Version, now.Worker.PID, before.Worker.PID)
		}
	}
	s.ended(d, s.numbers)
}

// rollback goes back to the version before.
func (s *soak) rollback(to int) {
	s.t.Helper()
	d, err := s.node.Rollback(s.t.Context(), "m", client.RollbackRequest{To: to})
	if err != nil {
		s.t.Fatal(err)
	}
	s.ended(d, to)
}

// ended waits for the end of what makes a version serve.
func (s *soak) ended(d *client.Deployment, version int) {
	s.t.Helper()
	d = ended(s.t, s.node, d.ID)
	m, err := s.node.Model(s.t.Context(), "m")
	if err != nil || d.Phase != client.PhaseCommitted || m.Version != version {
		s.t.Fatalf("%s ended %s: %+v; %+v serves, %v", d.ID, d.Phase, d.Error, m, err)
	}
	s.served = append(s.served, strconv.Itoa(version))
}

// inOrder says whether a client met versions in the order in which they served.
func (s *soak) inOrder(met []string) bool {
	at := 0
	for _, version := range met {
		for at < len(s.served) && s.served[at] != version {
			at++
		}
		if at == len(s.served) {
			return false
		}
	}
	return true
}

// TestVersionsChangeUnderLoad deploys, rolls back and undeploys while clients ask, 50 times, or
// as often as SOAK says.
func TestVersionsChangeUnderLoad(t *testing.T) {
	nodetest.Require(t)
	changes := 50
	if testing.Short() {
		changes = 10
	}
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		if changes, err = strconv.Atoi(text); err != nil || changes < 1 {
			t.Fatalf("SOAK is %q, want a number", text)
		}
	}
	node := nodetest.Start(t, nodetest.Settings(t))
	s := &soak{t: t, node: node, numbers: 1, served: []string{"1"}}
	offset := map[string]float32{}
	for n := range changes + 1 {
		offset[strconv.Itoa(n+1)] = float32(n + 1)
	}
	deploy(t, node, "m", plus(1))
	first := levelNow(t)
	clients := watch(t, node, "m", 4, offset)
	var settled level
	const other = 10 // of these, one undeploys another model
	for n := range changes {
		switch {
		case n%other == other/2:
			deploy(t, node, "other", plus(1))
			if err := node.Undeploy(t.Context(), "other"); err != nil {
				t.Fatal(err)
			}
		case n%5 == 4:
			m, err := node.Model(t.Context(), "m")
			if err != nil {
				t.Fatal(err)
			}
			s.rollback(m.PreviousVersion)
		case n%7 == 3:
			s.deploy(`,"observe":{"duration":"100ms","max_p95_ms":30000}`)
		case n%7 == 6:
			s.deploy(`,"shadow":{"duration":"100ms","sample":1}`)
		default:
			s.deploy("")
		}
		if n == min(changes/2, 20) {
			settled = levelNow(t)
		}
	}
	last := levelNow(t)
	clients.end()
	if len(clients.failed) > 0 || len(clients.wrong) > 0 {
		t.Errorf("in %d changes, %d answers were right; wrong: %.3q, failed: %v", changes, clients.right, clients.wrong, clients.failed)
	}
	for c, met := range clients.met {
		if !s.inOrder(met) {
			t.Errorf("client %d met the versions %v, which served in the order %v", c, met, s.served)
		}
	}
	const goroutines, files, heap = 25, 16, 8 << 20 // what differs from one instant to the next
	if last.goroutines > settled.goroutines+goroutines || last.descriptors > settled.descriptors+files || last.heap > settled.heap+heap {
		t.Errorf("after %d changes the node takes %+v, after a few %+v", changes, last, settled)
	}
	node.Close()
	nodetest.Wait(t, "no descriptor is left behind", func() bool { return descriptors(t) <= first.descriptors+16 }) // connections and slots of the clients
	t.Logf("%d right answers in %d changes; %+v at the begin, %+v after a few, %+v at the end", clients.right, changes, first, settled, last)
}
