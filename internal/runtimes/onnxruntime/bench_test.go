package onnxruntime_test

import (
	"context"
	"fmt"
	"testing"

	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
)

// BenchmarkRun is one request: laying out the inputs, and the run. A context that
// can end costs what context.AfterFunc does.
func BenchmarkRun(b *testing.B) {
	for _, elements := range []int{4, 150_528} {
		for name, ctx := range map[string]context.Context{"endless": context.Background(), "cancelable": b.Context()} {
			b.Run(fmt.Sprintf("identity-%d-bytes/%s", 4*elements, name), func(b *testing.B) {
				session, err := open(b).Load(b.Context(), inference.Model{Name: "identity", Data: onnxmodel.Identity(tensor.FP32, "n"), FD: -1}, inference.Options{})
				if err != nil {
					b.Fatal(err)
				}
				defer session.Close()
				memory := arena.New("bench", 1<<20, 1<<20)
				defer memory.Close()
				slot, err := session.NewSlot(memory)
				if err != nil {
					b.Fatal(err)
				}
				in := []inference.Input{{Shape: []int64{int64(elements)}}}
				b.ReportAllocs()
				b.SetBytes(int64(4 * elements))
				for b.Loop() {
					if _, err := slot.Inputs(in); err != nil {
						b.Fatal(err)
					}
					if _, err := slot.Run(ctx); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
