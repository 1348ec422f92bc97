package config

import (
	"path/filepath"
	"strings"

	"verge/internal/fault"
)

// Locate fills in the paths that are empty, for a user and the variables of an
// environment, and makes all absolute. RuntimeDir stays empty where it is.
//
//   - state_dir: /var/lib/verge for root, else $XDG_STATE_HOME/verge, else
//     $HOME/.local/state/verge.
//   - unix_socket: /run/verge/verge.sock for root, else
//     $XDG_RUNTIME_DIR/verge.sock, else verge.sock in state_dir.
//
// A directory of the XDG specification counts only if it is absolute. The error
// is fault.Problems.
func (c *Config) Locate(uid int, environ []string) error {
	var ps fault.Problems
	state, runtime, home := lookup(environ, "XDG_STATE_HOME"), lookup(environ, "XDG_RUNTIME_DIR"), lookup(environ, "HOME")
	switch {
	case c.StateDir != "":
	case uid == 0:
		c.StateDir = "/var/lib/verge"
	case state != "":
		c.StateDir = filepath.Join(state, "verge")
	case home != "":
		c.StateDir = filepath.Join(home, ".local", "state", "verge")
	default:
		ps = append(ps, fault.Problem{
			Path: "state_dir", Message: "is not set, and neither XDG_STATE_HOME nor HOME names an absolute path",
			Hint: "Name the state directory with --state-dir.",
		})
		return ps
	}
	switch {
	case c.UnixSocket != "":
	case uid == 0:
		c.UnixSocket = serviceSocket
	case runtime != "":
		c.UnixSocket = filepath.Join(runtime, "verge.sock")
	default:
		c.UnixSocket = filepath.Join(c.StateDir, "verge.sock")
	}
	for _, p := range []struct {
		key  string
		path *string
	}{{"state_dir", &c.StateDir}, {"unix_socket", &c.UnixSocket}, {"runtime_dir", &c.RuntimeDir}} {
		if *p.path == "" {
			continue
		}
		absolute, err := filepath.Abs(*p.path)
		if err != nil {
			ps.Add(p.key, 0, "cannot be made absolute: %v", err)
			continue
		}
		*p.path = absolute
	}
	return ps.Err()
}

// serviceSocket is where the node of a machine answers that runs as its service.
const serviceSocket = "/run/verge/verge.sock"

// NodeSocket returns where commands of a user look for the node: at UnixSocket, or at
// the socket of the machine's service where nothing chose another one than the default,
// and this user has no node of their own. exists says what is there.
func (c Config) NodeSocket(uid int, environ []string, exists func(path string) bool) string {
	usual := Default()
	if err := usual.Locate(uid, environ); err != nil || c.UnixSocket != usual.UnixSocket || c.StateDir != usual.StateDir {
		return c.UnixSocket
	}
	if !exists(c.UnixSocket) && exists(serviceSocket) {
		return serviceSocket
	}
	return c.UnixSocket
}

// lookup returns a variable that holds an absolute path, or "".
func lookup(environ []string, name string) string {
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok && filepath.IsAbs(value) {
			return value
		}
	}
	return ""
}
