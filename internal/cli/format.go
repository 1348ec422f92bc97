package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"verge/internal/stats"
)

// table is rows of a name and what is said of it, in two columns.
type table struct {
	w      *tabwriter.Writer
	indent string
}

func newTable(w io.Writer, indent string) *table {
	return &table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), indent: indent}
}

func (t *table) row(name, format string, args ...any) {
	fmt.Fprintf(t.w, "%s%s\t%s\n", t.indent, plain(name), plain(fmt.Sprintf(format, args...)))
}

// plain is a text, perhaps of a file that anybody made, as one line of a terminal can hold
// it: without control characters, and without those that change the direction of writing.
func plain(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\t' || c == '\r':
			return ' '
		case unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c):
			return -1
		}
		return c
	}, text)
}

// optional writes a row that is left out where there is nothing to say.
func (t *table) optional(name, text string) {
	if text != "" {
		t.row(name, "%s", text)
	}
}

// flush writes the rows; before it, nothing is.
func (t *table) flush() error { return t.w.Flush() }

// ms writes milliseconds.
func ms(x float64) string { return stats.Figure(x, 3) }

// number writes a figure without its unit; a ratio as a percentage.
func number(x float64, unit string) string {
	if unit == "ratio" {
		return stats.Figure(x*100, 4) + " %"
	}
	return stats.Figure(x, 4)
}

// withUnit writes a figure with its unit.
func withUnit(x float64, unit string) string {
	if unit == "ratio" {
		return number(x, unit)
	}
	return strings.TrimSpace(number(x, unit) + " " + unit)
}

// duration writes a time with three figures, as people say it.
func duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// uptime writes seconds as people say them.
func uptime(seconds float64) string {
	return (time.Duration(seconds) * time.Second).String()
}

// size writes bytes as people say them; 1 MB is 2^20 bytes.
func size(n int64) string {
	const unit = 1024
	switch {
	case n < unit:
		return fmt.Sprintf("%d B", n)
	case n < unit*unit:
		return fmt.Sprintf("%.1f KB", float64(n)/unit)
	case n < unit*unit*unit:
		return fmt.Sprintf("%.1f MB", float64(n)/unit/unit)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/unit/unit/unit)
}

func plural[N int | int64](n N, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// nonEmpty leaves out the empty ones.
func nonEmpty(all ...string) []string {
	var out []string
	for _, s := range all {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}
