package runtimeinstall

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"verge/internal/fault"
)

// The package clients, by the names that a lock file has for them.
const (
	pipClient = "pip"
	npmClient = "npm"
)

// download fetches the package by the first client that is there, verifies it and
// returns it open.
func (in *install) download(ctx context.Context, root *os.Root, temp string) (*packageFile, error) {
	const op = "runtimeinstall.download"
	s, command, err := in.choose(ctx)
	if err != nil {
		return nil, err
	}
	copies := int64(1)
	if s.Client == npmClient {
		copies++ // in its cache
	}
	if err = in.room(root, copies*s.Size+s.bytes()); err != nil {
		return nil, err
	}
	folder := path.Join(temp, "package")
	if err = root.Mkdir(folder, 0o700); err != nil {
		return nil, diskError(op, in.dir, err)
	}
	if err = in.fetch(ctx, command, s, filepath.Join(in.dir, temp), filepath.Join(in.dir, folder)); err != nil {
		return nil, err
	}
	name, err := onlyFile(root, folder)
	if err != nil {
		return nil, fault.New(fault.Unavailable, op, "%s is done, but %w", s.Client, err).On(in.pin.subject())
	}
	file, size, err := openRegular(filepath.Join(in.dir, folder, name))
	if err != nil {
		return nil, diskError(op, in.dir, err)
	}
	pack := &packageFile{pin: in.pin, source: s, file: file, size: size}
	sum, err := hashFile(ctx, file, size, in.progress)
	if err == nil && (sum != s.SHA256 || size != s.Size) {
		err = mismatch(in.pin, name, size, sum, s.Size, s.SHA256)
	}
	if err != nil {
		_ = file.Close() // only read
		return nil, err
	}
	return pack, nil
}

// choose returns the first source whose client is on this machine, and the command
// that starts the client.
func (in *install) choose(ctx context.Context) (source, []string, error) {
	var clients, files []string
	for _, s := range in.sources {
		if command, ok := findClient(ctx, s.Client); ok {
			return s, command, nil
		}
		clients, files = append(clients, s.Client), append(files, s.File)
	}
	if ctx.Err() != nil {
		return source{}, nil, stopped(ctx)
	}
	return source{}, nil, fault.New(fault.Unsupported, "runtimeinstall.download", "no package client is here (looked for %s)", strings.Join(clients, ", ")).
		On(in.pin.subject()).
		WithHint("Install %s, or bring the package: verge runtime install %s --from FILE, where FILE is %s", strings.Join(clients, " or "), in.pin.Name, strings.Join(files, " or "))
}

// findClient returns the command of a client that starts. A Python without pip is
// common, so that it is asked.
func findClient(ctx context.Context, name string) ([]string, bool) {
	commands := [][]string{{npmClient}}
	if name == pipClient {
		commands = [][]string{{"python3", "-m", "pip"}, {"python", "-m", "pip"}, {"pip3"}, {"pip"}}
	}
	for _, command := range commands {
		file, err := exec.LookPath(command[0])
		if err != nil {
			continue
		}
		command[0] = file
		ask := child(ctx, append(command[1:len(command):len(command)], "--version"), file, os.TempDir())
		if ask.Run() == nil {
			return command, true
		}
	}
	return nil, false
}

// fetch lets the client write the package into a folder. What else it writes goes
// to temp. Its configuration is left as it is: where packages come from is the
// machine's to say, what they are is the lock file's.
func (in *install) fetch(ctx context.Context, command []string, s source, temp, folder string) error {
	var arguments []string
	if s.Client == pipClient {
		arguments = []string{"download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--dest", folder}
	} else {
		// A device needs the 100 MB once: npm's cache goes with the rest.
		arguments = []string{"pack", "--ignore-scripts", "--no-update-notifier", "--cache", filepath.Join(temp, "cache"), "--pack-destination", folder}
	}
	arguments = append(append(arguments, s.Arguments...), s.Package)
	output := &tail{limit: 4 << 10}
	run := child(ctx, append(command[1:len(command):len(command)], arguments...), command[0], temp)
	run.Stdout, run.Stderr = output, output
	stop := in.watch(temp, s.Size)
	err := run.Run()
	stop()
	switch {
	case ctx.Err() != nil:
		return stopped(ctx)
	case err != nil:
		return fault.New(fault.Unavailable, "runtimeinstall.download", "%s %s: %w%s", s.Client, arguments[0], err, output.lastLines()).
			On(in.pin.subject()).
			WithHint("Check the network and what %s is configured with, or bring the package: verge runtime install %s --from FILE", s.Client, in.pin.Name)
	}
	return nil
}

// child is a process that ends, with those that it starts, when ctx does.
func child(ctx context.Context, arguments []string, file, dir string) *exec.Cmd {
	const patience = 5 * time.Second                  // for its output to end
	c := exec.CommandContext(ctx, file, arguments...) //nolint:gosec // a package client from PATH, with the lock file's arguments
	c.Dir, c.WaitDelay = dir, patience                // not where the caller stands: Python imports from there
	c.Env = append(os.Environ(), "TMPDIR="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	return c
}

// watch reports how much of a package has arrived, until stop is called. Clients
// do not tell it in a form to rely on; what they have written does.
func (in *install) watch(temp string, size int64) (stop func()) {
	const interval = 200 * time.Millisecond
	done := make(chan struct{}) // closed by stop
	var wg sync.WaitGroup
	in.progress(Downloading, 0, size)
	wg.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				in.progress(Downloading, min(size, folderSize(temp)), size)
			case <-done:
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// folderSize adds up the files of a folder, from which some may vanish meanwhile.
func folderSize(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // gone: it counts no more
		}
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}

// onlyFile returns the name of the one file that a folder holds.
func onlyFile(root *os.Root, folder string) (string, error) {
	entries, err := fs.ReadDir(root.FS(), folder)
	if err != nil {
		return "", err
	}
	if len(entries) != 1 {
		return "", fmt.Errorf("wrote %d files, want 1", len(entries))
	}
	return entries[0].Name(), nil
}

// tail keeps the end of what is written to it.
type tail struct {
	limit int
	text  []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if over := len(t.text) - t.limit; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// lastLines returns the last lines that say something, each on a line of its own.
func (t *tail) lastLines() string {
	const most = 8
	var lines []string
	for line := range strings.Lines(strings.ToValidUTF8(string(t.text), "�")) {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			lines = append(lines, "\n  "+line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-most):], "")
}
