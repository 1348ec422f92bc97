package commands_test

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/test/nodetest"
)

const another = "Hint: Stop that node, or name another directory with --state-dir."

func TestWithoutANodeEveryCommandSaysHowToStartOne(t *testing.T) {
	p := newPlace(t)
	p.example("deployment.json", "digits.onnx", "samples/07.png")
	want := refused("verge: no node answers at unix:DIR/s (no such file or directory): is `verge serve` running?", "Hint: Start one: verge serve")
	want.Status = 4
	for _, args := range [][]string{
		{"status"},
		{"status", "digits"},
		{"deploy", "deployment.json"},
		{"predict", "digits", "07.png"},
		{"undeploy", "digits"},
	} {
		p.expect(want, args...)
	}
}

func TestASecondNodeIsToldWhichProcessHasTheState(t *testing.T) {
	p := newPlace(t)
	n := p.serve()
	p.expect(refused("verge: DIR/state: the state directory is in use by another node (pid PID, started TIME)", another), "serve", "--unix-socket", p.path("s2"))
	cmd := p.command("serve", "--unix-socket", p.path("s2"))
	text, _ := cmd.CombinedOutput() // its status was looked at above
	if want := fmt.Sprintf("(pid %d, started ", n.cmd.Process.Pid); !strings.Contains(string(text), want) {
		t.Errorf("%q does not name the process: want %q", text, want)
	}
	if _, err := os.Lstat(p.path("s2")); !os.IsNotExist(err) {
		t.Errorf("the socket of the second node is there (%v)", err)
	}
	n.stop()
}

