// Package provider says which runtimes, with which of their providers, are made for
// an accelerator, and what is missing here before one can be used:
//
//	facts := m.Facts("")
//	provider.Add(m, &facts, installed)
//	for _, c := range facts.Accelerators[0].Candidates {
//		fmt.Println(c.Runtime, c.Provider, c.Missing)
//	}
//
// It looks at names of files and opens no library: that nothing is missing says that
// a try is worth it, not that it will succeed.
package provider

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"verge/internal/device"
	"verge/internal/version"
)

// Installed is a native library of a runtime that was found.
type Installed struct {
	Runtime string // "onnxruntime"
	Path    string // its providers are beside it
	Problem string // why it cannot be used, or ""
}

// Add fills in the candidates of every accelerator of a machine.
func Add(m *device.Machine, facts *device.Facts, installed []Installed) {
	add(table, m, facts, installed)
}

func add(table []entry, m *device.Machine, facts *device.Facts, installed []Installed) {
	c := check{arch: facts.CPU.Architecture, libc: facts.Libc, libraries: m.Libraries(), installed: installed}
	for i := range facts.Accelerators {
		a := &facts.Accelerators[i]
		a.Candidates = []device.Candidate{}
		for _, e := range table {
			if e.fits(a, c.arch) {
				a.Candidates = append(a.Candidates, device.Candidate{Runtime: e.runtime, Provider: e.provider, Missing: c.missing(e, a)})
			}
		}
	}
}

// check is what candidates are held against.
type check struct {
	arch, libc string
	libraries  device.Libraries
	installed  []Installed
}

// missing returns what keeps a provider from being used, the device's own state
// first. It is empty, not nil, where nothing does.
func (c check) missing(e entry, a *device.Accelerator) []string {
	missing := []string{}
	if a.State != device.Ready && a.State != device.NoFirmware {
		missing = append(missing, a.State)
	}
	if len(e.drivers) > 0 && !slices.Contains(e.drivers, a.Driver) && a.State != device.NoDriver {
		missing = append(missing, fmt.Sprintf("driver %s is needed, %s has it", strings.Join(e.drivers, " or "), a.Driver))
	}
	if !e.adapter {
		missing = append(missing, "no adapter in this version")
	} else if problem := c.runtime(e.runtime); problem != "" {
		missing = append(missing, problem)
	}
	if has, ok := strings.CutPrefix(c.libc, "glibc "); ok && e.glibc[c.arch] != "" && version.Compare(has, e.glibc[c.arch]) < 0 {
		missing = append(missing, fmt.Sprintf("glibc %s or newer is needed, this system has %s", e.glibc[c.arch], has))
	} else if c.libc == "musl" {
		missing = append(missing, "glibc is needed, this system has musl")
	}
	for _, library := range e.libraries {
		if !slices.ContainsFunc(library.names, func(name string) bool { return len(c.libraries.Find(name)) > 0 || c.beside(e.runtime, name) }) {
			missing = append(missing, c.absent(library))
		}
	}
	return missing
}

// runtime says what is wrong with a runtime's own library, or "".
func (c check) runtime(name string) string {
	problem := name + " is not installed"
	for _, found := range c.installed {
		if found.Runtime == name {
			if found.Problem == "" {
				return ""
			}
			problem = name + ": " + found.Problem
		}
	}
	return problem
}

// beside says whether a file is in the folder of a runtime's own library.
func (c check) beside(runtime, name string) bool {
	return slices.ContainsFunc(c.installed, func(i Installed) bool {
		_, err := os.Stat(filepath.Join(filepath.Dir(i.Path), name))
		return i.Runtime == runtime && i.Path != "" && err == nil
	})
}

// absent names a library that is not there, and the other version that is.
func (c check) absent(l library) string {
	text := strings.Join(l.names, " or ") + " not found"
	if l.others == "" {
		return text
	}
	var others []string
	for _, found := range c.libraries.Find(l.others) {
		name := path.Base(found)
		if before, after, ok := strings.Cut(name, ".so."); ok { // libnvinfer.so.8.6.2 is libnvinfer.so.8
			major, _, _ := strings.Cut(after, ".")
			name = before + ".so." + major
		}
		others = append(others, name)
	}
	slices.Sort(others)
	if others = slices.Compact(others); len(others) > 0 {
		text += fmt.Sprintf(" (this system has %s)", strings.Join(others, ", "))
	}
	return text
}

// fits says whether a provider is made for an accelerator.
func (e entry) fits(a *device.Accelerator, arch string) bool {
	return a.Kind == e.kind &&
		(len(e.vendors) == 0 || slices.Contains(e.vendors, a.Vendor)) &&
		(e.arch == "" || e.arch == arch) &&
		(e.only == "" || e.only == a.Driver) &&
		(e.memory == anyMemory || (e.memory == unified) == a.Unified)
}
