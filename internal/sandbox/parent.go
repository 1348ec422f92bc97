package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"verge/internal/fault"
)

// The ways in which a limit is enforced.
const (
	CGroup2 = "cgroup2" // memory.max
	CGroup1 = "cgroup1" // memory.limit_in_bytes
	No      = "no"      // it is not: memory is measured only
)

// Parent is a control group under which groups with a memory limit can be made.
// The zero value is none: its groups enforce nothing.
type Parent struct {
	path string // directory
	kind string // CGroup2, CGroup1; "" for none
	tree tree
}

// tree makes and removes groups, that is directories; the kernel puts files into
// the one and takes them from the other.
type tree struct {
	mkdir, remove func(path string) error
}

func kernel() tree {
	return tree{
		mkdir:  func(path string) error { return os.Mkdir(path, 0o755) }, //nolint:gosec // readable by all, as everything there
		remove: os.Remove,
	}
}

// Find returns the control group under which this process may make groups, from
// its cgroup and mountinfo files in the directory proc ("/proc/self"). With root
// set, a directory of either kind of control groups, only that one is looked at.
//
// In version 2, a group that holds processes cannot pass a controller on. So the
// group that this process is in is tried first, then the one above it, which
// belongs to a service whose processes sit in a subgroup, as Descend arranges it.
// Find moves no process.
func Find(proc, root string) Parent { return find(proc, root, kernel()) }

func find(proc, root string, t tree) Parent {
	candidates := []string{root}
	if root == "" {
		candidates = own(proc)
	}
	for _, path := range candidates {
		if p := (Parent{path: path, kind: kindOf(path), tree: t}); p.usable() {
			return p
		}
	}
	return Parent{}
}

// Enforced returns CGroup2, CGroup1 or No.
func (p Parent) Enforced() string {
	if p.kind == "" {
		return No
	}
	return p.kind
}

// New makes a group whose processes together take at most memory bytes; 0 makes
// one that only measures, as the zero Parent does. The name is one path element. A group
// of that name without processes is replaced: a process that is killed leaves its groups,
// and another one may get its number, in a container always the same.
func (p Parent) New(name string, memory int64) (*Group, error) {
	const op = "sandbox.new"
	if p.kind == "" || memory <= 0 {
		return &Group{}, nil
	}
	if name == "" || name != filepath.Base(name) || name == "." || name == ".." {
		return nil, fault.New(fault.Invalid, op, "group name %q, want one path element", name)
	}
	g := &Group{path: filepath.Join(p.path, name), kind: p.kind, remove: p.tree.remove}
	err := p.tree.mkdir(g.path)
	if errors.Is(err, fs.ErrExist) && p.tree.remove(g.path) == nil { // the kernel removes none that has processes
		err = p.tree.mkdir(g.path)
	}
	if err != nil {
		return nil, fault.New(fault.Exhausted, op, "make control group: %w", err)
	}
	if err := g.limit(memory); err != nil {
		return nil, errors.Join(fault.New(fault.Exhausted, op, "limit control group to %d bytes: %w", memory, err), g.Close())
	}
	return g, nil
}

// Sweep removes the groups that processes which are no more have left: those named after
// the prefix, the number of the process that made them, and a number, such as
// "verge-4711-3". The kernel removes none that has processes. Those of a process that had
// this one's number stay until New needs their names.
func (p Parent) Sweep(prefix string) {
	if p.kind == "" {
		return
	}
	entries, err := os.ReadDir(p.path)
	if err != nil {
		return
	}
	for _, entry := range entries {
		rest, ours := strings.CutPrefix(entry.Name(), prefix+"-")
		maker, number, _ := strings.Cut(rest, "-")
		pid, err := strconv.ParseUint(maker, 10, 31)
		if _, malformed := strconv.ParseUint(number, 10, 64); !ours || err != nil || malformed != nil || pid == 0 || exists("/proc", maker) {
			continue
		}
		p.tree.remove(filepath.Join(p.path, entry.Name())) //nolint:errcheck,gosec // then it stays
	}
}

// usable reports whether a group can be made and limited, by making one.
func (p Parent) usable() bool {
	if p.kind == "" {
		return false
	}
	if p.kind == CGroup2 && !p.delegates() && write(p.path, "cgroup.subtree_control", "+memory") != nil {
		return false
	}
	g, err := p.New(fmt.Sprintf("verge-%d-0", os.Getpid()), 1<<30)
	if err != nil {
		return false
	}
	return g.Close() == nil
}

// delegates reports whether groups below p have the memory controller.
func (p Parent) delegates() bool {
	return slices.Contains(strings.Fields(read(p.path, "cgroup.subtree_control")), "memory")
}

// kindOf says which kind of control group path is: only version 2 has a list of
// controllers, only the memory hierarchy of version 1 this limit.
func kindOf(path string) string {
	switch {
	case slices.Contains(strings.Fields(read(path, "cgroup.controllers")), "memory"):
		return CGroup2
	case exists(path, "memory.limit_in_bytes"):
		return CGroup1
	}
	return ""
}

// own returns the directories of the groups that this process is in, and of the
// one above in version 2.
func own(proc string) []string {
	var v2, v1 string // path within the hierarchy
	for line := range strings.Lines(read(proc, "cgroup")) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // id, controllers, path
		switch {
		case len(parts) != 3:
		case parts[0] == "0" && parts[1] == "":
			v2 = parts[2]
		case slices.Contains(strings.Split(parts[1], ","), "memory"):
			v1 = parts[2]
		}
	}
	var found []string
	for line := range strings.Lines(read(proc, "mountinfo")) {
		// 35 31 0:32 /root /mount/point options… - type source super,options
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(head) < 6 || len(tail) < 3 {
			continue
		}
		root, mount := head[3], head[4]
		switch {
		case tail[0] == "cgroup2" && v2 != "":
			path := within(mount, root, v2)
			found = append(found, path)
			if path != mount {
				found = append(found, filepath.Dir(path))
			}
		case tail[0] == "cgroup" && v1 != "" && slices.Contains(strings.Split(tail[2], ","), "memory"):
			found = append(found, within(mount, root, v1))
		}
	}
	return found
}

// within returns where group lies below a mount that shows root of its hierarchy.
func within(mount, root, group string) string {
	rel, err := filepath.Rel(root, group)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return mount
	}
	return filepath.Join(mount, rel)
}

func read(dir, name string) string {
	text, err := os.ReadFile(filepath.Join(dir, name)) //nolint:gosec // a fixed name in a directory of the kernel's
	if err != nil {
		return ""
	}
	return string(text)
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return !errors.Is(err, fs.ErrNotExist) && err == nil
}

func write(dir, name, text string) error {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_TRUNC, 0) //nolint:gosec // as read
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
