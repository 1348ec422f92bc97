package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"verge/client"
	"verge/internal/inference"
)

type statusCommand struct {
	Model string        `arg:"" optional:"" help:"Name of one model."`
	JSON  bool          `help:"Print JSON."`
	Watch bool          `help:"Show it again and again, with the latency's course, until Ctrl-C."`
	Every time.Duration `default:"1s" placeholder:"TIME" help:"How often --watch asks; 1s unless given."`
}

// Validate is called by kong.
func (s *statusCommand) Validate() error {
	const least = 100 * time.Millisecond
	if s.Every < least {
		return fmt.Errorf("--every is %s, want %s or more", s.Every, least)
	}
	return nil
}

// Run shows the node, or one model.
func (s *statusCommand) Run(c *call) error {
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	if s.Watch {
		return s.watch(c, node)
	}
	status, err := s.ask(c, node)
	if err != nil {
		return err
	}
	if s.JSON {
		return c.printJSON(s.document(status))
	}
	c.print("%s", s.text(newTerminal(c.std.Out, c.std.Environ), status))
	return nil
}

// ask gets the status of the node, with one model where one is named.
func (s *statusCommand) ask(ctx context.Context, node *client.Client) (*client.Status, error) {
	if s.Model == "" {
		return node.Status(ctx)
	}
	model, err := node.Model(ctx, s.Model)
	if err != nil {
		return nil, err
	}
	return &client.Status{Models: []client.ModelStatus{*model}}, nil
}

// document is the status for programs.
func (s *statusCommand) document(status *client.Status) any {
	if s.Model != "" {
		return &status.Models[0]
	}
	return status
}

// text is the status for people.
func (s *statusCommand) text(t terminal, status *client.Status) string {
	var parts []string
	if s.Model == "" {
		parts = append(parts, t.node(status))
	}
	for i := range status.Models {
		parts = append(parts, t.model(&status.Models[i]))
	}
	return strings.Join(parts, "\n")
}

// node shows the node itself.
func (t terminal) node(status *client.Status) string {
	var b strings.Builder
	r := status.SystemResources
	fmt.Fprintf(&b, "node %s, process %d, up %s, %s: CPU %.0f %%, memory %.0f %% (%.0f MB available), disk %.0f %%",
		status.Node.Version, status.Node.PID, uptime(status.Node.UptimeSeconds), t.health(status.HealthStatus.Status),
		r.CPUUsagePercent, r.MemoryUsagePercent, r.AvailableMemoryMB, r.DiskUsagePercent)
	if r.Celsius != nil {
		fmt.Fprintf(&b, ", %.0f °C", *r.Celsius)
	}
	b.WriteString("\n")
	rows := newTable(&b, "  ")
	rows.troubles(t, status.HealthStatus.Checks)
	if err := rows.flush(); err != nil {
		return err.Error() // writing to memory does not fail
	}
	if len(status.Models) == 0 {
		b.WriteString("no model is deployed; verge deploy FILE deploys one\n")
	}
	return b.String()
}

// troubles says what is not healthy about the machine.
func (t *table) troubles(screen terminal, checks client.HealthChecks) {
	add := func(name, status, message string) {
		if status == client.Unhealthy {
			t.row(name, "%s", screen.paint(red, strings.Join(nonEmpty(status, message), ", ")))
		}
	}
	if m := checks.Memory; m != nil {
		add("memory", m.Status, m.Message)
	}
	if d := checks.Disk; d != nil {
		add("disk", d.Status, d.Message)
	}
	if p := checks.CPU; p != nil {
		add("cpu", p.Status, p.Message)
	}
	if c := checks.Temperature; c != nil {
		add("temperature", c.Status, c.Message)
	}
}

// health colours a health.
func (t terminal) health(status string) string {
	switch status {
	case client.Healthy:
		return t.paint(green, status)
	case client.Unhealthy:
		return t.paint(red, status)
	}
	return t.paint(yellow, "health unknown")
}

