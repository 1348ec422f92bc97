package packaging_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/packaging"
	"verge/test/nodetest"
)

// root is a system in a folder, with an empty database of packages.
type root struct {
	t   *testing.T
	dir string
}

func newRoot(t *testing.T) *root {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: it installs a package")
	}
	dir, err := os.MkdirTemp(scratch, "r") //nolint:usetesting // t.TempDir is another user's to no one, and too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	r := &root{t, dir}
	for name, text := range map[string]string{
		"/var/lib/dpkg/status": "", "/var/lib/dpkg/info/format": "1\n", "/etc/group": "root:x:0:\nvideo:x:44:\n", "/etc/passwd": "root:x:0:0::/root:/bin/sh\n",
	} {
		r.write(name, text)
	}
	for _, name := range []string{"/var/lib/dpkg/updates", "/var/lib/dpkg/triggers"} {
		if err := os.MkdirAll(r.path(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *root) path(name string) string { return filepath.Join(r.dir, name) }

func (r *root) write(name, text string) {
	r.t.Helper()
	err := os.MkdirAll(filepath.Dir(r.path(name)), 0o755)
	if err == nil {
		err = os.WriteFile(r.path(name), []byte(text), 0o644)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// has returns the line of a file that begins with a word, or "".
func (r *root) has(name, word string) string {
	for line := range strings.Lines(string(read(r.t, r.path(name)))) {
		if strings.HasPrefix(line, word) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// dpkg runs dpkg in the root, as for an image: maintainer scripts run outside, and find it
// in DPKG_ROOT.
func (r *root) dpkg(args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "dpkg", append([]string{"--root=" + r.dir, "--force-script-chrootless", "--force-depends", "--force-confold"}, args...)...)
	cmd.Env = append(os.Environ(), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C")
	text, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("dpkg %v: %v\n%s", args, err, text)
	}
	return string(text)
}

// files returns the modes of those files that the package has, and of more.
func (r *root) files(more ...string) map[string]string {
	r.t.Helper()
	all := map[string]string{}
	for name := range packaged() {
		more = append(more, name)
	}
	for _, name := range more {
		info, err := os.Lstat(r.path(name))
		if err == nil {
			all[name] = info.Mode().String()
		} else if !errors.Is(err, fs.ErrNotExist) {
			r.t.Fatal(err)
		}
	}
	return all
}

const wants, stateFile = "/etc/systemd/system/multi-user.target.wants/verge.service", "/var/lib/verge/state.db"

func TestThePackageIsInstalledUpgradedRemovedAndPurged(t *testing.T) {
	folder := dist(t)
	r := newRoot(t)
	file := filepath.Join(folder, deb(runtime.GOARCH))
	r.dpkg("-i", file)
	want := packaged()
	want[wants] = "Lrwxrwxrwx"
	if diff := cmp.Diff(want, r.files(wants, stateFile)); diff != "" {
		t.Errorf("installed (-want +got):\n%s", diff)
	}
	if target, err := os.Readlink(r.path(wants)); err != nil || filepath.Base(filepath.Dir(target)) != "system" || filepath.Base(target) != "verge.service" {
		t.Errorf("%s leads to %q (%v)", wants, target, err)
	}
	if got := r.has("/etc/passwd", "verge:"); !strings.Contains(got, ":/var/lib/verge:") || !strings.HasSuffix(got, "nologin") {
		t.Errorf("the user is %q", got)
	}
	for _, group := range []string{"video", "render", "plugdev"} {
		if got := r.has("/etc/group", group+":"); !strings.HasSuffix(got, ":verge") {
			t.Errorf("the group is %q, want the user verge in it", got)
		}
	}
	for name, want := range map[string]string{
		"/usr/lib/systemd/system/verge.service": packaging.Unit("/usr/bin/verge"), "/etc/verge/verge.yaml": packaging.Settings(),
		"/usr/lib/sysusers.d/verge.conf": packaging.SystemUsers(),
	} {
		if got := string(read(t, r.path(name))); got != want {
			t.Errorf("%s is not the one of this tree", name)
		}
	}

	r.write("/etc/verge/verge.yaml", "log_level: debug\n")
	r.write(stateFile, "state")
	r.write("/etc/systemd/system/verge.service", packaging.Unit("/usr/local/bin/verge"))
	if said := r.dpkg("-i", file); !strings.Contains(said, "verge: /etc/systemd/system/verge.service comes before the package's unit") {
		t.Errorf("over a service that the command installed, it says:\n%s", said)
	}
	if got := string(read(t, r.path("/etc/verge/verge.yaml"))); got != "log_level: debug\n" {
		t.Errorf("after an upgrade the settings are %q", got)
	}

	r.dpkg("-r", "verge")
	left := map[string]string{"/etc/verge/verge.yaml": "-rw-r--r--", stateFile: "-rw-r--r--", wants: "Lrwxrwxrwx"}
	if diff := cmp.Diff(left, r.files(wants, stateFile)); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	r.dpkg("-P", "verge")
	if left := r.files(wants, "/etc/verge", "/var/lib/verge"); len(left) > 0 {
		t.Errorf("after a purge %v is left", left)
	}
}

func TestTheUnitIsOneThatSystemdTakes(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if required("systemd") {
			t.Fatal("VERGE_REQUIRE asks for systemd, which is not here")
		}
		t.Skip("needs systemd-analyze (Debian package systemd)")
	}
	path := filepath.Join(t.TempDir(), "verge.service")
	if err := os.WriteFile(path, []byte(packaging.Unit("/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", path).CombinedOutput(); err != nil || len(text) > 0 {
		t.Errorf("%v: %s", err, text)
	}
}

// The users of the next test, and their groups.
const serviceID, memberID, strangerID = 64000, 64001, 64002

// as runs the installed program as a user, under a mask and with an environment.
func (r *root) as(uid uint32, groups []uint32, environ []string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), nodetest.Patience)
	r.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `umask 077; exec "$0" "$@"`, r.path("/usr/bin/verge")}, args...)...)
	cmd.Dir, cmd.Env = "/", append([]string{"PATH=" + os.Getenv("PATH")}, environ...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: groups}}
	return cmd
}

