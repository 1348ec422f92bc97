package arena_test

import (
	"os"
	"testing"

	"verge/internal/inference"
	"verge/internal/inference/arena"
)

func TestMemoryBehindTheTensorsMayBeRead(t *testing.T) {
	a := arena.New("test", 1<<20, 1<<20)
	defer a.Close()
	page := os.Getpagesize()
	for _, n := range []int{page, 2 * page, 2*page - 1} {
		for side, ask := range map[string]func(int) (inference.Memory, error){"input": a.Input, "output": a.Output} {
			m, err := ask(n)
			if err != nil {
				t.Fatal(err)
			}
			if behind := len(m.Data) - n; behind < inference.Align {
				t.Errorf("%s of %d bytes has %d behind it, want %d or more", side, n, behind, inference.Align)
			}
		}
	}
}
