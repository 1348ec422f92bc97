// Package service makes the node a service of the system, under systemd: it writes the
// files of packaging, has the system's own commands do the rest (systemctl, journalctl,
// systemd-sysusers or useradd, as PATH has them), and says what it did. It knows nothing
// of a node but where its files are.
//
// Every operation may be repeated: what is as it should be is left alone. Nothing here is
// safe for use by several processes at a time but what those commands make so.
package service

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"verge/internal/fault"
)

// The name of the service and where its files are.
const (
	Unit      = "verge.service"
	StateDir  = "/var/lib/verge"
	ConfigDir = "/etc/verge"

	user         = "verge" // and its group
	settingsFile = ConfigDir + "/verge.yaml"
	program      = "/usr/local/bin/verge"
	unitFile     = "/etc/systemd/system/" + Unit
	wantsFile    = "/etc/systemd/system/multi-user.target.wants/" + Unit
	sysusersFile = "/etc/sysusers.d/verge.conf"
	packagedUnit = "/usr/lib/systemd/system/" + Unit // of the Debian package
)

// System is the machine that the service is installed on.
type System struct {
	Root    string // directory that stands for "/"; "" for "/"
	Offline bool   // Root is an image: files are written, and nothing is run
	UID     int    // of this process
	Program string // file of this program

	Say func(format string, args ...any) // hears, line by line, what was done
}

// path is where a file of the system is.
func (s System) path(name string) string { return filepath.Join("/", s.Root, name) }

func (s System) has(name string) bool {
	_, err := os.Lstat(s.path(name))
	return err == nil
}

// ours reports whether the unit was written by Install, and packaged whether it came with
// a package.
func (s System) ours() bool     { return s.has(unitFile) }
func (s System) packaged() bool { return !s.ours() && s.has(packagedUnit) }

// able says why a command that changes the system cannot: it is not root's, or there is
// no systemd.
func (s System) able(op, command string) error {
	if s.Offline {
		return nil
	}
	if !s.booted() {
		return noSystemd(op)
	}
	if s.UID != 0 {
		return fault.New(fault.Denied, op, "only root may change the services of this system").WithHint("Run: sudo %s", command)
	}
	return nil
}

// booted is sd_booted(3).
func (s System) booted() bool {
	info, err := os.Stat(s.path("/run/systemd/system"))
	return err == nil && info.IsDir()
}

func noSystemd(op string) error {
	return fault.New(fault.Unsupported, op, "this system was not started by systemd").
		WithHint("Have its own service manager run: verge serve. For an image of another system, name its folder with --root DIR.")
}

// fileFault is the error of a file that could not be read, written or removed.
func fileFault(op string, err error) error {
	kind := fault.Internal
	if errors.Is(err, fs.ErrPermission) {
		kind = fault.Denied
	}
	return fault.New(kind, op, "%w", err)
}
