package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"verge/client"
	"verge/internal/device"
	"verge/internal/fault"
	"verge/internal/runtimeinstall"
)

func (c *call) showDevice(d *client.Device, libraries []runtimeinstall.Found) error {
	t := newTable(c.std.Out, "")
	if board := nonEmpty(d.Board.Model, d.Board.Release); len(board) > 0 {
		t.row("board", "%s", strings.Join(board, ", "))
	}
	if d.Board.PowerMode != "" {
		t.row("power mode", "%s", d.Board.PowerMode)
	}
	t.row("system", "%s", strings.Join(nonEmpty(d.OS, d.Kernel, d.Libc), ", "))
	t.showProcessor(d)
	if d.Memory.TotalBytes > 0 {
		t.row("memory", "%s, %s available", size(d.Memory.TotalBytes), size(d.Memory.AvailableBytes))
	}
	if d.Disk != nil {
		t.row("disk", "%s, %s available (%s)", size(d.Disk.TotalBytes), size(d.Disk.AvailableBytes), d.Disk.Path)
	}
	for _, sensor := range d.Temperatures {
		t.row("temperature", "%.1f °C (%s)", sensor.Celsius, sensor.Sensor)
	}
	t.row("throttling", "%s", throttling(d.Throttling))
	for _, kind := range append(device.Kinds(), device.Other) {
		found := slices.DeleteFunc(slices.Clone(d.Accelerators), func(a client.Accelerator) bool { return a.Kind != kind })
		for i := range found {
			t.showAccelerator(&found[i])
		}
		if len(found) == 0 && kind != device.Other {
			t.row(kind, "none (looked for %s)", strings.Join(d.LookedFor[kind], ", "))
		}
	}
	for _, p := range d.Probes {
		if p.Error != "" {
			t.row(p.Name, "%s", p.Error)
		}
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

func (t *table) showProcessor(d *client.Device) {
	processor := fmt.Sprintf("%s (%s)", cmp.Or(d.CPU.Model, "unknown"), d.CPU.Architecture)
	if n := d.CPU.Logical; n > 0 { // else nothing tells
		processor += fmt.Sprintf(", %d %s, %d usable", n, plural(n, "thread"), d.CPU.Usable)
	}
	t.row("processor", "%s", processor)
	if len(d.CPU.Features) > 0 {
		t.row("features", "%s", strings.Join(d.CPU.Features, " "))
	}
	var shown []string // of a PC, every processor has a clock of its own
	for _, f := range d.Frequencies {
		text := fmt.Sprintf("%d of %d MHz", f.CurrentMHz, f.MaxMHz)
		if f.LimitMHz > 0 && f.LimitMHz != f.MaxMHz {
			text += fmt.Sprintf(", limited to %d", f.LimitMHz)
		}
		if f.Governor != "" {
			text += " (" + f.Governor + ")"
		}
		if !slices.Contains(shown, text) {
			shown = append(shown, text)
			t.row("frequency", "%s", text)
		}
	}
}

func throttling(th client.Throttling) string {
	text := "none seen"
	if len(th.Active) > 0 {
		text = strings.Join(th.Active, ", ")
	}
	if len(th.Past) > 0 {
		text += "; since the start: " + strings.Join(th.Past, ", ")
	}
	if th.Count != nil {
		text += fmt.Sprintf("; %d times since the start, over all threads", *th.Count)
	}
	return text
}

// showAccelerator says what one is, whether it can be reached, and who could use it.
func (t *table) showAccelerator(a *client.Accelerator) {
	name := a.Name
	if !strings.HasPrefix(name, a.Vendor) {
		name = a.Vendor + " " + name
	}
	parts := nonEmpty(strings.TrimSpace(name), a.ID)
	if a.Driver != "" {
		parts = append(parts, strings.Join(nonEmpty("driver", a.Driver, a.DriverVersion), " "))
	}
	if a.FirmwareVersion != "" {
		parts = append(parts, "firmware "+a.FirmwareVersion)
	}
	if a.Celsius != nil {
		parts = append(parts, fmt.Sprintf("%.1f °C", *a.Celsius))
	}
	if a.Watts != nil {
		parts = append(parts, fmt.Sprintf("%.1f W", *a.Watts))
	}
	if a.BusyPercent != nil {
		parts = append(parts, fmt.Sprintf("%.0f %% busy", *a.BusyPercent))
	}
	if a.Capability != "" {
		parts = append(parts, "compute capability "+a.Capability)
	}
	t.row(a.Kind, "%s", strings.Join(parts, ", "))
	if where := nonEmpty(strings.Join(a.Nodes, " "), place(a)); len(where) > 0 {
		t.row("", "%s", strings.Join(where, ", "))
	}
	switch {
	case a.Unified:
		t.row("", "shares the machine's memory")
	case a.MemoryFreeBytes > 0:
		t.row("", "memory %s, %s free", size(a.MemoryTotalBytes), size(a.MemoryFreeBytes))
	case a.MemoryTotalBytes > 0:
		t.row("", "memory %s", size(a.MemoryTotalBytes))
	}
	t.row("", "%s", strings.Join(nonEmpty(a.State, a.Problem), ": "))
	for _, c := range a.Candidates {
		state := "nothing is missing"
		if len(c.Missing) > 0 {
			state = strings.Join(c.Missing, "; ")
		}
		t.row("", "%s %s: %s", c.Runtime, c.Provider, state)
	}
	if len(a.Candidates) == 0 {
		t.row("", "no runtime that is known here is made for it")
	}
}

// place is where an accelerator is attached.
func place(a *client.Accelerator) string {
	if a.Bus == "" {
		return ""
	}
	return a.Bus + " " + a.Address
}
