package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"

	"github.com/alecthomas/kong"

	"verge/internal/fault"
)

// IO is what a command reads and writes.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	Environ  []string // "NAME=value"
}

// Interrupted is the cause of a context that a signal ended.
type Interrupted struct{ Signal os.Signal } //nolint:errname // a cause, which nobody returns

// Error implements error.
func (i Interrupted) Error() string { return "ended by signal: " + i.Signal.String() }

// commands is the whole command line.
type commands struct {
	Settings settings `embed:""`

	Run      runCommand      `cmd:"" help:"Start a node and deploy to it, in the foreground until Ctrl-C."`
	Serve    serveCommand    `cmd:"" help:"Start a node."`
	Deploy   deployCommand   `cmd:"" help:"Deploy a model: check, load, gate, test, switch."`
	Undeploy undeployCommand `cmd:"" help:"Take a model out of service."`
	Watch    watchCommand    `cmd:"" help:"Follow a deployment to its end."`
	Cancel   cancelCommand   `cmd:"" help:"End a deployment that has not switched."`
	History  historyCommand  `cmd:"" help:"List deployments, the newest first."`
	Report   reportCommand   `cmd:"" help:"Show all that is kept of a deployment, as text, JSON, JUnit XML or a page."`
	Diff     diffCommand     `cmd:"" help:"Compare a deployment file with what serves."`
	Test     testCommand     `cmd:"" help:"Test what serves again."`
	Shadow   shadowCommand   `cmd:"" help:"Compare a version with the one that clients ask, on what they ask."`
	Promote  promoteCommand  `cmd:"" help:"Deploy the version of a lower stage to a higher one."`
	Rollback rollbackCommand `cmd:"" help:"Serve an earlier version of a model again."`
	Export   exportCommand   `cmd:"" help:"Write a version of a model, with its deployment file and report, as one file for another node."`
	Pin      pinCommand      `cmd:"" help:"Keep a version of a model with all its files."`
	Predict  predictCommand  `cmd:"" help:"Ask a model for an answer."`
	Status   statusCommand   `cmd:"" help:"Show how the node and its models are."`
	Check    checkCommand    `cmd:"" help:"Check a deployment file, its model file and this machine, without loading the model."`
	Inspect  inspectCommand  `cmd:"" help:"Show what is in a model file."`
	Explain  explainCommand  `cmd:"" help:"Show what would be taken to run a model here, and why."`
	Device   deviceCommand   `cmd:"" help:"Show what this machine is."`
	Runtime  runtimeCommand  `cmd:"" help:"Bring, list and verify native inference libraries."`
	Service  serviceCommand  `cmd:"" help:"Run the node as a service of this system."`
	Config   configCommand   `cmd:"" help:"Check and show the settings of a node."`
	Version  versionCommand  `cmd:"" help:"Show the version of this program."`
	Worker   workerCommand   `cmd:"" hidden:"" help:"Hold one model; only a node starts it."`
	Probe    probeCommand    `cmd:"" hidden:"" help:"Ask one vendor's library; only verge itself starts it."`
}

// settings are the flags that every command takes: settings of the node by their
// key paths, and where to find the node.
type settings struct {
	Config      string            `placeholder:"FILE" help:"Read settings from this file; without it, from the one that VERGE_CONFIG names."`
	StateDir    string            `placeholder:"DIR" help:"Where a node keeps its state."`
	UnixSocket  string            `placeholder:"PATH" help:"The node's Unix socket."`
	HTTPAddress *string           `name:"http-address" placeholder:"HOST:PORT" help:"Where a node listens for HTTP; empty for nowhere."`
	RuntimeDir  string            `placeholder:"DIR" help:"Where native libraries are."`
	LogLevel    string            `placeholder:"LEVEL" help:"Least severe records that are logged: debug, info, warning or error."`
	LogFormat   string            `placeholder:"FORMAT" help:"Form of the log: text or json."`
	Set         map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"Any other setting, by its key path: serve.queue_size=16."`
	Node        string            `placeholder:"ADDRESS" help:"Talk to the node at unix:/path or http://host:port, instead of the one of these settings."`
}

// overrides are the settings that flags give, by key path.
func (s *settings) overrides() map[string]string {
	all := map[string]string{}
	maps.Copy(all, s.Set)
	for key, value := range map[string]string{
		"state_dir": s.StateDir, "unix_socket": s.UnixSocket, "runtime_dir": s.RuntimeDir, "log_level": s.LogLevel, "log_format": s.LogFormat,
	} {
		if value != "" {
			all[key] = value
		}
	}
	if s.HTTPAddress != nil {
		all["http_address"] = *s.HTTPAddress
	}
	return all
}

// Run executes one command line and returns the exit status, as exit.go says. It
// ends early when ctx does; a signal says so by an Interrupted as the cause.
func Run(ctx context.Context, args []string, std IO) int {
	var all commands
	parsed, status := parse(&all, args, std)
	if parsed == nil {
		return status
	}
	out := &output{Writer: std.Out}
	std.Out = out
	c := &call{Context: ctx, std: std, settings: &all.Settings}
	err := parsed.RunNode(parsed.Selected(), c) // Run would wrap what it returns
	if err == nil {
		err = out.lost()
	}
	if err == nil {
		return exitDone
	}
	var interrupted Interrupted
	if errors.As(context.Cause(ctx), &interrupted) && kindOf(err) == fault.Canceled {
		err = interrupted
	}
	c.explain(err)
	return statusOf(err)
}

// helped is panicked with by kong when it has printed a help text.
type helped struct{}

// parse reads the command line. Where nothing is left to run it returns nil and
// the exit status.
func parse(all *commands, args []string, std IO) (parsed *kong.Context, status int) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(helped); !ok {
				panic(r)
			}
			parsed, status = nil, exitDone
		}
	}()
	parser, err := kong.New(
		all,
		kong.Name("verge"),
		kong.Description("Takes an AI model from a file to gated, watched serving on this machine."),
		kong.Writers(std.Out, std.Err),
		kong.Exit(func(int) { panic(helped{}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
	)
	if err != nil {
		panic(err) // the tags above are wrong
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err = parser.Parse(args)
	if err != nil {
		fmt.Fprintln(std.Err, "verge:", err)
		fmt.Fprintln(std.Err, "Hint: verge --help lists the commands, verge COMMAND --help their flags.")
		return nil, exitUsage
	}
	return parsed, exitDone
}
