package deployfile

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// Schema returns the JSON Schema (draft 2020-12) of the deployment files that
// this version takes: keys of later versions are not in it. A file that it
// refuses, Parse refuses. Parse looks further: names of packages, grammar and
// dependences between keys.
func Schema() ([]byte, error) {
	reflector := jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, RequiredFromJSONSchemaTags: true, Mapper: custom,
	}
	schema := reflector.Reflect(&File{})
	schema.Title = "Verge deployment file"
	finish(schema, reflect.TypeFor[File]())
	on := defaults("")
	on.Tests.Load.Enabled = true // so that its details have defaults
	raw, err := json.Marshal(on)
	if err != nil {
		return nil, fmt.Errorf("encode the defaults: %w", err)
	}
	var values map[string]any
	if err := json.Unmarshal(raw, &values); err != nil {
		return nil, fmt.Errorf("decode the defaults: %w", err)
	}
	setDefaults(schema, values)
	if tests, ok := schema.Properties.Get("tests"); ok {
		if load, ok := tests.Properties.Get("load_test"); ok {
			load.Default = defaults("").Tests.Load.Enabled
		}
	}
	return json.MarshalIndent(schema, "", "  ")
}

// custom is the schema of the types that read themselves, but for the tests.
func custom(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[Requirement]():
		return &jsonschema.Schema{Type: "string", Pattern: requirementForm.String()}
	case reflect.TypeFor[Provider]():
		return providerSchema()
	case reflect.TypeFor[Quantize]():
		return &jsonschema.Schema{Enum: []any{true, false, "dynamic", "static", "float16"}}
	case reflect.TypeFor[Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^[0-9][0-9a-zµ.]*$`}
	}
	return nil
}

// providerSchema is that of a name, or of an object with one.
func providerSchema() *jsonschema.Schema {
	one, longest, most := uint64(1), uint64(maxProviderName), uint64(maxProviderOptions)
	name := &jsonschema.Schema{Type: "string", MinLength: &one, MaxLength: &longest}
	values := &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}}
	object := &jsonschema.Schema{
		Type: "object", Properties: jsonschema.NewProperties(), Required: []string{"name"}, AdditionalProperties: jsonschema.FalseSchema,
	}
	named := *name
	named.Description = "As the library calls it, or a path."
	object.Properties.Set("name", &named)
	object.Properties.Set("options", &jsonschema.Schema{
		Type: "object", AdditionalProperties: values, MaxProperties: &most, Description: "Options that the library reads, by name.",
	})
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{name, object}}
}

// JSONSchemaExtend implements the generator's hook: a test may be a boolean.
func (PerformanceTest) JSONSchemaExtend(s *jsonschema.Schema) { orBoolean(s) }

// JSONSchemaExtend implements the generator's hook: a test may be a boolean.
func (FunctionalTest) JSONSchemaExtend(s *jsonschema.Schema) { orBoolean(s) }

// JSONSchemaExtend implements the generator's hook: a test may be a boolean.
func (LoadTest) JSONSchemaExtend(s *jsonschema.Schema) { orBoolean(s) }

func orBoolean(s *jsonschema.Schema) {
	object := *s
	*s = jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "boolean"}, &object}}
}

// finish writes what the generator does not know into the schema of a struct:
// values in any case, and limits on what lies in lists and maps.
func finish(s *jsonschema.Schema, t reflect.Type) {
	for field := range t.Fields() {
		key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if s.Properties == nil || key == "" || key == "-" {
			continue
		}
		property, ok := s.Properties.Get(key)
		if !ok {
			continue
		}
		if field.Tag.Get("anycase") == "true" {
			anyCase(property)
		}
		kind := field.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		switch kind.Kind() { //nolint:exhaustive // the rest is complete
		case reflect.Struct:
			finish(property, kind)
		case reflect.Array:
			inner(property.Items, field)
		case reflect.Map:
			if values := property.AdditionalProperties; values != nil {
				most := uint64(16)
				values.MaxItems = &most
				inner(values.Items, field)
			}
			property.Minimum, property.Maximum = "", ""
		}
	}
}

// inner hands the range of a field on to the numbers in it.
func inner(s *jsonschema.Schema, field reflect.StructField) {
	for part := range strings.SplitSeq(field.Tag.Get("jsonschema"), ",") {
		switch key, value, _ := strings.Cut(part, "="); key {
		case "minimum":
			s.Minimum = json.Number(value)
		case "maximum":
			s.Maximum = json.Number(value)
		}
	}
}

// anyCase takes an enum's values in any case; the enum stays for editors.
func anyCase(s *jsonschema.Schema) {
	var words []string
	for _, value := range s.Enum {
		var b strings.Builder
		for _, c := range fmt.Sprint(value) {
			fmt.Fprintf(&b, "[%s%s]", strings.ToLower(string(c)), strings.ToUpper(string(c)))
		}
		words = append(words, b.String())
	}
	s.AnyOf = []*jsonschema.Schema{{Enum: s.Enum}, {Pattern: "^(" + strings.Join(words, "|") + ")$"}}
	s.Enum = nil
}

// setDefaults writes the defaults into the schema, key by key.
func setDefaults(s *jsonschema.Schema, values map[string]any) {
	for key, value := range values {
		property, ok := s.Properties.Get(key)
		if !ok {
			continue
		}
		nested, isMap := value.(map[string]any)
		switch {
		case isMap && property.Properties != nil:
			setDefaults(property, nested)
		case isMap && len(property.OneOf) > 0: // a test that is on
			property.Default = true
			setDefaults(property.OneOf[1], nested)
		case value != "": // model.path has none
			property.Default = value
		}
	}
}
