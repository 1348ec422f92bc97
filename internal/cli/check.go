package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"verge/internal/app"
	"verge/internal/deploy"
	"verge/internal/deployfile"
	"verge/internal/device"
	"verge/internal/device/provider"
	"verge/internal/fault"
	"verge/internal/modelname"
	"verge/internal/runtimeinstall"
)

type checkCommand struct {
	File          string   `arg:"" optional:"" help:"Deployment file."`
	Name          string   `placeholder:"NAME" help:"Name of the served model, whatever the file says."`
	Stage         string   `placeholder:"STAGE" help:"Stage that is deployed to, whatever the file says."`
	IgnorePackage []string `placeholder:"NAME" help:"A required package that is not to be looked for."`
	JSON          bool     `help:"Print JSON."`
	Schema        bool     `help:"Print the JSON Schema of a deployment file instead."`
}

// Validate is called by kong.
func (k *checkCommand) Validate() error {
	if k.Schema == (k.File != "") {
		return errors.New("want a deployment file, or --schema")
	}
	return nil
}

// checked is what `verge check --json` prints.
type checked struct {
	Model      string          `json:"model,omitempty"`
	Runtime    string          `json:"runtime,omitempty"`
	Threads    int             `json:"threads,omitempty"`
	Warnings   []string        `json:"warnings"`
	Problems   fault.Problems  `json:"problems"`
	Deployment json.RawMessage `json:"deployment,omitempty"` // the file with its defaults
	Stage      string          `json:"stage,omitempty"`
	// Unsaid is what the file does not say, and what is taken for it.
	Unsaid []deployfile.Unsaid `json:"unsaid,omitempty"`
}

// Run finds what is wrong without loading the model; no node is needed.
func (k *checkCommand) Run(c *call) error {
	if k.Schema {
		schema, err := deployfile.Schema()
		if err != nil {
			return err
		}
		c.print("%s\n", strings.TrimRight(string(schema), "\n"))
		return nil
	}
	found, err := k.check(c)
	if k.JSON && (err == nil || len(problemsOf(err)) > 0) {
		found.Problems = append(fault.Problems{}, problemsOf(err)...)
		if failed := c.printJSON(found); failed != nil || err == nil {
			return failed
		}
		return said{exitFailed}
	}
	t := newTerminal(c.std.Out, c.std.Environ)
	for _, w := range found.Warnings {
		c.print("%s %s\n", t.paint(yellow, "warning:"), w)
	}
	if err != nil {
		return err
	}
	c.print("%s: %s would run in %s on %d %s; nothing was loaded\n", k.File, found.Model, found.Runtime, found.Threads, plural(found.Threads, "thread"))
	c.print("stage %s: %s\n", found.Stage, stageWants[found.Stage])
	return c.unsaid(found.Unsaid)
}

// stageWants is what stages want, as docs/deployment-file.md tells it.
var stageWants = map[string]string{ //nolint:gochecknoglobals // a constant table
	modelname.Development: "what fails its gates is deployed all the same, with a warning",
	modelname.Testing:     "all gates count, and the tests as the file says",
	modelname.Staging:     "all three tests, latencies shown with a confidence of 0.99, and no verdict that cannot tell",
	modelname.Production:  "as staging, and these files have passed staging; then the version is observed",
}

// unsaid tells what is taken for what a file does not say.
func (c *call) unsaid(all []deployfile.Unsaid) error {
	if len(all) == 0 {
		return nil
	}
	c.print("what the file does not say:\n")
	t := tabwriter.NewWriter(c.std.Out, 0, 0, 2, ' ', 0)
	for _, u := range all {
		line := "  " + u.Key + "\t" + string(u.Value)
		if u.Stage != "" {
			line += "\tat the stage " + u.Stage
		}
		fmt.Fprintln(t, line)
	}
	return t.Flush()
}

// check looks at the file, the model and this machine as a node would. What it
// has found is right beside an error too.
func (k *checkCommand) check(c *call) (checked, error) {
	found := checked{Warnings: []string{}}
	flags := orderFlags{File: k.File, Name: k.Name, Stage: k.Stage, IgnorePackage: k.IgnorePackage}
	order, err := flags.read()
	if err != nil {
		return found, err
	}
	defer order.close()
	findings, err := c.findings(order)
	if err != nil {
		return found, err
	}
	if found.Deployment, err = order.file.Resolved(); err != nil {
		return found, err
	}
	found.Stage, found.Unsaid = order.file.Stage, order.file.Unsaid()
	found.Model, found.Runtime, found.Threads = order.name, findings.Runtime, findings.Threads
	found.Warnings = warnings(findings, order.file)
	if err := findings.Err(); err != nil {
		return found, about(k.File, err)
	}
	return found, nil
}

// warnings are those of a check, and what this version does not do; never nil.
func warnings(f *deploy.Findings, file *deployfile.File) []string {
	return append(append([]string{}, f.Warnings...), deploy.Undone(file)...)
}

// findings is what can be said of an order without loading its model.
func (c *call) findings(o *order) (*deploy.Findings, error) {
	libraries, err := c.libraries()
	if err != nil {
		return nil, err
	}
	findings := deploy.Check(o.file, o.modelFile(), o.variants(), machineWith(device.New(), libraries), versions(libraries))
	digests := map[string]string{}
	for _, f := range o.files {
		if !o.wantsDigest(f.role) {
			continue // reading all of it takes its time
		}
		if digests[f.role], err = f.digest(); err != nil {
			return nil, err
		}
	}
	findings.CheckDigests(o.file, digests)
	data := map[string][]byte{}
	for _, of := range deploy.DataFiles(o.file) {
		if data[of.Role], err = o.read(of.Role); err != nil {
			return nil, err
		}
	}
	findings.CheckData(o.file, data)
	return findings, nil
}

// machineWith is a machine on which those libraries are.
func machineWith(m *device.Machine, libraries *runtimeinstall.Runtimes) deploy.Machine {
	return provider.Machine{Machine: m, Installed: func() []provider.Installed { return app.Installed(libraries) }}
}

// versions finds the versions of libraries.
func versions(libraries *runtimeinstall.Runtimes) deploy.Libraries {
	return func(name string) (string, error) {
		found, err := libraries.Find(name)
		return found.Version, err
	}
}
