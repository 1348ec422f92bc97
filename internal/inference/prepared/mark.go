package prepared

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// marked is how the names of marks start: files beside entries that are there while
	// one is made or loaded, and that stay behind where the process died meanwhile.
	marked = "trying-"
	// maxDeaths is how many processes in a row may die so. After the first the entry is
	// made anew.
	maxDeaths = 2
	// rest is how long an entry is then left alone.
	rest = 24 * time.Hour
)

// mark is the mark of an entry that this process tries. Processes that do so at the same
// time hold a shared lock on it each, which the system takes back when they end.
type mark struct{ file *os.File }

// mark begins to try an entry. It fails where too many have died of it, and removes the
// entry where one has. Without the right to write there, nothing is marked.
func (f Folder) mark(now time.Time) (*mark, error) {
	file, err := os.OpenFile(f.markPath(), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil //nolint:nilnil,nilerr // an entry may be used where nothing can be written
	}
	m := &mark{file}
	if !m.lock(unix.LOCK_EX | unix.LOCK_NB) { // others are at it: who comes after the last one sees what became of them
		m.lock(unix.LOCK_SH)
		return m, nil
	}
	if err := f.note(file, now); err != nil {
		m.file.Close() //nolint:errcheck,gosec // the first error counts
		return nil, err
	}
	m.lock(unix.LOCK_SH)
	return m, nil
}

// note adds this try to those that have not ended: one byte each.
func (f Folder) note(file *os.File, now time.Time) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	deaths := info.Size()
	if deaths >= maxDeaths {
		if now.Sub(info.ModTime()) < rest {
			return fmt.Errorf("%d processes have died while they made or loaded it, the last one at %s", deaths, info.ModTime().UTC().Format(time.RFC3339))
		}
		if err = file.Truncate(maxDeaths - 1); err != nil {
			return err
		}
	}
	if deaths > 0 {
		if err = f.Remove(); err != nil {
			return err
		}
	}
	_, err = file.Write([]byte{'.'})
	return err
}

// end says that the try has ended without a death, and takes the mark away where nobody
// else is at it.
func (m *mark) end() {
	if m == nil {
		return
	}
	if m.lock(unix.LOCK_EX | unix.LOCK_NB) {
		os.Remove(m.file.Name()) //nolint:errcheck,gosec // it then counts as a death
	}
	m.file.Close() //nolint:errcheck,gosec // it unlocks, and nothing is in a buffer
}

// lock reports whether the lock was had.
func (m *mark) lock(how int) bool {
	for {
		if err := unix.Flock(int(m.file.Fd()), how); err != unix.EINTR {
			return err == nil
		}
	}
}

// markPath returns where the mark of the entry is.
func (f Folder) markPath() string {
	return filepath.Join(filepath.Dir(f.path), marked+filepath.Base(f.path))
}
