package manage_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"verge/client"
	"verge/internal/api/httpapi"
	"verge/internal/api/manage"
	"verge/internal/fault"
)

// operation is what the tests read of an operation of the document.
type operation struct {
	ID         string `json:"operationId"`
	Parameters []struct {
		Name, In string
	}
	RequestBody *struct {
		Content map[string]struct{ Schema json.RawMessage }
	}
	Responses map[string]struct {
		Content map[string]struct{ Schema json.RawMessage }
	}
}

// operations are those of a document, by "GET /path".
func operations(t *testing.T) (all map[string]operation, document any) {
	t.Helper()
	text, err := manage.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]operation
	}
	if err = json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi is %q", doc.OpenAPI)
	}
	all = map[string]operation{}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			all[strings.ToUpper(method)+" "+path] = o
		}
	}
	document, err = jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return all, document
}

// fill puts values in the place of the variables of a path.
func fill(path string) string {
	return strings.NewReplacer("{digest}", digestOf("x"), "{id}", ended, "{model}", "digits").Replace(path)
}

func TestTheDocumentIsServed(t *testing.T) {
	n := start(t, nil)
	want, err := manage.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	got := n.ask(t, "GET", "/v1/openapi.json", "")
	if got.status != 200 || len(got.body) == 0 || !jsonEqual(t, got.body, string(want)) {
		t.Errorf("answer %d with %d bytes", got.status, len(got.body))
	}
}

func jsonEqual(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		t.Fatal("no JSON")
	}
	left, _ := json.Marshal(x)
	right, _ := json.Marshal(y)
	return string(left) == string(right)
}

func TestTheDocumentNamesEveryOperationAndNoOther(t *testing.T) {
	all, _ := operations(t)
	n := start(t, nil)
	ids := map[string]string{}
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	paths := map[string]bool{}
	for key, o := range all {
		_, path, _ := strings.Cut(key, " ")
		paths[path] = true
		if o.ID == "" || ids[o.ID] != "" {
			t.Errorf("%s: operationId %q is empty, or that of %s too", key, o.ID, ids[o.ID])
		}
		ids[o.ID] = key
		variables := regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1)
		for _, v := range variables {
			if !slices.ContainsFunc(o.Parameters, func(p struct{ Name, In string }) bool { return p.Name == v[1] && p.In == "path" }) {
				t.Errorf("%s: no parameter describes %s", key, v[0])
			}
		}
	}
	for path := range paths {
		for _, method := range methods {
			got := n.ask(t, method, fill(path), "")
			_, named := all[method+" "+path]
			if _, get := all["GET "+path]; method == "HEAD" && get {
				named = true // HTTP gives HEAD to whatever has GET
			}
			if refused := got.status == http.StatusMethodNotAllowed; refused == named {
				t.Errorf("%s %s is answered %d, in the document: %t", method, path, got.status, named)
			}
			if got.status == http.StatusNotFound && strings.Contains(got.body, "no such path") {
				t.Errorf("%s %s is not served", method, path)
			}
		}
	}
	// What package client asks for is all there is.
	if len(all) != 23 {
		t.Errorf("the document has %d operations; this test and client know 23", len(all))
	}
}

func TestEveryReferenceOfTheDocumentResolves(t *testing.T) {
	_, document := operations(t)
	refs := 0
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				refs++
				compiler := jsonschema.NewCompiler()
				if err := compiler.AddResource("openapi.json", document); err != nil {
					t.Fatal(err)
				}
				if _, err := compiler.Compile("openapi.json" + ref); err != nil {
					t.Errorf("%s: %v", ref, err)
				}
			}
			for _, member := range v {
				walk(member)
			}
		case []any:
			for _, element := range v {
				walk(element)
			}
		}
	}
	walk(document)
	if refs < 20 {
		t.Errorf("found %d references, want many", refs)
	}
}

// validate holds a body against the schema that an operation names for it.
func validate(t *testing.T, document any, what, schema, body string) {
	t.Helper()
	var ref struct {
		Ref string `json:"$ref"`
	}
	if err := json.Unmarshal([]byte(schema), &ref); err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("openapi.json" + ref.Ref)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for line := range strings.Lines(body) {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := compiled.Validate(value); err != nil {
			t.Errorf("%s: %s\n%v", what, line, err)
		}
	}
}

func TestAnswersAreWhatTheDocumentSays(t *testing.T) {
	all, document := operations(t)
	for name, bare := range map[string]bool{"every member": false, "no optional member": true} {
		n := start(t, func(_ *httpapi.Config, parts *manage.Node) { parts.Reports = reports{bare: bare} })
		n.deployments.refuse = nil
		for key, o := range all {
			method, path, _ := strings.Cut(key, " ")
			body := ""
			if method == "POST" && o.RequestBody != nil {
				bodies := map[string]any{
					"deploy": client.DeploymentRequest{Spec: json.RawMessage(`{}`), Artifacts: map[string]string{}}, "rollback": client.RollbackRequest{}, "pin": client.PinRequest{Version: 1}, "promote": client.PromoteRequest{To: "staging"}, "shadow": client.ShadowRequest{Sample: 1, Seconds: 1},
				}
				text, err := json.Marshal(bodies[o.ID])
				if err != nil {
					t.Fatal(err)
				}
				body = string(text)
				validate(t, document, key+" request", string(o.RequestBody.Content["application/json"].Schema), body)
			}
			got := n.ask(t, method, fill(path), body)
			for status, response := range o.Responses {
				for kind, content := range response.Content {
					if status == "default" || got.status >= 300 || !strings.Contains(string(content.Schema), "$ref") {
						continue
					}
					if got.header.Get("Content-Type") != kind {
						t.Errorf("%s (%s) is %s, the document says %s", key, name, got.header.Get("Content-Type"), kind)
					}
					validate(t, document, key+" ("+name+")", string(content.Schema), got.body)
				}
			}
			if got.status < 300 {
				if _, ok := o.Responses[http.StatusText(got.status)]; !ok && !has(o, got.status) {
					t.Errorf("%s is answered %d, which the document does not name", key, got.status)
				}
			}
		}
		n.deployments.refuse = &fault.Error{Kind: fault.Invalid, Op: "x", Hint: "h", Err: fault.Problems{{Path: "a", Message: "m"}}}
		failed := n.ask(t, "POST", "/v1/deployments", "{}")
		validate(t, document, "an error", string(all["POST /v1/deployments"].Responses["default"].Content["application/json"].Schema), failed.body)
	}
}

func has(o operation, status int) bool {
	text, _ := json.Marshal(status)
	_, ok := o.Responses[string(text)]
	return ok
}
