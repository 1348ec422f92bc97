package prepared_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/internal/inference"
	"verge/internal/inference/prepared"
)

func TestWhatIsOfNoUseIsRemoved(t *testing.T) {
	cache, now := t.TempDir(), time.Now()
	var entries []prepared.Folder
	for i := range 10 {
		entry := prepared.Entry(cache, model, "lib", fmt.Sprint(i))
		if err := entry.Make(fill("weights")); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
		age(t, entry.Path(""), now.Add(time.Duration(i-20)*time.Hour))
	}
	// The oldest is used once more; of two that were begun, one is long dead.
	if !entries[0].Use(t.Context(), nil, nil, func() error { return nil }) {
		t.Fatal("a whole entry is not used")
	}
	for name, at := range map[string]time.Time{"tmp-dead": now.Add(-2 * time.Hour), "tmp-alive": now.Add(-time.Minute)} {
		folder := filepath.Join(cache, digest, name)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		age(t, folder, at)
	}
	other := filepath.Join(cache, "other", "lib-1")
	if err := os.MkdirAll(other, 0o700); err != nil {
		t.Fatal(err)
	}
	trim := func() {
		t.Helper()
		if err := prepared.Trim(cache, func(d string) bool { return d == digest }, now); err != nil {
			t.Errorf("Trim = %v", err)
		}
	}
	trim()
	var there []int
	for i, entry := range entries {
		if entry.Check() == nil {
			there = append(there, i)
		}
	}
	if diff := cmp.Diff([]int{0, 3, 4, 5, 6, 7, 8, 9}, there); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	left, err := filepath.Glob(filepath.Join(cache, "*", "tmp-*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "tmp-alive" {
		t.Errorf("begun: %q, %v", left, err)
	}
	if _, err := os.Stat(filepath.Dir(other)); !os.IsNotExist(err) {
		t.Errorf("a model that is not needed: %v", err)
	}
	cache = filepath.Join(cache, "none")
	trim()
}

func TestAModelIsDropped(t *testing.T) {
	cache := t.TempDir()
	entry := prepared.Entry(cache, model, "lib", "1")
	other := prepared.Entry(cache, inference.Model{Data: []byte("b")}, "lib", "1")
	for _, e := range []prepared.Folder{entry, other} {
		if err := e.Make(fill("weights")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := prepared.Drop(cache, digest); err != nil {
			t.Errorf("Drop = %v", err)
		}
	}
	if err := entry.Check(); !os.IsNotExist(err) || other.Check() != nil {
		t.Errorf("Check = %v of the model, %v of another one", err, other.Check())
	}
	for _, name := range []string{"", ".", "..", "a/b", "/a"} {
		if err := prepared.Drop(cache, name); err == nil || other.Check() != nil {
			t.Errorf("Drop(%q) = %v, then Check = %v", name, err, other.Check())
		}
	}
}

func age(t *testing.T, path string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}
