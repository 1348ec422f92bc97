package report

import (
	"fmt"
	"strconv"
	"strings"

	"verge/client"
)

// drawWidth is the width of a drawing, in its own units.
const drawWidth = 720

// timeline is a bar for each phase, one below the other.
type timeline struct {
	Width, Height, Left, Track int
	Description                string
	Rows                       []timelineRow
}

type timelineRow struct {
	Name, Value string
	X, Width    string
	Y, TextY    int
}

// timelineOf draws the phases along one axis; nil where none has ended.
func timelineOf(r *client.Report) *timeline {
	const left, right, row, text = 96, 76, 22, 11
	total := 0.0
	for _, p := range r.Durations {
		total += max(p.DurationMS, 0)
	}
	if total <= 0 {
		return nil
	}
	t := &timeline{Width: drawWidth, Height: row * len(r.Durations), Left: left, Track: drawWidth - left - right}
	said := make([]string, len(r.Durations))
	begin := 0.0
	for i, p := range r.Durations {
		const least = 2 // so that a short phase is seen
		took := max(p.DurationMS, 0)
		width := max(took/total*float64(t.Track), least)
		x := min(begin/total*float64(t.Track), float64(t.Track)-width)
		begin += took
		name, value := plain(string(p.Phase)), span(p.DurationMS)
		t.Rows = append(t.Rows, timelineRow{Name: name, Value: value, X: coordinate(left + x), Width: coordinate(width), Y: i * row, TextY: i*row + text})
		said[i] = name + " " + value
	}
	t.Description = strings.Join(said, ", ")
	return t
}

// histogram is a column for each bucket. Columns are of one width; the last one may stand
// for a wider bucket, which its ticks tell.
type histogram struct {
	ID, Gate, Description string
	Width, Height, Base   int
	Bars                  []column
	Ticks                 []tick
	Marks                 []tick
}

type column struct{ Name, X, Y, Width, Height string }

type tick struct {
	Name, Class, X, TextX, Anchor string
	Y1, Y2, TextY                 int
}

// The parts of a histogram, from its top.
const (
	histogramTop  = 20  // room for the names of marks
	histogramBase = 150 // the axis
	histogramEnd  = 174
)

// histogramOf draws the latencies of a verdict; its histogram is drawable.
func histogramOf(id string, v *client.Verdict) histogram {
	h := v.Histogram
	out := histogram{ID: id, Gate: plain(v.Gate), Width: drawWidth, Height: histogramEnd, Base: histogramBase}
	most, total := 1, 0
	for _, n := range h.Counts {
		most, total = max(most, n), total+n
	}
	step := float64(drawWidth) / float64(len(h.Counts))
	lower := h.FromMS
	for i, n := range h.Counts {
		const gap, least = 1.0, 1.5
		high := float64(n) / float64(most) * (histogramBase - histogramTop)
		if n > 0 {
			high = max(high, least)
			out.Bars = append(out.Bars, column{
				Name: fmt.Sprintf("%d from %s to %s", n, withUnit(&lower, "ms"), withUnit(&h.BoundsMS[i], "ms")),
				X:    coordinate(float64(i)*step + gap/2), Y: coordinate(histogramBase - high), Width: coordinate(step - gap), Height: coordinate(high),
			})
		}
		lower = h.BoundsMS[i]
	}
	out.Ticks = ticksOf(h, step)
	out.Description = out.mark(v, total, step)
	return out
}

// ticksOf names the ends of the axis and some places between them.
func ticksOf(h *client.Histogram, step float64) []tick {
	at := func(x float64, value float64, anchor string) tick {
		return tick{Name: withUnit(&value, "ms"), X: coordinate(x), Anchor: anchor, Y1: histogramBase, Y2: histogramBase + 5, TextY: histogramEnd - 4}
	}
	all := []tick{at(0, h.FromMS, "start")}
	n := len(h.BoundsMS)
	const parts = 4
	for i := 1; i < parts; i++ {
		if k := i * n / parts; n >= 2*parts {
			all = append(all, at(float64(k)*step, h.BoundsMS[k-1], "middle"))
		}
	}
	return append(all, at(drawWidth, h.BoundsMS[n-1], "end"))
}

// mark draws percentiles and the limit, and says them in words, with the limit where it
// is beyond the axis.
func (g *histogram) mark(v *client.Verdict, total int, step float64) string {
	said := []string{fmt.Sprintf("%d latencies", total)}
	lines := []struct {
		name, class string
		ms          float64
		ok          bool
	}{
		{"p50", "mark", v.Figures["p50_ms"], true},
		{"p95", "mark", v.Figures["p95_ms"], true},
		{"limit", "limit", 0, false},
	}
	if v.Limit != nil && v.Unit == "ms" {
		lines[2].ms, lines[2].ok = *v.Limit, true
	}
	level := 0
	for _, l := range lines {
		if !l.ok || l.ms <= 0 {
			continue
		}
		said = append(said, l.name+" "+withUnit(&l.ms, "ms"))
		x, inside := position(v.Histogram, l.ms, step)
		if !inside {
			continue
		}
		const aside, line = 4, 12
		m := tick{Name: l.name, Class: l.class, X: coordinate(x), TextX: coordinate(x + aside), Anchor: "start", Y1: 2, Y2: histogramBase, TextY: line + level*line}
		if x > drawWidth*3/4 {
			m.TextX, m.Anchor = coordinate(x-aside), "end"
		}
		level++
		g.Marks = append(g.Marks, m)
	}
	return strings.Join(said, ", ")
}

// position is where a latency lies on the axis.
func position(h *client.Histogram, ms, step float64) (x float64, inside bool) {
	lower := h.FromMS
	if ms < lower {
		return 0, false
	}
	for i, bound := range h.BoundsMS {
		if ms <= bound {
			if bound == lower {
				return float64(i) * step, true
			}
			return (float64(i) + (ms-lower)/(bound-lower)) * step, true
		}
		lower = bound
	}
	return 0, false
}

// coordinate is a number of a drawing, to a tenth.
func coordinate(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }
