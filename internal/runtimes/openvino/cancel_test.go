package openvino_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest/irmodel"
)

// begun is how long a run goes on before a test interrupts it. A run that has not
// begun by then has to end the same way.
const begun = 20 * time.Millisecond

// width and length of a model whose run takes many times begun.
const width, length = 500, 400

// prepared returns a slot whose inputs are laid out: zeros.
func prepared(tb testing.TB, session inference.Session) inference.Slot {
	tb.Helper()
	slot, err := session.NewSlot(&plain{})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err = slot.Inputs([]inference.Input{{Shape: []int64{width, width}}}); err != nil {
		tb.Fatal(err)
	}
	return slot
}

func TestRunsAreInterruptedBetweenNodesAndTheirSlotWorksOn(t *testing.T) {
	session := load(t, open(t), irmodel.Chain(length, width), inference.Options{})
	slot := prepared(t, session)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), begun)
		_, err := slot.Run(ctx)
		cancel()
		if err == nil || fault.KindOf(err) != fault.Deadline {
			t.Errorf("Run = %v, want its deadline", err)
		}
	}
	outputs, err := slot.Run(t.Context())
	if err != nil || len(outputs[0].Data) != 4*width*width {
		t.Errorf("Run = %d outputs, %v; want one", len(outputs), err)
	}
}

func TestCloseWaitsForARunThatHasBegun(t *testing.T) {
	session := load(t, open(t), irmodel.Chain(length, width), inference.Options{})
	slot := prepared(t, session)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := slot.Run(ctx)
		if kind := fault.KindOf(err); err == nil || kind != fault.Canceled && kind != fault.Unavailable { // the latter when Close came first
			t.Errorf("Run = %v of kind %v, want it canceled", err, kind)
		}
	})
	timer := time.NewTimer(begun)
	defer timer.Stop()
	<-timer.C
	wg.Go(func() {
		if err := session.Close(); err != nil {
			t.Errorf("Close = %v, want no error", err)
		}
	})
	timer.Reset(begun)
	<-timer.C
	cancel()
	wg.Wait()
}
