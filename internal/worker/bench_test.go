package worker_test

import (
	"fmt"
	"testing"

	"verge/internal/inference"
)

// BenchmarkRun is one request to an identity, from the node to the worker and
// back, without filling the input. The allocated bytes are the same for all sizes.
func BenchmarkRun(b *testing.B) {
	s := serve(b, quick(), inference.Options{})
	for _, n := range []int{16, 1 << 10, 602112} {
		b.Run(fmt.Sprintf("%dB", n), func(b *testing.B) {
			c := connect(b, s)
			if _, err := c.slot.Inputs([]inference.Input{{Shape: []int64{int64(n)}}}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.slot.Run(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReady is a worker from nothing to ready, and its end.
func BenchmarkReady(b *testing.B) {
	host := newHost(b, quick(), "honest", nil)
	for b.Loop() {
		load(b, host, "model", inference.Options{}).Close()
	}
}