// serve starts the packaged program as the unit does: its command line, its environment and
// its mask, with the folders that systemd makes. It returns when the node is ready.
func (r *root) serve() *exec.Cmd {
	r.t.Helper()
	for name, mode := range map[string]fs.FileMode{"/var/lib/verge": 0o700, "/run/verge": 0o755} {
		if err := errors.Join(os.MkdirAll(r.path(name), mode), os.Chown(r.path(name), serviceID, serviceID)); err != nil {
			r.t.Fatal(err)
		}
	}
	const unit = "/usr/lib/systemd/system/verge.service"
	line := strings.Split(r.has(unit, "ExecStart="), " ")
	environ := strings.Fields(strings.TrimPrefix(r.has(unit, "Environment="), "Environment="))
	for i := range environ {
		environ[i] = strings.Replace(environ[i], "=", "="+r.dir, 1)
	}
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "@verge-packaging-" + strconv.Itoa(os.Getpid()), Net: "unixgram"})
	if err != nil {
		r.t.Fatal(err)
	}
	defer manager.Close()
	environ = append(environ, "NOTIFY_SOCKET="+manager.LocalAddr().String(), "VERGE_RUNTIME_DIR="+os.Getenv("VERGE_RUNTIME_DIR"), "VERGE_HTTP_ADDRESS=")
	node := r.as(serviceID, nil, environ, append(line[1:len(line)-1], r.path(line[len(line)-1]))...)
	node.Stderr = r.t.Output()
	if err = node.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = node.Process.Kill() }) // it has ended, where the test went well
	message := make([]byte, 1<<10)
	err = manager.SetReadDeadline(time.Now().Add(nodetest.Patience))
	n, readErr := manager.Read(message)
	if err = errors.Join(err, readErr); err != nil || !strings.HasPrefix(string(message[:n]), "READY=1\n") {
		r.t.Fatalf("the node does not say that it is ready, but %q (%v)", message[:n], err)
	}
	return node
}

func TestTheSocketIsTheGroupsAndTheStateTheServicesOwn(t *testing.T) {
	nodetest.Require(t)
	folder := dist(t)
	r := newRoot(t)
	r.dpkg("-i", filepath.Join(folder, deb(runtime.GOARCH)))
	node := r.serve()

	socket := r.path("/run/verge/verge.sock")
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if info.Mode() != fs.ModeSocket|0o660 || owner.Uid != serviceID || owner.Gid != serviceID {
		t.Errorf("the socket is %v of %d:%d", info.Mode(), owner.Uid, owner.Gid)
	}
	example, err := filepath.Abs("../../examples/digits/deployment.json")
	if err != nil {
		t.Fatal(err)
	}
	member := r.as(memberID, []uint32{serviceID}, []string{"HOME=/"}, "deploy", example, "--unix-socket", socket)
	if text, failed := member.CombinedOutput(); failed != nil {
		t.Errorf("a member of the group deploys: %v\n%s", failed, text)
	}
	stranger := r.as(strangerID, nil, []string{"HOME=/"}, "status", "--unix-socket", socket)
	if text, failed := stranger.CombinedOutput(); failed == nil || !strings.Contains(string(text), "Hint: Join the group that owns the socket") {
		t.Errorf("a stranger asks: %v\n%s", failed, text)
	}
	if info, err = os.Stat(r.path(stateFile)); err != nil || info.Mode() != 0o600 {
		t.Errorf("the state file: %v (%v)", info, err)
	}
	if err = errors.Join(node.Process.Signal(syscall.SIGTERM), node.Wait()); err != nil {
		t.Errorf("the end of the node: %v", err)
	}
}
