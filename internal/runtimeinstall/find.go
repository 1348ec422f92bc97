package runtimeinstall

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"verge/internal/fault"
	"verge/internal/native"
	"verge/internal/sysroot"
	"verge/internal/version"
)

// Where a library was found.
const (
	Configured = "configured" // in the directory that a person configured
	Installed  = "installed"  // in a default runtime directory
	System     = "system"     // where the system keeps its libraries
)

// Found is a library on this machine.
type Found struct {
	Name    string // of the runtime
	Version string // by the names of its file and directory; "" where they tell none
	Path    string
	Source  string // Configured, Installed or System
	SHA256  string // of its bytes; only Install and Verify compute it
	Err     error  // why it cannot be used, or nil
}

// Find returns the library that a runtime is to be opened from: the first that fits
// this machine in the configured directory, the default ones and the system's, and
// in each the highest version. It reads names and the tables of a file that the system's
// loader goes by; no code of the library runs. It fails with fault.NotFound
// where there is none, and says where it looked and how to install it.
func (r *Runtimes) Find(name string) (Found, error) {
	p, err := r.lock.pin(name)
	if err != nil {
		return Found{}, err
	}
	all, looked := r.search(p)
	hint := "Run: verge runtime install " + p.Name
	var unusable []string
	for _, found := range all {
		if found.Err == nil {
			return found, nil
		}
		unusable = append(unusable, found.Path+": "+fault.Message(found.Err))
		if _, isLibc := errors.AsType[*native.LibcError](found.Err); isLibc {
			hint = fault.HintOf(found.Err) // another file of the same kind would be of no use either
		}
	}
	why := "it is not installed"
	if len(unusable) > 0 {
		why += fmt.Sprintf(" for %s: ", r.host) + strings.Join(unusable, "; ")
	}
	e := fault.New(fault.NotFound, "runtimeinstall.find", "%s (looked in %s)", why, strings.Join(looked, ", ")).On("runtime " + p.Name)
	if _, err := p.sources(r.host); err != nil {
		return Found{}, e.WithHint("%s", fault.HintOf(err))
	}
	if libc := r.system().Libc; libc != "" && !strings.HasPrefix(libc, "glibc") {
		return Found{}, e.WithHint("Use a system with glibc: this one has %s, and the libraries that can be installed need glibc.", libc)
	}
	return Found{}, e.WithHint("%s", hint)
}

// List returns every library of every known runtime that is on this machine, those
// that Find prefers first, the unusable ones included.
func (r *Runtimes) List() []Found {
	var all []Found
	for _, p := range r.lock.Runtimes {
		if p.Runtime == "" {
			found, _ := r.search(p)
			all = append(all, found...)
		}
	}
	return all
}

// search finds a runtime's libraries, of every build, and says where it looked.
func (r *Runtimes) search(p pin) (all []Found, looked []string) {
	var seen []os.FileInfo
	add := func(source string, libraries []Found) {
		for _, found := range libraries {
			info, err := os.Stat(found.Path)
			if err != nil || slices.ContainsFunc(seen, func(other os.FileInfo) bool { return os.SameFile(other, info) }) {
				continue // one file under several names is one library
			}
			seen = append(seen, info)
			found.Source, found.Err = source, r.fits(found.Path)
			if found.Err == nil {
				found.Err = r.companions(found)
			}
			all = append(all, found)
		}
	}
	builds := r.lock.builds(p)
	if r.config.Dir != "" {
		looked = append(looked, r.config.Dir)
		for _, build := range builds {
			add(Configured, installedIn(build, "/", r.config.Dir))
		}
		add(Configured, librariesIn(p, "/", r.config.Dir)) // a folder of somebody else's that holds the library itself
	}
	if r.foreign() {
		return all, looked // the rest is this machine's
	}
	root := sysroot.Root(r.config.Root)
	for _, dir := range r.config.Defaults {
		if root == "/" && dir == r.config.Dir {
			continue
		}
		looked = append(looked, filepath.Join(r.config.Root, dir))
		for _, build := range builds {
			add(Installed, installedIn(build, root, dir))
		}
	}
	for _, dir := range systemDirs(root, r.host) {
		add(System, librariesIn(p, root, dir))
	}
	return all, append(looked, "the system's libraries")
}

