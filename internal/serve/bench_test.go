package serve_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"verge/internal/inference"
	"verge/internal/serve"
)

type silence struct{}

func (silence) Record(time.Duration, error) {}

// BenchmarkCall is what this package adds to one request: admission, a slot, the
// deadline and the record, over a session that does next to nothing.
func BenchmarkCall(b *testing.B) {
	for _, size := range []int64{16, 602112} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			s := newServer(serve.Default())
			v := add(b, s, "m", 1, idle{&session{parallel: 2}}, silence{})
			s.Activate(v)
			ctx, cancel := context.WithCancel(b.Context()) // a parent that can end, as a request's
			defer cancel()
			in := []inference.Input{{Shape: []int64{size}}}
			b.ReportAllocs()
			for b.Loop() {
				call, err := serve.Admit(ctx, s, serve.Ask{Model: "m", Timeout: time.Second}, nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := call.Inputs(in); err != nil {
					b.Fatal(err)
				}
				if _, err := call.Run(); err != nil {
					b.Fatal(err)
				}
				call.End(nil)
			}
		})
	}
}

// BenchmarkCallParallel is the same from many goroutines, more than slots.
func BenchmarkCallParallel(b *testing.B) {
	s := newServer(serve.Default())
	v := add(b, s, "m", 1, idle{&session{parallel: 2}}, silence{})
	s.Activate(v)
	b.SetParallelism(8)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		in := []inference.Input{{Shape: []int64{16}}}
		for pb.Next() {
			call, err := serve.Admit(b.Context(), s, serve.Ask{Model: "m", Timeout: time.Second}, nil)
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := call.Inputs(in); err != nil {
				b.Error(err)
			}
			if _, err := call.Run(); err != nil {
				b.Error(err)
			}
			call.End(nil)
		}
	})
}
