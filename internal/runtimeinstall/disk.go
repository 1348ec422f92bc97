package runtimeinstall

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
)

const diskFullHint = "Free space there, or install into another directory."

// libraryFile is what a library is written to.
type libraryFile interface {
	io.Writer
	Sync() error
	Close() error
}

// createLibrary makes a new file that everyone may read.
func createLibrary(root *os.Root, name string) (libraryFile, error) {
	return root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
}

// openDir opens the runtime directory, which is made where it does not exist.
func openDir(dir string) (*os.Root, error) {
	err := os.MkdirAll(filepath.Dir(dir), 0o700)
	if err == nil {
		err = os.Mkdir(dir, 0o755) //nolint:gosec // libraries are nobody's secret
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, diskError("runtimeinstall.install", dir, err)
	}
	root, err := os.OpenRoot(dir)
	return root, diskError("runtimeinstall.install", dir, err)
}

// acquire waits until no other install into the directory is going on, of this
// process or another. The lock ends with the process that holds it.
func acquire(ctx context.Context, root *os.Root, progress Progress) (release func(), err error) {
	const op, retry = "runtimeinstall.install", 100 * time.Millisecond
	file, err := root.OpenFile(".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, diskError(op, root.Name(), err)
	}
	ticker := time.NewTicker(retry)
	defer ticker.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = file.Close() }, nil // which gives the lock back
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			_ = file.Close() // nothing was written
			return nil, diskError(op, root.Name(), fmt.Errorf("lock: %w", err))
		}
		progress(Waiting, 0, 0)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			_ = file.Close() // nothing was written
			return nil, stopped(ctx)
		}
	}
}

// settle moves a file that is on disk to its place, for good.
func settle(root *os.Root, from, to string) error {
	if err := root.MkdirAll(path.Dir(to), 0o755); err != nil {
		return err
	}
	if err := root.Rename(from, to); err != nil {
		return err
	}
	for dir := path.Dir(to); ; dir = path.Dir(dir) {
		if err := syncDir(root, dir); err != nil || dir == "." {
			return err
		}
	}
}

// syncDir makes the names in a directory last.
func syncDir(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// freeBytes is what the file system of a directory has left for this user.
func freeBytes(root *os.Root) (int64, error) {
	dir, err := root.Open(".")
	if err != nil {
		return 0, err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return 0, fmt.Errorf("statfs: %w", err)
	}
	size := int64(st.Bsize)             //nolint:unconvert // an int32 on processors of 32 bits
	return int64(st.Bavail) * size, nil //nolint:gosec // a disk of 2^63 bytes does not exist
}

// openRegular opens a file that is one, and returns its size.
func openRegular(name string) (*os.File, int64, error) {
	info, err := os.Stat(name) // first: to open a named pipe would wait for its other end
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, 0, err
	}
	file, err := os.Open(name) //nolint:gosec // a path that the caller was asked to open, only read
	if err != nil {
		return nil, 0, err
	}
	if info, err = file.Stat(); err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// hashFile returns the SHA-256 of an open file, which is then at its end.
func hashFile(ctx context.Context, file *os.File, size int64, progress Progress) (string, error) {
	sum, _, err := copyHashed(ctx, io.Discard, file, func(n int64) { progress(Verifying, n, size) })
	return sum, err
}

// copyHashed copies all of r, and returns the SHA-256 and the number of its bytes.
// An error of w is a full or broken disk, one of r a broken package.
func copyHashed(ctx context.Context, w io.Writer, r io.Reader, progress func(n int64)) (sum string, n int64, err error) {
	const op, chunk = "runtimeinstall.install", 1 << 20
	hash, buf := sha256.New(), make([]byte, chunk)
	progress(0)
	for {
		if ctx.Err() != nil {
			return "", n, stopped(ctx)
		}
		k, err := io.ReadFull(r, buf)
		if k > 0 {
			if _, writeErr := w.Write(buf[:k]); writeErr != nil {
				return "", n, diskError(op, "", writeErr)
			}
			hash.Write(buf[:k])
			n += int64(k)
			progress(n)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return hex.EncodeToString(hash.Sum(nil)), n, nil
		case err != nil:
			return "", n, fault.New(fault.Corrupt, op, "read the library: %w", err)
		}
	}
}

// stopped is the error of an install whose context has ended.
func stopped(ctx context.Context) error {
	return fault.New(fault.KindOf(ctx.Err()), "runtimeinstall.install", "stopped before it was done: %w", ctx.Err()).
		WithHint("Nothing was installed; run it again.")
}

// diskError gives an error of the file system its kind. A nil error stays nil.
func diskError(op, subject string, err error) error {
	if err == nil {
		return nil
	}
	kind, hint := fault.Internal, ""
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		kind, hint = fault.Exhausted, diskFullHint
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		kind, hint = fault.Denied, "Run it as a user who may write there, or install into another directory."
	case errors.Is(err, fs.ErrNotExist):
		kind = fault.NotFound
	case errors.Is(err, unix.ENOTDIR):
		kind, hint = fault.Invalid, "Name a directory."
	}
	var pathError *fs.PathError
	if subject != "" && errors.As(err, &pathError) && pathError.Path == subject {
		err = fmt.Errorf("%s: %w", pathError.Op, pathError.Err)
	}
	return &fault.Error{Kind: kind, Op: op, Subject: subject, Hint: hint, Err: err}
}
