// Package sandbox confines one process: it puts it into a control group of its
// own with a memory limit, and measures what memory the process takes. It finds
// out by itself which of the two kinds of control groups this machine has, and
// whether it may make one; where it may not, memory is measured all the same, and
// Enforced says "no".
//
//	parent := sandbox.Find("/proc/self", "")
//	group, err := parent.New("digits-3", 512<<20)
//	group.Add(pid) // right after the process has started
//
// The package starts no process and no goroutine. A Group belongs to one process;
// its methods are safe for concurrent use, but for Close.
package sandbox
