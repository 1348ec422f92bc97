package runtimeinstall

import (
	"os"
	"path/filepath"
)

// Config says where libraries are.
type Config struct {
	// Dir is the runtime directory that a person configured. It is searched first
	// and installed into; where it is "", the first of Defaults is.
	Dir string
	// Defaults are the runtime directories that are searched after it, below Root. See
	// DefaultDirs.
	Defaults []string
	// Root is the root directory of the machine, "/" where it is "". Its system libraries
	// are searched last.
	Root string
	// Libc is the C library of the machine below another Root, such as "glibc 2.31" or
	// "musl"; "" where that is not known.
	Libc string
	// Platform is that of the libraries that are looked for; this machine's where it is
	// zero. Those of another one are looked for in Dir, and below Root where that is not "/".
	Platform Platform
	// Lock is the text of a lock file in place of the program's own.
	Lock []byte
}

// Runtimes finds and installs the libraries of a lock file.
type Runtimes struct {
	config Config
	lock   *lock
	host   Platform
	create func(root *os.Root, name string) (libraryFile, error) // replaced in tests
}

// New reads the lock file. It fails only where Config.Lock is not one.
func New(config Config) (*Runtimes, error) {
	if config.Root == "" {
		config.Root = "/"
	}
	config.Root = filepath.Clean(config.Root)
	if config.Lock == nil {
		config.Lock = lockText
	}
	if config.Platform == (Platform{}) {
		config.Platform = Host()
	}
	l, err := parseLock(config.Lock)
	if err != nil {
		return nil, err
	}
	return &Runtimes{config: config, lock: l, host: config.Platform, create: createLibrary}, nil
}

// DefaultDirs returns the runtime directories of a user (0 is root), their own
// first, given their environment. For root and for services that is the node's
// own; others have one below their home.
func DefaultDirs(uid int, env func(string) string) []string {
	const system = "/var/lib/verge/runtimes"
	if uid == 0 {
		return []string{system}
	}
	state := env("XDG_STATE_HOME")
	if !filepath.IsAbs(state) { // as the XDG specification says
		home := env("HOME")
		if !filepath.IsAbs(home) {
			return []string{system}
		}
		state = filepath.Join(home, ".local", "state")
	}
	return []string{filepath.Join(state, "verge", "runtimes"), system}
}

// Runtime is one that can be installed.
type Runtime struct {
	Name      string
	Version   string
	Platforms []string // "linux/amd64"
}

// Available returns the runtimes that Install knows.
func (r *Runtimes) Available() []Runtime {
	all := make([]Runtime, len(r.lock.Runtimes))
	for i, p := range r.lock.Runtimes {
		all[i] = Runtime{Name: p.Name, Version: p.Version}
		for _, on := range p.Platforms {
			all[i].Platforms = append(all[i].Platforms, on.Platform)
		}
	}
	return all
}

// target is the directory that is installed into where none is named.
func (r *Runtimes) target() string {
	if r.config.Dir != "" {
		return r.config.Dir
	}
	if len(r.config.Defaults) > 0 {
		return r.config.Defaults[0]
	}
	return ""
}
