package prepared_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"verge/internal/inference/prepared"
)

// dies is the variable that names the cache over whose entry a child of the test dies.
const dies = "VERGE_TEST_DIES_OVER"

func TestMain(m *testing.M) {
	if cache := os.Getenv(dies); cache != "" {
		prepared.Entry(cache, model, "lib", "1.2").Use(nil, nil, fill("weights"), func() error { //nolint:staticcheck // it never gets to need the context
			return unix.Kill(os.Getpid(), unix.SIGKILL)
		})
		os.Exit(3)
	}
	os.Exit(m.Run())
}

// die lets a process die while it loads the entry.
func die(t *testing.T, cache string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), dies+"="+cache)
	var exit *exec.ExitError
	if err := child.Run(); !errors.As(err, &exit) || exit.Sys().(interface{ Signaled() bool }).Signaled() != true {
		t.Fatalf("the child ended with %v, want a signal", err)
	}
}

// use uses the entry, and returns whether it was made and used, and why not.
func use(t *testing.T, cache string, load func() error) (made, used bool, log string) {
	t.Helper()
	var text bytes.Buffer
	used = prepared.Entry(cache, model, "lib", "1.2").Use(t.Context(), slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})),
		func(folder string) error { made = true; return fill("weights")(folder) }, load)
	return made, used, text.String()
}

func works() error { return nil }

// marks returns the marks in a cache.
func marks(t *testing.T, cache string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(cache, "*", "trying-*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAnEntryThatAProcessDiedOfIsMadeAnew(t *testing.T) {
	cache := t.TempDir()
	die(t, cache)
	if made, used, log := use(t, cache, works); !made || !used || log != "" {
		t.Errorf("made %v, used %v, log %q; want it made anew and used", made, used, log)
	}
	if made, used, _ := use(t, cache, works); made || !used || len(marks(t, cache)) != 0 {
		t.Errorf("made %v, used %v, marks %q; want it used, and no mark left", made, used, marks(t, cache))
	}
}

func TestAnEntryThatTwoProcessesDiedOfIsLeftAloneForADay(t *testing.T) {
	cache := t.TempDir()
	die(t, cache)
	die(t, cache)
	made, used, log := use(t, cache, works)
	if made || used || !strings.Contains(log, `step=mark err="2 processes have died while they made or loaded it, the last one at 2`) {
		t.Errorf("made %v, used %v, log %q; want it left alone", made, used, log)
	}
	found := marks(t, cache)
	if len(found) != 1 {
		t.Fatalf("marks %q, want one", found)
	}
	age(t, found[0], time.Now().Add(-25*time.Hour))
	die(t, cache)
	if _, used, _ := use(t, cache, works); used {
		t.Error("it is used after it killed again")
	}
	age(t, found[0], time.Now().Add(-25*time.Hour))
	if made, used, log := use(t, cache, works); !made || !used || len(marks(t, cache)) != 0 {
		t.Errorf("made %v, used %v, log %q, marks %q; want it made anew and used", made, used, log, marks(t, cache))
	}
}

func TestThoseThatUseAnEntryAtTheSameTimeAreNotDead(t *testing.T) {
	cache := t.TempDir()
	_, used, log := use(t, cache, func() error {
		for range 3 {
			if made, used, log := use(t, cache, works); made || !used {
				t.Errorf("beside: made %v, used %v, log %q", made, used, log)
			}
		}
		return nil
	})
	if !used || len(marks(t, cache)) != 0 {
		t.Errorf("used %v, log %q, marks %q", used, log, marks(t, cache))
	}
}

func TestWithoutAMarkAnEntryIsUsedAllTheSame(t *testing.T) {
	cache := t.TempDir()
	entry := prepared.Entry(cache, model, "lib", "1.2").Path("")
	if err := os.MkdirAll(filepath.Join(filepath.Dir(entry), "trying-"+filepath.Base(entry)), 0o700); err != nil {
		t.Fatal(err)
	}
	if made, used, log := use(t, cache, works); !made || !used {
		t.Errorf("made %v, used %v, log %q", made, used, log)
	}
}
