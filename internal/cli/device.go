package cli

import (
	"encoding/json"
	"os"
	"path/filepath"

	"verge/client"
	"verge/internal/app"
	"verge/internal/device"
	"verge/internal/device/provider"
	"verge/internal/fault"
	"verge/internal/runtimeinstall"
)

type deviceCommand struct {
	JSON bool   `help:"Print JSON."`
	Root string `placeholder:"DIR" default:"/" help:"Look below this folder instead of /; for tests and for a mounted image."`
	Arch string `placeholder:"ARCH" enum:",amd64,arm64,arm" default:"" help:"Architecture of what --root holds: amd64, arm64 or arm; without it, its files tell."`
}

// Run shows this machine, or another one's files; no node is needed.
func (d *deviceCommand) Run(c *call) error {
	libraries, err := d.libraries(c)
	if err != nil {
		return err
	}
	facts, err := d.facts(c, libraries)
	if err != nil {
		return err
	}
	text, err := json.Marshal(facts)
	if err != nil {
		return fault.New(fault.Internal, "cli.device", "%w", err)
	}
	if d.JSON {
		return c.printJSON(json.RawMessage(text))
	}
	var shown client.Device
	if err = json.Unmarshal(text, &shown); err != nil {
		return fault.New(fault.Internal, "cli.device", "%w", err)
	}
	return c.showDevice(&shown, libraries.List())
}

// elsewhere says whether another machine's files are to be looked at.
func (d *deviceCommand) elsewhere() bool { return filepath.Clean(d.Root) != "/" }

// libraries finds native libraries where the settings say, and below the root that
// was asked for: of another machine only those that it holds itself.
func (d *deviceCommand) libraries(c *call) (*runtimeinstall.Runtimes, error) {
	if !d.elsewhere() {
		return c.libraries()
	}
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	const systems = "/var/lib/verge/runtimes"
	return runtimeinstall.New(runtimeinstall.Config{
		Dir: cfg.RuntimeDir, Defaults: []string{filepath.Join(d.Root, systems)}, Root: d.Root,
	})
}

func (d *deviceCommand) facts(c *call, libraries *runtimeinstall.Runtimes) (*device.Facts, error) {
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	m, disk := device.New(), existing(cfg.StateDir)
	if d.elsewhere() {
		if info, err := os.Stat(d.Root); err != nil || !info.IsDir() {
			return nil, fault.New(fault.NotFound, "cli.device", "it is no folder").On(d.Root).WithHint("Name the root folder of a machine with --root.")
		}
		// The file system of a folder in another root is this machine's, unless the state is really there.
		if disk = cfg.StateDir; existing(filepath.Join(d.Root, disk)) != filepath.Join(d.Root, disk) {
			disk = ""
		}
		m = device.At(d.Root, d.Arch)
	}
	facts := m.Facts(disk)
	provider.Add(m, &facts, app.Installed(libraries))
	return &facts, nil
}
