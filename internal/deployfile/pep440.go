package deployfile

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
)

// version is a version number as PEP 440 orders them, without epochs; what
// follows a "+" does not count.
type version struct {
	release      []int
	phase, count int // phase: -4 dev, -3 a, -2 b, -1 rc, 0 the release, 1 post
}

var versionForm = regexp.MustCompile(`^v?(\d{1,9}(?:\.\d{1,9}){0,7})(?:[-_.]?(dev|a|alpha|b|beta|c|rc|post)[-_.]?(\d{0,9}))?(?:\+[a-z0-9._-]*)?$`)

func parseVersion(text string) (version, bool) {
	parts := versionForm.FindStringSubmatch(strings.ToLower(text))
	if parts == nil {
		return version{}, false
	}
	var v version
	for number := range strings.SplitSeq(parts[1], ".") {
		n, _ := strconv.Atoi(number) // at most nine digits
		v.release = append(v.release, n)
	}
	switch parts[2] {
	case "dev":
		v.phase = -4
	case "a", "alpha":
		v.phase = -3
	case "b", "beta":
		v.phase = -2
	case "c", "rc":
		v.phase = -1
	case "post":
		v.phase = 1
	}
	v.count, _ = strconv.Atoi(parts[3]) // none is 0
	return v, true
}

// compare orders v and w; missing numbers are zero.
func (v version) compare(w version) int {
	for i := range max(len(v.release), len(w.release)) {
		if c := cmp.Compare(at(v.release, i), at(w.release, i)); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(v.phase, w.phase), cmp.Compare(v.count, w.count))
}

// within reports whether v begins with the numbers of prefix.
func (v version) within(prefix []int) bool {
	for i, want := range prefix {
		if at(v.release, i) != want {
			return false
		}
	}
	return true
}

func at(numbers []int, i int) int {
	if i < len(numbers) {
		return numbers[i]
	}
	return 0
}
