package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"verge/client"
	"verge/internal/report"
)

var update = flag.Bool("update", false, "rewrite the expected outputs")

func at(seconds float64) time.Time {
	return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

// spread is a histogram of latencies around a middle, as the gates make them.
func spread(n int, from, to float64) *client.Histogram {
	const buckets = 24
	random := rand.New(rand.NewPCG(1, 2))
	h := &client.Histogram{FromMS: from, Counts: make([]int, buckets)}
	for i := range buckets {
		h.BoundsMS = append(h.BoundsMS, from+(to-from)/buckets*float64(i+1))
	}
	for range n {
		h.Counts[min(int((random.ExpFloat64()+random.Float64())*4), buckets-1)]++
	}
	return h
}

// committed is a deployment in which everything was measured.
func committed() *client.Report {
	phases := []client.Phase{
		client.PhasePending, client.PhaseChecking, client.PhasePreparing, client.PhaseLoading, client.PhaseGating, client.PhaseTesting,
		client.PhaseActivating, client.PhaseCommitted,
	}
	ends := []float64{0.001, 0.0521, 0.0522, 1.31, 2.02, 4.71, 4.713, 4.713}
	d := client.Deployment{
		ID: "digits-20261123-7f3a", Model: "digits", Version: 3, Stage: "testing", Phase: client.PhaseCommitted,
		Digest: "sha256:" + strings.Repeat("0123456789abcdef", 4), Created: at(0), Updated: at(4.713), Reason: "retrained with the pictures of last week",
		Warnings: []string{"gpu: no gpu on this machine", "performance: inconclusive: the budget of 10s was used up"},
		Spec:     json.RawMessage(`{"model":{"path":"digits.onnx"},"deployment":{"max_latency_ms":5,"device_type":"gpu","fallback":"cpu"}}`),
		Verdicts: []client.Verdict{
			{
				Gate: "latency", Phase: client.PhaseGating, Outcome: client.OutcomePass, Figure: new(3.912), Limit: new(5.0), Unit: "ms", Samples: 20, Time: at(1.31),
				How: "20 runs after 5 to warm up, one at a time, inside the node; seeded inputs", Detail: "p95 of 20 runs; mean 3.1 ms", Device: "Raspberry Pi 5", Celsius: new(51.2),
				Figures: map[string]float64{"mean_ms": 3.1, "min_ms": 2.8, "max_ms": 4.2, "p50_ms": 3.05, "p95_ms": 3.912, "p99_ms": 4.2}, Histogram: spread(20, 2.8, 4.2),
			},
			{
				Gate: "memory", Phase: client.PhaseGating, Outcome: client.OutcomePass, Figure: new(41.5), Limit: new(256.0), Unit: "MB", Samples: 1, Time: at(2.01),
				How: "RssAnon + RssShmem of the worker, sampled", Device: "Raspberry Pi 5",
			},
			{Gate: "signature", Phase: client.PhaseGating, Outcome: client.OutcomePass, Time: at(2.015), Detail: "the same inputs and outputs"},
			{
				Gate: "performance", Phase: client.PhaseTesting, Outcome: client.OutcomeInconclusive, Figure: new(4.4), Limit: new(5.0), Unit: "ms", Samples: 50, Time: at(2.02),
				Detail: "the budget of 10s was used up", Figures: map[string]float64{"p50_ms": 3.2, "p95_ms": 4.4}, Histogram: spread(50, 2.9, 8),
			},
			{Gate: "functional", Phase: client.PhaseTesting, Outcome: client.OutcomePass, Time: at(3.1), Samples: 1},
			{
				Gate: "load", Phase: client.PhaseTesting, Outcome: client.OutcomePass, Figure: new(1.0), Limit: new(0.95), Unit: "ratio", Samples: 200, Time: at(3.2),
				How: "10 clients with 20 requests each", Figures: map[string]float64{"p50_ms": 21, "p95_ms": 44}, Histogram: spread(200, 12, 70),
			},
		},
	}
	r := &client.Report{Format: client.ReportFormat, Complete: true, VergeVersion: "0.3.0", DurationMS: 4713}
	begin := 0.0
	for i, p := range phases {
		d.Phases = append(d.Phases, client.PhaseRecord{Phase: p, Started: at(begin), Ended: at(ends[i])})
		if !p.Final() {
			r.Durations = append(r.Durations, client.PhaseDuration{Phase: p, DurationMS: float64(at(ends[i]).Sub(at(begin)).Microseconds()) / 1000})
		}
		r.Events = append(r.Events, client.ReportEvent{Time: at(begin), Type: client.EventPhase, Phase: p})
		begin = ends[i]
	}
	r.Events = slices.Insert(r.Events, 2, client.ReportEvent{Time: at(0.05), Type: client.EventWarning, Phase: client.PhaseChecking, Message: d.Warnings[0]})
	r.Deployment = d
	r.AskedBy = &client.Actor{Kind: client.ActorSocket, Name: "ada", UID: new(1000), GID: new(1000), PID: 4711}
	r.FileName, r.File = "deployment.yaml", "# what the camera at the gate runs\nmodel: {path: digits.onnx}\ndeployment:\n  max_latency_ms: 5\n  device_type: gpu\n  fallback: cpu\n"
	r.Device = client.ReportDevice{
		Label: "Raspberry Pi 5 Model B Rev 1.0", Board: "Raspberry Pi 5 Model B Rev 1.0", CPU: "Cortex-A76", Architecture: "arm64", Processors: 4, MemoryBytes: 8 << 30,
		OS: "linux", Kernel: "6.12.25", Libc: "glibc 2.36", CelsiusAtBegin: new(51.2), CelsiusAtEnd: new(58.75), Accelerators: []string{"npu Hailo-8, no driver"},
	}
	runtime := &client.ReportRuntime{
		Name: "onnxruntime", Version: "1.30.0", Device: "cpu", ProvidersRequested: []string{"CUDAExecutionProvider"}, Providers: []string{"CPUExecutionProvider"},
		Fallbacks: []string{"gpu: no gpu on this machine"}, Threads: 1, Parallel: 4,
	}
	r.Runtime = runtime
	r.This = &client.ReportVersion{
		Version: 3, Deployment: d.ID, Digest: d.Digest, ModelBytes: 96_512, Runtime: runtime, MemoryPeakBytes: new(int64(43_515_904)), GateP50MS: new(3.05), GateP95MS: new(3.912),
	}
	r.Before = &client.ReportVersion{
		Version: 2, Deployment: "digits-20261101-aaaa", Digest: "sha256:" + strings.Repeat("f", 64), ModelBytes: 1 << 20, MemoryPeakBytes: new(int64(61_000_000)),
		Runtime:   &client.ReportRuntime{Name: "onnxruntime", Version: "1.29.1", Providers: []string{"CPUExecutionProvider"}},
		GateP50MS: new(4.1), GateP95MS: new(4.8), Requests: new(int64(1234)), Errors: new(int64(1)), ServedP50MS: new(4.3), ServedP95MS: new(5.1),
	}
	r.Log = []client.ReportRecord{
		{Time: at(0.0005), Level: "INFO", Message: "deployment began", Attrs: "digest=sha256:0123 stage=testing"},
		{Time: at(1.2), Level: "WARN", Message: "message of the inference library", Attrs: `text="some nodes were not assigned to the preferred provider"`},
	}
	return r
}

// refused is a deployment that ended in checking, with problems.
func refused() *client.Report {
	r := committed()
	d := &r.Deployment
	d.Phase, d.Phases, d.Verdicts, d.Warnings, r.Durations, r.DurationMS = client.PhaseFailed, d.Phases[:2], []client.Verdict{}, nil, r.Durations[:2], 52.1
	d.Error = &client.Failure{
		Kind: "invalid", Message: "checking: model.format: is tflite, the bytes are ONNX\ndeployment.memory_limit_mb: 300000 asked for", Hint: "Leave model.format out.",
		Problems: []client.Problem{
			{Path: "model.format", Line: 2, Message: "is tflite, the bytes are ONNX", Hint: "Leave model.format out."},
			{Path: "deployment.memory_limit_mb", Message: "is 300000, this machine has 8192 free"},
		},
	}
	r.This, r.Runtime, r.Events, r.Log = nil, nil, r.Events[:2], r.Log[:1]
	r.AskedBy = &client.Actor{Kind: client.ActorProcess, Name: "root", UID: new(0), GID: new(0), PID: 1}
	r.Cut = []string{"of the log, the last 1 of 412 are here"}
	return r
}

// hostileText tries to leave whatever it is put in.
const hostileText = "</title><script>alert(1)</script>\x1b[31m\x00\"'&\u202e\ufffe]]>{{.}}\xff\r\nnext"

// hostile is a report in which every text is hostile.
func hostile() *client.Report {
	const x = hostileText
	r := committed()
	d := &r.Deployment
	d.ID, d.Model, d.Stage, d.Digest, d.Reason, d.ForceReason, d.RollsBack, d.Phase = x, x, x, x, x, x, x, client.PhaseFailed
	d.Warnings, d.Spec = []string{x}, json.RawMessage(`{"a":"</script><script>alert(1)</script>"}`)
	d.Error = &client.Failure{Kind: x, Message: x, Hint: x, Problems: []client.Problem{{Path: x, Message: x, Hint: x}}}
	for i := range d.Verdicts {
		v := &d.Verdicts[i]
		v.Gate, v.Outcome, v.Unit, v.How, v.Detail, v.Device = x, client.Outcome(x), x, x, x, x
	}
	for i := range r.Durations {
		r.Durations[i].Phase = x
	}
	for i := range r.Events {
		r.Events[i] = client.ReportEvent{Time: at(0), Type: x, Phase: x, Message: x}
	}
	r.VergeVersion, r.FileName, r.File, r.Cut = x, x, x, []string{x}
	r.AskedBy = &client.Actor{Kind: x, Name: x}
	r.Device = client.ReportDevice{Label: x, Board: x, CPU: x, Architecture: x, OS: x, Kernel: x, Libc: x, Accelerators: []string{x}}
	r.Runtime = &client.ReportRuntime{Name: x, Version: x, Device: x, ProvidersRequested: []string{x}, Providers: []string{x}, Fallbacks: []string{x}}
	r.This.Deployment, r.This.Digest, r.This.Runtime, r.Before.Deployment, r.Before.Digest, r.Before.Runtime = x, x, r.Runtime, x, x, r.Runtime
	r.Log = []client.ReportRecord{{Level: x, Message: x, Attrs: x}}
	return r
}

// old is what there is of a deployment of a version of Verge that kept no reports.
func old() *client.Report {
	return &client.Report{
		Format: client.ReportFormat, Complete: true, Durations: []client.PhaseDuration{}, Events: []client.ReportEvent{}, Log: []client.ReportRecord{},
		Deployment: client.Deployment{
			ID: "m-20260101-aaaa", Model: "m", Version: 1, Stage: "testing", Phase: client.PhaseRolledBack, Created: at(0), Updated: at(60),
			Phases: []client.PhaseRecord{{Phase: client.PhaseCommitted, Started: at(1), Ended: at(1)}, {Phase: client.PhaseRolledBack, Started: at(60), Ended: at(60)}},
			Error:  &client.Failure{Kind: "canceled", Message: "rolled back to version 1 on request"}, Verdicts: []client.Verdict{},
		},
	}
}

func reports() map[string]*client.Report {
	return map[string]*client.Report{"committed": committed(), "refused": refused(), "hostile": hostile(), "old": old()}
}

func write(t *testing.T, r *client.Report, f report.Form) string {
	t.Helper()
	text, err := report.Write(r, f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReportsAreWrittenAsBefore(t *testing.T) {
	for name, r := range reports() {
		for _, form := range report.Forms() {
			got := write(t, r, form)
			path := filepath.Join("testdata", name+"."+string(form)+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		}
	}
}

func TestTheJSONFormIsWhatItsSchemaSays(t *testing.T) {
	text, err := report.Schema()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err = compiler.AddResource("report.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("report.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range reports() {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(write(t, r, report.JSON)))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		value.(map[string]any)["device"] = "a word"
		if compiled.Validate(value) == nil {
			t.Errorf("%s: the schema takes a device that is a word", name)
		}
	}
}

// suite is what a JUnit document says, as far as tests look.
type suite struct {
	Tests, Failures, Errors, Skipped int
	Names                            []string
}

// readJUnit reads a document with a strict reader and counts for itself.
func readJUnit(t *testing.T, text string) (claimed, counted suite) {
	t.Helper()
	var doc struct {
		Suites []struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Errors   int `xml:"errors,attr"`
			Skipped  int `xml:"skipped,attr"`
			Cases    []struct {
				Class   string      `xml:"classname,attr"`
				Name    string      `xml:"name,attr"`
				Failure []*struct{} `xml:"failure"`
				Error   []*struct{} `xml:"error"`
				Skipped []*struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	decoder := xml.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if _, err := decoder.Token(); err != nil && !errors.Is(err, io.EOF) { // the line feed
		t.Fatal(err)
	}
	if len(doc.Suites) != 1 {
		t.Fatalf("%d suites, want 1", len(doc.Suites))
	}
	s := doc.Suites[0]
	claimed = suite{Tests: s.Tests, Failures: s.Failures, Errors: s.Errors, Skipped: s.Skipped}
	for _, c := range s.Cases {
		counted.Tests++
		counted.Failures += len(c.Failure)
		counted.Errors += len(c.Error)
		counted.Skipped += len(c.Skipped)
		counted.Names = append(counted.Names, c.Class+" "+c.Name)
	}
	return claimed, counted
}

func TestJUnitHasACaseForEachVerdictAndEachProblem(t *testing.T) {
	failing := committed()
	failing.Deployment.Phase, failing.Deployment.Error = client.PhaseFailed, &client.Failure{Kind: "invalid", Message: "testing: load is 90 %, the limit is 95 %"}
	failing.Deployment.Verdicts[5].Outcome = client.OutcomeFail
	lost := committed()
	lost.Deployment.Phase, lost.Deployment.Error = client.PhaseFailed, &client.Failure{Kind: "internal", Message: "loading: the library is gone"}
	lost.Deployment.Verdicts, lost.Deployment.Phases = nil, lost.Deployment.Phases[:4]
	all := []string{"digits latency", "digits memory", "digits signature", "digits performance", "digits functional", "digits load"}
	twice := committed()
	twice.Deployment.Verdicts = twice.Deployment.Verdicts[4:]
	twice.Deployment.Verdicts[1].Gate = "functional"
	for name, tc := range map[string]struct {
		report *client.Report
		want   suite
	}{
		"a gate that spoke twice": {twice, suite{Tests: 2, Names: []string{"digits functional", "digits functional (2)"}}},
		"committed":               {committed(), suite{Tests: 6, Skipped: 1, Names: all}},
		"a gate failed":           {failing, suite{Tests: 6, Failures: 1, Skipped: 1, Names: all}},
		"problems of a check":     {refused(), suite{Tests: 2, Failures: 2, Names: []string{"digits checking: model.format", "digits checking: deployment.memory_limit_mb"}}},
		"the model does not load": {lost, suite{Tests: 1, Errors: 1, Names: []string{"digits loading"}}},
		"rolled back":             {old(), suite{Tests: 1, Failures: 1, Names: []string{"m rolled_back"}}},
	} {
		claimed, counted := readJUnit(t, write(t, tc.report, report.JUnit))
		if diff := cmp.Diff(tc.want, counted); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		counted.Names = nil
		if claimed.Names = nil; !cmp.Equal(claimed, counted) {
			t.Errorf("%s: the suite claims %+v, has %+v", name, claimed, counted)
		}
	}
}

func TestHostileTextsStayTexts(t *testing.T) {
	for _, form := range report.Forms() {
		text := write(t, hostile(), form)
		if form != report.JSON { // where they are escaped
			for _, c := range text {
				if c != '\n' && (unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) || c == '\ufffe') {
					t.Fatalf("%s has the character %q", form, c)
				}
			}
		}
		if form == report.JSON && strings.ContainsAny(text, "\x00\x1b\x7f") {
			t.Error("JSON has control characters")
		}
		if form == report.HTML && (strings.Contains(text, "<script") || strings.Count(text, "<title>") != strings.Count(text, "</title>")-strings.Count(text, `-title">`)) {
			t.Error("HTML has a script, or a title that was closed from inside")
		}
	}
	_, counted := readJUnit(t, write(t, hostile(), report.JUnit))
	if counted.Tests != 7 || counted.Errors != 6 {
		t.Errorf("%+v, want 6 verdicts of unknown outcomes as errors, and a problem", counted)
	}
}

func TestThePageNeedsNothingFromElsewhere(t *testing.T) {
	for name, r := range reports() {
		page := write(t, r, report.HTML)
		for _, word := range []string{"http://", "https://", "src=", "href=", "<link", "<script", "url(", "@import", "<iframe"} {
			if strings.Contains(page, word) {
				t.Errorf("%s: the page has %s", name, word)
			}
		}
	}
}

func TestTheBeforeAndAfterTableNeedsBoth(t *testing.T) {
	with, without := committed(), committed()
	without.Before = nil
	for _, form := range []report.Form{report.Text, report.HTML} {
		if got := write(t, with, form); !strings.Contains(got, "Before and after") || !strings.Contains(got, "1234, 1 failed") {
			t.Errorf("%s has no comparison", form)
		}
		if strings.Contains(write(t, without, form), "Before and after") {
			t.Errorf("%s compares with nothing", form)
		}
	}
}

func TestAHistogramThatIsNoneIsNotDrawn(t *testing.T) {
	for name, h := range map[string]*client.Histogram{
		"no buckets":        {},
		"counts missing":    {BoundsMS: []float64{1, 2}, Counts: []int{1}},
		"negative":          {BoundsMS: []float64{1}, Counts: []int{-1}},
		"bounds go down":    {BoundsMS: []float64{2, 1}, Counts: []int{1, 1}},
		"begins too far up": {FromMS: 3, BoundsMS: []float64{2}, Counts: []int{1}},
	} {
		r := committed()
		for i := range r.Deployment.Verdicts {
			r.Deployment.Verdicts[i].Histogram = h
		}
		if strings.Contains(write(t, r, report.HTML), "Latencies") || strings.Contains(write(t, r, report.Text), "Latencies") {
			t.Errorf("%s: it is drawn", name)
		}
	}
	r := committed()
	r.Deployment.Verdicts[0].Histogram = &client.Histogram{FromMS: 3, BoundsMS: []float64{3}, Counts: []int{20}}
	if !strings.Contains(write(t, r, report.HTML), "20 from 3 ms to 3 ms") {
		t.Error("latencies that are all the same are not drawn")
	}
}

func TestFormsHaveNames(t *testing.T) {
	for _, form := range report.Forms() {
		if got, ok := report.FormOf(string(form)); !ok || got != form || form.ContentType() == "" {
			t.Errorf("FormOf(%q) = %q, %t", form, got, ok)
		}
	}
	for extension, want := range map[string]report.Form{".html": report.HTML, ".xml": report.JUnit, ".json": report.JSON, ".txt": report.Text, ".pdf": "", "": ""} {
		if got, ok := report.FormOfFile(extension); got != want || ok != (want != "") {
			t.Errorf("FormOfFile(%q) = %q, %t", extension, got, ok)
		}
	}
	if _, ok := report.FormOf("pdf"); ok {
		t.Error("pdf is a form")
	}
}
