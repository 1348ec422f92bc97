package cli

import (
	"cmp"
	"errors"
	"path/filepath"

	"verge/internal/report"
)

type reportCommand struct {
	Deployment string `arg:"" optional:"" help:"Id of the deployment."`
	Format     string `placeholder:"FORMAT" help:"text, json, junit or html; without it, what fits the name of FILE, else text."`
	Output     string `name:"output" short:"o" placeholder:"FILE" help:"Write the report to this file instead of the standard output."`
	Schema     bool   `help:"Print the JSON Schema of the format json instead."`
}

// Validate is called by kong.
func (r *reportCommand) Validate() error {
	if _, ok := report.FormOf(cmp.Or(r.Format, string(report.Text))); !ok {
		return errors.New("--format wants text, json, junit or html")
	}
	if (r.Deployment == "") != r.Schema {
		return errors.New("want the id of a deployment, or --schema")
	}
	return nil
}

// Run shows what a node keeps of a deployment.
func (r *reportCommand) Run(c *call) error {
	if r.Schema {
		text, err := report.Schema()
		if err != nil {
			return err
		}
		return c.save(r.Output, text)
	}
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	text, err := node.ReportDocument(c, r.Deployment, string(r.form()))
	if err != nil {
		return err
	}
	return c.save(r.Output, text)
}

// form is the format that is asked for.
func (r *reportCommand) form() report.Form {
	if form, ok := report.FormOf(r.Format); ok {
		return form
	}
	if form, ok := report.FormOfFile(filepath.Ext(r.Output)); ok {
		return form
	}
	return report.Text
}
