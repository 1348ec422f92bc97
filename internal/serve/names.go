package serve

import (
	"fmt"
	"strconv"

	"verge/internal/fault"
)

// anyVersion stands for the version that serves, where a request names none.
const anyVersion = -1

// parseVersion returns the number of a version: decimal, without leading zeros.
func parseVersion(version string) (int, error) {
	n, err := strconv.ParseUint(version, 10, 31)
	if err != nil || len(version) > 1 && version[0] == '0' {
		return 0, fmt.Errorf("version %s is not a decimal number without leading zeros", fault.Quote(version))
	}
	return int(n), nil
}
