package report

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/invopop/jsonschema"

	"verge/client"
)

// Form is a form that a report can have.
type Form string

// The forms.
const (
	JSON  Form = "json"
	Text  Form = "text"
	JUnit Form = "junit"
	HTML  Form = "html"
)

// Forms returns every form.
func Forms() []Form { return []Form{Text, JSON, JUnit, HTML} }

// FormOf returns the form of a name.
func FormOf(name string) (f Form, ok bool) {
	for _, f := range Forms() {
		if string(f) == name {
			return f, true
		}
	}
	return "", false
}

// FormOfFile returns the form that fits the name of a file, by its extension.
func FormOfFile(extension string) (f Form, ok bool) {
	switch extension {
	case ".json":
		return JSON, true
	case ".txt":
		return Text, true
	case ".xml":
		return JUnit, true
	case ".html", ".htm":
		return HTML, true
	}
	return "", false
}

// ContentType is the media type of a form.
func (f Form) ContentType() string {
	switch f {
	case Text:
		return "text/plain; charset=utf-8"
	case JUnit:
		return "application/xml"
	case HTML:
		return "text/html; charset=utf-8"
	case JSON:
	}
	return "application/json"
}

// Write returns a report in a form, with a line feed at its end.
func Write(r *client.Report, f Form) ([]byte, error) {
	switch f {
	case Text:
		return writeText(r), nil
	case JUnit:
		return writeJUnit(r)
	case HTML:
		return writeHTML(r)
	case JSON:
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return nil, fmt.Errorf("encode the report: %w", err)
	}
	return b.Bytes(), nil
}

// Schema returns the JSON Schema (draft 2020-12) of the form JSON.
func Schema() ([]byte, error) {
	reflector := jsonschema.Reflector{Anonymous: true, AllowAdditionalProperties: true}
	schema := reflector.Reflect(client.Report{})
	schema.Title = "Report of a deployment"
	schema.Description = fmt.Sprintf("What verge report --format json prints; format %d.", client.ReportFormat)
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	return append(text, '\n'), nil
}
