package cli

import (
	"runtime"

	"verge/internal/version"
)

type versionCommand struct {
	JSON bool `help:"Print JSON."`
}

// Run prints what this program is.
func (v *versionCommand) Run(c *call) error {
	if v.JSON {
		return c.printJSON(map[string]string{"version": version.Version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
	}
	c.print("verge %s (%s, %s/%s)\n", version.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