// foreign says whether libraries of another machine are looked for, of which nothing but
// a runtime directory is here.
func (r *Runtimes) foreign() bool { return r.host != Host() && r.config.Root == "/" }

// installedIn returns a runtime's libraries in a runtime directory below root, the
// highest version first.
func installedIn(p pin, root sysroot.Root, dir string) []Found {
	entries, err := root.ReadDir(filepath.Join(dir, p.Name))
	if err != nil {
		return nil
	}
	var all []Found
	for _, entry := range entries {
		libraries := librariesIn(p, root, filepath.Join(dir, p.Name, entry.Name()))
		if len(libraries) == 0 {
			continue
		}
		library := libraries[0]
		if isVersion(entry.Name()) && strings.Count(library.Version, ".") < strings.Count(entry.Name(), ".") {
			library.Version = entry.Name()
		}
		all = append(all, library)
	}
	slices.SortStableFunc(all, func(a, b Found) int { return version.Compare(b.Version, a.Version) })
	return all
}

// librariesIn returns a runtime's libraries that lie in a directory below root, the
// highest version first.
func librariesIn(p pin, root sysroot.Root, dir string) []Found {
	entries, err := root.ReadDir(dir)
	if err != nil {
		return nil
	}
	var all []Found
	for _, entry := range entries {
		for _, name := range p.names() {
			if number, path, ok := libraryIn(root, filepath.Join(dir, entry.Name()), name); ok {
				all = append(all, Found{Name: p.serves(), Version: number, Path: path})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Found) int { return version.Compare(b.Version, a.Version) })
	return all
}

// libraryIn says whether a file below root is a library of that name, its version as far
// as names tell, and where it is for this process.
func libraryIn(root sysroot.Root, file, name string) (number, path string, ok bool) {
	rest, ok := strings.CutPrefix(filepath.Base(file), name)
	number = strings.TrimPrefix(rest, ".")
	if !ok || rest != "" && (rest == number || !isVersion(number)) {
		return "", "", false
	}
	if info, err := root.Stat(file); err != nil || !info.Mode().IsRegular() {
		return "", "", false
	}
	path, err := root.Path(file)
	if err != nil {
		return "", "", false
	}
	if target, err := root.Follow(file); err == nil && strings.Count(number, ".") < 2 {
		if full, ok := strings.CutPrefix(filepath.Base(target), name+"."); ok && isVersion(full) {
			number = full // libonnxruntime.so.1 → libonnxruntime.so.1.30.0
		}
	}
	return number, path, true
}

// fits says why a library cannot be loaded where it is to be, or nil.
func (r *Runtimes) fits(name string) error {
	if e, ok := errors.AsType[*fault.Error](r.system().Check(name)); ok {
		return e.On("") // the path stands beside it, in a field of its own
	}
	return nil
}

// companions says why what a library loads from its own folder cannot be loaded, or nil:
// the C interface of OpenVINO is a small library that needs less than the one behind it.
func (r *Runtimes) companions(found Found) error {
	if found.Name != "openvino" {
		return nil
	}
	beside, err := filepath.Glob(filepath.Join(filepath.Dir(found.Path), "libopenvino*.so*"))
	if err != nil {
		return nil //nolint:nilerr // never: the pattern is right
	}
	for _, path := range beside {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || path == found.Path {
			continue
		}
		if err := r.fits(path); err != nil {
			return err
		}
	}
	return nil
}

// system is what libraries are to be loaded on.
func (r *Runtimes) system() native.System {
	if r.config.Root == "/" && r.host == Host() {
		return native.Here()
	}
	return native.System{Arch: r.host.Arch, Libc: r.config.Libc}
}

// isVersion reports whether text is numbers with dots between them.
func isVersion(text string) bool {
	for part := range strings.SplitSeq(text, ".") {
		if _, err := strconv.ParseUint(part, 10, 32); err != nil {
			return false
		}
	}
	return true
}
