package deployfile_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"verge/internal/deployfile"
)

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := deployfile.Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err = compiler.AddResource("deployment.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("deployment.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// value is a file as a JSON Schema validator wants it; false for a text that is
// neither JSON nor YAML.
func value(text []byte) (any, bool) {
	var v any
	if json.Valid(text) {
		parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		return parsed, err == nil
	}
	if err := yaml.Load(text, &v); err != nil {
		return nil, false
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, false
	}
	v, err = jsonschema.UnmarshalJSON(bytes.NewReader(text))
	return v, err == nil
}

func TestTheSchemaTakesEveryGoodFile(t *testing.T) {
	schema := compile(t)
	for name, text := range corpus(t, "*.good.json", "*.good.yaml") {
		v, ok := value(text)
		if !ok {
			t.Errorf("%s is not readable", name)
			continue
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		file, err := deployfile.Parse(text, name)
		if err != nil {
			t.Fatal(err)
		}
		resolved, err := file.Resolved()
		if err != nil {
			t.Fatal(err)
		}
		v, _ = value(resolved)
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s with its defaults: %v", name, err)
		}
	}
}

// What a schema cannot say, only Parse refuses.
func TestTheSchemaRefusesWhatParseRefuses(t *testing.T) {
	beyond := "strategy.bad.yaml percentile.bad.yaml accuracy.bad.yaml accuracy-limits.bad.yaml twice.bad.json twice.bad.yaml name.bad.yaml nul.bad.json merge.bad.yaml tag.bad.yaml documents.bad.yaml"
	schema := compile(t)
	for name, text := range corpus(t, "*.bad.json", "*.bad.yaml") {
		v, ok := value(text)
		if !ok || strings.Contains(beyond, name) {
			continue
		}
		if schema.Validate(v) == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestTheSchemaIsAsDocumented(t *testing.T) {
	text, err := deployfile.Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "schema.golden", append(text, '\n'))
}
