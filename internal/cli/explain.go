package cli

import (
	"strings"

	"verge/internal/deploy"
	"verge/internal/device"
	"verge/internal/fault"
)

type explainCommand struct {
	File          string   `arg:"" help:"Deployment file."`
	IgnorePackage []string `placeholder:"NAME" help:"A required package that is not to be looked for."`
	JSON          bool     `help:"Print JSON."`
	rootFlags
}

// explained is what the command prints as JSON.
type explained struct {
	Model string `json:"model"`
	*deploy.Explanation
	Warnings []string       `json:"warnings"`
	Problems fault.Problems `json:"problems"`
}

// Run says what would be taken to run a model here, or on a machine whose files are
// here. What keeps it from being deployed is part of the answer, and no failure.
func (e *explainCommand) Run(c *call) error {
	flags := orderFlags{File: e.File, IgnorePackage: e.IgnorePackage}
	order, err := flags.read()
	if err != nil {
		return err
	}
	defer order.close()
	libraries, err := e.libraries(c)
	if err != nil {
		return err
	}
	m, err := e.machine()
	if err != nil {
		return err
	}
	machine, version := machineWith(m, libraries), versions(libraries)
	findings := deploy.Check(order.file, order.modelFile(), order.variants(), machine, version)
	x := explained{
		Model: order.name, Explanation: findings.Explain(order.file, machine, version),
		Warnings: warnings(findings, order.file), Problems: append(fault.Problems{}, findings.Problems...),
	}
	if e.JSON {
		return c.printJSON(x)
	}
	return c.showExplanation(x)
}

func (c *call) showExplanation(x explained) error {
	t := newTable(c.std.Out, "")
	t.row("model", "%s", x.Model)
	for _, row := range []struct {
		name   string
		choice deploy.Choice
	}{
		{"format", x.Format},
		{"precision", x.Precision},
		{"runtime", x.Runtime},
		{"device", x.Device},
		{"provider", x.Provider},
		{"threads", x.Threads},
		{"memory", x.Memory},
	} {
		switch {
		case row.choice == deploy.Choice{}:
		case row.choice.Taken == "":
			t.row(row.name, "none: %s", row.choice.Why)
		default:
			t.row(row.name, "%s: %s", row.choice.Taken, row.choice.Why)
		}
	}
	for _, w := range x.Ways {
		t.row("tries", "%s", w)
	}
	for _, a := range x.Alternatives {
		state := "possible"
		switch {
		case len(a.Missing) > 0:
			state = "lacks: " + strings.Join(a.Missing, "; ")
		case a.How != "":
			state = "possible with " + a.How
		}
		t.row("instead", "%s %s on %s: %s", a.Runtime, a.Provider, a.Device, state)
	}
	for _, w := range x.Warnings {
		t.row("warning", "%s", w)
	}
	for _, p := range x.Problems {
		t.row("problem", "%s: %s", p.Path, p.Message)
		if p.Hint != "" {
			t.row("", "Hint: %s", p.Hint)
		}
	}
	return t.flush()
}

// machine is the one that the flags name.
func (r *rootFlags) machine() (*device.Machine, error) {
	if !r.elsewhere() {
		return device.New(), nil
	}
	return device.At(r.Root, r.Arch), r.check()
}
