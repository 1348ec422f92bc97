package service

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"verge/internal/fault"
	"verge/packaging"
)

const opInstall = "service.install"

// Install makes the service, starts it, and has it started with the system; after an
// upgrade of the program it is restarted. A settings file that is there is kept. Where a
// package brought the service, only the last part is left to do. It fails with
// fault.Denied for anyone but root and with fault.Unsupported without systemd.
func (s System) Install(ctx context.Context) error {
	if err := s.able(opInstall, "verge service install"); err != nil {
		return err
	}
	changed := false
	if !s.packaged() {
		var err error
		if changed, err = s.writeAll(); err != nil {
			return err
		}
	}
	if s.Offline {
		return s.enableOffline(changed)
	}
	created, err := s.createUser(ctx)
	if err != nil {
		return err
	}
	started, err := s.start(ctx, changed)
	if err != nil {
		return err
	}
	if !changed && !created && !started {
		s.Say("nothing to do: %s is installed, enabled and running", Unit)
	}
	return nil
}

// writeAll writes what differs, and reports whether there was any.
func (s System) writeAll() (changed bool, err error) {
	text, err := os.ReadFile(s.Program)
	if err != nil {
		return false, fault.New(fault.Internal, opInstall, "read this program: %w", err)
	}
	const executable, readable = 0o755, 0o644
	for _, file := range []struct {
		name string
		text []byte
		mode fs.FileMode
		keep bool // where it is there
	}{
		{program, text, executable, false},
		{settingsFile, []byte(packaging.Settings()), readable, true},
		{sysusersFile, []byte(packaging.SystemUsers()), readable, false},
		{unitFile, []byte(packaging.Unit(program)), readable, false},
	} {
		if file.keep && s.has(file.name) {
			continue
		}
		wrote, err := s.write(file.name, file.text, file.mode)
		if err != nil {
			return false, fileFault(opInstall, err)
		}
		changed = changed || wrote
	}
	return changed, nil
}

// write makes a file, whole or not at all, and reports whether it was another one.
func (s System) write(name string, text []byte, mode fs.FileMode) (bool, error) {
	path := s.path(name)
	if holds(path, text, mode) {
		return false, nil
	}
	err := os.MkdirAll(filepath.Dir(path), 0o755) //nolint:gosec // as the system's own
	if err != nil {
		return false, err
	}
	draft, err := os.CreateTemp(filepath.Dir(path), ".verge-*")
	if err != nil {
		return false, err
	}
	_, err = draft.Write(text)
	if err = errors.Join(err, draft.Chmod(mode), draft.Sync(), draft.Close()); err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		os.Remove(draft.Name()) //nolint:errcheck,gosec // the first error counts
		return false, err
	}
	s.Say("wrote %s", path)
	return true, nil
}

// holds reports whether a file is as it is to be.
func holds(path string, text []byte, mode fs.FileMode) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != mode {
		return false
	}
	old, err := os.ReadFile(path) //nolint:gosec // a path of the system
	return err == nil && bytes.Equal(old, text)
}

// enableOffline has the service started with the system of an image.
func (s System) enableOffline(changed bool) error {
	target := unitFile
	if s.packaged() {
		target = packagedUnit
	}
	link := s.path(wantsFile)
	if old, err := os.Readlink(link); err == nil && old == target {
		if !changed {
			s.Say("nothing to do: %s is installed and enabled in %s", Unit, s.path("/"))
		}
		return nil
	}
	err := os.MkdirAll(filepath.Dir(link), 0o755) //nolint:gosec // as the system's own
	if err == nil {
		if err = os.Remove(link); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Symlink(target, link)
	}
	if err != nil {
		return fileFault(opInstall, err)
	}
	s.Say("enabled %s in %s; the first start makes its user", Unit, s.path("/"))
	return nil
}

// createUser makes the service's user and group where there is none.
func (s System) createUser(ctx context.Context) (created bool, err error) {
	if s.listed("/etc/passwd", user) && s.listed("/etc/group", user) {
		return false, nil
	}
	if hasCommand("systemd-sysusers") {
		file := sysusersFile
		if s.packaged() {
			file = "verge.conf"
		}
		if err := run(ctx, opInstall, "systemd-sysusers", file); err != nil {
			return false, err
		}
	} else if err := s.addUser(ctx); err != nil {
		return false, err
	}
	s.Say("made the user and the group %s; who is in the group may deploy: sudo usermod -aG %s USER", user, user)
	return true, nil
}

// addUser is what systemd-sysusers does, for systems without it: groups that are not
// there are not made.
func (s System) addUser(ctx context.Context) error {
	var groups []string
	for line := range strings.Lines(packaging.SystemUsers()) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "m" && s.listed("/etc/group", words[2]) {
			groups = append(groups, words[2])
		}
	}
	args := []string{"--system", "--user-group", "--home-dir", StateDir, "--no-create-home", "--shell", "/usr/sbin/nologin"}
	if len(groups) > 0 {
		args = append(args, "--groups", strings.Join(groups, ","))
	}
	return run(ctx, opInstall, "useradd", append(args, user)...)
}

// listed reports whether a file such as /etc/passwd has a line for a name.
func (s System) listed(file, name string) bool {
	text, err := os.ReadFile(s.path(file))
	return err == nil && strings.Contains("\n"+string(text), "\n"+name+":")
}

// start has systemd run the service as its files are now, and with the system. It
// reports whether there was anything to do.
func (s System) start(ctx context.Context, changed bool) (bool, error) {
	if changed {
		if err := run(ctx, opInstall, "systemctl", "daemon-reload"); err != nil {
			return false, err
		}
	}
	enabled, active := succeeds(ctx, "systemctl", "is-enabled", "--quiet", Unit), succeeds(ctx, "systemctl", "is-active", "--quiet", Unit)
	if !enabled {
		if err := run(ctx, opInstall, "systemctl", "enable", "--quiet", Unit); err != nil {
			return false, err
		}
		s.Say("enabled %s: it starts with the system", Unit)
	}
	verb, said := "start", "started"
	switch {
	case active && changed:
		verb, said = "restart", "restarted"
	case active:
		return !enabled, nil
	}
	if err := run(ctx, opInstall, "systemctl", verb, Unit); err != nil {
		return false, &fault.Error{Kind: fault.KindOf(err), Op: opInstall, Err: err, Hint: "verge service logs tells why."}
	}
	s.Say("%s %s", said, Unit)
	return true, nil
}
