package deployfile

import (
	"strings"

	"verge/internal/fault"
	"verge/internal/modelname"
)

// CheckName says why a model cannot be called name, or nil. The error's kind is
// fault.Invalid.
func CheckName(name string) error {
	const op, hint = "deployfile.name", "Give another name, in the deployment file or with --name."
	if err := modelname.Check(name); err != nil {
		return fault.New(fault.Invalid, op, "%w", err).WithHint(hint)
	}
	for _, stage := range []string{".development", ".testing", ".staging", ".production"} {
		if strings.HasSuffix(name, stage) {
			return fault.New(fault.Invalid, op, "model name %s ends in %s, which names a stage of a model", fault.Quote(name), stage).
				WithHint(hint)
		}
	}
	return nil
}
