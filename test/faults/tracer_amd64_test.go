package faults_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A tracer is a process of its own that starts a node, stops it at each system call that
// touches the state directory, and writes the call down. At one of them it may kill the node,
// or have the call fail. It is made of ptrace, as strace is; but it counts the calls of all
// threads together, so that each one has a number, and it writes down what was written.

// The system calls that change files, or make changes last. Those that a node makes and
// that are missing here would not be recorded: what moves bytes otherwise ends the tracer.
var callNames = map[uint64]string{
	unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite64", unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync",
	unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_OPENAT: "openat", unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat",
	unix.SYS_UNLINKAT: "unlinkat", unix.SYS_MKDIRAT: "mkdirat", unix.SYS_FCHMODAT: "fchmodat", unix.SYS_FCHMODAT2: "fchmodat", unix.SYS_FCHMOD: "fchmod",
}

var unknownCalls = map[uint64]string{
	unix.SYS_WRITEV: "writev", unix.SYS_PWRITEV: "pwritev", unix.SYS_PWRITEV2: "pwritev2", unix.SYS_FALLOCATE: "fallocate",
	unix.SYS_COPY_FILE_RANGE: "copy_file_range", unix.SYS_SENDFILE: "sendfile", unix.SYS_SPLICE: "splice", unix.SYS_SYNC_FILE_RANGE: "sync_file_range",
}

type tracer struct {
	plan   plan
	pid    int
	log    *os.File
	count  int
	next   bool          // the next call meets the fault
	inside map[int]*bout // thread → the call that it is in
}

// bout is a call between its begin and its end.
type bout struct {
	op     *op // nil where it is none of ours
	length uint64
	errno  int // in its place; 0 for none
}

// traceMain is the tracer's process: its arguments are a plan and a command line. Its status
// is the node's.
func traceMain(args []string) int {
	t := &tracer{inside: map[int]*bout{}}
	status, err := t.run(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tracer:", err)
		return noTracer
	}
	return status
}

func (t *tracer) run(args []string) (status int, err error) {
	if err = json.Unmarshal([]byte(args[0]), &t.plan); err != nil {
		return 0, err
	}
	if t.log, err = os.Create(t.plan.Log); err != nil {
		return 0, err
	}
	runtime.LockOSThread() // the kernel knows the tracer by its thread
	node, err := os.StartProcess(args[1], args[1:], &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{nil, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		return 0, err
	}
	t.pid = node.Pid
	stops := make(chan os.Signal, 1) // passed on; never closed
	signal.Notify(stops, syscall.SIGTERM)
	go func() {
		for range stops {
			_ = syscall.Kill(t.pid, syscall.SIGTERM)
		}
	}()
	var ws unix.WaitStatus
	if _, err := unix.Wait4(t.pid, &ws, 0, nil); err != nil {
		return 0, err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL // workers are none of ours
	if err := errors.Join(unix.PtraceSetOptions(t.pid, options), unix.PtraceSyscall(t.pid, 0)); err != nil {
		return 0, err
	}
	seen := map[int]bool{t.pid: true}
	for {
		tid, err := unix.Wait4(-1, &ws, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case tid == t.pid && ws.Exited():
			return ws.ExitStatus(), nil
		case tid == t.pid && ws.Signaled():
			return 128 + int(ws.Signal()), nil
		case !ws.Stopped():
			continue
		}
		deliver := 0
		switch stop := ws.StopSignal(); {
		case stop == unix.SIGTRAP|0x80:
			if err := t.stopped(tid); err != nil && !errors.Is(err, unix.ESRCH) {
				return 0, err
			}
		case stop == unix.SIGTRAP: // a thread begins
		case stop == unix.SIGSTOP && !seen[tid]:
		default:
			deliver = int(stop)
		}
		seen[tid] = true
		if err := unix.PtraceSyscall(tid, deliver); err != nil && !errors.Is(err, unix.ESRCH) {
			return 0, err
		}
	}
}

// stopped is called when a thread begins or ends a system call.
func (t *tracer) stopped(tid int) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	b := t.inside[tid]
	if b == nil {
		if begins := regs.Rax == math.MaxUint64-uint64(unix.ENOSYS)+1; !begins {
			return nil // a new thread comes out of clone
		}
		begun, err := t.begin(tid, &regs)
		t.inside[tid] = begun
		return err
	}
	delete(t.inside, tid)
	if b.op == nil {
		return nil
	}
	if b.errno != 0 {
		regs.Rax = math.MaxUint64 - uint64(b.errno) + 1
	}
	if b.length != 0 {
		regs.Rdx = b.length
	}
	if b.errno != 0 || b.length != 0 {
		if err := unix.PtraceSetRegs(tid, &regs); err != nil {
			return err
		}
	}
	b.op.Result = int64(regs.Rax)
	return t.write(b.op)
}

func (t *tracer) write(o *op) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = t.log.Write(append(text, '\n'))
	return err
}

