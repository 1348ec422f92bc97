package deployfile

import "strings"

// StopThenStart is the Deployment.Strategy that unloads the version that serves before the
// next one is loaded; without it, the two are loaded side by side.
const StopThenStart = "stop-then-start"

// strategy refuses comparisons with a version that is not loaded any more.
func (c *checker) strategy() {
	if c.file.Deployment.Strategy != StopThenStart {
		return
	}
	for _, keys := range [][]string{{"accuracy", "max_drop"}, {"deployment", "max_latency_ratio"}, {"shadow"}, {"canary"}} {
		if n := c.root.At(keys...); n != nil {
			c.Problems.Add(strings.Join(keys, "."), n.Line, "does not go with deployment.strategy %s: the version that serves is not loaded when the next one is measured", StopThenStart)
		}
	}
}
