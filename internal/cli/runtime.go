package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"verge/client"
	"verge/internal/fault"
	"verge/internal/runtimeinstall"
)

type runtimeCommand struct {
	Install runtimeInstall `cmd:"" help:"Bring a library, pinned by its hash."`
	List    runtimeList    `cmd:"" help:"Show the libraries that are on this machine."`
	Verify  runtimeVerify  `cmd:"" help:"Read the library again and compare its hash."`
}

type runtimeInstall struct {
	Names    []string `arg:"" optional:"" name:"runtime" help:"Runtimes to install; leave them out to see which there are."`
	From     string   `placeholder:"FILE|DIR" help:"Take it from a wheel, an npm tarball, the library, or a folder with one of them; nothing is downloaded."`
	Platform string   `placeholder:"OS/ARCH" help:"Platform to prepare for, such as linux/arm64."`
	Output   string   `short:"o" placeholder:"DIR" help:"Runtime directory to install into."`
	Accept   bool     `name:"accept-licence" help:"Accept the terms of libraries that have some; without it, they are named, and nothing is installed."`
	Client   string   `placeholder:"pip|npm" enum:",pip,npm" default:"" help:"Package client to download with; without it, the one that is there."`
}

// Validate is called by kong.
func (r *runtimeInstall) Validate() error {
	if len(r.Names) == 0 {
		return noRuntime()
	}
	o, err := r.options()
	if err == nil && o.Platform != runtimeinstall.Host() && o.Platform != (runtimeinstall.Platform{}) && o.Dir == "" {
		err = fmt.Errorf("a library for %s is of no use here: name the folder that goes to the board with -o DIR", r.Platform)
	}
	return err
}

// noRuntime names the runtimes that can be installed.
func noRuntime() error {
	libraries, err := runtimeinstall.New(runtimeinstall.Config{})
	if err != nil {
		return err
	}
	var all strings.Builder
	t := tabwriter.NewWriter(&all, 0, 0, 2, ' ', 0)
	for _, a := range libraries.Available() {
		if len(a.Platforms) == 0 {
			continue // it is found where the system has it, and comes by no package
		}
		fmt.Fprintf(t, "\n  %s\t%s\t%s", a.Name, a.Version, strings.Join(a.Platforms, ", "))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return fmt.Errorf("name one runtime or more:%s", all.String())
}

func (r *runtimeInstall) options() (o runtimeinstall.Options, err error) {
	o = runtimeinstall.Options{AcceptLicence: r.Accept, From: r.From, Dir: r.Output, Client: r.Client}
	o.Platform, err = platform(r.Platform)
	return o, err
}

// platform is the value of --platform; the zero Platform is none.
func platform(text string) (p runtimeinstall.Platform, err error) {
	if text == "" {
		return p, nil
	}
	if p, err = runtimeinstall.ParsePlatform(text); err != nil {
		err = errors.New(fault.Message(err))
	}
	return p, err
}

// Run installs libraries, in the order of their names; the first failure ends it.
func (r *runtimeInstall) Run(c *call) error {
	libraries, err := c.libraries()
	if err != nil {
		return err
	}
	o, err := r.options()
	if err != nil {
		return err
	}
	for _, name := range r.Names {
		o.Name = name
		if err := c.install(libraries, o); err != nil {
			return err
		}
	}
	return nil
}

// install installs one library.
func (c *call) install(libraries *runtimeinstall.Runtimes, o runtimeinstall.Options) error {
	t := newTerminal(c.std.Err, c.std.Environ)
	result, err := libraries.Install(c, o, installProgress(t))
	if t.live {
		t.erase()
		t.erase()
	}
	if err != nil {
		return err
	}
	where, err := filepath.Abs(result.Path)
	if err != nil {
		where = result.Path
	}
	if result.Already {
		c.print("%s %s is there already: %s\n", result.Name, result.Version, where)
		return nil
	}
	c.print("%s %s for %s: %s\n", result.Name, result.Version, result.Platform, where)
	return nil
}

// installProgress shows a bar on a terminal, and a line for each phase elsewhere.
func installProgress(t terminal) runtimeinstall.Progress {
	var last runtimeinstall.Phase
	return func(phase runtimeinstall.Phase, done, total int64) {
		const cells = 30
		switch {
		case t.live && total > 0:
			t.rewrite(fmt.Sprintf("%-11s %s  %s of %s", phase, bar(float64(done)/float64(total), cells), size(done), size(total)))
		case t.live:
			t.rewrite(fmt.Sprintf("%-11s %s", phase, size(done)))
		case phase != last:
			fmt.Fprintln(t.w, phase)
		}
		last = phase
	}
}

type runtimeList struct {
	JSON bool `help:"Print JSON."`
}

// Run shows what is found where; the first of a name is the one that is used.
func (r *runtimeList) Run(c *call) error {
	libraries, err := c.libraries()
	if err != nil {
		return err
	}
	all := []client.Runtime{}
	for _, f := range libraries.List() {
		all = append(all, client.Runtime{Name: f.Name, Version: f.Version, Path: f.Path, Source: f.Source, Error: fault.Message(f.Err)})
	}
	if r.JSON {
		return c.printJSON(all)
	}
	if len(all) == 0 {
		c.print("no library is here; verge runtime install onnxruntime brings one\n")
		return nil
	}
	w := tabwriter.NewWriter(c.std.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUNTIME\tVERSION\tSOURCE\tLIBRARY")
	for _, l := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.Name, l.Version, l.Source, l.Path)
		if l.Error != "" {
			fmt.Fprintf(w, "\t\t\tcannot be used: %s\n", l.Error)
		}
	}
	return w.Flush()
}

type runtimeVerify struct {
	Names    []string `arg:"" optional:"" name:"runtime" help:"Runtimes; without one, all that were installed."`
	Platform string   `placeholder:"OS/ARCH" help:"Platform of a runtime directory that was prepared for another machine, such as linux/arm64; with --runtime-dir."`
}

// Validate is called by kong.
func (r *runtimeVerify) Validate() error {
	_, err := platform(r.Platform)
	return err
}

// Run hashes libraries again; every one is looked at, whatever those before it were.
func (r *runtimeVerify) Run(c *call) error {
	on, err := platform(r.Platform)
	if err != nil {
		return err
	}
	libraries, err := c.librariesOf(on)
	if err != nil {
		return err
	}
	names := r.Names
	if len(names) == 0 {
		names = installed(libraries)
	}
	if len(names) == 0 {
		return fault.New(fault.NotFound, "runtime.verify", "no library was installed, so there is none to verify").
			WithHint("verge runtime install brings one; verge runtime list shows those of the system.")
	}
	var failed error
	for _, name := range names {
		found, err := libraries.Verify(c, name, nil)
		if err != nil {
			c.explain(err)
			failed = said{statusOf(err)}
			continue
		}
		c.print("%s %s is what was pinned: %s, sha256 %s\n", found.Name, found.Version, found.Path, found.SHA256)
	}
	return failed
}

// installed are the names of the libraries that are not only the system's.
func installed(libraries *runtimeinstall.Runtimes) (names []string) {
	for _, f := range libraries.List() {
		if f.Source != runtimeinstall.System && !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}
