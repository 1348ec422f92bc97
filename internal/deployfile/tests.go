package deployfile

import (
	"encoding/json"
	"time"

	"verge/internal/document"
)

// Tests are the tests that a version passes before it serves. Each is written as
// true, false, or an object with details, which means true.
type Tests struct {
	Performance PerformanceTest `json:"performance_test" jsonschema_description:"Single requests, one after the other, against max_latency_ms."`
	Functional  FunctionalTest  `json:"functional_test" jsonschema_description:"The model answers, and as the golden cases say where there are any."`
	Load        LoadTest        `json:"load_test" jsonschema_description:"Many clients at a time."`
}

// PerformanceTest measures single requests.
type PerformanceTest struct {
	Enabled    bool    `json:"-"`
	Runs       int     `json:"runs" jsonschema:"minimum=1,maximum=100000" jsonschema_description:"Requests that are measured."`
	Warmup     int     `json:"warmup" jsonschema:"minimum=0,maximum=100000" jsonschema_description:"Requests before them that are not."`
	Percentile float64 `json:"percentile" jsonschema:"exclusiveMinimum=0,maximum=100" jsonschema_description:"Percentile of their latency that is held against max_latency_ms."`
}

// FunctionalTest looks at answers.
type FunctionalTest struct {
	Enabled   bool    `json:"-"`
	Golden    string  `json:"golden,omitempty" jsonschema:"maxLength=4096" jsonschema_description:"npz file with rows of inputs and of the outputs that belong to them, relative to the deployment file."`
	Tolerance float64 `json:"tolerance" jsonschema:"minimum=0,maximum=1" jsonschema_description:"How far floats may be off, absolute and relative."`
	AllowNaN  bool    `json:"allow_nan,omitempty" jsonschema_description:"Answers may have NaN and infinities where the inputs have none."`
}

// LoadTest sends requests from many clients.
type LoadTest struct {
	Enabled           bool     `json:"-"`
	Clients           int      `json:"clients" jsonschema:"minimum=1,maximum=1024" jsonschema_description:"Clients at a time."`
	RequestsPerClient int      `json:"requests_per_client" jsonschema:"minimum=1,maximum=100000" jsonschema_description:"Requests of each, one after the other."`
	MinSuccessRate    float64  `json:"min_success_rate" jsonschema:"minimum=0,maximum=1" jsonschema_description:"Share of the requests that must be answered."`
	Rate              float64  `json:"rate,omitempty" jsonschema:"minimum=0,maximum=1000000" jsonschema_description:"Requests a second that are sent by schedule, whatever the answers; 0 sends each after the answer before."`
	Duration          Duration `json:"duration,omitzero" jsonschema_description:"How long to send by schedule, such as 30s; at most 1h."`
}

// DecodeNode implements document.Custom.
func (t *PerformanceTest) DecodeNode(d *document.Decoder, path string, n *document.Node) {
	type details PerformanceTest
	decodeTest(d, path, n, &t.Enabled, (*details)(t))
}

// DecodeNode implements document.Custom.
func (t *FunctionalTest) DecodeNode(d *document.Decoder, path string, n *document.Node) {
	type details FunctionalTest
	decodeTest(d, path, n, &t.Enabled, (*details)(t))
}

// DecodeNode implements document.Custom.
func (t *LoadTest) DecodeNode(d *document.Decoder, path string, n *document.Node) {
	type details LoadTest
	decodeTest(d, path, n, &t.Enabled, (*details)(t))
	if n.Kind == document.Map && (t.Rate > 0) != (t.Duration > 0) {
		d.Problems.Add(path, n.Line, "rate and duration go together")
	}
}

// decodeTest reads true, false, or an object; details has no DecodeNode, so
// that its fields are read one by one.
func decodeTest(d *document.Decoder, path string, n *document.Node, enabled *bool, details any) {
	switch n.Kind {
	case document.Bool:
		*enabled = n.Text == "true"
	case document.Map:
		*enabled = true
		d.Decode(path, n, details)
	case document.Null, document.Number, document.String, document.List:
		d.Wrong(path, n, "true, false or an object")
	}
}

// MarshalJSON writes false for a test that is off, else its details.
func (t PerformanceTest) MarshalJSON() ([]byte, error) {
	type details PerformanceTest
	return encodeTest(t.Enabled, details(t))
}

// MarshalJSON writes false for a test that is off, else its details.
func (t FunctionalTest) MarshalJSON() ([]byte, error) {
	type details FunctionalTest
	return encodeTest(t.Enabled, details(t))
}

// MarshalJSON writes false for a test that is off, else its details.
func (t LoadTest) MarshalJSON() ([]byte, error) {
	type details LoadTest
	return encodeTest(t.Enabled, details(t))
}

func encodeTest(enabled bool, details any) ([]byte, error) {
	if !enabled {
		return []byte("false"), nil
	}
	return json.Marshal(details)
}

// Duration is a time written as "1m30s".
type Duration time.Duration

// DecodeNode implements document.Custom.
func (t *Duration) DecodeNode(d *document.Decoder, path string, n *document.Node) {
	const most = time.Hour
	got, err := time.ParseDuration(n.Text)
	if n.Kind != document.String || err != nil || got <= 0 || got > most {
		d.Wrong(path, n, `a time above 0s and up to 1h, such as "30s"`)
		return
	}
	*t = Duration(got)
}

// MarshalJSON writes the time as Duration reads it.
func (t Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(t).String()) }

// Quantize says how to quantise: "" not at all, "auto" as Verge chooses (written
// as true), "dynamic", "static" or "float16".
type Quantize string

// DecodeNode implements document.Custom.
func (q *Quantize) DecodeNode(d *document.Decoder, path string, n *document.Node) {
	switch {
	case n.Kind == document.Bool && n.Text == "true":
		*q = "auto"
	case n.Kind == document.Bool:
		*q = ""
	case n.Kind == document.String && (n.Text == "dynamic" || n.Text == "static" || n.Text == "float16"):
		*q = Quantize(n.Text)
	default:
		d.Wrong(path, n, "true, false, dynamic, static or float16")
	}
}

// MarshalJSON writes what DecodeNode reads.
func (q Quantize) MarshalJSON() ([]byte, error) {
	if q == "" || q == "auto" {
		return json.Marshal(q == "auto")
	}
	return json.Marshal(string(q))
}
