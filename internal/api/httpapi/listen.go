package httpapi

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"verge/internal/fault"
)

const opListen = "httpapi.listen"

// MaxSocketPath is how long the path of a Unix socket may be (sun_path of
// unix(7), less its final NUL).
const MaxSocketPath = 107

// ListenTCP listens at host:port. It fails with fault.Conflict where the port is
// taken, and with fault.Invalid for an address that is none of this machine's.
func ListenTCP(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address) //nolint:noctx // it does not wait
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fault.New(fault.Conflict, opListen, "the address %s is in use by another process", address).
			WithHint("Stop what listens there, or choose another one: --http-address HOST:PORT.")
	case errors.Is(err, fs.ErrPermission):
		return nil, fault.New(fault.Denied, opListen, "no permission to listen at %s", address).WithHint("Choose a port over 1023: --http-address HOST:PORT.")
	}
	return nil, fault.New(fault.Invalid, opListen, "cannot listen at %s: %w", address, err).WithHint("Choose another address: --http-address HOST:PORT.")
}

// ListenUnix listens at a Unix socket, which it makes with the given mode, and its
// folder where there is none. A socket that a process left behind when it died is
// replaced. It fails with fault.Conflict where a process answers there, and with
// fault.Invalid for a path that is too long or that is something else.
func ListenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	const hint = "Choose another path: --unix-socket PATH."
	if len(path) > MaxSocketPath {
		return nil, fault.New(fault.Invalid, opListen, "the path of the Unix socket has %d bytes, at most %d are possible: %s", len(path), MaxSocketPath, path).WithHint(hint)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // the socket's own mode says who may use it
		return nil, fault.New(fault.Denied, opListen, "make the folder of the Unix socket: %w", err).WithHint(hint)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path) //nolint:noctx // it does not wait
	if err == nil {
		if err = os.Chmod(path, mode); err != nil {
			err = errors.Join(err, l.Close())
		}
	}
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, taken(path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return nil, fault.New(fault.Denied, opListen, "no permission to make the Unix socket %s", path).WithHint(hint)
	}
	return nil, fault.New(fault.Internal, opListen, "cannot listen at the Unix socket %s: %w", path, err).WithHint(hint)
}

// removeStale removes a socket at which nobody answers.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fault.New(fault.Denied, opListen, "look at %s: %w", path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return fault.New(fault.Invalid, opListen, "%s is there, and is no socket", path).
			WithHint("Remove it, or choose another path: --unix-socket PATH.")
	}
	const patience = time.Second
	conn, err := net.DialTimeout("unix", path, patience) //nolint:noctx // it has a time-out
	if err == nil {
		_ = conn.Close() // it was only tried
		return taken(path)
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
	case errors.Is(err, fs.ErrNotExist):
		return nil // it was removed just now
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Denied, opListen, "no permission to use the Unix socket %s, which is there", path).
			WithHint("Remove it, or choose another path: --unix-socket PATH.")
	default:
		return taken(path) // somebody is there, if only too busy to answer
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Denied, opListen, "remove the socket that a process left at %s: %w", path, err)
	}
	return nil
}

func taken(path string) error {
	return fault.New(fault.Conflict, opListen, "another process answers at the Unix socket %s", path).
		WithHint("Stop that node, or choose another path: --unix-socket PATH.")
}
