package service_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/service"
	"verge/packaging"
)

// machine is a system in a folder, with commands that write down how they were called.
type machine struct {
	service.System

	t    *testing.T
	said []string
	bin  string
}

// newMachine makes one that systemd has started. Its commands do nothing.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, bin: t.TempDir()}
	m.System = service.System{Root: t.TempDir(), Program: filepath.Join(t.TempDir(), "verge")}
	m.Say = func(format string, args ...any) {
		m.said = append(m.said, strings.ReplaceAll(fmt.Sprintf(format, args...), m.Root, ""))
	}
	m.write(m.Program, "program 1")
	m.write(m.file("/etc/passwd"), "root:x:0:0:root:/root:/bin/bash\nxverge:x:7:7::/:/bin/sh\n")
	m.write(m.file("/etc/group"), "root:x:0:\nvideo:x:44:\nxrender:x:1:\n")
	if err := os.MkdirAll(m.file("/run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", m.bin)
	m.command("systemctl", `case "$1" in is-enabled | is-active) exit 1 ;; esac`)
	m.command("systemd-sysusers", "")
	return m
}

func (m *machine) file(name string) string { return filepath.Join(m.Root, name) }

func (m *machine) write(path, text string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// command puts a program into PATH.
func (m *machine) command(name, script string) {
	m.t.Helper()
	text := fmt.Sprintf("#!/bin/sh\necho \"%s $*\" >>%s/calls\n%s\n", name, m.bin, script)
	if err := os.WriteFile(filepath.Join(m.bin, name), []byte(text), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

// did returns what was said and which commands were called since the last time.
func (m *machine) did() (said, calls []string) {
	m.t.Helper()
	said, m.said = m.said, nil
	text, err := os.ReadFile(filepath.Join(m.bin, "calls"))
	if err == nil {
		err = os.Remove(filepath.Join(m.bin, "calls"))
		calls = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	if err != nil && !os.IsNotExist(err) {
		m.t.Fatal(err)
	}
	return said, calls
}

// files returns the files of the machine below a folder, with their modes.
func (m *machine) files(names ...string) map[string]string {
	m.t.Helper()
	all := map[string]string{}
	for _, name := range names {
		err := filepath.WalkDir(m.file(name), func(path string, entry fs.DirEntry, err error) error {
			if os.IsNotExist(err) || err == nil && entry.IsDir() {
				return nil
			}
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			all[strings.TrimPrefix(path, m.Root)] = info.Mode().String()
			return nil
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
	return all
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func refused(t *testing.T, err error, kind fault.Kind, text, hint string) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind || fault.Message(err) != text || fault.HintOf(err) != hint {
		t.Errorf("got %v %q | %q\nwant %v %q | %q", fault.KindOf(err), fault.Message(err), fault.HintOf(err), kind, text, hint)
	}
}

func TestInstallWritesMakesTheUserAndStarts(t *testing.T) {
	m := newMachine(t)
	if err := m.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	said, calls := m.did()
	same(t, "said", []string{
		"wrote /usr/local/bin/verge", "wrote /etc/verge/verge.yaml", "wrote /etc/sysusers.d/verge.conf", "wrote /etc/systemd/system/verge.service",
		"made the user and the group verge; who is in the group may deploy: sudo usermod -aG verge USER",
		"enabled verge.service: it starts with the system", "started verge.service",
	}, said)
	same(t, "calls", []string{
		"systemd-sysusers /etc/sysusers.d/verge.conf", "systemctl daemon-reload", "systemctl is-enabled --quiet verge.service",
		"systemctl is-active --quiet verge.service", "systemctl enable --quiet verge.service", "systemctl start verge.service",
	}, calls)
	want := map[string]string{
		"/usr/local/bin/verge": "-rwxr-xr-x", "/etc/verge/verge.yaml": "-rw-r--r--", "/etc/sysusers.d/verge.conf": "-rw-r--r--",
		"/etc/systemd/system/verge.service": "-rw-r--r--",
	}
	if diff := cmp.Diff(want, m.files("/usr", "/etc/verge", "/etc/sysusers.d", "/etc/systemd")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	unit, err := os.ReadFile(m.file("/etc/systemd/system/verge.service"))
	if err != nil || !strings.Contains(string(unit), "\nExecStart=/usr/local/bin/verge serve --config /etc/verge/verge.yaml\n") {
		t.Errorf("the unit (%v):\n%s", err, unit)
	}
}

// installed is a machine on which everything is done.
func installed(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	if err := m.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.write(m.file("/etc/passwd"), "verge:x:998:998::/var/lib/verge:/usr/sbin/nologin\n")
	m.write(m.file("/etc/group"), "root:x:0:\nverge:x:998:\n")
	m.command("systemctl", "")
	m.did()
	return m
}

func TestInstallingAgainDoesOnlyWhatIsMissing(t *testing.T) {
	ask := []string{"systemctl is-enabled --quiet verge.service", "systemctl is-active --quiet verge.service"}
	for name, test := range map[string]struct {
		before      func(m *machine)
		said, calls []string
	}{
		"nothing": {
			func(*machine) {}, []string{"nothing to do: verge.service is installed, enabled and running"}, ask,
		},
		"a newer program": {
			func(m *machine) { m.write(m.Program, "program 2") },
			[]string{"wrote /usr/local/bin/verge", "restarted verge.service"},
			slices.Concat([]string{"systemctl daemon-reload"}, ask, []string{"systemctl restart verge.service"}),
		},
		"settings that were changed are kept": {
			func(m *machine) { m.write(m.file("/etc/verge/verge.yaml"), "log_level: debug\n") },
			[]string{"nothing to do: verge.service is installed, enabled and running"},
			ask,
		},
		"a unit that is too open": {
			func(m *machine) { os.Chmod(m.file("/etc/systemd/system/verge.service"), 0o666) },
			[]string{"wrote /etc/systemd/system/verge.service", "restarted verge.service"},
			slices.Concat([]string{"systemctl daemon-reload"}, ask, []string{"systemctl restart verge.service"}),
		},
		"it was stopped": {
			func(m *machine) { m.command("systemctl", `[ "$1" != is-active ]`) },
			[]string{"started verge.service"},
			append(ask, "systemctl start verge.service"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := installed(t)
			test.before(m)
			if err := m.Install(t.Context()); err != nil {
				t.Fatal(err)
			}
			said, calls := m.did()
			same(t, "said", test.said, said)
			same(t, "calls", test.calls, calls)
		})
	}
}

func TestWithoutSysusersTheUserIsAddedToTheGroupsThatAreThere(t *testing.T) {
	m := newMachine(t)
	os.Remove(filepath.Join(m.bin, "systemd-sysusers"))
	m.command("useradd", "")
	if err := m.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, calls := m.did()
	if want := "useradd --system --user-group --home-dir /var/lib/verge --no-create-home --shell /usr/sbin/nologin --groups video verge"; calls[0] != want {
		t.Errorf("called %q, want %q", calls[0], want)
	}
}

func TestAServiceOfAPackageIsOnlyStarted(t *testing.T) {
	m := newMachine(t)
	m.write(m.file("/usr/lib/systemd/system/verge.service"), packaging.Unit("/usr/bin/verge"))
	if err := m.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	said, calls := m.did()
	same(t, "said", []string{
		"made the user and the group verge; who is in the group may deploy: sudo usermod -aG verge USER",
		"enabled verge.service: it starts with the system", "started verge.service",
	}, said)
	if want := "systemd-sysusers verge.conf"; calls[0] != want {
		t.Errorf("called %q, want %q", calls[0], want)
	}
	refused(t, m.Uninstall(t.Context(), false), fault.Conflict, "the service came with the package verge",
		"Remove the package: sudo apt remove verge, or sudo apt purge verge for its state too.")
}

func TestAnImageGetsFilesAndRunsNothing(t *testing.T) {
	m := newMachine(t)
	m.Offline, m.UID = true, 1000
	os.RemoveAll(m.file("/run"))
	if err := m.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	said, calls := m.did()
	same(t, "calls", nil, calls)
	if want := "enabled verge.service in ; the first start makes its user"; said[len(said)-1] != want {
		t.Errorf("said %q, want %q", said[len(said)-1], want)
	}
	const link = "/etc/systemd/system/multi-user.target.wants/verge.service"
	if target, err := os.Readlink(m.file(link)); err != nil || target != "/etc/systemd/system/verge.service" {
		t.Errorf("%s leads to %q (%v)", link, target, err)
	}
	if err := m.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	said, _ = m.did()
	same(t, "said the second time", []string{"nothing to do: verge.service is installed and enabled in "}, said)

	if err := m.Uninstall(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if left := m.files("/usr", "/etc/verge", "/etc/sysusers.d", "/etc/systemd"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	if said, calls = m.did(); len(said) != 5 || calls != nil {
		t.Errorf("said %q, called %q", said, calls)
	}
}

func TestUninstallKeepsTheStateUnlessItIsToGo(t *testing.T) {
	m := installed(t)
	m.command("userdel", "")
	m.write(m.file("/var/lib/verge/state.db"), "state")
	if err := m.Uninstall(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	said, calls := m.did()
	same(t, "said", []string{
		"stopped verge.service", "removed /etc/systemd/system/verge.service", "removed /etc/sysusers.d/verge.conf", "removed /usr/local/bin/verge",
		"kept /var/lib/verge, /etc/verge, the user verge; verge service uninstall --purge removes what is left",
	}, said)
	same(t, "calls", []string{"systemctl disable --now --quiet verge.service", "systemctl daemon-reload"}, calls)
	if left, want := m.files("/usr", "/etc/verge", "/var"), map[string]string{"/etc/verge/verge.yaml": "-rw-r--r--", "/var/lib/verge/state.db": "-rw-r--r--"}; !cmp.Equal(left, want) {
		t.Errorf("left %v, want %v", left, want)
	}

	if err := m.Uninstall(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	said, calls = m.did()
	same(t, "said at the purge", []string{"removed /var/lib/verge", "removed /etc/verge", "removed the user verge"}, said)
	same(t, "calls at the purge", []string{"userdel verge"}, calls)

	m.write(m.file("/etc/passwd"), "")
	if err := m.Uninstall(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	said, _ = m.did()
	same(t, "said when all is gone", []string{"nothing to do: the service is not installed"}, said)
}

func TestOnlyRootOfASystemWithSystemdChangesIt(t *testing.T) {
	m := newMachine(t)
	m.UID = 1000
	const only = "only root may change the services of this system"
	refused(t, m.Install(t.Context()), fault.Denied, only, "Run: sudo verge service install")
	refused(t, m.Uninstall(t.Context(), false), fault.Denied, only, "Run: sudo verge service uninstall")
	os.RemoveAll(m.file("/run"))
	const no, other = "this system was not started by systemd", "Have its own service manager run: verge serve. For an image of another system, name its folder with --root DIR."
	refused(t, m.Install(t.Context()), fault.Unsupported, no, other)
	refused(t, m.Uninstall(t.Context(), false), fault.Unsupported, no, other)
	m.command("systemctl", "echo 'System has not been booted' >&2; exit 1")
	_, err := m.State(t.Context())
	refused(t, err, fault.Unsupported, no, other)
	os.Remove(filepath.Join(m.bin, "systemctl"))
	_, err = m.State(t.Context())
	refused(t, err, fault.Unsupported, "systemctl is not here", "Use a system with systemd, and run as a user whose PATH has systemctl.")
	if left := m.files("/usr", "/etc/systemd"); len(left) > 0 {
		t.Errorf("%v was written", left)
	}
}

func TestACommandThatFailsIsToldWithWhatItSaid(t *testing.T) {
	m := newMachine(t)
	m.command("systemctl", `case "$1" in is-*) exit 1 ;; start) echo "Job for verge.service failed." >&2; exit 1 ;; esac`)
	refused(t, m.Install(t.Context()), fault.Internal, "systemctl start verge.service: Job for verge.service failed.", "verge service logs tells why.")
	m.command("systemctl", "exit 4")
	refused(t, m.Uninstall(t.Context(), false), fault.Internal, "systemctl disable --now --quiet verge.service: exit status 4", "")
}

func TestTheStateIsThatOfSystemd(t *testing.T) {
	m := newMachine(t)
	m.command("systemctl", `cat <<END
LoadState=loaded
ActiveState=activating
SubState=auto-restart
UnitFileState=enabled
Result=watchdog
MainPID=0
NRestarts=3
StateChangeTimestamp=Sun 2026-11-29 13:00:00 UTC
END`)
	m.command("cat", `while read -r line; do echo "$line"; done`)
	got, err := m.State(t.Context())
	want := service.State{Loaded: true, Active: "activating", Sub: "auto-restart", Enabled: true, Result: "watchdog", Restarts: 3, Since: "Sun 2026-11-29 13:00:00 UTC"}
	if err != nil || got != want {
		t.Errorf("State = %+v (%v), want %+v", got, err, want)
	}
}

func TestLogsAreThoseOfTheJournal(t *testing.T) {
	m := newMachine(t)
	m.command("journalctl", "echo line; echo note >&2")
	var out, errs bytes.Buffer
	if err := m.Logs(t.Context(), 7, true, &out, &errs); err != nil || out.String() != "line\n" || errs.String() != "note\n" {
		t.Errorf("Logs: %v, %q, %q", err, &out, &errs)
	}
	_, calls := m.did()
	same(t, "calls", []string{"journalctl --unit verge.service --lines 7 --no-pager --follow"}, calls)
	m.command("journalctl", "exit 1")
	refused(t, m.Logs(t.Context(), 7, false, &out, &errs), fault.Internal, "journalctl --unit verge.service --lines 7 --no-pager: exit status 1", "")
}
