package deployfile

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"verge/internal/document"
	"verge/internal/fault"
	"verge/internal/modelname"
	"verge/internal/tensor"
)

const (
	op   = "deployfile.parse"
	hint = `"verge check --schema" prints every key with its range.`
)

// Options say how a deployment file is read.
type Options struct {
	Stage  string   // that is deployed to; "" for the one that the file names
	Ignore []string // required packages that are not looked for, known or not
}

// Parse reads a deployment file; name is what to call it in messages. It fails
// with fault.Invalid and every fault.Problem that there is, or with
// fault.TooLarge for a text of more than document.MaxBytes.
func Parse(text []byte, name string) (*File, error) { return parse(text, name, Options{}, true) }

// ParseSpec is Parse for the management API: spec is a deployment file as a
// JSON object, or a JSON string with the text of one in JSON or YAML. Lines are
// told for a text only, since those of an object are not its author's.
func ParseSpec(spec json.RawMessage, specName string, o Options) (*File, error) {
	if o.Stage != "" && !slices.Contains(modelname.Stages(), o.Stage) {
		return nil, fault.New(fault.Invalid, op, "stage is %s, want %s", fault.Quote(o.Stage), strings.Join(modelname.Stages(), ", "))
	}
	var text string
	if err := json.Unmarshal(spec, &text); err == nil {
		return parse([]byte(text), specName, o, true)
	}
	if trimmed := strings.TrimLeft(string(spec), " \t\r\n"); !json.Valid(spec) || !strings.HasPrefix(trimmed, "{") {
		return nil, fault.New(fault.Invalid, op, "spec is neither a JSON object nor a JSON string with the text of a deployment file").On(specName)
	}
	return parse(spec, specName, o, false)
}

func parse(text []byte, name string, o Options, lines bool) (*File, error) {
	if len(text) > document.MaxBytes {
		return nil, fault.New(fault.TooLarge, op, "the deployment file has %d bytes, at most %d are read", len(text), document.MaxBytes).On(name)
	}
	root, problems := document.Parse(text)
	if len(problems) > 0 {
		return nil, refuse(problems, name, lines)
	}
	merged, stage, problems := overlaid(root, o.Stage, o.Ignore)
	file, found := decode(merged, stage, o.Ignore)
	d := &document.Decoder{}
	d.Decode("", only(root, "stages"), &struct {
		Stages map[string]Overlay `json:"stages"`
	}{})
	if problems = append(append(problems, found...), d.Problems...); len(problems) > 0 {
		return nil, refuse(problems, name, lines)
	}
	return file, nil
}

// decode reads a file without overlays, as it is at a stage.
func decode(root *document.Node, stage string, ignore []string) (*File, fault.Problems) {
	deviceType := ""
	if n := root.At("deployment", "device_type"); n != nil && n.Kind == document.String {
		deviceType = n.Text
	}
	file := defaults(deviceType)
	file.root, file.ignore = root, ignore
	d := &document.Decoder{}
	d.Decode("", root, file)
	if len(d.Problems) == 0 || root.Kind == document.Map {
		c := checker{Decoder: d, file: file, root: root}
		if !c.has("stage") {
			file.Stage = stage
		}
		c.name()
		c.model()
		c.ladder()
		c.accuracy()
		c.strategy()
		c.observe()
		c.trials()
		c.atStage()
		c.packages(ignore)
		c.notes()
	}
	return file, d.Problems
}

// refuse makes one error of the problems, in the order of their lines.
func refuse(problems fault.Problems, name string, lines bool) error {
	slices.SortStableFunc(problems, func(a, b fault.Problem) int { return a.Line - b.Line })
	for i := range problems {
		if !lines {
			problems[i].Line = 0
		}
	}
	return &fault.Error{Kind: fault.Invalid, Op: op, Subject: name, Hint: hint, Err: problems}
}

// checker looks at what tags cannot say.
type checker struct {
	*document.Decoder
	file *File
	root *document.Node
}

func (c *checker) name() {
	n := c.root.Get("name")
	if n == nil || n.Kind != document.String {
		return
	}
	if err := CheckName(n.Text); err != nil && !c.has("name") {
		c.Problems.Add("name", n.Line, "%s", fault.Message(err))
	}
}

func (c *checker) has(path string) bool {
	return slices.ContainsFunc(c.Problems, func(p fault.Problem) bool { return p.Path == path })
}

