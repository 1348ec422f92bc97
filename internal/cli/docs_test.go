package cli_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/cli"
	"verge/internal/config"
	"verge/internal/deployfile"
)

const docs = "../../docs/"

func TestTheReferenceNamesEveryCommandAndFlagAndNoOther(t *testing.T) {
	want, err := cli.Grammar()
	if err != nil {
		t.Fatal(err)
	}
	delete(want, "runtime") // only a word before others
	delete(want, "config")
	delete(want, "service")
	for path := range want {
		slices.Sort(want[path])
	}
	got := map[string][]string{}
	path := "none"
	heading, row := regexp.MustCompile("^#+ `verge([a-z ]*)"), regexp.MustCompile("^\\| `(?:-[a-z], )?(--[a-z-]+)")
	for line := range strings.Lines(string(read(t, docs+"cli.md"))) {
		if m := heading.FindStringSubmatch(line); m != nil {
			path = strings.TrimSpace(m[1])
			got[path] = nil
		} else if strings.HasPrefix(line, "## Flags of every command") {
			path = ""
			got[path] = nil
		}
		if m := row.FindStringSubmatch(line); m != nil {
			got[path] = append(got[path], m[1])
		}
	}
	for path := range got {
		slices.Sort(got[path])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/cli.md (-grammar +page):\n%s", diff)
	}
}

func TestTheOutputsInTheReferenceAreThoseOfTests(t *testing.T) {
	var golden strings.Builder
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		golden.Write(read(t, file))
	}
	blocks := regexp.MustCompile("(?s)```console\n\\$ ([^\n]+)\n(.+?)```").FindAllStringSubmatch(string(read(t, docs+"cli.md")), -1)
	const least = 8
	if len(blocks) < least {
		t.Errorf("%d examples, want %d or more", len(blocks), least)
	}
	for _, block := range blocks {
		for part := range strings.SplitSeq(block[2], "…\n") {
			if !strings.Contains(golden.String(), part) {
				t.Errorf("$ %s: no test has this output:\n%s", block[1], part)
			}
		}
	}
}

func TestTheReferenceTellsTheExitStatuses(t *testing.T) {
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([0-9]+) \|`).FindAllStringSubmatch(string(read(t, docs+"cli.md")), -1) {
		got = append(got, m[1])
	}
	if want := []string{"0", "1", "2", "3", "4", "5", "130"}; !slices.Equal(got, want) {
		t.Errorf("exit statuses %v, want %v", got, want)
	}
}

func TestLinksInThePagesLead(t *testing.T) {
	for _, page := range []string{"cli.md", "configuration.md", "deployment-file.md"} {
		for _, m := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(string(read(t, docs+page)), -1) {
			if _, err := os.Stat(filepath.Join(docs, m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

func TestTheSettingsInThePageAreSettings(t *testing.T) {
	shown := string(config.Default().Show())
	for _, m := range regexp.MustCompile("`(serve|worker|monitor|health|limits|gates)\\.([a-z_]+)`").FindAllStringSubmatch(string(read(t, docs+"configuration.md")), -1) {
		if !strings.Contains(shown, "\n"+m[1]+":\n") || !strings.Contains(shown, "\n  "+m[2]+": ") {
			t.Errorf("%s.%s is no setting", m[1], m[2])
		}
	}
}

// property is a key in the schema of a deployment file.
type property struct {
	Type             string              `json:"type"`
	Description      string              `json:"description"`
	Default          json.RawMessage     `json:"default"`
	Enum             []any               `json:"enum"`
	Minimum          json.Number         `json:"minimum"`
	ExclusiveMinimum json.Number         `json:"exclusiveMinimum"`
	Maximum          json.Number         `json:"maximum"`
	MaxItems         int                 `json:"maxItems"`
	MinItems         int                 `json:"minItems"`
	MaxLength        int                 `json:"maxLength"`
	Required         []string            `json:"required"`
	Properties       map[string]property `json:"properties"`
	Items            *property           `json:"items"`
	Additional       json.RawMessage     `json:"additionalProperties"`
	OneOf            []property          `json:"oneOf"`
	AnyOf            []property          `json:"anyOf"`
}

// takes says which values a key takes.
func (p property) takes() string {
	var words []string
	for _, word := range p.Enum {
		text, _ := json.Marshal(word)
		words = append(words, "`"+strings.Trim(string(text), `"`)+"`")
	}
	switch {
	case len(words) > 0:
		return strings.Join(words, " ")
	case len(p.AnyOf) > 0:
		return p.AnyOf[0].takes() + ", in any case"
	case len(p.OneOf) > 0 && p.OneOf[0].Type == "boolean":
		return "true, false, or the keys below, which mean true"
	case len(p.OneOf) > 0 && len(p.OneOf[1].Properties) == 0:
		words := make([]string, len(p.OneOf))
		for i, one := range p.OneOf {
			words[i] = one.takes()
		}
		return strings.Join(words, " or ")
	case len(p.OneOf) > 0: // a string, or an object
		return "string, or " + strings.Join(slices.Sorted(maps.Keys(p.OneOf[1].Properties)), " with ")
	case p.Minimum != "":
		return p.Type + ", " + string(p.Minimum) + " to " + string(p.Maximum)
	case p.ExclusiveMinimum != "":
		return p.Type + ", above " + string(p.ExclusiveMinimum) + " to " + string(p.Maximum)
	case p.Type == "array" && p.MinItems == p.MaxItems:
		return fmt.Sprintf("%d of %s", p.MaxItems, p.Items.takes())
	case p.Type == "array":
		return fmt.Sprintf("up to %d of %s", p.MaxItems, p.Items.takes())
	case p.Type == "string" && p.MaxLength > 0:
		return fmt.Sprintf("string, up to %d characters", p.MaxLength)
	case p.Type == "object" && len(p.Additional) > 5: // not "false"
		var values property
		if json.Unmarshal(p.Additional, &values) == nil {
			return "name: " + values.takes()
		}
	}
	return p.Type
}

// rows is one line of the table for each key below a path.
func (p property) rows(path string, b *strings.Builder) {
	for _, key := range slices.Sorted(maps.Keys(p.Properties)) {
		child := p.Properties[key]
		full := strings.TrimPrefix(path+"."+key, ".")
		missing := "none"
		if slices.Contains(p.Required, key) {
			missing = "required"
		}
		if child.Default != nil {
			missing = "`" + strings.Trim(string(child.Default), `"`) + "`"
		}
		if child.Type != "object" || len(child.Properties) == 0 {
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", full, child.takes(), missing, child.Description)
		}
		child.rows(full, b)
		for _, one := range child.OneOf {
			one.rows(full, b)
		}
		if child.Items != nil {
			child.Items.rows(full+"[]", b)
			for _, one := range child.Items.OneOf {
				one.rows(full+"[]", b)
			}
		}
	}
}

func TestThePageOfTheDeploymentFileIsItsSchema(t *testing.T) {
	schema, err := deployfile.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var root property
	if err := json.Unmarshal(schema, &root); err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	root.rows("", &rows)
	const path, begin, end = docs + "deployment-file.md", "| --- | --- | --- | --- |\n", "\n<!-- end of keys -->"
	page := string(read(t, path))
	before, rest, ok := strings.Cut(page, begin)
	got, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatal("docs/deployment-file.md has no table of keys")
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+rows.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(rows.String(), got); diff != "" {
		t.Errorf("docs/deployment-file.md (-schema +page):\n%s", diff)
	}
}
