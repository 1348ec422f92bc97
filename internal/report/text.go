package report

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"

	"verge/client"
)

// writeText is a report for people who read it in a terminal.
func writeText(r *client.Report) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s\n", title(r), outcome(r))
	writeFacts(&b, summary(r))
	writeFailure(&b, r.Deployment.Error)
	section(&b, "Phases", durationRows(r))
	section(&b, "Verdicts", verdictRows(r))
	for i := range r.Deployment.Verdicts {
		writeHistogram(&b, &r.Deployment.Verdicts[i])
	}
	var rows [][]string
	for _, c := range compared(r) {
		rows = append(rows, []string{c.Name, c.Before, c.This})
	}
	if len(rows) > 0 {
		rows = append([][]string{{"", "before", "this"}}, rows...)
	}
	section(&b, "Before and after", rows)
	if len(r.Deployment.Warnings) > 0 {
		b.WriteString("\nWarnings\n")
		for _, w := range r.Deployment.Warnings {
			fmt.Fprintf(&b, "  ! %s\n", plain(w))
		}
	}
	b.WriteString("\nDevice and runtime\n")
	writeFacts(&b, append(machine(&r.Device), libraryFacts(r.Runtime)...))
	section(&b, "Events", eventRows(r))
	writeFiles(&b, r)
	writeLog(&b, r)
	return b.Bytes()
}

func writeFacts(b *bytes.Buffer, all []fact) {
	rows := make([][]string, len(all))
	for i, f := range all {
		rows[i] = []string{f.Name, f.Value}
	}
	writeRows(b, rows)
}

// section writes a table below a heading, or nothing where it has no rows.
func section(b *bytes.Buffer, heading string, rows [][]string) {
	if len(rows) > 0 {
		fmt.Fprintf(b, "\n%s\n", heading)
		writeRows(b, rows)
	}
}

// writeRows aligns columns, and leaves no blanks at the end of a line.
func writeRows(b *bytes.Buffer, rows [][]string) {
	var table bytes.Buffer
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintf(t, "  %s\n", strings.Join(row, "\t"))
	}
	_ = t.Flush() // a buffer takes everything
	for line := range strings.Lines(table.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}

func writeFailure(b *bytes.Buffer, f *client.Failure) {
	if f == nil {
		return
	}
	b.WriteString("\nWhy\n")
	for line := range strings.Lines(plainLines(message(f))) {
		fmt.Fprintf(b, "  %s\n", plain(strings.TrimRight(line, "\n")))
	}
	for _, p := range f.Problems {
		fmt.Fprintf(b, "  - %s\n", problem(p))
		if p.Hint != "" {
			fmt.Fprintf(b, "    Hint: %s\n", plain(p.Hint))
		}
	}
	if hint := hint(f); hint != "" {
		fmt.Fprintf(b, "  Hint: %s\n", plain(hint))
	}
}

// message is why a deployment ended. Where it is a list of problems, they follow.
func message(f *client.Failure) string {
	if n := len(f.Problems); n > 0 {
		phase, _, _ := strings.Cut(f.Message, ":")
		return fmt.Sprintf("%s: %d %s", phase, n, plural(n, "problem"))
	}
	return f.Message
}

// hint is what to do, where no problem has that hint already.
func hint(f *client.Failure) string {
	for _, p := range f.Problems {
		if p.Hint == f.Hint {
			return ""
		}
	}
	return f.Hint
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// problem is "line 3: model.path: is missing".
func problem(p client.Problem) string {
	text := plain(p.Message)
	if p.Path != "" {
		text = plain(p.Path) + ": " + text
	}
	if p.Line > 0 {
		text = fmt.Sprintf("line %d: %s", p.Line, text)
	}
	return text
}

func durationRows(r *client.Report) (rows [][]string) {
	for _, p := range r.Durations {
		rows = append(rows, []string{plain(string(p.Phase)), span(p.DurationMS)})
	}
	return rows
}

func verdictRows(r *client.Report) (rows [][]string) {
	for i := range r.Deployment.Verdicts {
		v := &r.Deployment.Verdicts[i]
		figure := withUnit(v.Figure, v.Unit)
		if limit := withUnit(v.Limit, v.Unit); limit != "" {
			figure += " (limit " + limit + ")"
		}
		rows = append(rows, []string{plain(string(v.Outcome)), plain(v.Gate), figure, strings.Join(nonEmpty(plain(v.Detail), plain(v.How)), "; ")})
	}
	return rows
}

// writeHistogram draws the latencies of a verdict as bars.
func writeHistogram(b *bytes.Buffer, v *client.Verdict) {
	if !drawable(v.Histogram) {
		return
	}
	const cells = 40
	h := coarse(v.Histogram)
	most := 1
	for _, n := range h.Counts {
		most = max(most, n)
	}
	fmt.Fprintf(b, "\nLatencies of %s\n", plain(v.Gate))
	rows := [][]string{}
	for i, n := range h.Counts {
		bar := strings.Repeat("█", n*cells/most)
		if n > 0 && bar == "" {
			bar = "▏"
		}
		rows = append(rows, []string{"to " + withUnit(&h.BoundsMS[i], "ms"), fmt.Sprint(n), bar})
	}
	writeRows(b, rows)
}

// coarse joins the buckets of a histogram to as many as a text has room for.
func coarse(h *client.Histogram) *client.Histogram {
	const lines = 8
	each := (len(h.Counts) + lines - 1) / lines
	out := &client.Histogram{FromMS: h.FromMS}
	for i, n := range h.Counts {
		if i%each == 0 {
			out.Counts, out.BoundsMS = append(out.Counts, 0), append(out.BoundsMS, 0)
		}
		last := len(out.Counts) - 1
		out.Counts[last] += n
		out.BoundsMS[last] = h.BoundsMS[i]
	}
	return out
}

// drawable says whether a histogram is one: a node of another version may have sent it.
func drawable(h *client.Histogram) bool {
	if h == nil || len(h.Counts) == 0 || len(h.Counts) != len(h.BoundsMS) {
		return false
	}
	for i, bound := range h.BoundsMS {
		if h.Counts[i] < 0 || bound < h.FromMS || i > 0 && bound <= h.BoundsMS[i-1] {
			return false
		}
	}
	return true
}

func eventRows(r *client.Report) (rows [][]string) {
	for _, e := range r.Events {
		rows = append(rows, []string{clock(e.Time), plain(string(e.Type)), plain(string(e.Phase)), plain(e.Message)})
	}
	return rows
}

func writeFiles(b *bytes.Buffer, r *client.Report) {
	for _, file := range []struct{ heading, text string }{
		{"Deployment file " + plain(r.FileName) + ", as given", r.File},
		{"Deployment file, with its defaults", resolved(r)},
	} {
		if file.text == "" {
			continue
		}
		fmt.Fprintf(b, "\n%s\n", file.heading)
		for line := range strings.Lines(plainLines(file.text)) {
			b.WriteString(strings.TrimRight("  "+line, " \n") + "\n")
		}
	}
}

func writeLog(b *bytes.Buffer, r *client.Report) {
	if len(r.Log) > 0 {
		b.WriteString("\nLog\n")
	}
	for _, l := range r.Log {
		b.WriteString(strings.TrimRight(fmt.Sprintf("  %s %-5s %s  %s", clock(l.Time), plain(l.Level), plain(l.Message), plain(l.Attrs)), " ") + "\n")
	}
	for i, c := range r.Cut {
		if i == 0 {
			b.WriteString("\nLeft out\n")
		}
		fmt.Fprintf(b, "  %s\n", plain(c))
	}
}
