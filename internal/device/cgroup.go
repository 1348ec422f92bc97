package device

import (
	"path"
	"strconv"
	"strings"
)

// group is the directory of a control group that bounds this process, in one of
// the two versions of the interface.
type group struct {
	dir string
	v2  bool
}

// groups returns the control groups that a controller ("cpu", "memory") bounds
// this process by: its own first, then those around it that it can see.
func (m *Machine) groups(controller string) []group {
	text, _ := m.files.read("/proc/self/cgroup")
	mounts, _ := m.files.read("/proc/self/mountinfo")
	var all []group
	for line := range strings.Lines(text) {
		// 4:memory:/system.slice/verge.service, and 0::/… for version 2.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		v2 := parts[0] == "0" && parts[1] == ""
		if !v2 && !hasWord(parts[1], controller) {
			continue
		}
		mount, ok := findMount(mounts, v2, controller)
		if !ok {
			continue
		}
		all = append(all, mount.chain(parts[2], v2)...)
	}
	return all
}

// cgroupMount is where a hierarchy of control groups, or the part of it below
// root, is to be seen.
type cgroupMount struct{ root, point string }

// findMount finds the hierarchy's mount in the text of /proc/self/mountinfo, whose
// form is in proc_pid_mountinfo(5).
func findMount(mounts string, v2 bool, controller string) (cgroupMount, bool) {
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		if v2 && right[0] == "cgroup2" || !v2 && right[0] == "cgroup" && hasWord(right[2], controller) {
			return cgroupMount{root: left[3], point: left[4]}, true
		}
	}
	return cgroupMount{}, false
}

// chain returns the directories from a group up to the mount point.
func (c cgroupMount) chain(name string, v2 bool) []group {
	const deepest = 64
	rel, ok := strings.CutPrefix(name, strings.TrimSuffix(c.root, "/"))
	if !ok || strings.Contains(rel, "..") {
		rel = "/" // the group lies outside of what is mounted: only the mount itself is seen
	}
	var all []group
	for rel = path.Clean("/" + rel); len(all) < deepest; rel = path.Dir(rel) {
		all = append(all, group{dir: path.Join(c.point, rel), v2: v2})
		if rel == "/" {
			break
		}
	}
	return all
}

func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// cpuQuota is how many processors' time the control groups leave to this process,
// or 0 for no bound.
func (m *Machine) cpuQuota() float64 {
	least := 0.0
	for _, g := range m.groups("cpu") {
		var quota, period string
		if g.v2 {
			quota, period, _ = strings.Cut(m.files.line(path.Join(g.dir, "cpu.max")), " ")
		} else {
			quota = m.files.line(path.Join(g.dir, "cpu.cfs_quota_us"))
			period = m.files.line(path.Join(g.dir, "cpu.cfs_period_us"))
		}
		q, err := strconv.ParseFloat(quota, 64) // "max" and -1 are none
		p, errP := strconv.ParseFloat(period, 64)
		if err != nil || errP != nil || q <= 0 || p <= 0 {
			continue
		}
		if least == 0 || q/p < least {
			least = q / p
		}
	}
	return least
}

// memoryBound is what the control groups leave to this process: the least limit,
// and the least that is free below one. Both are in bytes; limit is 0 for none.
func (m *Machine) memoryBound(total int64) (limit, free int64) {
	for _, g := range m.groups("memory") {
		most, used, cache := "memory.max", "memory.current", "inactive_file"
		if !g.v2 {
			most, used, cache = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
		}
		bound, ok := m.files.number(path.Join(g.dir, most)) // "max" is none, in version 1 a number beyond any memory
		if !ok || bound <= 0 || total > 0 && bound >= total {
			continue
		}
		current, _ := m.files.number(path.Join(g.dir, used))
		// Pages of files that nobody uses are given back before the limit bites.
		current -= m.statistic(path.Join(g.dir, "memory.stat"), cache)
		left := max(0, bound-max(0, current))
		if limit == 0 || left < free {
			free = left
		}
		if limit == 0 || bound < limit {
			limit = bound
		}
	}
	return limit, free
}

// statistic returns one number of a file of "name number" lines, or 0.
func (m *Machine) statistic(name, key string) int64 {
	text, _ := m.files.read(name)
	for line := range strings.Lines(text) {
		if k, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && k == key {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
