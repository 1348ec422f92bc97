package version

import (
	"cmp"
	"strconv"
	"strings"
)

// Compare orders dotted versions, as C and inference libraries have them, number by
// number: -1 when a is lower than b, 0, or 1. What is missing and what is no number of 32
// bits counts as 0.
func Compare(a, b string) int {
	for a != "" || b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if order := cmp.Compare(number(x), number(y)); order != 0 {
			return order
		}
	}
	return 0
}

func number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return n
}
