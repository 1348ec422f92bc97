package worker_test

import (
	"sync"
	"testing"

	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/tensor"
)

func TestSlotsThatCloseRightAfterTheirRunsLeaveOthersAlone(t *testing.T) {
	const slots, rounds, runs = 4, 150, 3
	m := inference.Model{Name: "m@1", Data: []byte("echo"), FD: -1}
	session, err := newHost(t, quick(), "honest", nil).Runtime("fake", "").Load(t.Context(), m, inference.Options{Parallel: slots})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	in := tensor.Tensor{Name: "x", DType: tensor.Uint8, Shape: []int64{4}, Data: []byte("ping")}
	var wg sync.WaitGroup
	for range slots {
		wg.Go(func() {
			for range rounds {
				memory := arena.New("test", 1<<16, 1<<16)
				slot, err := session.NewSlot(memory)
				if err != nil {
					t.Errorf("NewSlot = %v, want a slot", err)
					return
				}
				for range runs {
					if _, err := inference.Run(t.Context(), session.Signature(), slot, []tensor.Tensor{in}); err != nil {
						t.Errorf("Run = %v, want an answer", err)
						return
					}
				}
				slot.Close()
				memory.Close()
			}
		})
	}
	wg.Wait()
}
