package cli

import (
	"maps"
	"slices"

	"verge/internal/inference"
	"verge/internal/modelfile"
)

type inspectCommand struct {
	Model string `arg:"" help:"Model file."`
	JSON  bool   `help:"Print JSON."`
}

// Run shows what a model file says about itself.
func (i *inspectCommand) Run(c *call) error {
	file, bytes, err := openFile(i.Model)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	info, err := modelfile.Inspect(file, bytes, modelfile.DefaultLimits())
	if err != nil {
		return about(i.Model, err)
	}
	if i.JSON {
		return c.printJSON(info)
	}
	return c.showModel(i.Model, info)
}

func (c *call) showModel(path string, info *modelfile.Info) error {
	t, m := newTable(c.std.Out, ""), info.ONNX // the one format that Inspect reads
	t.row("file", "%s, %s", path, size(info.SizeBytes))
	t.row("format", "ONNX, IR version %d", m.IRVersion)
	for _, o := range m.Opsets {
		t.row("opset", "%s %d", o.Domain, o.Version)
	}
	if m.Producer != "" {
		t.row("producer", "%s", m.Producer)
	}
	if m.Graph != "" {
		t.row("graph", "%s", m.Graph)
	}
	specs := func(name string, all []inference.Spec) {
		for _, s := range all {
			t.row(name, "%s", s)
		}
	}
	specs("input", info.Signature.Inputs)
	specs("output", info.Signature.Outputs)
	t.row("parameters", "%d (%s)", m.Parameters, size(m.ParameterBytes))
	t.row("memory", "about %s to serve it", size(info.MemoryEstimate))
	t.row("operators", "%d in %d kinds", m.Nodes, len(m.Operators))
	for _, o := range m.Operators {
		t.row("", "%5d  %s", o.Count, o)
	}
	for _, f := range m.Functions {
		t.row("function", "%s.%s, %d nodes", f.Domain, f.Name, f.Nodes)
	}
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		t.row("metadata", "%s = %s", key, m.Metadata[key])
	}
	for _, note := range m.Notes {
		t.row("note", "%s", note)
	}
	return t.flush()
}
