package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"verge/client"
	"verge/internal/fault"
	"verge/internal/service"
)

type serviceCommand struct {
	Install   serviceInstall   `cmd:"" help:"Install the service, start it, and have it started with the system."`
	Status    serviceStatus    `cmd:"" help:"Show how the service and its node are."`
	Logs      serviceLogs      `cmd:"" help:"Show the service's log."`
	Uninstall serviceUninstall `cmd:"" help:"Stop the service and remove it; its state stays."`
}

// image is a folder that stands for another system.
type image struct {
	Root string `placeholder:"DIR" help:"Prepare the system in this folder, such as an image: files only, nothing is run."`
}

// system is the machine that a command is about.
func (c *call) system(i image) (service.System, error) {
	self, err := os.Executable()
	if err != nil {
		return service.System{}, fault.New(fault.Internal, "cli.service", "find this program: %w", err)
	}
	s := service.System{UID: os.Geteuid(), Program: self, Say: func(format string, args ...any) { c.print(format+"\n", args...) }}
	if i.Root == "" {
		return s, nil
	}
	if s.Root, err = filepath.Abs(i.Root); err != nil {
		return s, fault.New(fault.Invalid, "cli.service", "%w", err)
	}
	if info, err := os.Stat(s.Root); err != nil || !info.IsDir() {
		return s, fault.New(fault.NotFound, "cli.service", "%s is no folder", i.Root).WithHint("Name the folder that is the other system's /.")
	}
	s.Offline = true
	return s, nil
}

type serviceInstall struct{ image }

// Run installs the service.
func (s *serviceInstall) Run(c *call) error {
	system, err := c.system(s.image)
	if err != nil {
		return err
	}
	return system.Install(c)
}

type serviceUninstall struct {
	image

	Purge bool `help:"Remove the state, the settings and the user too."`
}

// Run removes the service.
func (s *serviceUninstall) Run(c *call) error {
	system, err := c.system(s.image)
	if err != nil {
		return err
	}
	return system.Uninstall(c, s.Purge)
}

type serviceLogs struct {
	Follow bool `short:"f" help:"Go on with what comes, until Ctrl-C."`
	Lines  int  `short:"n" default:"100" placeholder:"N" help:"How many lines; 100 unless given."`
}

// Validate is called by kong.
func (s *serviceLogs) Validate() error {
	if s.Lines < 0 {
		return errors.New("--lines wants 0 or more")
	}
	return nil
}

// Run shows the log.
func (s *serviceLogs) Run(c *call) error {
	system, err := c.system(image{})
	if err != nil {
		return err
	}
	return system.Logs(c, s.Lines, s.Follow, c.std.Out, c.std.Err)
}

type serviceStatus struct{}

// Run shows what systemd and the node itself say. What is not running is an error.
func (s *serviceStatus) Run(c *call) error {
	system, err := c.system(image{})
	if err != nil {
		return err
	}
	state, err := system.State(c)
	if err != nil {
		return err
	}
	const op = "cli.service"
	if !state.Loaded {
		return fault.New(fault.NotFound, op, "%s is not installed", service.Unit).WithHint("Run: sudo verge service install")
	}
	c.print("%s", serviceLine(state))
	if !state.Running() {
		return fault.New(fault.Unavailable, op, "the service is not running").
			WithHint("verge service logs tells why; sudo systemctl start verge starts it.")
	}
	return c.showServiceNode()
}

// serviceLine is the service's state for people.
func serviceLine(s service.State) string {
	facts := []string{fmt.Sprintf("%s (%s)", s.Active, s.Sub)}
	if s.Since != "" {
		facts = append(facts, "since "+s.Since)
	}
	if s.PID > 0 {
		facts = append(facts, fmt.Sprintf("process %d", s.PID))
	}
	if s.Restarts > 0 {
		facts = append(facts, fmt.Sprintf("%d %s", s.Restarts, plural(s.Restarts, "restart")))
	}
	if s.Result != "success" && s.Result != "" {
		facts = append(facts, "ended by "+s.Result)
	}
	start := "starts with the system"
	if !s.Enabled {
		start = "does not start with the system"
	}
	return fmt.Sprintf("%s %s\n", service.Unit, strings.Join(append(facts, start), ", "))
}

// showServiceNode shows the node's own state: a line for it and one for each model.
func (c *call) showServiceNode() error {
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	ctx, cancel := context.WithTimeout(c.Context, patience)
	defer cancel()
	status, err := node.Status(ctx)
	switch {
	case errors.Is(err, client.ErrUnreachable) && !errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Unavailable, "cli.service", "the service runs, but no node answers at %s", node.Address()).
			WithHint("verge service logs tells why; where its settings name another socket, add --unix-socket PATH.")
	case err != nil:
		message, hint, _ := describe(err)
		return fault.New(fault.Unavailable, "cli.service", "the service runs, but how its node is is not known: %s", message).WithHint("%s", hint)
	}
	t := newTerminal(c.std.Out, c.std.Environ)
	c.print("%s", t.node(status))
	for i := range status.Models {
		m := &status.Models[i]
		c.print("  %s  %s\n", titleOf(m), strings.Join(nonEmpty(m.State, m.Reason), ", "))
	}
	return nil
}
