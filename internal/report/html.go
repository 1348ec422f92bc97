package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"

	"verge/client"
)

// pageTemplate is the page as html/template fills it in.
//
//go:embed report.html.tmpl
var pageTemplate string

// page is what the template shows. All texts are plain.
type page struct {
	Title, Outcome, Class string

	Summary    []fact
	Failure    *failure
	Timeline   *timeline
	Verdicts   []verdictRow
	Histograms []histogram
	Compared   []comparison
	Warnings   []string
	Machine    []fact
	Events     []eventRow
	Files      []fact
	Log        string
	Cut        []string
}

type failure struct {
	Message  string
	Problems []failureProblem
	Hint     string
}

type failureProblem struct{ Text, Hint string }

type verdictRow struct{ Outcome, Class, Gate, Figure, Limit, How string }

type eventRow struct{ Time, Type, Phase, Message string }

// writeHTML is one page that needs no other file and no script.
func writeHTML(r *client.Report) ([]byte, error) {
	t, err := template.New("report").Parse(pageTemplate)
	if err != nil {
		return nil, fmt.Errorf("read the page's template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, pageOf(r)); err != nil {
		return nil, fmt.Errorf("write the page: %w", err)
	}
	return b.Bytes(), nil
}

func pageOf(r *client.Report) page {
	d := &r.Deployment
	p := page{
		Title: title(r), Outcome: outcome(r), Class: class(string(d.Phase)), Summary: summary(r), Failure: failureOf(d.Error), Timeline: timelineOf(r),
		Compared: compared(r), Warnings: plainAll(d.Warnings), Machine: append(machine(&r.Device), libraryFacts(r.Runtime)...), Cut: plainAll(r.Cut),
	}
	for i := range d.Verdicts {
		v := &d.Verdicts[i]
		p.Verdicts = append(p.Verdicts, verdictRow{
			Outcome: symbol(v.Outcome) + plain(string(v.Outcome)), Class: class(string(v.Outcome)), Gate: plain(v.Gate),
			Figure: withUnit(v.Figure, v.Unit), Limit: withUnit(v.Limit, v.Unit), How: strings.Join(nonEmpty(plain(v.Detail), plain(v.How)), "; "),
		})
		if drawable(v.Histogram) {
			p.Histograms = append(p.Histograms, histogramOf(fmt.Sprintf("latencies-%d", i+1), v))
		}
	}
	for _, e := range r.Events {
		p.Events = append(p.Events, eventRow{clock(e.Time), plain(string(e.Type)), plain(string(e.Phase)), plain(e.Message)})
	}
	p.Files = facts(
		fact{strings.Join(nonEmpty("as given", plain(r.FileName)), ": "), plainLines(r.File)},
		fact{"with its defaults", plainLines(resolved(r))},
	)
	var log strings.Builder
	for _, l := range r.Log {
		fmt.Fprintf(&log, "%s %-5s %s  %s\n", clock(l.Time), plain(l.Level), plain(l.Message), plain(l.Attrs))
	}
	p.Log = log.String()
	return p
}

func failureOf(f *client.Failure) *failure {
	if f == nil {
		return nil
	}
	out := &failure{Message: plainLines(message(f)), Hint: plain(hint(f))}
	for _, p := range f.Problems {
		out.Problems = append(out.Problems, failureProblem{problem(p), plain(p.Hint)})
	}
	return out
}

// class is the CSS class of a phase or an outcome: a word, or nothing.
func class(word string) string {
	for _, c := range word {
		if (c < 'a' || c > 'z') && c != '_' {
			return ""
		}
	}
	return word
}

// symbol tells outcomes apart without colour.
func symbol(o client.Outcome) string {
	switch o {
	case client.OutcomePass:
		return "✓ "
	case client.OutcomeFail, client.OutcomeError:
		return "✗ "
	case client.OutcomeInconclusive:
		return "? "
	case client.OutcomeSkipped:
		return "– "
	}
	return ""
}
