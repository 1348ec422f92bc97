package openvino

import "cmp"

// converter is what the <rt_info> or, before IR version 11, the <meta_data> of
// the network says about the program that wrote the file.
type converter struct{ optimizer, runtime, framework string }

// version returns the version of that program.
func (c converter) version() string { return cmp.Or(c.optimizer, c.runtime) }

// info reads <rt_info> or <meta_data>. An entry is <NAME value="…"/> or
// <info name="NAME" value="…"/>, a group of entries has no value.
func (p *parser) info(into *converter) error {
	return p.children(func(e element) error {
		name, value := p.entry(e)
		switch name {
		case "MO_version":
			into.optimizer = value
		case "Runtime_version", "OpenVINO Runtime":
			into.runtime = value
		case "conversion_parameters", "cli_parameters":
			return p.children(func(e element) error {
				if name, value := p.entry(e); name == "framework" {
					into.framework = value
				}
				return p.skip()
			})
		}
		return p.skip()
	})
}

// entry returns the name and the value of an entry.
func (p *parser) entry(e element) (name, value string) {
	name = e.name
	if own, ok := e.attr("name"); ok {
		name = own
	}
	value, _ = e.attr("value")
	return name, p.label(value)
}
