package tensorrt

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// mapping is a piece of the process's memory, as /proc/self/maps lists it (proc(5)).
type mapping struct {
	begin, end uintptr
	access     string // "r-xp"
}

// readMappings lists the memory of this process; nil where the system does not show it.
func readMappings() []mapping {
	file, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil
	}
	defer file.Close() //nolint:errcheck // only read
	var all []mapping
	for lines := bufio.NewScanner(file); lines.Scan(); {
		place, rest, _ := strings.Cut(lines.Text(), " ")
		access, _, _ := strings.Cut(rest, " ")
		first, last, _ := strings.Cut(place, "-")
		begin, err1 := strconv.ParseUint(first, 16, 64)
		end, err2 := strconv.ParseUint(last, 16, 64)
		if err1 == nil && err2 == nil {
			all = append(all, mapping{uintptr(begin), uintptr(end), access})
		}
	}
	return all
}

// allows reports whether n bytes at an address may be used in a way: "r" to be read,
// "x" to be run. What lies in two mappings next to each other does not count.
func allows(all []mapping, address uintptr, n uintptr, way string) bool {
	for _, m := range all {
		if address >= m.begin && address < m.end {
			return n <= m.end-address && strings.Contains(m.access, way)
		}
	}
	return false
}
