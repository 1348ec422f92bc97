package deployfile

import (
	"fmt"

	"verge/internal/document"
)

const (
	maxProviderName    = 4096 // bytes; it may be a path
	maxProviderOptions = 64
)

// Provider is one entry of deployment.providers: what a runtime computes with.
type Provider struct {
	Name    string            `json:"name"`              // as the library calls it, or a path
	Options map[string]string `json:"options,omitempty"` // the library's own
}

// DecodeNode implements document.Custom: a name alone may stand for the object.
func (p *Provider) DecodeNode(d *document.Decoder, path string, n *document.Node) {
	const want = `a provider's name, or an object such as {"name": "CUDA", "options": {"device_id": "0"}}`
	given := n
	if n.Kind == document.String {
		n = &document.Node{Kind: document.Map, Line: n.Line, Members: []document.Member{{Key: "name", Line: n.Line, Value: n}}}
	}
	name := n.Get("name")
	if n.Kind != document.Map || name == nil || name.Kind != document.String || name.Text == "" || len(name.Text) > maxProviderName {
		d.Wrong(path, given, want)
		return
	}
	p.Name = name.Text
	for _, m := range n.Members {
		switch {
		case m.Key == "name":
		case m.Key != "options":
			d.Problems.Add(path, m.Line, "unknown key %q, want name and options", m.Key)
		case m.Value.Kind != document.Map || len(m.Value.Members) > maxProviderOptions:
			d.Wrong(path+".options", m.Value, fmt.Sprintf("an object of at most %d options", maxProviderOptions))
		default:
			p.Options = map[string]string{}
			for _, option := range m.Value.Members {
				switch option.Value.Kind {
				case document.String, document.Number, document.Bool:
					p.Options[option.Key] = option.Value.Text
				default:
					d.Wrong(path+".options."+option.Key, option.Value, "a string, a number, true or false")
				}
			}
		}
	}
}
