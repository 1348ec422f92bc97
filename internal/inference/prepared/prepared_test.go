package prepared_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"verge/internal/inference"
	"verge/internal/inference/prepared"
)

var model = inference.Model{Data: []byte("a")}

// digest is that of model.
const digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"

// fill returns what writes two files.
func fill(weights string) func(string) error {
	return func(folder string) error {
		if err := os.WriteFile(filepath.Join(folder, "model"), []byte("graph"), 0o600); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(folder, "weights"), []byte(weights), 0o600)
	}
}

// names returns the paths of what lies in a cache.
func names(t *testing.T, cache string) (paths []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(cache), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, filepath.Base(path))
		} else if err == nil && strings.HasPrefix(entry.Name(), "tmp-") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestAnEntryIsThereOnceItIsMade(t *testing.T) {
	cache := t.TempDir()
	entry := prepared.Entry(cache, model, "lib", "1.2")
	if err := entry.Check(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Check before Make = %v, want that it does not exist", err)
	}
	if err := entry.Make(fill("weights")); err != nil {
		t.Fatalf("Make = %v", err)
	}
	again := prepared.Entry(cache, model, "lib", "1.2")
	if err := again.Check(); err != nil {
		t.Errorf("Check after Make = %v", err)
	}
	if got, err := os.ReadFile(again.Path("weights")); err != nil || string(got) != "weights" {
		t.Errorf("weights = %q, %v", got, err)
	}
	if err := again.Make(fill("slower")); err != nil {
		t.Fatalf("Make = %v", err)
	}
	if got, err := os.ReadFile(entry.Path("weights")); err != nil || string(got) != "weights" || entry.Check() != nil {
		t.Errorf("weights after another Make = %q, %v; Check = %v", got, err, entry.Check())
	}
	if diff := cmp.Diff([]string{"model", "sums.json", "weights"}, names(t, cache)); diff != "" {
		t.Errorf("cache differs (-want +got):\n%s", diff)
	}
	if err := entry.Remove(); err != nil {
		t.Fatalf("Remove = %v", err)
	}
	if err := again.Check(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Check after Remove = %v, want that it does not exist", err)
	}
}

func TestAnEntryThatIsNotAsItWasWrittenIsNotUsed(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(entry prepared.Folder) error
		want   string
	}{
		{"flipped", func(e prepared.Folder) error { return os.WriteFile(e.Path("weights"), []byte("weighus"), 0o600) }, "weights has check sum 819c3232, it was written with 923eaa45"},
		{"cut", func(e prepared.Folder) error { return os.Truncate(e.Path("model"), 2) }, "model has check sum "},
		{"empty", func(e prepared.Folder) error { return os.Truncate(e.Path("model"), 0) }, "model has check sum 00000000"},
		{"gone", func(e prepared.Folder) error { return os.Remove(e.Path("model")) }, "no such file or directory"},
		{"sums cut", func(e prepared.Folder) error { return os.Truncate(e.Path("sums.json"), 5) }, "sums.json: unexpected end of JSON input"},
		{"sums gone", func(e prepared.Folder) error { return os.Remove(e.Path("sums.json")) }, "no such file or directory"},
		{"a path outside", func(e prepared.Folder) error {
			return os.WriteFile(e.Path("sums.json"), []byte(`{"../../../etc/passwd":0,"model":0,"weights":0}`), 0o600)
		}, "/passwd: no such file or directory"},
		{"one more", func(e prepared.Folder) error { return os.WriteFile(e.Path("blob"), nil, 0o600) }, "blob is not in sums.json"},
		{"sums of nothing", func(e prepared.Folder) error { return os.WriteFile(e.Path("sums.json"), []byte("{}"), 0o600) }, "sums.json lists nothing"},
		{"no sums", func(e prepared.Folder) error { return os.WriteFile(e.Path("sums.json"), []byte("null"), 0o600) }, "sums.json lists nothing"},
		{"a pipe in the place of a file", func(e prepared.Folder) error {
			return errors.Join(os.Remove(e.Path("weights")), unix.Mkfifo(e.Path("weights"), 0o600))
		}, "weights is no regular file"},
		{"a pipe in the place of the sums", func(e prepared.Folder) error {
			return errors.Join(os.Remove(e.Path("sums.json")), unix.Mkfifo(e.Path("sums.json"), 0o600))
		}, "sums.json is no regular file"},
		{"a file in its place", func(e prepared.Folder) error {
			return errors.Join(os.RemoveAll(e.Path("")), os.WriteFile(e.Path(""), nil, 0o600))
		}, "not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			entry := prepared.Entry(t.TempDir(), model, "lib", "1.2")
			if err := entry.Make(fill("weights")); err != nil {
				t.Fatalf("Make = %v", err)
			}
			if err := c.damage(entry); err != nil {
				t.Fatal(err)
			}
			if err := entry.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Check = %v, want %s", err, c.want)
			}
			if err := entry.Make(fill("weights")); err != nil || entry.Check() != nil {
				t.Errorf("Make = %v, then Check = %v", err, entry.Check())
			}
		})
	}
}

