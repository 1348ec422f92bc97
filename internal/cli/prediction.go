package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"verge/client"
	"verge/internal/dataset"
	"verge/internal/inference"
	"verge/internal/stats"
)

// prediction is what `verge predict --json` prints.
type prediction struct {
	Model     string          `json:"model"`
	Version   string          `json:"version"`
	Outputs   []outputValues  `json:"outputs"`
	Top       []dataset.Class `json:"top,omitempty"`
	LatencyMS float64         `json:"latency_ms"`
	Note      string          `json:"note,omitempty"` // why there are no classes although there are labels
	Timestamp time.Time       `json:"timestamp"`      // of the question
}

// outputValues is one output, flat.
type outputValues struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
	Data     any     `json:"data"` // numbers, or texts for BYTES
}

// numbers are floating-point values. JSON has no NaN and no infinities: they are
// null there.
type numbers []float64

// MarshalJSON implements json.Marshaler.
func (n numbers) MarshalJSON() ([]byte, error) {
	out := make([]*float64, len(n))
	for i := range n {
		if !math.IsNaN(n[i]) && !math.IsInf(n[i], 0) {
			out[i] = &n[i]
		}
	}
	return json.Marshal(out)
}

// texts are strings. One that is not UTF-8 is {"b64": …} in JSON, as TensorFlow Serving
// writes it.
type texts []string

// MarshalJSON implements json.Marshaler.
func (t texts) MarshalJSON() ([]byte, error) {
	out := make([]any, len(t))
	for i, s := range t {
		if out[i] = s; !utf8.ValidString(s) {
			out[i] = map[string][]byte{"b64": []byte(s)}
		}
	}
	return json.Marshal(out)
}

// newPrediction decodes an answer.
func newPrediction(answer *client.InferResponse, begin time.Time, latency time.Duration) (*prediction, error) {
	p := &prediction{
		Model: answer.Model, Version: answer.Version, Timestamp: begin.UTC(),
		LatencyMS: float64(latency.Microseconds()) / 1000, Outputs: []outputValues{},
	}
	for _, out := range answer.Outputs {
		data, err := valuesOf(&out)
		if err != nil {
			return nil, err
		}
		p.Outputs = append(p.Outputs, outputValues{Name: out.Name, Datatype: out.Datatype, Shape: append([]int64{}, out.Shape...), Data: data})
	}
	return p, nil
}

func valuesOf(t *client.Tensor) (any, error) {
	switch t.Datatype {
	case "BYTES":
		values, err := t.Strings()
		return texts(values), err
	case "INT64":
		return t.Int64s()
	case "UINT64":
		return t.Uint64s()
	}
	values, err := t.Numbers()
	return numbers(values), err
}

// topOf reads the first output as the scores of one sample: one row of more than
// one score. Anything else has no classes, nor has an answer of several outputs to
// a model without labels. Where there is another number of labels than of scores, they
// are about something else, and note says so. Integers that stand for real numbers are
// shown as those.
func topOf(answer *client.InferResponse, k int, about known) (top []dataset.Class, note string) {
	if len(answer.Outputs) == 0 || len(answer.Outputs) > 1 && len(about.labels) == 0 || k < 1 {
		return nil, ""
	}
	t := answer.Outputs[0]
	switch t.Datatype {
	case "FP32", "FP16", "FP64", "BF16", "UINT8", "INT8":
	default:
		return nil, ""
	}
	scores, err := t.Numbers()
	rank := len(t.Shape)
	if err != nil || len(scores) < 2 || rank == 0 || t.Shape[rank-1] != int64(len(scores)) {
		return nil, ""
	}
	if n := len(about.labels); n > 0 && n != len(scores) {
		return nil, fmt.Sprintf("no classes: the model has %d labels, and %s has %d values", n, t.Name, len(scores))
	}
	if q := about.outputs[t.Name]; len(q.Scales) == 1 && len(q.ZeroPoints) == 1 {
		for i, s := range scores {
			scores[i] = (s - float64(q.ZeroPoints[0])) * float64(q.Scales[0])
		}
	}
	return dataset.Top(scores, k, about.labels), ""
}

// showPrediction prints an answer for people, beside the picture that was asked
// about where there is one to draw.
func (c *call) showPrediction(p *prediction, inputs []client.Tensor) {
	t := newTerminal(c.std.Out, c.std.Environ)
	var picture []string
	if len(inputs) == 1 {
		picture = drawing(&inputs[0])
	}
	rows, rest := classRows(t, p.Top), p.Outputs
	if len(rows) > 0 {
		rest = rest[1:]
	}
	for _, out := range rest {
		rows = append(rows, fmt.Sprintf("%s %s%s: %s", out.Name, out.Datatype, inference.FormatShape(out.Shape), preview(out.Data)))
	}
	rows = append(rows, "")
	if p.Note != "" {
		rows = append(rows, t.paint(faint, p.Note))
	}
	rows = append(rows, t.paint(faint, fmt.Sprintf("%s@%s answered in %s ms", p.Model, p.Version, ms(p.LatencyMS))))
	for _, line := range beside(picture, rows) {
		c.print("%s\n", line)
	}
}

// beside puts two columns of text next to each other.
func beside(left, right []string) []string {
	const gap = "   "
	lines := make([]string, max(len(left), len(right)))
	for i := range lines {
		if len(left) > 0 {
			cell := strings.Repeat(" ", len([]rune(left[0])))
			if i < len(left) {
				cell = left[i]
			}
			lines[i] = cell + gap
		}
		if i < len(right) {
			lines[i] += right[i]
		}
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

// classRows shows scores, as bars where all of them may be probabilities.
func classRows(t terminal, top []dataset.Class) []string {
	const cells, narrow, wide = 24, 16, 40
	names, rows := make([]string, len(top)), make([]string, len(top))
	width, probabilities := narrow, true
	for i, class := range top {
		if names[i] = class.Label; class.Label == "" {
			names[i] = fmt.Sprintf("class %d", class.Index)
		}
		width = max(width, min(wide, utf8.RuneCountInString(names[i])))
		probabilities = probabilities && class.Score >= 0 && class.Score <= 1
	}
	for i, class := range top {
		name := fmt.Sprintf("%-*s", width, names[i])
		if !probabilities {
			rows[i] = fmt.Sprintf("%s %10s", name, stats.Figure(class.Score, 4))
			continue
		}
		drawn := bar(class.Score, cells)
		if i == 0 {
			drawn = t.paint(green, drawn)
		}
		rows[i] = fmt.Sprintf("%s %s %6.2f %%", name, drawn, class.Score*100)
	}
	return rows
}

// preview is the beginning of an output.
func preview(data any) string {
	const most, values = 96, 24
	text := plain(strings.Trim(fmt.Sprint(data), "[]"))
	if n, ok := data.(numbers); ok {
		parts := make([]string, 0, values)
		for _, v := range n[:min(len(n), values)] {
			parts = append(parts, stats.Figure(v, 6))
		}
		if len(n) > values {
			parts = append(parts, "…")
		}
		text = strings.Join(parts, " ")
	}
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return text
}
