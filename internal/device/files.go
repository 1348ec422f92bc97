package device

import (
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// mostText bounds a file of the kernel's: /proc/cpuinfo of a large server has a
// few hundred kilobytes.
const mostText = 4 << 20

// files is the directory that absolute paths are read below.
type files string

// path is where an absolute name is for this process.
func (f files) path(name string) string {
	if f == "/" {
		return filepath.Clean(name)
	}
	return filepath.Join(string(f), f.follow(name))
}

// follow returns a name with the symbolic links on its way followed, as if the
// directory were the root: a link to /etc leads to the directory's etc.
func (f files) follow(name string) string {
	const mostLinks = 40 // as the kernel allows
	at, links := "/", 0
	for rest := strings.Split(name, "/"); len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		target, err := os.Readlink(filepath.Join(string(f), next))
		if err != nil || links >= mostLinks { // no link, or a loop of them
			at = next
			continue
		}
		links++
		if path.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at
}

// read returns the text of a file, or false where it cannot be read: sensors
// answer EINVAL or ENODATA while they have nothing to tell.
func (f files) read(name string) (string, bool) {
	file, err := os.Open(f.path(name))
	if err != nil {
		return "", false
	}
	defer file.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(file, mostText))
	return string(text), err == nil
}

// line returns a file's text without the blanks and NULs around it, or "".
func (f files) line(name string) string {
	text, _ := f.read(name)
	return strings.Trim(text, "\x00 \t\r\n")
}

// number returns the integer that a file holds.
func (f files) number(name string) (int64, bool) {
	n, err := strconv.ParseInt(f.line(name), 10, 64)
	return n, err == nil
}

// hex returns the digits of a number that a file holds as "0x8086".
func (f files) hex(name string) string { return strings.TrimPrefix(f.line(name), "0x") }

func (f files) exists(name string) bool {
	_, err := os.Stat(f.path(name))
	return err == nil
}

// glob returns the names that match a pattern, shorter ones first, so that
// thermal_zone2 comes before thermal_zone10.
func (f files) glob(pattern string) []string {
	found := []string{"/"}
	for part := range strings.SplitSeq(strings.Trim(pattern, "/"), "/") {
		var next []string
		for _, dir := range found {
			if !strings.ContainsAny(part, "*?[") {
				next = append(next, path.Join(dir, part))
				continue
			}
			entries, err := os.ReadDir(f.path(dir))
			if err != nil {
				continue // no directory has no entries
			}
			for _, entry := range entries {
				if ok, err := path.Match(part, entry.Name()); ok && err == nil {
					next = append(next, path.Join(dir, entry.Name()))
				}
			}
		}
		found = next
	}
	found = slices.DeleteFunc(found, func(name string) bool {
		_, err := os.Lstat(filepath.Join(f.path(path.Dir(name)), path.Base(name)))
		return err != nil
	})
	slices.SortStableFunc(found, func(a, b string) int { return len(a) - len(b) })
	return found
}

// link returns the last element of what a symbolic link points to, or "".
func (f files) link(name string) string {
	target, err := os.Readlink(filepath.Join(f.path(path.Dir(name)), path.Base(name)))
	if err != nil {
		return ""
	}
	return path.Base(target)
}

// fields yields "key : value" lines, as /proc is fond of.
func fields(text string, yield func(key, value string)) {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			yield(strings.TrimSpace(key), strings.TrimSpace(value))
		}
	}
}

// countList returns how many numbers a kernel list such as "0-3,8" names, or 0
// where it is not one.
func countList(text string) int {
	const most = 1 << 16 // processors, far beyond any kernel's limit
	count := 0
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		if err != nil || first < 0 {
			return 0
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(to); err != nil || last < first {
				return 0
			}
		}
		if last >= most {
			return 0
		}
		if count += last - first + 1; count > most {
			return 0
		}
	}
	return count
}
