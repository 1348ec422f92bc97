package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"

	"verge/client"
)

// resolved is the deployment file with its defaults, indented.
func resolved(r *client.Report) string {
	if len(r.Deployment.Spec) == 0 {
		return ""
	}
	var b bytes.Buffer
	if json.Indent(&b, r.Deployment.Spec, "", "  ") != nil {
		return string(r.Deployment.Spec)
	}
	return b.String()
}

// The elements of a JUnit document, in the order that its schemas ask for.
type (
	junitSuites struct {
		XMLName xml.Name   `xml:"testsuites"`
		Suite   junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Package    string          `xml:"package,attr"`
		ID         int             `xml:"id,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Hostname   string          `xml:"hostname,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
		Out        string          `xml:"system-out"`
		Err        string          `xml:"system-err"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string       `xml:"classname,attr"`
		Name    string       `xml:"name,attr"`
		Time    string       `xml:"time,attr"`
		Skipped *junitResult `xml:"skipped"`
		Error   *junitResult `xml:"error"`
		Failure *junitResult `xml:"failure"`

		gate string // the name without a number
	}
	junitResult struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit is one test suite for the deployment, and one test case for each verdict,
// for each problem of a check that failed, and for an end that no verdict tells.
func writeJUnit(r *client.Report) ([]byte, error) {
	d := &r.Deployment
	suite := junitSuite{
		Name: orDash(plain(d.ID)), Package: orDash(plain(d.Model)), Timestamp: d.Created.UTC().Format("2006-01-02T15:04:05"),
		Hostname: orDash(strings.TrimSpace(plain(r.Device.Label))), Time: seconds(r.DurationMS), Err: "",
	}
	for _, f := range append(append(summary(r), machine(&r.Device)...), libraryFacts(r.Runtime)...) {
		suite.Properties = append(suite.Properties, junitProperty(f))
	}
	for i := range d.Verdicts {
		suite.add(verdictCase(r, i))
	}
	for _, c := range endCases(r) {
		suite.add(c)
	}
	var log bytes.Buffer
	for _, l := range r.Log {
		fmt.Fprintf(&log, "%s %s %s %s\n", clock(l.Time), plain(l.Level), plain(l.Message), plain(l.Attrs))
	}
	suite.Out = log.String()
	text, err := xml.MarshalIndent(junitSuites{Suite: suite}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the report: %w", err)
	}
	return append(append([]byte(xml.Header), text...), '\n'), nil
}

// add counts a case in. Cases with one name are numbered: what collects them takes the
// name for an identity.
func (s *junitSuite) add(c junitCase) {
	same := 1
	for _, other := range s.Cases {
		if other.gate == c.Name {
			same++
		}
	}
	if c.gate = c.Name; same > 1 {
		c.Name = fmt.Sprintf("%s (%d)", c.Name, same)
	}
	s.Cases = append(s.Cases, c)
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
}

// verdictCase is the case of verdict i. What is inconclusive has not failed: it counts as
// skipped, with a message that says so.
func verdictCase(r *client.Report, i int) junitCase {
	v := &r.Deployment.Verdicts[i]
	c := junitCase{Class: orDash(plain(r.Deployment.Model)), Name: orDash(plain(v.Gate)), Time: seconds(verdictMS(r, i))}
	result := &junitResult{Type: orDash(plain(string(v.Outcome))), Message: verdictMessage(v), Text: plain(v.How)}
	switch v.Outcome {
	case client.OutcomePass:
	case client.OutcomeFail:
		c.Failure = result
	case client.OutcomeInconclusive, client.OutcomeSkipped:
		result.Type, c.Skipped = "", result
	case client.OutcomeError:
		c.Error = result
	default: // of a newer version
		c.Error = result
	}
	return c
}

func verdictMessage(v *client.Verdict) string {
	text := ""
	if v.Figure != nil {
		text = withUnit(v.Figure, v.Unit)
	}
	if v.Limit != nil {
		text += ", the limit is " + withUnit(v.Limit, v.Unit)
	}
	return strings.Join(nonEmpty(plain(string(v.Outcome)), strings.TrimPrefix(text, ", "), plain(v.Detail)), ": ")
}

// verdictMS is how long verdict i took: until the next one of its phase, or the end of
// that.
func verdictMS(r *client.Report, i int) float64 {
	d := &r.Deployment
	v := &d.Verdicts[i]
	if v.Time.IsZero() || v.Outcome == client.OutcomeSkipped {
		return 0
	}
	for _, p := range d.Phases {
		end := p.Ended
		if p.Phase != v.Phase || end.IsZero() {
			continue
		}
		if i+1 < len(d.Verdicts) && d.Verdicts[i+1].Phase == v.Phase && !d.Verdicts[i+1].Time.IsZero() {
			end = d.Verdicts[i+1].Time
		}
		return max(float64(end.Sub(v.Time).Microseconds())/1000, 0)
	}
	return 0
}

// endCases are the cases of how a deployment ended, where its verdicts do not tell that.
func endCases(r *client.Report) (all []junitCase) {
	d := &r.Deployment
	if d.Error == nil || d.Phase == client.PhaseCommitted {
		return nil
	}
	class, last := orDash(plain(d.Model)), lastPhase(d)
	for _, p := range d.Error.Problems {
		all = append(all, junitCase{
			Class: class, Name: last + ": " + orDash(plain(p.Path)), Time: seconds(0),
			Failure: &junitResult{Type: "problem", Message: problem(p), Text: plain(p.Hint)},
		})
	}
	told := len(all) > 0
	for i := range d.Verdicts {
		o := d.Verdicts[i].Outcome
		told = told || o == client.OutcomeFail || o == client.OutcomeError
	}
	if told {
		return all
	}
	result := &junitResult{Type: orDash(plain(d.Error.Kind)), Message: plain(d.Error.Message), Text: plain(d.Error.Hint)}
	c := junitCase{Class: class, Name: last, Time: seconds(0)}
	if d.Phase == client.PhaseRolledBack {
		c.Name, c.Failure = string(client.PhaseRolledBack), result
	} else {
		c.Error = result
	}
	return append(all, c)
}

// lastPhase is the phase in which a deployment ended.
func lastPhase(d *client.Deployment) string {
	for _, p := range slices.Backward(d.Phases) {
		if !p.Phase.Final() {
			return plain(string(p.Phase))
		}
	}
	return "deployment"
}

// seconds is a time as xs:decimal has it.
func seconds(ms float64) string { return fmt.Sprintf("%.3f", max(ms, 0)/1000) }