func TestWhatFailsToBeMadeLeavesNothing(t *testing.T) {
	cache := t.TempDir()
	entry := prepared.Entry(cache, model, "lib", "1.2")
	broken := errors.New("broken")
	err := entry.Make(func(folder string) error {
		if err := fill("half")(folder); err != nil {
			t.Error(err)
		}
		return broken
	})
	if !errors.Is(err, broken) || names(t, cache) != nil {
		t.Errorf("Make = %v, left %q", err, names(t, cache))
	}
	if err := entry.Make(fill("weights")); err != nil {
		t.Fatalf("Make = %v", err)
	}
	if err := entry.Make(func(string) error { return broken }); !errors.Is(err, broken) || entry.Check() != nil {
		t.Errorf("Make = %v, Check of what was there = %v", err, entry.Check())
	}
	file := filepath.Join(cache, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := prepared.Entry(file, model, "lib", "1.2").Make(fill("weights")); err == nil {
		t.Error("Make in a cache that is a file works")
	}
}

func TestEntriesAreKeptApartByModelLibraryAndProcessor(t *testing.T) {
	path := func(m inference.Model, name, version string) string {
		return prepared.Entry("cache", m, name, version).Path("")
	}
	got := path(model, "lib", "1.2")
	if prefix := "cache/" + digest + "/lib-1.2-"; !strings.HasPrefix(got, prefix) || len(got) != len(prefix)+16 {
		t.Errorf("path = %q, want %s and 16 digits", got, prefix)
	}
	for name, other := range map[string]string{
		"model":   path(inference.Model{Data: []byte("b")}, "lib", "1.2"),
		"library": path(model, "bil", "1.2"),
		"version": path(model, "lib", "1.3"),
	} {
		if other == got {
			t.Errorf("another %s has the same path %s", name, got)
		}
	}
	if known := path(inference.Model{Digest: digest}, "lib", "1.2"); known != got {
		t.Errorf("path of a known digest = %q, want %q", known, got)
	}
}

func TestOneOfThoseThatMakeAnEntryAtTheSameTimeWins(t *testing.T) {
	cache := t.TempDir()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				entry := prepared.Entry(cache, model, "lib", "1.2")
				if err := entry.Make(fill("weights")); err != nil {
					t.Errorf("Make = %v", err)
				}
			}
		})
	}
	group.Wait()
	if err := prepared.Entry(cache, model, "lib", "1.2").Check(); err != nil {
		t.Errorf("Check = %v", err)
	}
	if diff := cmp.Diff([]string{"model", "sums.json", "weights"}, names(t, cache)); diff != "" {
		t.Errorf("cache differs (-want +got):\n%s", diff)
	}
}

func TestAnEntryIsMadeOnceAndUsed(t *testing.T) {
	broken := errors.New("broken")
	entry := prepared.Entry(t.TempDir(), model, "lib", "1.2")
	works := func() error { return nil }
	fails := func() error { return broken }
	for _, step := range []struct {
		name   string
		damage string // file of the entry that is cut before
		fill   func(string) error
		use    func() error
		want   bool
		made   bool // fill is called
		log    string
	}{
		{"make fails", "", func(string) error { return broken }, works, false, true, `step=make err=broken`},
		{"made", "", fill("weights"), works, true, true, ``},
		{"there", "", fill("weights"), works, true, false, ``},
		{"cut", "weights", fill("weights"), works, true, true, `step=check err="weights has check sum `},
		{"use fails", "", fill("weights"), fails, false, false, `step=use err=broken`},
		{"was taken away", "", fill("weights"), works, true, true, ``},
	} {
		t.Run(step.name, func(t *testing.T) {
			if step.damage != "" {
				if err := os.Truncate(entry.Path(step.damage), 1); err != nil {
					t.Fatal(err)
				}
			}
			var log bytes.Buffer
			made := false
			used := entry.Use(t.Context(), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
				func(folder string) error { made = true; return step.fill(folder) }, step.use)
			if used != step.want || made != step.made {
				t.Errorf("Use = %v, made %v; want %v, %v", used, made, step.want, step.made)
			}
			if got := log.String(); (got == "") != (step.log == "") || !strings.Contains(got, step.log) {
				t.Errorf("log = %q, want %q", got, step.log)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if entry.Use(ctx, nil, fill("weights"), fails) || entry.Check() != nil {
		t.Errorf("an entry whose use was canceled is gone: %v", entry.Check())
	}
}
