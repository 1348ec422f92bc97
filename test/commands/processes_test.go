package commands_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"verge/client"
	"verge/test/nodetest"
)

// processes returns the processes of this place's program, in order.
func (p *place) processes() []int {
	var all []int
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == p.program {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			all = append(all, pid)
		}
	}
	slices.Sort(all)
	return all
}

// only waits until nothing of the program runs but these processes.
func (p *place) only(pids ...int) {
	p.t.Helper()
	slices.Sort(pids)
	nodetest.Wait(p.t, "other processes of the program end", func() bool { return slices.Equal(p.processes(), pids) })
}

// node is a `verge serve`.
type node struct {
	*client.Client // at its Unix socket

	p      *place
	cmd    *exec.Cmd
	log    *record
	ended  chan struct{} // closed when it has
	status int           // right once it has
}

// start starts a node without waiting for anything.
func (p *place) start(cmd *exec.Cmd) *node {
	p.t.Helper()
	n := &node{p: p, cmd: cmd, log: &record{}, ended: make(chan struct{})}
	cmd.Stderr = n.log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(n.ended)
		_ = cmd.Wait() // the status says how it ended
		n.status = cmd.ProcessState.ExitCode()
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, where the test went well
		<-n.ended
	})
	return n
}

// serve starts a node, and waits until it answers.
func (p *place) serve(args ...string) *node {
	p.t.Helper()
	return p.answering(p.start(p.command(append([]string{"serve"}, args...)...)))
}

func (p *place) answering(n *node) *node {
	p.t.Helper()
	var err error
	if n.Client, err = client.New("unix:" + p.path("s")); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(n.Close)
	nodetest.Wait(p.t, "the node answers", func() bool {
		select {
		case <-n.ended:
			p.t.Fatalf("the node ended with status %d:\n%s", n.status, n.log)
		default:
		}
		return n.Live(p.t.Context()) == nil
	})
	return n
}

// signal sends a signal to the node's process alone.
func (n *node) signal(s syscall.Signal) {
	n.p.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.p.t.Fatalf("signal the node: %v", err)
	}
}

// wait waits for the end of the node.
func (n *node) wait() int {
	n.p.t.Helper()
	select {
	case <-n.ended:
	case <-time.After(nodetest.Patience):
		n.p.t.Fatalf("the node has not ended:\n%s", n.log)
	}
	return n.status
}

// stop ends the node in good order, and looks whether everything is gone.
func (n *node) stop() {
	n.p.t.Helper()
	n.signal(syscall.SIGTERM)
	if status := n.wait(); status != 0 {
		n.p.t.Errorf("the node ended with status %d, want 0:\n%s", status, n.log)
	}
	n.p.tidy()
}

// tidy looks whether a node that ended by itself has left anything but its state.
func (p *place) tidy() {
	p.t.Helper()
	p.only()
	if _, err := os.Lstat(p.path("s")); !errors.Is(err, fs.ErrNotExist) {
		p.t.Errorf("the socket is left (%v)", err)
	}
	if left, _ := filepath.Glob(p.path("state/tmp/*.sock")); len(left) > 0 {
		p.t.Errorf("sockets of candidates are left: %v", left)
	}
}

// following is a command with --json that goes on.
type following struct {
	p    *place
	cmd  *exec.Cmd
	out  *bufio.Reader
	errs *bytes.Buffer
	last client.Event
}

// follow starts a command that prints events.
func (p *place) follow(args ...string) *following {
	p.t.Helper()
	f := &following{p: p, cmd: p.command(append(args, "--json")...), errs: &bytes.Buffer{}}
	f.cmd.Stderr = f.errs
	out, err := f.cmd.StdoutPipe()
	if err == nil {
		err = f.cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	f.out = bufio.NewReader(out)
	return f
}

// next reads an event; it is false at the end.
func (f *following) next() bool {
	f.p.t.Helper()
	line, err := f.out.ReadBytes('\n')
	if err != nil {
		if !errors.Is(err, io.EOF) || len(line) > 0 {
			f.p.t.Errorf("the last line %q is not whole (%v)", line, err)
		}
		return false
	}
	event := client.Event{}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&event); err != nil {
		f.p.t.Fatalf("%q is no event: %v", line, err)
	}
	if event.Seq != f.last.Seq+1 {
		f.p.t.Errorf("event %d came after event %d", event.Seq, f.last.Seq)
	}
	f.last = event
	return true
}

// reach waits until a phase has begun.
func (f *following) reach(phase client.Phase) {
	f.p.t.Helper()
	for f.last.Type != client.EventPhase || f.last.Phase != phase {
		if !f.next() {
			_ = f.cmd.Wait() // its standard error is told
			last, _ := json.Marshal(f.last)
			f.p.t.Fatalf("it ended before %s, with %s: %s", phase, last, f.errs)
		}
	}
}

// signal sends it a signal.
func (f *following) signal(s syscall.Signal) {
	f.p.t.Helper()
	if err := f.cmd.Process.Signal(s); err != nil {
		f.p.t.Fatal(err)
	}
}

// end reads to the end, and returns what it came to without the events.
func (f *following) end() outcome {
	f.p.t.Helper()
	for more := true; more; {
		more = f.next()
	}
	return f.p.ended(f.cmd, f.cmd.Wait(), "", f.errs.String())
}

// needRoot skips what only root can arrange.
func needRoot(tb testing.TB, what string) {
	tb.Helper()
	if os.Getuid() != 0 {
		tb.Skip("needs root: " + what)
	}
}

// nobody is a user without any right.
func nobody() *syscall.Credential {
	const id = 65534
	return &syscall.Credential{Uid: id, Gid: id}
}

// needTool skips where a program is missing, unless VERGE_REQUIRE names it.
func needTool(tb testing.TB, name, debian string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if strings.Contains(","+os.Getenv("VERGE_REQUIRE")+",", ","+name+",") {
		tb.Fatalf("VERGE_REQUIRE asks for %s, which is not here", name)
	}
	tb.Skipf("needs %s (Debian package %s)", name, debian)
	return ""
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// sockets counts the sockets of a process.
func sockets(pid int) int {
	count := 0
	links, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, "socket:") {
			count++
		}
	}
	return count
}
