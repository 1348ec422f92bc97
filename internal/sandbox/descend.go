package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Descend moves this process into a control group "node" below the one that it is in,
// where Find finds none as it is, and reports whether it did. After that Find finds the
// group above, which version 2 lets pass memory on since it holds no process any more. It
// is for a process that is alone in a group which a service manager has handed over to
// it (systemd's Delegate); elsewhere the kernel does not let it.
func Descend(proc string) bool { return descend(proc, kernel()) }

func descend(proc string, t tree) bool {
	if find(proc, "", t).kind != "" {
		return false
	}
	groups := own(proc)
	if len(groups) == 0 || kindOf(groups[0]) != CGroup2 {
		return false
	}
	node := filepath.Join(groups[0], "node")
	if err := t.mkdir(node); err != nil && !errors.Is(err, fs.ErrExist) {
		return false
	}
	if err := write(node, "cgroup.procs", strconv.Itoa(os.Getpid())); err != nil {
		t.remove(node) //nolint:errcheck,gosec // one with processes stays
		return false
	}
	return true
}
