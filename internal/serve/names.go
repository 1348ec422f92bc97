package serve

import (
	"fmt"
	"strconv"
	"strings"
)

// anyVersion stands for the version that serves, where a request names none.
const anyVersion = -1

// validName says why a model's name breaks the protocol's grammar, or nil.
func validName(name string) error {
	const longest = 128
	ok := name != "" && len(name) <= longest && !strings.ContainsAny(name[:1], "._-") && !strings.Contains(name, "..")
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
	}
	if !ok {
		return fmt.Errorf(`model name %s breaks the grammar: 1 to %d of A-Z a-z 0-9 . _ -, first a letter or a digit, no ".."`, clip(name), longest)
	}
	return nil
}

// parseVersion returns the number of a version: decimal, without leading zeros.
func parseVersion(version string) (int, error) {
	n, err := strconv.ParseUint(version, 10, 31)
	if err != nil || len(version) > 1 && version[0] == '0' {
		return 0, fmt.Errorf("version %s is not a decimal number without leading zeros", clip(version))
	}
	return int(n), nil
}

// clip quotes foreign text for a message.
func clip(s string) string {
	const limit = 64
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strconv.Quote(s)
}
