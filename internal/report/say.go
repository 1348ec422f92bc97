package report

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"verge/client"
	"verge/internal/stats"
)

// plain is a text of anybody as one line of a terminal or a table can hold it: valid
// UTF-8, without control characters and without those that change the direction of
// writing.
func plain(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\t' || c == '\r':
			return ' '
		case hidden(c):
			return -1
		}
		return c
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// plainLines is plain, but for line feeds and tabs, which stay.
func plainLines(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Map(func(c rune) rune {
		if c != '\n' && c != '\t' && hidden(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// hidden are characters that are not to reach a terminal, a page or an XML document: C0
// and C1 controls, controls of the direction, and what is no character.
func hidden(c rune) bool {
	return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) || c == '\uFEFF' || c&0xFFFE == 0xFFFE
}

// title is "digits@3".
func title(r *client.Report) string {
	return fmt.Sprintf("%s@%d", plain(r.Deployment.Model), r.Deployment.Version)
}

// outcome is how a deployment ended, in words.
func outcome(r *client.Report) string {
	switch p := r.Deployment.Phase; p {
	case client.PhaseCommitted:
		if r.Deployment.RollsBack != "" {
			return "serves again"
		}
		return "was deployed"
	case client.PhaseRolledBack:
		return "was rolled back"
	case client.PhaseFailed:
		return "was not deployed"
	case client.PhaseCanceled:
		return "was canceled"
	default:
		return "is being deployed: " + plain(string(p))
	}
}

// actor is "ada (uid 1000, gid 1000, pid 4711) at the node's socket".
func actor(by *client.Actor) string {
	if by == nil {
		return ""
	}
	var ids []string
	for _, id := range []struct {
		name  string
		value *int
	}{{"uid", by.UID}, {"gid", by.GID}} {
		if id.value != nil {
			ids = append(ids, fmt.Sprintf("%s %d", id.name, *id.value))
		}
	}
	if by.PID > 0 {
		ids = append(ids, fmt.Sprintf("pid %d", by.PID))
	}
	parts := nonEmpty(plain(by.Name))
	if len(ids) > 0 {
		parts = append(parts, "("+strings.Join(ids, ", ")+")")
	}
	switch by.Kind {
	case client.ActorSocket:
		parts = append(parts, "at the node's socket")
	case client.ActorProcess:
		parts = append(parts, "in the node's own process")
	case client.ActorNode:
		parts = append(parts, "the node itself")
	default:
		parts = append(parts, plain(by.Kind))
	}
	return strings.Join(parts, " ")
}

// moment is a time in UTC, to the second.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// clock is the time of a day, to the millisecond.
func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// span is milliseconds as people say them.
func span(ms float64) string {
	const second, minute = 1000, 60_000
	switch {
	case ms < 1:
		return stats.Figure(ms*1000, 3) + " µs"
	case ms < second:
		return stats.Figure(ms, 3) + " ms"
	case ms < minute:
		return stats.Figure(ms/second, 3) + " s"
	}
	return (time.Duration(ms) * time.Millisecond).Round(time.Second).String()
}

// size is bytes as people say them; 1 MB is 2^20 bytes.
func size(n int64) string {
	const kb, mb, gb = 1 << 10, 1 << 20, 1 << 30
	switch {
	case n < kb:
		return fmt.Sprintf("%d B", n)
	case n < mb:
		return fmt.Sprintf("%.1f KB", float64(n)/kb)
	case n < gb:
		return fmt.Sprintf("%.1f MB", float64(n)/mb)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/gb)
}

// withUnit is a figure with its unit; a ratio is a percentage. It is "" for nil.
func withUnit(x *float64, unit string) string {
	switch {
	case x == nil:
		return ""
	case unit == "ratio":
		return stats.Figure(*x*100, 4) + " %"
	}
	return strings.TrimSpace(stats.Figure(*x, 4) + " " + plain(unit))
}

// digest is a digest, short enough for a line.
func digest(text string) string {
	const most = len("sha256:") + 12
	text = plain(text)
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// library is "onnxruntime 1.30.0".
func library(r *client.ReportRuntime) string {
	if r == nil {
		return ""
	}
	return strings.TrimSpace(plain(r.Name) + " " + plain(r.Version))
}

// fact is something with its name.
type fact struct{ Name, Value string }

// facts leaves out those without a value.
func facts(all ...fact) []fact {
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}

func nonEmpty(all ...string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

func plainAll(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = plain(s)
	}
	return out
}
