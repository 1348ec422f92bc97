package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"verge/client"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/modelfile"
)

type diffCommand struct {
	orderFlags

	JSON bool `help:"Print JSON."`
}

// difference is one thing in which a deployment file is not what serves.
type difference struct {
	What   string `json:"what"`             // "configuration", "digest", "format", "size", "input", "output", "operators"
	Key    string `json:"key,omitempty"`    // the key of the file, the name of the input, the operator
	Before string `json:"before,omitempty"` // "" where there was none
	After  string `json:"after,omitempty"`  // "" where there is none
}

// diffed is what the command prints as JSON.
type diffed struct {
	Model       string       `json:"model"`
	Serves      string       `json:"serves"` // "digits@3"
	Stage       string       `json:"stage"`
	Differences []difference `json:"differences"` // of what serves and what the file would deploy
}

// Run compares a deployment file with what serves at its stage. Nothing is sent.
func (d *diffCommand) Run(c *call) error {
	order, err := d.read()
	if err != nil {
		return err
	}
	defer order.close()
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	serving, err := node.Model(c, order.name+"."+order.file.Stage)
	if kindOf(err) == fault.NotFound && d.Stage == "" { // of no stage in particular
		serving, err = node.Model(c, order.name)
	}
	if err != nil {
		return err
	}
	result := diffed{Model: order.name, Serves: fmt.Sprintf("%s@%d", serving.Model, serving.Version), Stage: order.file.Stage, Differences: []difference{}}
	if result.Differences, err = order.against(serving); err != nil {
		return err
	}
	if d.JSON {
		return c.printJSON(result)
	}
	if len(result.Differences) == 0 {
		c.print("nothing differs from %s, which serves\n", result.Serves)
		return nil
	}
	c.print("%s serves; %s would change\n", result.Serves, d.File)
	t := newTable(c.std.Out, "  ")
	for _, one := range result.Differences {
		t.row(strings.TrimSpace(one.What+" "+one.Key), "%s", one.change())
	}
	return t.flush()
}

// change is the difference for people.
func (d difference) change() string {
	switch {
	case d.Before == "":
		return "none → " + d.After
	case d.After == "":
		return d.Before + " → none"
	}
	return d.Before + " → " + d.After
}

// against returns in what an order is not what serves.
func (o *order) against(serving *client.ModelStatus) ([]difference, error) {
	all := []difference{}
	resolved, err := o.file.Resolved()
	if err != nil {
		return nil, fault.New(fault.Internal, "cli.diff", "write the deployment file: %w", err)
	}
	before, after := map[string]string{}, map[string]string{}
	if err = flatten(serving.Config, before); err == nil {
		err = flatten(resolved, after)
	}
	if err != nil {
		return nil, fault.New(fault.Corrupt, "cli.diff", "the deployment file of %s: %w", serving.Model, err)
	}
	all = append(all, changes("configuration", before, after)...)
	for _, f := range o.files {
		if f.role != "model" {
			continue
		}
		var digest string
		if digest, err = f.digest(); err != nil {
			return nil, err
		}
		if digest != serving.Digest {
			all = append(all, difference{What: "digest", Before: serving.Digest, After: digest})
		}
	}
	info, err := modelfile.Inspect(o.modelFile(), modelfile.DefaultLimits())
	if err != nil {
		return nil, about(o.path, err)
	}
	return append(all, fileChanges(serving.ModelInfo, info)...), nil
}

// fileChanges are those that the models' files tell: nothing is said of what one of them
// does not.
func fileChanges(serving client.ModelInfo, info *modelfile.Info) (all []difference) {
	file := serving.File
	if file == nil || info.Operators() == nil {
		return nil
	}
	if file.Format != string(info.Format) {
		all = append(all, difference{What: "format", Before: file.Format, After: string(info.Format)})
	}
	if file.SizeBytes != info.SizeBytes {
		all = append(all, difference{What: "size", Before: size(file.SizeBytes), After: size(info.SizeBytes)})
	}
	all = append(all, changes("input", ofDetails(file.Inputs), ofSpecs(info.Signature.Inputs))...)
	all = append(all, changes("output", ofDetails(file.Outputs), ofSpecs(info.Signature.Outputs))...)
	if file.Format != string(info.Format) {
		return all // each format has operators of its own
	}
	return append(all, changes("operators", counts(file.Operators), counts(info.Operators()))...)
}

// changes compares two sets of keys with their values.
func changes(what string, before, after map[string]string) (all []difference) {
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if before[key] != after[key] {
			all = append(all, difference{What: what, Key: key, Before: before[key], After: after[key]})
		}
	}
	return all
}

// flatten writes the values of a JSON object by their key paths.
func flatten(text json.RawMessage, into map[string]string) error {
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		if members, ok := value.(map[string]any); ok {
			for key, member := range members {
				walk(strings.TrimPrefix(path+"."+key, "."), member)
			}
			return
		}
		var written strings.Builder
		encoder := json.NewEncoder(&written)
		encoder.SetEscapeHTML(false)
		if encoder.Encode(value) == nil {
			into[path] = strings.TrimSpace(written.String())
		}
	}
	walk("", root)
	return nil
}

func ofDetails(all []client.TensorDetail) map[string]string {
	out := map[string]string{}
	for _, t := range all {
		out[t.Name] = t.DType + inference.FormatShape(t.Shape)
	}
	return out
}

func ofSpecs(all []inference.Spec) map[string]string {
	out := map[string]string{}
	for _, s := range all {
		out[s.Name] = s.DType.String() + inference.FormatShape(s.Shape)
	}
	return out
}

func counts(all map[string]int) map[string]string {
	out := map[string]string{}
	for name, n := range all {
		out[name] = fmt.Sprint(n)
	}
	return out
}