func TestADoorThatIsTakenIsRefused(t *testing.T) {
	p := newPlace(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p.expect(refused(
		"verge: the address 127.0.0.1:PORT is in use by another process",
		"Hint: Stop what listens there, or choose another one: --http-address HOST:PORT.",
	), "serve", "--http-address", l.Addr().String())
	p.tidy()

	n := p.serve()
	p.expect(refused(
		"verge: another process answers at the Unix socket DIR/s",
		"Hint: Stop that node, or choose another path: --unix-socket PATH.",
	), "serve", "--state-dir", p.path("other"))
	if err := n.Live(t.Context()); err != nil {
		t.Errorf("the node that has the socket: %v", err)
	}
	n.stop()
}

func TestASocketPathMustFitAndBeASocket(t *testing.T) {
	p := newPlace(t)
	long := "/" + strings.Repeat("x", 107)
	p.expect(refused(
		"verge: 1 problem",
		`  unix_socket: is "`+long+`", which has 108 bytes; a socket's path has at most 107 (from --unix-socket)`,
		"Hint: Set unix_socket to a shorter path.",
	), "serve", "--unix-socket", long)
	p.write("s", []byte("keep"))
	p.expect(refused("verge: DIR/s is there, and is no socket", "Hint: Remove it, or choose another path: --unix-socket PATH."), "serve")
	if text, err := os.ReadFile(p.path("s")); string(text) != "keep" {
		t.Errorf("the file now holds %q (%v)", text, err)
	}
	p.only()
}

func TestAModelThatIsNotServedIsToldWithWhereToLook(t *testing.T) {
	p := newPlace(t)
	p.write("x.npy", []byte("never read"))
	n := p.serve()
	const deployed, served = "Hint: verge status lists the models that are.", "Hint: verge status lists the models that are served."
	p.expect(refused(`verge: model "ghost" is not deployed`, deployed), "status", "ghost")
	p.expect(refused(`verge: model "ghost" is not deployed`, deployed), "undeploy", "ghost")
	p.expect(refused(`verge: unknown model "ghost"`, served), "predict", "ghost", "@x.npy")
	p.expect(refused(`verge: unknown model "ghost"`, served), "predict", "ghost@3", "@x.npy")
	n.stop()
}

func TestASocketThatAKilledNodeLeftIsReplaced(t *testing.T) {
	p := newPlace(t)
	n := p.serve()
	n.signal(syscall.SIGKILL)
	n.wait()
	if info, err := os.Lstat(p.path("s")); err != nil || info.Mode().Type() != os.ModeSocket {
		t.Fatalf("a killed node leaves its socket: %v (%v)", info, err)
	}
	gone := refused("verge: no node answers at unix:DIR/s (connection refused): is `verge serve` running?", "Hint: Start one: verge serve")
	gone.Status = 4
	p.expect(gone, "status")
	p.serve().stop()
}

func TestAStateDirectoryOfAnotherUserIsRefused(t *testing.T) {
	needRoot(t, "it runs the program as another user")
	p := newPlace(t)
	const owner = "Hint: Run as the user who owns the directory, or name another one with --state-dir."
	p.user = nobody()
	p.expect(refused("verge: make the state directory: mkdir DIR/state: permission denied", owner), "serve")
	if err := os.Mkdir(p.path("state"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.expect(refused("verge: lock the state directory: open DIR/state/lock: permission denied", owner), "serve")
	if left, err := os.ReadDir(p.path("state")); len(left) > 0 || err != nil {
		t.Errorf("the directory holds %v (%v), want nothing", left, err)
	}
	p.tidy()
}

func TestAReadOnlyStateDirectoryIsRefused(t *testing.T) {
	needRoot(t, "it mounts a file system")
	unshare := needTool(t, "unshare", "util-linux")
	p := newPlace(t)
	if err := os.Mkdir(p.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := p.tool(unshare, "-m", "sh", "-c", "mount -t tmpfs -o ro tmpfs state && exec ./verge serve")
	text, err := cmd.CombinedOutput()
	got := p.ended(cmd, err, "", string(text))
	want := refused(
		"verge: lock the state directory: open DIR/state/lock: read-only file system",
		"Hint: Run as the user who owns the directory, or name another one with --state-dir.",
	)
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	p.tidy()
}

func TestANodeOfAnotherUserIsNotReached(t *testing.T) {
	needRoot(t, "it runs the program as another user")
	p := newPlace(t)
	n := p.serve()
	p.user = nobody()
	want := refused("verge: no permission to use the node at unix:DIR/s", "Hint: Join the group that owns the socket, or ask as the user who runs the node.")
	want.Status = 4
	p.expect(want, "status")
	n.stop()
}

func TestAFullDiskIsToldAndNothingIsHalfStored(t *testing.T) {
	needRoot(t, "it mounts a file system")
	unshare := needTool(t, "unshare", "util-linux")
	nodetest.Require(t)
	p := newPlace(t)
	p.example("digits.onnx", "digits-slow.onnx", "deployment-slow.json", "labels.txt")
	p.write("small.json", []byte(`{"name":"digits","model":{"path":"digits.onnx"},"deployment":{"cpu_threads":1}}`))
	if err := os.Mkdir(p.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	// The process that serves is the child of none but exec: signals reach it.
	n := p.answering(p.start(p.tool(unshare, "-m", "sh", "-c", "mount -t tmpfs -o size=320k tmpfs state && exec ./verge serve")))
	inside := fmt.Sprintf("/proc/%d/root%s/", n.cmd.Process.Pid, p.path("state"))
	digest := digestOf(p.read("digits-slow.onnx"))
	p.expect(refused(
		"verge: artifact "+digest+": it needs 0.4 MB, the file system has 0.3 MB left",
		"Hint: Free space on the file system of the state directory, or undeploy models.",
	), "deploy", "deployment-slow.json")
	for _, pattern := range []string{"tmp/artifacts/*", "artifacts/sha256/*/*"} {
		if left, _ := filepath.Glob(inside + pattern); len(left) > 0 {
			t.Errorf("%v is left", left)
		}
	}
	if models, err := n.Models(t.Context()); err != nil || len(models) > 0 {
		t.Errorf("models %+v (%v), want none", models, err)
	}
	if got := p.run("deploy", "small.json"); got.Status != 0 {
		t.Errorf("a model for which there is room: %+v", got)
	}
	m, err := n.Model(t.Context(), "digits")
	if err != nil || m.State != "ready" {
		t.Errorf("%+v (%v), want ready", m, err)
	}
	n.stop()
}

func TestADiskThatIsFullAtTheStartIsToldAndLeavesNoHalfState(t *testing.T) {
	needRoot(t, "it mounts a file system")
	unshare := needTool(t, "unshare", "util-linux")
	for _, size := range []string{"8k", "12k", "16k", "20k"} { // the state file is cut off in other places
		t.Run(size, func(t *testing.T) {
			p := newPlace(t)
			if err := os.Mkdir(p.path("state"), 0o700); err != nil {
				t.Fatal(err)
			}
			n := p.answering(p.start(p.tool(unshare, "-m", "sh", "-c",
				"mount -t tmpfs -o size="+size+" tmpfs state && ! ./verge serve && mount -o remount,size=1m state && exec ./verge serve")))
			nodetest.Wait(t, "the node listens", func() bool { return strings.Contains(n.log.String(), "msg=listening") })
			got, _, _ := strings.Cut(p.plain(n.log.String()), "time=")
			want := "verge: write the state file: write: no space left on device\nHint: Free some space on the disk of the state directory.\n"
			if got != want {
				t.Errorf("with a full disk it says %q, want %q", got, want)
			}
			n.stop()
		})
	}
}

func TestNothingIsWrittenWhileNothingChanges(t *testing.T) {
	p := digits(t)
	n := p.serve("--set", "health.interval=200ms", "--set", "health.retry=200ms")
	p.deploys("fast.json")
	n.checked("digits")
	look := func() map[string]string {
		files := map[string]string{}
		err := filepath.WalkDir(p.path("state"), func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := os.Lstat(path)
			if err == nil {
				files[path] = fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	before := look()
	var checks []time.Time
	nodetest.Wait(t, "ten health checks", func() bool {
		_, err := ask(t.Context(), n.Client, "digits", len(checks)) // requests write nothing either
		last := n.model("digits").HealthStatus.LastCheck
		if err == nil && last != nil && (len(checks) == 0 || last.After(checks[len(checks)-1])) {
			checks = append(checks, *last)
		}
		return len(checks) >= 10
	})
	if diff := cmp.Diff(before, look()); diff != "" {
		t.Errorf("files of the state directory changed (-before +after):\n%s", diff)
	}
	n.stop()
}

func TestAnUploadThatWasCutGoesOn(t *testing.T) {
	nodetest.Require(t)
	p := newPlace(t)
	p.example("digits.onnx")
	p.write("small.json", []byte(`{"name":"digits","model":{"path":"digits.onnx"},"deployment":{"cpu_threads":1}}`))
	n := p.serve()
	data := p.read("digits.onnx")
	half := len(data) / 2
	digest := cutUpload(t, p, data, half)
	partial := p.path("state/tmp/artifacts/" + strings.TrimPrefix(digest, "sha256:"))
	nodetest.Wait(t, "the half that came is there", func() bool {
		info, err := os.Stat(partial)
		return err == nil && info.Size() == int64(half)
	})
	if got := p.run("deploy", "small.json"); got.Status != 0 {
		t.Errorf("%+v", got)
	}
	if _, err := os.Lstat(partial); !os.IsNotExist(err) {
		t.Errorf("the half upload is left (%v)", err)
	}
	if m, err := n.Model(t.Context(), "digits"); err != nil || m.Digest != digest {
		t.Errorf("%+v (%v), want the model of %s", m, err, digest)
	}
	n.stop()
	if left, _ := filepath.Glob(p.path("state/artifacts/sha256/*/*")); len(left) != 1 {
		t.Errorf("the store holds %v, want one file", left)
	}
}

// cutUpload sends the first bytes of an artifact, and goes.
func cutUpload(t *testing.T, p *place, data []byte, sent int) (digest string) {
	t.Helper()
	digest = digestOf(data)
	conn, err := net.Dial("unix", p.path("s"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "PUT /v1/artifacts/%s HTTP/1.1\r\nHost: node\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%s", digest, len(data), data[:sent])
	if err != nil {
		t.Fatal(err)
	}
	return digest
}