// model shows one model.
func (t terminal) model(m *client.ModelStatus) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s, %s\n", t.paint(bold, titleOf(m)), m.State, t.health(m.HealthStatus.Status))
	rows := newTable(&b, "  ")
	if m.Reason != "" {
		rows.row("reason", "%s", m.Reason)
	}
	if m.ModelInfo.Status != "not_deployed" {
		rows.model(&m.ModelInfo)
		rows.performance(&m.PerformanceStats)
		rows.worker(m.Worker)
		if c := m.HealthStatus.Checks.Model; c != nil {
			rows.row("check", "%s (%s ms)", strings.Join(nonEmpty(c.Status, c.Message), ", "), ms(c.LatencyMS))
		}
		rows.troubles(t, m.HealthStatus.Checks)
		rows.row("up", "%s", uptime(m.PerformanceStats.UptimeSeconds))
		rows.row("deployment", "%s, %s", m.Deployment, shortDigest(m.Digest))
		if kept := keptVersions(m); kept != "" {
			rows.row("kept", "%s", kept)
		}
	}
	if err := rows.flush(); err != nil {
		return err.Error() // writing to memory does not fail
	}
	return b.String()
}

// titleOf is the name of a model, with the version that serves where one does.
func titleOf(m *client.ModelStatus) string {
	if m.Version == 0 {
		return m.Model
	}
	return fmt.Sprintf("%s@%d", m.Model, m.Version)
}

func (t *table) model(info *client.ModelInfo) {
	t.row("runtime", "%s %s on %s (%s), %d at a time", info.Runtime, info.RuntimeVersion, info.Device, strings.Join(info.Providers, ", "), info.Parallel)
	for _, f := range info.Fallbacks {
		t.row("fallback", "%s", f)
	}
	if info.Profile != "" {
		t.row("profile", "%s*", info.Profile)
	}
	for _, in := range info.InputDetails {
		t.row("input", "%s %s%s", in.Name, in.DType, inference.FormatShape(in.Shape))
	}
	for _, out := range info.OutputDetails {
		t.row("output", "%s %s%s", out.Name, out.DType, inference.FormatShape(out.Shape))
	}
}

func (t *table) performance(p *client.PerformanceStats) {
	t.row("requests", "%d, %d %s (%.2f %%), %.1f a second", p.TotalRequests, p.ErrorCount, plural(p.ErrorCount, "error"), p.ErrorRate*100, p.ThroughputRPS)
	t.row("latency", "p50 %s, p95 %s, p99 %s ms (mean %s, from %s to %s)",
		ms(p.P50LatencyMS), ms(p.P95LatencyMS), ms(p.P99LatencyMS), ms(p.AvgLatencyMS), ms(p.MinLatencyMS), ms(p.MaxLatencyMS))
}

// worker shows the process that holds the model; nil where it has none of its own.
func (t *table) worker(w *client.WorkerStatus) {
	if w == nil {
		t.row("worker", "none: the model runs inside the node")
		return
	}
	t.row("memory", "%s, peak %s of %d MB (enforced: %s)", size(w.Memory.CurrentBytes), size(w.Memory.PeakBytes), w.MemoryLimitMB, w.Memory.Enforced)
	t.row("worker", "process %d, %s, %d %s", w.PID, w.State, w.Deaths, plural(w.Deaths, "death"))
	if w.LastDeath != "" {
		t.row("last death", "%s", w.LastDeath)
	}
	if lines := strings.Split(strings.TrimSpace(w.LastOutput), "\n"); lines[0] != "" {
		t.row("last output", "%s", lines[len(lines)-1])
	}
}

// shortDigest is the beginning of a digest.
func shortDigest(digest string) string {
	const enough = len("sha256:") + 12
	return digest[:min(len(digest), enough)]
}

// keptVersions names the versions that can serve again, or is "".
func keptVersions(m *client.ModelStatus) string {
	var all []string
	if m.PreviousVersion > 0 {
		all = append(all, fmt.Sprintf("version %d, which served before", m.PreviousVersion))
	}
	for _, version := range m.PinnedVersions {
		if version == m.PreviousVersion {
			all[0] += " and is pinned"
			continue
		}
		all = append(all, fmt.Sprintf("version %d, pinned", version))
	}
	return strings.Join(all, "; ")
}
