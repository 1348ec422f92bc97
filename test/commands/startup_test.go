package commands_test

import (
	"syscall"
	"testing"
	"time"

	"verge/client"
	"verge/test/nodetest"
)

// BenchmarkStartup measures from the start of the program until a model that was
// committed answers. Without a model, test/bench measures it.
func BenchmarkStartup(b *testing.B) {
	p := digits(b)
	n := p.serve()
	p.deploys("fast.json")
	n.stop()
	node, err := client.New("unix:" + p.path("s"))
	if err != nil {
		b.Fatal(err)
	}
	defer node.Close()
	for b.Loop() {
		n := p.start(p.command("serve"))
		begin := time.Now()
		for node.ModelReady(b.Context(), "digits", "") != nil {
			if time.Since(begin) > nodetest.Patience {
				b.Fatalf("the node is not ready:\n%s", n.log)
			}
		}
		b.StopTimer()
		n.signal(syscall.SIGTERM)
		n.wait()
		b.StartTimer()
	}
}
