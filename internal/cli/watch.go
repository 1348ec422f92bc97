package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"verge/client"
)

// watch shows the status again and again until a signal comes. On a terminal it
// stays in one place.
func (s *statusCommand) watch(c *call, node *client.Client) error {
	t := newTerminal(c.std.Out, c.std.Environ)
	ticker := time.NewTicker(s.Every)
	defer ticker.Stop()
	course := map[string][]float64{}
	for {
		status, err := s.ask(c, node)
		switch {
		case c.Err() != nil:
			return nil
		case err != nil:
			return err
		case s.JSON:
			err = c.printJSON(s.document(status))
		default:
			c.print("%s", s.frame(t, status, course))
		}
		if err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-c.Done():
			return nil
		}
	}
}

// frame is one status for people. course remembers the latencies of each model.
func (s *statusCommand) frame(t terminal, status *client.Status, course map[string][]float64) string {
	const points = 60
	var b strings.Builder
	if t.live {
		b.WriteString("\x1b[H\x1b[2J")
	}
	b.WriteString(s.text(t, status))
	for i := range status.Models {
		m := &status.Models[i]
		values := append(course[m.Model], meanOfMinute(m))
		course[m.Model] = values[max(0, len(values)-points):]
		fmt.Fprintf(&b, "\n%s  %s  %s ms in this minute\n", m.Model, sparkline(course[m.Model]), ms(values[len(values)-1]))
	}
	return b.String()
}

// meanOfMinute is the mean latency of the minute that goes on, in milliseconds,
// or that of the window where nothing was answered in it.
func meanOfMinute(m *client.ModelStatus) float64 {
	var minutes []struct {
		Count int64   `json:"count"`
		SumMS float64 `json:"sum_ms"`
	}
	if err := json.Unmarshal(m.PerformanceStats.Minutes, &minutes); err != nil || len(minutes) == 0 || minutes[len(minutes)-1].Count == 0 {
		return m.PerformanceStats.AvgLatencyMS
	}
	last := minutes[len(minutes)-1]
	return last.SumMS / float64(last.Count)
}
