package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"verge/internal/fault"
	"verge/internal/sandbox"
)

// takeVariable makes the test binary take memory until it has that many MiB.
const takeVariable = "VERGE_TEST_TAKE"

func TestMain(m *testing.M) {
	if os.Getenv(takeVariable) != "" {
		fmt.Fprintln(os.Stdout, "begun")
		os.Stdin.Read(make([]byte, 1)) // until it is in its group
		var all [][]byte
		for range 64 {
			all = append(all, bytes.Repeat([]byte{1}, 4<<20))
		}
		fmt.Fprintln(os.Stdout, len(all))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fake is a tree of control groups in a directory.
type fake struct {
	t    *testing.T
	proc string
	root string
	kind string
}

func newFake(t *testing.T, kind, group string) *fake {
	t.Helper()
	f := &fake{t: t, proc: t.TempDir(), root: t.TempDir(), kind: kind}
	line, mount := "0::"+group, "31 23 0:28 / "+f.root+" rw,relatime - cgroup2 cgroup2 rw"
	if kind == sandbox.CGroup1 {
		line, mount = "4:cpu,memory:"+group, "35 31 0:32 / "+f.root+" rw,relatime shared:9 - cgroup cgroup rw,memory"
	}
	f.put(f.proc, "cgroup", "9:name=systemd:/\n"+line+"\n")
	f.put(f.proc, "mountinfo", "30 1 0:1 / /proc rw - proc proc rw\nnot a line\n"+mount+"\n")
	f.mkdir(filepath.Join(f.root, group))
	return f
}

func (f *fake) put(dir, name, text string) {
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fake) get(dir, name string) string {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// mkdir makes a group with the files that the kernel puts into one.
func (f *fake) mkdir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	names := []string{"cgroup.procs", "memory.max", "memory.swap.max", "memory.oom.group", "memory.events", "memory.peak", "cgroup.subtree_control"}
	if f.kind == sandbox.CGroup1 {
		names = []string{"cgroup.procs", "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"}
	} else {
		f.put(path, "cgroup.controllers", "cpu memory pids\n")
	}
	for _, name := range names {
		f.put(path, name, "")
	}
	return nil
}

func (f *fake) find(root string) sandbox.Parent {
	return sandbox.FindFake(f.proc, root, f.mkdir, os.RemoveAll)
}

func TestAGroupOfVersion2LimitsMemoryAndDiesAsAWhole(t *testing.T) {
	f := newFake(t, sandbox.CGroup2, "/verge.service")
	parent := f.find("")
	if parent.Enforced() != sandbox.CGroup2 {
		t.Fatalf("Enforced = %q, want cgroup2", parent.Enforced())
	}
	own := filepath.Join(f.root, "verge.service")
	if got := f.get(own, "cgroup.subtree_control"); got != "+memory" {
		t.Errorf("subtree_control = %q, want +memory", got)
	}
	g, err := parent.New("digits-3", 512<<20)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(own, "digits-3")
	for name, want := range map[string]string{"memory.max": "536870912", "memory.swap.max": "0", "memory.oom.group": "1"} {
		if got := f.get(path, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if err := g.Add(42); err != nil || f.get(path, "cgroup.procs") != "42" {
		t.Errorf("Add = %v, processes %q, want 42", err, f.get(path, "cgroup.procs"))
	}
	f.put(path, "memory.peak", "4096\n")
	f.put(path, "memory.events", "low 0\noom 1\noom_kill 0\noom_group_kill 0\n")
	if g.Peak() != 4096 || g.Killed() {
		t.Errorf("Peak = %d, Killed = %t, want 4096, false", g.Peak(), g.Killed())
	}
	f.put(path, "memory.events", "oom_kill 2\n")
	if !g.Killed() {
		t.Error("Killed = false after a kill")
	}
	for range 2 {
		if err := g.Close(); err != nil {
			t.Errorf("Close = %v, want no error", err)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the group is there after Close")
	}
}

func TestTheGroupAboveIsUsedWhereTheOwnOneCannotPassMemoryOn(t *testing.T) {
	f := newFake(t, sandbox.CGroup2, "/verge.service/node")
	f.mkdir(filepath.Join(f.root, "verge.service"))
	f.put(filepath.Join(f.root, "verge.service"), "cgroup.subtree_control", "memory\n")
	own := filepath.Join(f.root, "verge.service/node", "cgroup.subtree_control")
	if err := os.Remove(own); err != nil { // writing it fails, as with EBUSY
		t.Fatal(err)
	}
	g, err := f.find("").New("x", 1<<20)
	if err != nil || g.Enforced() != sandbox.CGroup2 {
		t.Fatalf("New = %v, %v, want a group", g, err)
	}
	if _, err := os.Stat(filepath.Join(f.root, "verge.service/x")); err != nil {
		t.Errorf("the group is not in the one above: %v", err)
	}
}

func TestAServiceMakesRoomForGroupsByMovingIntoOneOfItsOwn(t *testing.T) {
	f := newFake(t, sandbox.CGroup2, "/verge.service")
	own := filepath.Join(f.root, "verge.service")
	control := filepath.Join(own, "cgroup.subtree_control")
	if err := os.Remove(control); err != nil { // writing it fails, as with EBUSY
		t.Fatal(err)
	}
	if !sandbox.DescendFake(f.proc, f.mkdir, os.RemoveAll) {
		t.Fatal("Descend = false, want that it moves")
	}
	if got, want := f.get(filepath.Join(own, "node"), "cgroup.procs"), fmt.Sprint(os.Getpid()); got != want {
		t.Errorf("the group has process %q, want %q", got, want)
	}
	f.put(own, "cgroup.subtree_control", "") // the kernel now takes it
	if sandbox.DescendFake(f.proc, f.mkdir, os.RemoveAll) {
		t.Error("Descend = true where groups can be made as it is")
	}
}

func TestAGroupThatOthersOwnIsNotLeft(t *testing.T) {
	f := newFake(t, sandbox.CGroup2, "/session")
	own := filepath.Join(f.root, "session")
	if err := os.Remove(filepath.Join(own, "cgroup.subtree_control")); err != nil {
		t.Fatal(err)
	}
	denied := func(string) error { return os.ErrPermission }
	if sandbox.DescendFake(f.proc, denied, os.RemoveAll) {
		t.Error("Descend = true without a group to move into")
	}
	empty := func(path string) error { return os.MkdirAll(path, 0o700) } // one whose processes are not ours to set
	if sandbox.DescendFake(f.proc, empty, os.RemoveAll) {
		t.Error("Descend = true where the process could not be moved")
	}
	if _, err := os.Stat(filepath.Join(own, "node")); err == nil {
		t.Error("a group without processes is left")
	}
	if sandbox.Descend(t.TempDir()) {
		t.Error("Descend = true without control groups")
	}
}

func TestAGroupOfVersion1LimitsMemory(t *testing.T) {
	f := newFake(t, sandbox.CGroup1, "/a/b")
	g, err := f.find("").New("x", 1<<30)
	if err != nil || g.Enforced() != sandbox.CGroup1 {
		t.Fatalf("New = %v, %v, want a group of version 1", g, err)
	}
	path := filepath.Join(f.root, "a/b/x")
	if err := g.Add(42); err != nil {
		t.Error(err)
	}
	if limit, pid := f.get(path, "memory.limit_in_bytes"), f.get(path, "cgroup.procs"); limit != "1073741824" || pid != "42" {
		t.Errorf("limit %q, process %q, want 1073741824 and 42", limit, pid)
	}
	f.put(path, "memory.max_usage_in_bytes", "7\n")
	f.put(path, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
	if g.Peak() != 7 || !g.Killed() {
		t.Errorf("Peak = %d, Killed = %t, want 7, true", g.Peak(), g.Killed())
	}
}

func TestWhereNoGroupCanBeMadeNothingIsEnforced(t *testing.T) {
	empty := t.TempDir()
	for name, parent := range map[string]sandbox.Parent{
		"zero": {}, "no proc": sandbox.Find("/not/there", ""), "no group": sandbox.Find(empty, empty),
	} {
		g, err := parent.New("x", 1<<20)
		if err != nil || g.Enforced() != sandbox.No || parent.Enforced() != sandbox.No {
			t.Errorf("%s: New = %v, %v, want a group that enforces nothing", name, g.Enforced(), err)
		}
		if g.Add(1) != nil || g.Close() != nil || g.Peak() != 0 || g.Killed() {
			t.Errorf("%s: the group does something", name)
		}
	}
}

func TestGroupsOfDeadProcessesAreSwept(t *testing.T) {
	f := newFake(t, sandbox.CGroup1, "/a")
	dead := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	parent := f.find("")
	kept := []string{
		fmt.Sprintf("verge-%d-1", os.Getpid()), "verge-x-1", "verge-1", fmt.Sprintf("verge-%d-x", dead.Process.Pid), fmt.Sprintf("other-%d-1", dead.Process.Pid),
		fmt.Sprintf("verge--%d-1", dead.Process.Pid),
	}
	swept := []string{fmt.Sprintf("verge-%d-1", dead.Process.Pid), fmt.Sprintf("verge-%d-27", dead.Process.Pid)}
	for _, name := range append(kept, swept...) {
		f.mkdir(filepath.Join(f.root, "a", name))
	}
	parent.Sweep("verge")
	sandbox.Parent{}.Sweep("verge")
	for _, name := range kept {
		if _, err := os.Stat(filepath.Join(f.root, "a", name)); err != nil {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
	for _, name := range swept {
		if _, err := os.Stat(filepath.Join(f.root, "a", name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestAGroupsNameIsOneElement(t *testing.T) {
	f := newFake(t, sandbox.CGroup1, "/")
	for _, name := range []string{"", ".", "..", "a/b", "/a"} {
		_, err := f.find("").New(name, 1)
		if want := fmt.Sprintf("group name %q, want one path element", name); fault.KindOf(err) != fault.Invalid || fault.Message(err) != want {
			t.Errorf("New(%q) = %v, want %q", name, err, want)
		}
	}
}

func TestMemoryIsWhatIsNoFile(t *testing.T) {
	const text = "Name:\tx\nVmHWM:\t  999 kB\nRssAnon:\t     100 kB\nRssFile:\t  50 kB\nRssShmem:\t       3 kB\nbroken\nRssAnon\n"
	if got, want := sandbox.ParseStatus(text), int64(103<<10); got != want {
		t.Errorf("ParseStatus = %d, want %d", got, want)
	}
	touched := bytes.Repeat([]byte{1}, 8<<20)
	if got, err := sandbox.Memory(os.Getpid()); err != nil || got < int64(len(touched)) {
		t.Errorf("Memory of this process = %d, %v, want at least the %d bytes that it has touched", got, err, len(touched))
	}
	runtime.KeepAlive(touched)
	_, err := sandbox.Memory(1 << 30)
	if fault.KindOf(err) != fault.NotFound {
		t.Errorf("Memory of no process = %v, want not_found", err)
	}
}

func TestAGroupThatAKilledProcessLeftIsReplaced(t *testing.T) {
	parent := sandbox.Find("/proc/self", "")
	if parent.Enforced() == sandbox.No {
		t.Skip("needs a control group with the memory controller that it may write to")
	}
	name := fmt.Sprintf("verge-left-%d", os.Getpid())
	if _, err := parent.New(name, 32<<20); err != nil { // and never closed
		t.Fatal(err)
	}
	g, err := parent.New(name, 48<<20)
	if err != nil {
		t.Fatalf("New beside the one that was left = %v", err)
	}
	sleep := exec.CommandContext(t.Context(), "sleep", "60")
	if err = sleep.Start(); err == nil {
		err = g.Add(sleep.Process.Pid)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = parent.New(name, 48<<20)
	if fault.KindOf(err) != fault.Exhausted || !strings.HasSuffix(fault.Message(err), ": file exists") {
		t.Errorf("New beside one with a process = %v, want that it exists", err)
	}
	_ = errors.Join(sleep.Process.Kill(), sleep.Wait()) // it was killed
	if err := g.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func TestTheKernelKillsAProcessAtItsLimit(t *testing.T) {
	parent := sandbox.Find("/proc/self", "")
	if parent.Enforced() == sandbox.No {
		t.Skip("needs a control group with the memory controller that it may write to")
	}
	g, err := parent.New(fmt.Sprintf("verge-test-%d", os.Getpid()), 48<<20)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = []string{takeVariable + "=1"}
	in, _ := cmd.StdinPipe()
	var out strings.Builder
	cmd.Stdout = &out
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err = g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	in.Close()
	err = cmd.Wait()
	if err == nil || err.Error() != "signal: killed" || !g.Killed() || g.Peak() < 40<<20 {
		t.Errorf("Wait = %v, output %q, Killed = %t, Peak = %d, want it killed near 48 MiB", err, out.String(), g.Killed(), g.Peak())
	}
	if err := g.Close(); err != nil {
		t.Errorf("Close = %v, want no error", err)
	}
}