// begin looks at a call, and lets it meet its fault.
func (t *tracer) begin(tid int, regs *unix.PtraceRegs) (*bout, error) {
	if name := unknownCalls[regs.Orig_rax]; name != "" {
		if path := t.descriptor(regs.Rdi); t.within(path) {
			return nil, fmt.Errorf("%s of %s is not recorded", name, path)
		}
	}
	o := t.look(regs)
	if o == nil {
		return &bout{}, nil
	}
	b := &bout{op: o}
	if len(t.plan.Calls) > 0 && !strings.Contains(","+strings.Join(t.plan.Calls, ",")+",", ","+o.Call+",") {
		return b, nil
	}
	t.count++
	o.Number = t.count
	if t.plan.At == 0 || t.count < t.plan.At || t.count > t.plan.At && !t.plan.On && !t.next {
		return b, nil
	}
	o.Fault = true
	switch {
	case t.plan.Kill:
		if err := t.write(o); err != nil {
			return nil, err
		}
		return b, syscall.Kill(t.pid, syscall.SIGKILL)
	case t.plan.Short && !t.next:
		t.next, b.length = true, regs.Rdx
		regs.Rdx = (regs.Rdx + 1) / 2
		o.Data = o.Data[:regs.Rdx]
		return b, unix.PtraceSetRegs(tid, regs)
	}
	t.next, b.errno = false, t.plan.Errno
	regs.Orig_rax = math.MaxUint64 // no such call
	return b, unix.PtraceSetRegs(tid, regs)
}

func (t *tracer) within(path string) bool {
	return path == t.plan.Dir || strings.HasPrefix(path, t.plan.Dir+"/")
}

func (t *tracer) descriptor(fd uint64) string {
	path, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", t.pid, int32(fd)))
	return path
}

// named is the path that a call names by a directory and a text.
func (t *tracer) named(dir, text uint64) string {
	name := t.text(text)
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	if int32(dir) == unix.AT_FDCWD {
		cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", t.pid))
		return filepath.Join(cwd, name)
	}
	return filepath.Join(t.descriptor(dir), name)
}

func (t *tracer) memory(at uint64, n int) []byte {
	data := make([]byte, n)
	if n == 0 {
		return data
	}
	local := []unix.Iovec{{Base: &data[0]}}
	local[0].SetLen(n)
	n, _ = unix.ProcessVMReadv(t.pid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: n}}, 0)
	return data[:max(n, 0)]
}

func (t *tracer) text(at uint64) string {
	const page = 4096
	var all []byte
	for len(all) < page {
		part := t.memory(at, int(page-at%page))
		if end := bytes.IndexByte(part, 0); end >= 0 || len(part) == 0 {
			return string(append(all, part[:max(end, 0)]...))
		}
		all, at = append(all, part...), at+uint64(len(part))
	}
	return string(all)
}

// look returns the call where it touches the directory, or nil.
func (t *tracer) look(regs *unix.PtraceRegs) *op {
	o := &op{Call: callNames[regs.Orig_rax]}
	switch o.Call {
	case "":
		return nil
	case "openat":
		o.Flags = regs.Rdx
		o.Path = t.named(regs.Rdi, regs.Rsi)
	case "renameat":
		o.Path, o.To = t.named(regs.Rdi, regs.Rsi), t.named(regs.Rdx, regs.R10)
	case "unlinkat", "mkdirat", "fchmodat":
		o.Path = t.named(regs.Rdi, regs.Rsi)
	default:
		o.Path = t.descriptor(regs.Rdi)
	}
	if !t.within(o.Path) {
		return nil
	}
	switch o.Call {
	case "write":
		info, _ := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", t.pid, int32(regs.Rdi)))
		_, rest, _ := strings.Cut(string(info), "pos:\t")
		digits, _, _ := strings.Cut(rest, "\n")
		o.Offset, _ = strconv.ParseInt(digits, 10, 64)
		o.Data = t.memory(regs.Rsi, int(regs.Rdx))
	case "pwrite64":
		o.Offset, o.Data = int64(regs.R10), t.memory(regs.Rsi, int(regs.Rdx))
	case "ftruncate":
		o.Size = int64(regs.Rsi)
	}
	return o
}
