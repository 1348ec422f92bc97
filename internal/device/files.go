package device

import (
	"path"
	"strconv"
	"strings"

	"verge/internal/sysroot"
)

// mostText bounds a file of the kernel's: /proc/cpuinfo of a large server has a
// few hundred kilobytes.
const mostText = 4 << 20

// files are those of the machine.
type files struct{ sysroot.Root }

// follow is Root.Follow; a name that leads nowhere stays as it is.
func (f files) follow(name string) string {
	if at, err := f.Follow(name); err == nil {
		return at
	}
	return name
}

// read returns the text of a file, or false where it cannot be read: sensors
// answer EINVAL or ENODATA while they have nothing to tell.
func (f files) read(name string) (string, bool) {
	text, err := f.Read(name, mostText)
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

// link returns the last element of what a symbolic link points to, or "".
func (f files) link(name string) string {
	target, err := f.Readlink(name)
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
