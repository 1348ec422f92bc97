package cli

import (
	"encoding/json"
	"strings"

	"verge/client"
	"verge/internal/device"
	"verge/internal/fault"
	"verge/internal/runtimeinstall"
)

type deviceCommand struct {
	JSON bool `help:"Print JSON."`
}

// Run shows this machine; no node is needed.
func (d *deviceCommand) Run(c *call) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	text, err := json.Marshal(device.New().Facts(existing(cfg.StateDir)))
	if err != nil {
		return fault.New(fault.Internal, "cli.device", "%w", err)
	}
	if d.JSON {
		return c.printJSON(json.RawMessage(text))
	}
	var facts client.Device
	if err = json.Unmarshal(text, &facts); err != nil {
		return fault.New(fault.Internal, "cli.device", "%w", err)
	}
	runtimes, err := c.libraries()
	if err != nil {
		return err
	}
	return c.showDevice(&facts, runtimes.List())
}

func (c *call) showDevice(d *client.Device, libraries []runtimeinstall.Found) error {
	t := newTable(c.std.Out, "")
	if d.Board != "" {
		t.row("board", "%s", d.Board)
	}
	t.row("system", "%s", strings.Join(nonEmpty(d.OS, d.Kernel, d.Libc), ", "))
	t.row("processor", "%s (%s), %d threads, %d usable", d.CPU.Model, d.CPU.Architecture, d.CPU.Logical, d.CPU.Usable)
	if len(d.CPU.Features) > 0 {
		t.row("features", "%s", strings.Join(d.CPU.Features, " "))
	}
	t.row("memory", "%s, %s available", size(d.Memory.TotalBytes), size(d.Memory.AvailableBytes))
	if d.Disk != nil {
		t.row("disk", "%s, %s available (%s)", size(d.Disk.TotalBytes), size(d.Disk.AvailableBytes), d.Disk.Path)
	}
	for _, sensor := range d.Temperatures {
		t.row("temperature", "%.1f °C (%s)", sensor.Celsius, sensor.Sensor)
	}
	for _, a := range d.Accelerators {
		if len(a.Found) == 0 {
			t.row(a.Kind, "none (looked for %s)", strings.Join(a.LookedFor, ", "))
			continue
		}
		t.row(a.Kind, "%s; no runtime of this version uses it", strings.Join(a.Found, ", "))
	}
	for _, l := range libraries {
		state := l.Version + " at " + l.Path
		if l.Err != nil {
			state += ": " + fault.Message(l.Err)
		}
		t.row(l.Name, "%s", state)
	}
	if len(libraries) == 0 {
		t.row("runtimes", "none (verge runtime install onnxruntime)")
	}
	return t.flush()
}
