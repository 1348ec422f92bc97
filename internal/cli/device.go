package cli

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"verge/client"
	"verge/internal/app"
	"verge/internal/device"
	"verge/internal/device/provider"
	"verge/internal/device/vendorprobe"
	"verge/internal/fault"
	"verge/internal/runtimeinstall"
)

type deviceCommand struct {
	JSON bool `help:"Print JSON."`
	rootFlags
}

// rootFlags say which machine is looked at.
type rootFlags struct {
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

// Validate is called by kong.
func (r *rootFlags) Validate() error {
	if r.Arch != "" && !r.elsewhere() {
		return errors.New("--arch is of what --root holds: give both")
	}
	return nil
}

// elsewhere says whether another machine's files are to be looked at.
func (r *rootFlags) elsewhere() bool { return filepath.Clean(r.Root) != "/" }

// check says why the root is none.
func (r *rootFlags) check() error {
	if info, err := os.Stat(r.Root); err != nil || !info.IsDir() {
		return fault.New(fault.NotFound, "cli.device", "it is no folder").On(r.Root).WithHint("Name the root folder of a machine with --root.")
	}
	return nil
}

// libraries finds native libraries where the settings say, and below the root that
// was asked for: of another machine only those that it holds itself.
func (r *rootFlags) libraries(c *call) (*runtimeinstall.Runtimes, error) {
	if !r.elsewhere() {
		return c.libraries()
	}
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	m, err := r.machine()
	if err != nil {
		return nil, err
	}
	const systems = "/var/lib/verge/runtimes"
	return runtimeinstall.New(runtimeinstall.Config{
		Dir: cfg.RuntimeDir, Defaults: []string{systems}, Root: r.Root, Libc: m.Libc(),
		Platform: runtimeinstall.Platform{OS: "linux", Arch: m.Arch()},
	})
}

func (d *deviceCommand) facts(c *call, libraries *runtimeinstall.Runtimes) (*device.Facts, error) {
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	m, err := d.machine()
	if err != nil {
		return nil, err
	}
	disk := existing(cfg.StateDir)
	if d.elsewhere() {
		// The file system of a folder in another root is this machine's, unless the state is really there.
		if disk = cfg.StateDir; existing(filepath.Join(d.Root, disk)) != filepath.Join(d.Root, disk) {
			disk = ""
		}
	}
	facts, installed := m.Facts(disk), app.Installed(libraries)
	if !d.elsewhere() {
		self, err := os.Executable()
		if err != nil {
			return nil, fault.New(fault.Internal, "cli.device", "find this program: %w", err)
		}
		app.AskVendors(c.Context, vendorprobe.New([]string{self, "probe"}, nil), m, &facts, installed)
	}
	provider.Add(m, &facts, installed)
	return &facts, nil
}

type probeCommand struct {
	Name  string   `arg:"" help:"Library to ask: nvml, cuda, edgetpu or openvino."`
	Paths []string `arg:"" name:"path" help:"Where it may be; the first that can be opened is asked."`
}

// Run is the process that opens a vendor's library. Its answer goes to standard output.
func (p *probeCommand) Run() error { return vendorprobe.Main(p.Name, p.Paths, os.Stdout) }
