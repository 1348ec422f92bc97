package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"verge/internal/fault"
)

// Group is the control group of one process, or none: the zero value limits
// nothing.
type Group struct {
	path string   // directory
	kind string   // as Parent's
	dir  *os.File // open for Prepare until Close; nil before

	remove func(path string) error
}

// Enforced returns CGroup2, CGroup1 or No.
func (g *Group) Enforced() string {
	if g.kind == "" {
		return No
	}
	return g.kind
}

// limit sets the memory limit. Swap would only hide it: where there is some, it
// is not used.
func (g *Group) limit(memory int64) error {
	value := strconv.FormatInt(memory, 10)
	if g.kind == CGroup1 {
		err := write(g.path, "memory.limit_in_bytes", value)
		write(g.path, "memory.memsw.limit_in_bytes", value) //nolint:errcheck,gosec // absent without swap accounting
		return err
	}
	write(g.path, "memory.swap.max", "0")  //nolint:errcheck,gosec // absent without swap
	write(g.path, "memory.oom.group", "1") //nolint:errcheck,gosec // Linux 4.19; without it the largest process dies alone
	return write(g.path, "memory.max", value)
}

// Prepare has the process that attr starts begin its life in the group, where
// the kernel can do so (version 2). Add is needed all the same.
func (g *Group) Prepare(attr *syscall.SysProcAttr) error {
	if g.kind != CGroup2 {
		return nil
	}
	if g.dir == nil {
		dir, err := os.Open(g.path)
		if err != nil {
			return fault.New(fault.Exhausted, "sandbox.prepare", "open control group: %w", err)
		}
		g.dir = dir
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(g.dir.Fd())
	return nil
}

// Add puts a process into the group, before it has taken the memory that counts:
// what it holds already stays charged to where it came from.
func (g *Group) Add(pid int) error {
	if g.kind != CGroup1 {
		return nil
	}
	if err := write(g.path, "cgroup.procs", strconv.Itoa(pid)); err != nil {
		return fault.New(fault.Exhausted, "sandbox.add", "put process %d into its control group: %w", pid, err)
	}
	return nil
}

// Peak returns the most memory that the group took at any time, in bytes, or 0
// where nobody counts it. Version 2 counts since Linux 5.19.
func (g *Group) Peak() int64 {
	name := map[string]string{CGroup1: "memory.max_usage_in_bytes", CGroup2: "memory.peak"}[g.kind]
	if name == "" {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(read(g.path, name)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Killed reports whether the kernel killed a process because the group was at its
// limit.
func (g *Group) Killed() bool {
	name := map[string]string{CGroup1: "memory.oom_control", CGroup2: "memory.events"}[g.kind]
	if name == "" {
		return false
	}
	for line := range strings.Lines(read(g.path, name)) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			return count != "0"
		}
	}
	return false
}

// Close removes the group, which holds no process any more. It is safe to repeat.
func (g *Group) Close() error {
	var errs []error
	if g.dir != nil {
		errs = append(errs, g.dir.Close())
		g.dir = nil
	}
	if g.kind != "" {
		if err := g.remove(g.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fault.New(fault.Exhausted, "sandbox.close", "remove control group: %w", err))
		}
	}
	return errors.Join(errs...)
}