func (c *checker) model() {
	m := &c.file.Model
	if n := c.root.At("model", "sha256"); n != nil && n.Kind == document.String && !c.has("model.sha256") {
		m.SHA256 = strings.ToLower(m.SHA256)
		if len(m.SHA256) != 64 || strings.Trim(m.SHA256, "0123456789abcdef") != "" {
			c.Wrong("model.sha256", n, "64 hexadecimal digits")
		}
	}
	if n := c.root.At("model", "input_shapes"); n != nil && !c.has("model.input_shapes") {
		const most = 256 // inputs of a model: inference.MaxTensors
		if len(n.Members) > most {
			c.Problems.Add("model.input_shapes", n.Line, "has %d entries, at most %d are allowed", len(n.Members), most)
		}
		for _, entry := range n.Members {
			if _, err := tensor.Elements(m.InputShapes[entry.Key]); err != nil {
				c.Problems.Add("model.input_shapes."+entry.Key, entry.Line, "%v", err)
			}
		}
	}
	if n := c.root.At("model", "preprocess"); n != nil && n.Kind == document.Map && m.Preprocess != nil {
		c.preprocess(n, m.Preprocess)
	}
}

// ladderRung is the form of an entry of deployment.ladder, as its tag has it.
var ladderRung = regexp.MustCompile(`^(cpu|gpu|npu|tpu|mobile|embedded)( (int8|fp16|fp32))?$`)

// ladder holds each rung against its form.
func (c *checker) ladder() {
	n := c.root.At("deployment", "ladder")
	if n == nil || n.Kind != document.List {
		return
	}
	for i, item := range n.Items {
		if item.Kind == document.String && !ladderRung.MatchString(item.Text) {
			c.Wrong(fmt.Sprintf("deployment.ladder[%d]", i), item, `cpu, gpu, npu, tpu, mobile or embedded, alone or with int8, fp16 or fp32 behind it, such as "gpu fp16"`)
		}
	}
	if given := c.root.At("deployment", "providers"); given != nil && len(n.Items) > 0 {
		c.Problems.Add("deployment.providers", given.Line, "does not go with deployment.ladder, whose devices have providers of their own")
	}
}

// preprocess fills in the defaults, and holds the lists against the channels.
func (c *checker) preprocess(n *document.Node, p *Preprocess) {
	setDefault(&p.Layout, "NCHW")
	setDefault(&p.Channels, "rgb")
	channels, want := 3, "1 or 3, one for each channel"
	if p.Channels == "gray" {
		channels, want = 1, "1"
	}
	for _, list := range []struct {
		key     string
		numbers *[]float64
		neutral float64
	}{{"mean", &p.Mean, 0}, {"scale", &p.Scale, 1}} {
		given := n.Get(list.key)
		switch {
		case given == nil:
			*list.numbers = []float64{list.neutral}
		case given.Kind == document.List && len(given.Items) != 1 && len(given.Items) != channels:
			c.Problems.Add("model.preprocess."+list.key, given.Line, "has %d numbers, want %s", len(given.Items), want)
		}
	}
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// packages looks up each requirement.
func (c *checker) packages(ignore []string) {
	n := c.root.Get("required_packages")
	if n == nil || n.Kind != document.List {
		return
	}
	ignored := map[string]bool{}
	for _, name := range ignore {
		ignored[normalise(name)] = true
	}
	for i := range c.file.RequiredPackages {
		r := &c.file.RequiredPackages[i]
		path, line := fmt.Sprintf("required_packages[%d]", i), n.Items[i].Line
		switch {
		case r.Name == "": // its form is wrong already
		case ignored[r.Name]:
			r.ignored = true
		case r.Capability() == "":
			c.Problems.Add(path, line, "unknown package %s; known are %s; --ignore-package %s leaves it out%s",
				fault.Quote(r.Name), strings.Join(packageNames(), ", "), r.Name, document.Suggest(r.Name, packageNames()))
		}
	}
}

// notes finds keys that are right but do nothing.
func (c *checker) notes() {
	f := c.file
	switch device := f.Deployment.DeviceType; device {
	case "cpu", "mobile", "embedded":
		if len(f.Deployment.Providers) > 0 {
			break // they may be for any device
		}
		c.note("has no effect on device_type "+device, "deployment", "gpu_memory_fraction")
		c.note("has no effect on device_type "+device, "deployment", "fallback")
	}
	if !f.Model.Optimize {
		c.note("has no effect without model.optimize", "model", "optimization_config")
	}
	for i, r := range f.RequiredPackages {
		if r.Operator != "" && !r.ignored && !r.comparable() {
			f.notes = append(f.notes, fault.Problem{
				Path:    fmt.Sprintf("required_packages[%d]", i),
				Message: fmt.Sprintf("the version in %s is not checked: what stands in for %s here has numbers of its own", r.Raw, r.Name),
			})
		}
	}
}

// note keeps a note on a key, where it was given.
func (c *checker) note(message string, keys ...string) {
	if n := c.root.At(keys...); n != nil {
		c.file.notes = append(c.file.notes, fault.Problem{Path: strings.Join(keys, "."), Line: n.Line, Message: message})
	}
}
