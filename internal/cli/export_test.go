package cli

import (
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"verge/client"
)

// ShowDevice writes what verge device writes of a machine without native libraries.
func ShowDevice(w io.Writer, d *client.Device) error {
	return (&call{std: IO{Out: w}}).showDevice(d, nil)
}

// Grammar returns the flags of every command, by the command's words; those of ""
// are taken by all.
func Grammar() (map[string][]string, error) {
	parser, err := kong.New(&commands{}, kong.Name("verge"))
	if err != nil {
		return nil, err
	}
	all := map[string][]string{}
	var walk func(words []string, n *kong.Node)
	walk = func(words []string, n *kong.Node) {
		if n.Hidden {
			return
		}
		path := strings.Join(words, " ")
		all[path] = nil
		for _, f := range n.Flags {
			if !f.Hidden && f.Name != "help" {
				all[path] = append(all[path], "--"+f.Name)
			}
		}
		for _, child := range n.Children {
			walk(append(slices.Clip(words), child.Name), child)
		}
	}
	walk(nil, parser.Model.Node)
	return all, nil
}
