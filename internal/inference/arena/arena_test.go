package arena_test

import (
	"testing"

	"verge/internal/fault"
	"verge/internal/inference/arena"
)

func TestRegionIsKeptWhileItIsLargeEnough(t *testing.T) {
	a := arena.New("test", 1<<20, 1<<20)
	defer a.Close()
	first, err := a.Input(100)
	if err != nil {
		t.Fatal(err)
	}
	copy(first.Data, "kept")
	again, err := a.Input(50)
	if err != nil {
		t.Fatal(err)
	}
	if &again.Data[0] != &first.Data[0] || again.FD != first.FD || string(again.Data[:4]) != "kept" {
		t.Error("another region came back, want the same with its contents")
	}
	output, err := a.Output(50)
	if err != nil {
		t.Fatal(err)
	}
	if &output.Data[0] == &first.Data[0] || output.FD == first.FD {
		t.Error("inputs and outputs share a region")
	}
	bigger, err := a.Input(200_000)
	if err != nil {
		t.Fatal(err)
	}
	if len(bigger.Data) < 200_000 || bigger.FD < 0 {
		t.Errorf("the bigger region has %d bytes and descriptor %d, want 200000 bytes and one", len(bigger.Data), bigger.FD)
	}
}

func TestLimitsAreForEachSide(t *testing.T) {
	a := arena.New("digits@1", 1000, 2000)
	defer a.Close()
	if _, err := a.Input(1000); err != nil {
		t.Errorf("Input at the limit = %v, want memory", err)
	}
	for side, f := range map[string]func() error{
		"digits@1-input: tensors of 1001 bytes, the limit is 1000":  func() error { _, err := a.Input(1001); return err },
		"digits@1-output: tensors of 2001 bytes, the limit is 2000": func() error { _, err := a.Output(2001); return err },
	} {
		err := f()
		if err == nil || fault.Message(err) != side || fault.KindOf(err) != fault.TooLarge {
			t.Errorf("over the limit = %v, want %q", err, side)
		}
	}
}

func TestArenaClosesTwiceAndWorksOn(t *testing.T) {
	a := arena.New("test", 1000, 1000)
	if _, err := a.Input(1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Errorf("Close = %v, want no error", err)
		}
	}
	if _, err := a.Input(1); err != nil {
		t.Errorf("Input after Close = %v, want new memory", err)
	}
	a.Close()
}
