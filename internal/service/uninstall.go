package service

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"verge/internal/fault"
)

const opUninstall = "service.uninstall"

// Uninstall stops the service and removes what Install made, but for the state, the
// settings and the user that they belong to; with purge, those too. It fails with
// fault.Conflict where the service came with a package.
func (s System) Uninstall(ctx context.Context, purge bool) error {
	if err := s.able(opUninstall, "verge service uninstall"); err != nil {
		return err
	}
	if s.packaged() {
		return fault.New(fault.Conflict, opUninstall, "the service came with the package verge").
			WithHint("Remove the package: sudo apt remove verge, or sudo apt purge verge for its state too.")
	}
	installed := s.ours()
	if installed && !s.Offline {
		if err := run(ctx, opUninstall, "systemctl", "disable", "--now", "--quiet", Unit); err != nil {
			return err
		}
		s.Say("stopped %s", Unit)
	}
	removed, err := s.removeAll(wantsFile, unitFile, sysusersFile, program)
	if err == nil && installed && !s.Offline {
		err = run(ctx, opUninstall, "systemctl", "daemon-reload")
	}
	if err == nil && purge {
		err = s.purge(ctx, &removed)
	}
	if err != nil {
		return err
	}
	if !removed && !installed {
		s.Say("nothing to do: the service is not installed")
	}
	if !purge {
		s.sayKept()
	}
	return nil
}

// sayKept names what an uninstall has left.
func (s System) sayKept() {
	var kept []string
	for _, name := range []string{StateDir, ConfigDir} {
		if s.has(name) {
			kept = append(kept, s.path(name))
		}
	}
	if s.listed("/etc/passwd", user) {
		kept = append(kept, "the user "+user)
	}
	if len(kept) > 0 {
		s.Say("kept %s; verge service uninstall --purge removes what is left", strings.Join(kept, ", "))
	}
}

// removeAll removes files, and reports whether there was any.
func (s System) removeAll(names ...string) (removed bool, err error) {
	for _, name := range names {
		switch err := os.Remove(s.path(name)); {
		case err == nil:
			s.Say("removed %s", s.path(name))
			removed = true
		case !errors.Is(err, fs.ErrNotExist):
			return removed, fileFault(opUninstall, err)
		}
	}
	return removed, nil
}

// purge removes the state, the settings and the user.
func (s System) purge(ctx context.Context, removed *bool) error {
	for _, name := range []string{StateDir, ConfigDir} {
		if !s.has(name) {
			continue
		}
		if err := os.RemoveAll(s.path(name)); err != nil {
			return fileFault(opUninstall, err)
		}
		s.Say("removed %s", s.path(name))
		*removed = true
	}
	if s.Offline || !s.listed("/etc/passwd", user) {
		return nil
	}
	if err := run(ctx, opUninstall, "userdel", user); err != nil {
		return err
	}
	s.Say("removed the user %s", user)
	*removed = true
	return nil
}
