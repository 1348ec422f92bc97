package deployfile

import (
	"strings"

	"verge/internal/document"
	"verge/internal/fault"
)

// CheckName says why a model cannot be called name, or nil. The error's kind is
// fault.Invalid.
func CheckName(name string) error {
	const longest = 128
	ok := name != "" && len(name) <= longest && !strings.ContainsAny(name[:1], "._-") && !strings.Contains(name, "..")
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	if !ok {
		return fault.New(fault.Invalid, "deployfile.name",
			`model name %s breaks the grammar: 1 to %d of A-Z a-z 0-9 . _ -, first a letter or a digit, no ".."`, document.Quote(name), longest).
			WithHint("Give another name, in the deployment file or with --name.")
	}
	for _, stage := range []string{".development", ".testing", ".staging", ".production"} {
		if strings.HasSuffix(name, stage) {
			return fault.New(fault.Invalid, "deployfile.name", "model name %s ends in %s, which names a stage of a model", document.Quote(name), stage).
				WithHint("Give another name, in the deployment file or with --name.")
		}
	}
	return nil
}
