package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
)

// stateLock keeps a second node out of a state directory. The lock ends with the
// process, however that ends; what is written inside is for people.
type stateLock struct{ file *os.File }

// lockState makes the state directory where it is not there, and locks it. It
// fails with fault.Conflict, naming the process, while another node has it, and
// with fault.Denied where this user may not write there.
func lockState(dir string, now time.Time) (*stateLock, error) {
	const op = "app.lock"
	const hint = "Run as the user who owns the directory, or name another one with --state-dir."
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.New(stateKind(err), op, "make the state directory: %w", err).WithHint(hint)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600) //nolint:gosec // the state directory is the owner's choice
	if err != nil {
		return nil, fault.New(stateKind(err), op, "lock the state directory: %w", err).WithHint(hint)
	}
	if err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer file.Close() //nolint:errcheck // only read
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fault.New(fault.Conflict, op, "the state directory is in use by %s", holder(file)).On(dir).
				WithHint("Stop that node, or name another directory with --state-dir.")
		}
		return nil, fault.New(fault.Internal, op, "lock the state directory: %w", err).On(dir)
	}
	text := fmt.Sprintf("pid %d, started %s\n", os.Getpid(), now.UTC().Format(time.RFC3339))
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(text), 0)
	}
	if err != nil {
		return nil, errors.Join(fault.New(stateKind(err), op, "write the lock file: %w", err).On(dir), file.Close())
	}
	return &stateLock{file}, nil
}

// Close gives the directory back.
func (l *stateLock) Close() error { return l.file.Close() }

// holder reads who has the lock.
func holder(file *os.File) string {
	const longest = 128
	text, err := io.ReadAll(io.NewSectionReader(file, 0, longest))
	if line := strings.TrimSpace(string(text)); err == nil && strings.HasPrefix(line, "pid ") {
		return "another node (" + line + ")"
	}
	return "another process"
}

// stateKind is what an error of the state directory means.
func stateKind(err error) fault.Kind {
	switch {
	case errors.Is(err, os.ErrPermission), errors.Is(err, unix.EROFS):
		return fault.Denied
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fault.Exhausted
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENAMETOOLONG):
		return fault.Invalid
	}
	return fault.Internal
}
