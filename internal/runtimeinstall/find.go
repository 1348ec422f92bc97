package runtimeinstall

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"verge/internal/fault"
	"verge/internal/native"
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
		if fault.KindOf(found.Err) == fault.Unsupported && fault.HintOf(found.Err) != "" {
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
			all = append(all, found)
		}
	}
	builds := r.lock.builds(p)
	if r.config.Dir != "" {
		looked = append(looked, r.config.Dir)
		for _, build := range builds {
			add(Configured, installedIn(build, r.config.Dir))
		}
		add(Configured, librariesIn(p, r.config.Dir)) // a folder of somebody else's that holds the library itself
	}
	if r.foreign() {
		return all, looked // the rest is this machine's
	}
	for _, dir := range r.config.Defaults {
		if dir == r.config.Dir {
			continue
		}
		looked = append(looked, dir)
		for _, build := range builds {
			add(Installed, installedIn(build, dir))
		}
	}
	for _, dir := range systemDirs(r.config.Root, r.host) {
		add(System, librariesIn(p, filepath.Join(r.config.Root, dir)))
	}
	return all, append(looked, "the system's libraries")
}

// foreign says whether libraries of another machine are looked for, of which nothing but
// a runtime directory is here.
func (r *Runtimes) foreign() bool { return r.host != Host() && r.config.Root == "/" }

// installedIn returns a runtime's libraries in a runtime directory, the highest
// version first.
func installedIn(p pin, dir string) []Found {
	entries, err := os.ReadDir(filepath.Join(dir, p.Name))
	if err != nil {
		return nil
	}
	var all []Found
	for _, entry := range entries {
		libraries := librariesIn(p, filepath.Join(dir, p.Name, entry.Name()))
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

// librariesIn returns a runtime's libraries that lie in a directory, the highest
// version first.
func librariesIn(p pin, dir string) []Found {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var all []Found
	for _, entry := range entries {
		for _, name := range p.names() {
			if number, ok := libraryIn(dir, entry.Name(), name); ok {
				all = append(all, Found{Name: p.serves(), Version: number, Path: filepath.Join(dir, entry.Name())})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Found) int { return version.Compare(b.Version, a.Version) })
	return all
}

// libraryIn says whether a file of a directory is a library of that name, and its
// version as far as names tell.
func libraryIn(dir, file, name string) (number string, ok bool) {
	rest, ok := strings.CutPrefix(file, name)
	number = strings.TrimPrefix(rest, ".")
	if !ok || rest != "" && (rest == number || !isVersion(number)) {
		return "", false
	}
	path := filepath.Join(dir, file)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return "", false
	}
	if target, err := filepath.EvalSymlinks(path); err == nil && strings.Count(number, ".") < 2 {
		if full, ok := strings.CutPrefix(filepath.Base(target), name+"."); ok && isVersion(full) {
			number = full // libonnxruntime.so.1 → libonnxruntime.so.1.30.0
		}
	}
	return number, true
}

// fits says why the library cannot be one of the platform, by the head of its
// file (System V ABI, "ELF Header"), or of this machine, by what native.Check reads;
// or nil.
func (r *Runtimes) fits(name string) error {
	const op = "runtimeinstall.find"
	file, err := os.Open(name) //nolint:gosec // a path that was found, only read
	if err != nil {
		return fault.New(fault.Invalid, op, "cannot be read: %w", errors.Unwrap(err))
	}
	defer file.Close() //nolint:errcheck // only read
	const machineAt, headSize = 18, 20
	head := make([]byte, headSize)
	if _, err := io.ReadFull(file, head); err != nil || string(head[:4]) != elf.ELFMAG {
		return fault.New(fault.Corrupt, op, "not a shared library")
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	machine := elf.Machine(order.Uint16(head[machineAt:]))
	if want := machineOf(r.host.Arch); want != elf.EM_NONE && machine != want {
		return fault.New(fault.Unsupported, op, "made for %s, not for %s", machineName(machine), machineName(want))
	}
	if r.host != Host() {
		return nil // that is for the machine that it is on
	}
	if e, ok := errors.AsType[*fault.Error](native.Check(name)); ok {
		return e.On("") // the path stands beside it, in a field of its own
	}
	return nil
}

// machineOf is ELF's number for a processor, or EM_NONE where it is not known here.
func machineOf(arch string) elf.Machine {
	switch arch {
	case "amd64":
		return elf.EM_X86_64
	case "arm64":
		return elf.EM_AARCH64
	case "386":
		return elf.EM_386
	case "arm":
		return elf.EM_ARM
	case "riscv64":
		return elf.EM_RISCV
	}
	return elf.EM_NONE
}

// machineName turns "EM_AARCH64" into "aarch64".
func machineName(machine elf.Machine) string {
	return strings.ToLower(strings.TrimPrefix(machine.String(), "EM_"))
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
