package deployfile

import (
	"slices"
	"strings"

	"verge/internal/document"
	"verge/internal/fault"
	"verge/internal/modelname"
)

// Overlay is what a deployment file says otherwise for one stage: any of its keys. Maps
// are merged, all else takes the place of what the file says.
type Overlay map[string]any

// DecodeNode implements document.Custom: overlays are read where they are laid over the
// file.
func (Overlay) DecodeNode(d *document.Decoder, path string, n *document.Node) {
	if n.Kind != document.Map {
		d.Wrong(path, n, "an object with keys of a deployment file")
	}
}

// Strict says whether the stage wants all tests, full samples, and no verdict that cannot
// tell.
func (f *File) Strict() bool {
	return f.Stage == modelname.Staging || f.Stage == modelname.Production
}

// Lenient says whether what fails its gates is deployed all the same, with warnings.
func (f *File) Lenient() bool { return f.Stage == modelname.Development }

// overlaid returns the file as it is at a stage, and what is wrong with its overlays. The
// stage is asked, or where that is "" the one that the file names.
func overlaid(root *document.Node, asked string, ignore []string) (merged *document.Node, stage string, problems fault.Problems) {
	stage = modelname.Testing
	if n := root.Get("stage"); n != nil && n.Kind == document.String {
		stage = n.Text
	}
	if asked != "" {
		stage = asked
	}
	overlays := root.Get("stages")
	base := without(root, "stages")
	if overlays == nil || overlays.Kind != document.Map {
		return base, stage, nil
	}
	merged = base
	for _, m := range overlays.Members {
		switch {
		case !slices.Contains(modelname.Stages(), m.Key):
			problems.Add("stages."+m.Key, m.Line, "is no stage, want %s%s", strings.Join(modelname.Stages(), ", "), document.Suggest(m.Key, modelname.Stages()))
			continue
		case m.Value.Kind != document.Map:
			continue // it is refused with the rest
		}
		for _, key := range []string{"stage", "stages", "name"} {
			if n := m.Value.Get(key); n != nil {
				problems.Add("stages."+m.Key+"."+key, n.Line, "is the same at all stages")
			}
		}
		laid := merge(base, m.Value)
		if m.Key == stage {
			merged = laid
			continue
		}
		if _, found := decode(laid, m.Key, ignore); len(found) > 0 { // what is wrong at another stage is told too
			_, alone := decode(base, m.Key, ignore)
			for _, p := range found {
				if !slices.ContainsFunc(alone, func(other fault.Problem) bool { return other.Path == p.Path && other.Line == p.Line }) {
					p.Path = "stages." + m.Key + "." + p.Path
					problems = append(problems, p)
				}
			}
		}
	}
	return merged, stage, problems
}

// without is a map without one of its keys.
func without(n *document.Node, key string) *document.Node {
	if n.Kind != document.Map {
		return n
	}
	c := *n
	c.Members = slices.DeleteFunc(slices.Clone(n.Members), func(m document.Member) bool { return m.Key == key })
	return &c
}

// only is a map with one of its keys, if it has that.
func only(n *document.Node, key string) *document.Node {
	c := document.Node{Kind: document.Map, Line: n.Line}
	for _, m := range n.Members {
		if m.Key == key {
			c.Members = append(c.Members, m)
		}
	}
	return &c
}

// merge lays one map over another.
func merge(base, over *document.Node) *document.Node {
	c := *base
	c.Members = slices.Clone(base.Members)
	for _, m := range over.Members {
		i := slices.IndexFunc(c.Members, func(b document.Member) bool { return b.Key == m.Key })
		switch {
		case i < 0:
			c.Members = append(c.Members, m)
		case c.Members[i].Value.Kind == document.Map && m.Value.Kind == document.Map:
			c.Members[i].Value = merge(c.Members[i].Value, m.Value)
		default:
			c.Members[i] = m
		}
	}
	return &c
}

// atStage fills in what a stage says where the file does not, and finds what it wants to
// be said.
func (c *checker) atStage() {
	f := c.file
	if !f.Strict() {
		return
	}
	for key, on := range map[string]*bool{"performance_test": &f.Tests.Performance.Enabled, "functional_test": &f.Tests.Functional.Enabled, "load_test": &f.Tests.Load.Enabled} {
		if n := c.root.At("tests", key); n != nil && n.Kind == document.Bool && n.Text == "false" {
			c.Problems.Add("tests."+key, n.Line, "is false, and the stage %s wants all tests", f.Stage)
		}
		*on = true
	}
	const most = 99 // what 1,000 runs can show with a confidence of 0.99
	if p := f.Tests.Performance.Percentile; p > most {
		line := 0
		if n := c.root.At("tests", "performance_test", "percentile"); n != nil {
			line = n.Line
		}
		c.Problems.Add("tests.performance_test.percentile", line, "is %g, and the stage %s wants it shown with a confidence of 0.99: at most %d can be", p, f.Stage, most)
	}
	if f.Stage != modelname.Production {
		return
	}
	if f.Observe == nil {
		unsaid := defaultObserve(f.Deployment.MaxLatencyMS)
		f.Observe = &unsaid
	}
	device := c.root.At("deployment", "device_type")
	if device != nil && !slices.Contains([]string{"cpu", "mobile", "embedded"}, f.Deployment.DeviceType) && f.Deployment.Fallback == "" {
		c.Problems.Add("deployment.fallback", device.Line, "is missing: the stage production wants it said, cpu or none, where deployment.device_type is %s", fault.Quote(f.Deployment.DeviceType))
	}
}
