package config

import (
	"fmt"
	"strings"
)

// Show returns the settings as a file that Load reads, with every key and what
// it means. The shipped packaging/verge.yaml is that of Default.
func (c Config) Show() []byte {
	var b strings.Builder
	b.WriteString(`# Settings of a Verge node. The environment wins over this file (VERGE_STATE_DIR,
# VERGE_SERVE__QUEUE_SIZE), the command line over both. Times have a unit: 200ms, 30s,
# 2m. Sizes are bytes. In brackets: when a change takes effect.

`)
	section := ""
	for _, s := range c.settings() {
		name, key, nested := strings.Cut(s.key, ".")
		indent := "  "
		if !nested {
			key, indent = name, ""
		} else if name != section {
			section = name
			fmt.Fprintf(&b, "\n%s:\n", name)
		}
		for line := range strings.Lines(s.doc + " (restart)") {
			fmt.Fprintf(&b, "%s# %s\n", indent, strings.TrimSuffix(line, "\n"))
		}
		fmt.Fprintf(&b, "%s%s: %s\n", indent, key, s.show())
	}
	return []byte(b.String())
}
