package sandbox

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"verge/internal/fault"
)

// Group is the control group of one process, or none: the zero value limits
// nothing.
type Group struct {
	path string // directory
	kind string // as Parent's

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

// Add puts a process into the group, right after its start and before it has taken the
// memory that counts: what it holds already stays charged to where it came from. (Version 2
// can start a process in its group, but only by clone3, which filters of system calls
// forbid: they cannot see whether it makes a namespace.)
func (g *Group) Add(pid int) error {
	if g.kind == "" {
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
	if g.kind == "" {
		return nil
	}
	if err := g.remove(g.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.Exhausted, "sandbox.close", "remove control group: %w", err)
	}
	return nil
}
