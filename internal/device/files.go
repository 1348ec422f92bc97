package device

import (
	"io"
	"os"
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

func (f files) path(name string) string { return filepath.Join(string(f), name) }

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

func (f files) exists(name string) bool {
	_, err := os.Stat(f.path(name))
	return err == nil
}

// glob returns the paths that match a pattern, without the directory that they are
// below, so that thermal_zone2 comes before thermal_zone10.
func (f files) glob(pattern string) []string {
	found, err := filepath.Glob(f.path(pattern))
	if err != nil {
		return nil // the pattern is ours; nothing matches a wrong one
	}
	root := strings.TrimSuffix(filepath.Clean(string(f)), "/")
	for i, name := range found {
		found[i] = strings.TrimPrefix(name, root)
	}
	slices.SortStableFunc(found, func(a, b string) int { return len(a) - len(b) })
	return found
}

// driver returns the name of the driver that a device's directory in /sys links to, or "".
func (f files) driver(device string) string {
	target, err := os.Readlink(f.path(filepath.Join(device, "driver")))
	if err != nil {
		return ""
	}
	return filepath.Base(target)
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
