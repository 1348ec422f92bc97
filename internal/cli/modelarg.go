package cli

import (
	"strings"

	"verge/internal/modelname"
)

// modelArg is the name of a model, of a stage of it, or, where a command says so, NAME@N.
type modelArg string

// Validate is called by kong.
func (m modelArg) Validate() error {
	name, _, _ := strings.Cut(string(m), "@")
	return modelname.Check(name)
}
