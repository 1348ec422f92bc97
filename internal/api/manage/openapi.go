package manage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"

	"github.com/invopop/jsonschema"

	"verge/internal/api"
	"verge/internal/fault"
	"verge/internal/version"
)

func (a *API) getOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	doc, err := OpenAPI()
	if err != nil {
		return fault.New(fault.Internal, "manage.openapi", "%w", err)
	}
	return writeJSON(w, http.StatusOK, json.RawMessage(doc))
}

// OpenAPI returns the description of this API: an OpenAPI 3.1 document, made of
// the table of routes and of the types of package client.
func OpenAPI() ([]byte, error) {
	schemas := map[string]json.RawMessage{}
	paths := map[string]map[string]any{}
	for _, r := range routes() {
		operation, err := r.operation(schemas)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
		if paths[r.path] == nil {
			paths[r.path] = map[string]any{}
		}
		paths[r.path][strings.ToLower(r.method)] = operation
	}
	return json.MarshalIndent(map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "Verge management API", "version": version.Version,
			"description": "Deploys models to one node, and tells how they are. Models answer over the Open Inference Protocol, which has a document of its own.",
		},
		"servers":    []any{map[string]string{"url": "http://localhost", "description": "the node's Unix socket"}},
		"paths":      paths,
		"components": map[string]any{"schemas": schemas},
	}, "", "  ")
}

// placeholder is a variable in the path of a route.
var placeholder = regexp.MustCompile(`\{([a-z]+)\}`)

// operation describes one route, and adds the schemas that it speaks of.
func (r route) operation(schemas map[string]json.RawMessage) (map[string]any, error) {
	success := map[string]any{"description": http.StatusText(r.status)}
	binary := json.RawMessage(`{"type":"string","format":"binary"}`)
	if _, isRaw := r.answer.(raw); isRaw {
		success["content"] = content(tarType, binary)
	} else if r.answer != nil {
		value := r.answer
		s, isStream := value.(stream)
		if isStream {
			value = s.of
		}
		schema, err := schemaOf(value, schemas)
		if err != nil {
			return nil, err
		}
		all := content("application/json", schema)
		success["content"] = all
		for _, form := range r.forms {
			all[form] = schemaMember(json.RawMessage(`{"type":"string"}`))
		}
		if isStream {
			success["content"] = map[string]any{eventLines: schemaMember(schema), eventStream: schemaMember(json.RawMessage(`{"type":"string"}`))}
		}
	}
	failure, err := schemaOf(api.ManagementError{}, schemas)
	if err != nil {
		return nil, err
	}
	operation := map[string]any{
		"operationId": r.id, "summary": r.summary,
		"responses": map[string]any{
			fmt.Sprint(r.status): success,
			"default":            map[string]any{"description": "why it was refused", "content": content("application/json", failure)},
		},
	}
	if all := r.describeParameters(); len(all) > 0 {
		operation["parameters"] = all
	}
	if r.body != nil {
		kind, schema := "application/octet-stream", binary
		if _, isRaw := r.body.(raw); !isRaw {
			kind = "application/json"
			if schema, err = schemaOf(r.body, schemas); err != nil {
				return nil, err
			}
		}
		operation["requestBody"] = map[string]any{"required": true, "content": content(kind, schema)}
	}
	return operation, nil
}

func (r route) describeParameters() []any {
	var all []any
	for _, name := range placeholder.FindAllStringSubmatch(r.path, -1) {
		all = append(all, map[string]any{"name": name[1], "in": "path", "required": true, "schema": map[string]string{"type": "string"}})
	}
	for _, p := range r.parameters {
		all = append(all, map[string]any{"name": p.name, "in": p.in, "description": p.summary, "schema": map[string]string{"type": p.kind}})
	}
	return all
}

func content(kind string, schema json.RawMessage) map[string]any {
	return map[string]any{kind: schemaMember(schema)}
}

func schemaMember(schema json.RawMessage) map[string]any { return map[string]any{"schema": schema} }

// schemaOf returns a reference to the schema of a Go value's type, which it adds
// with all that it refers to.
func schemaOf(value any, schemas map[string]json.RawMessage) (json.RawMessage, error) {
	if _, isDocument := value.(document); isDocument {
		return json.RawMessage(`{"type":"object"}`), nil
	}
	reflector := jsonschema.Reflector{Anonymous: true, AllowAdditionalProperties: true}
	text, err := json.Marshal(reflector.Reflect(value))
	if err != nil {
		return nil, fmt.Errorf("describe %T: %w", value, err)
	}
	text = bytes.ReplaceAll(text, []byte(`"#/$defs/`), []byte(`"#/components/schemas/`))
	var top struct {
		Ref  string                     `json:"$ref"`
		Defs map[string]json.RawMessage `json:"$defs"`
	}
	if err := json.Unmarshal(text, &top); err != nil {
		return nil, fmt.Errorf("describe %T: %w", value, err)
	}
	maps.Copy(schemas, top.Defs)
	return json.Marshal(map[string]string{"$ref": top.Ref})
}
