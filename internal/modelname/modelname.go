// Package modelname is the grammar of models' names: what fits a path of the Open
// Inference Protocol, a file name and a log line as it is, and is no way out of a
// directory. Deployment files and served models are held to the same.
package modelname

import (
	"fmt"
	"strings"

	"verge/internal/fault"
)

// Longest is how many bytes a name may have.
const Longest = 128

// Check says why name breaks the grammar, or nil.
func Check(name string) error {
	ok := name != "" && len(name) <= Longest && !strings.ContainsAny(name[:1], "._-") && !strings.Contains(name, "..")
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
	}
	if !ok {
		return fmt.Errorf(`model name %s breaks the grammar: 1 to %d of A-Z a-z 0-9 . _ -, first a letter or a digit, no ".."`, fault.Quote(name), Longest)
	}
	return nil
}
