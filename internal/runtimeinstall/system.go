package runtimeinstall

import (
	"path/filepath"
	"slices"
	"strings"

	"verge/internal/sysroot"
)

// Bounds of ld.so.conf, which is the system's own but may be anything.
const (
	mostConfBytes = 64 << 10 // of one file
	mostConfDirs  = 256
	mostConfFiles = 64
)

// systemDirs returns the directories that the dynamic loader searches: those of
// /etc/ld.so.conf, in its order, and the built-in ones. They are absolute, and to
// be read below root.
func systemDirs(root sysroot.Root, host Platform) []string {
	conf := ldConf{root: root}
	conf.read("/etc/ld.so.conf")
	multiarch := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[host.Arch]
	dirs := append(conf.dirs, "/usr/local/lib")
	if multiarch != "" {
		dirs = append(dirs, "/usr/local/lib/"+multiarch, "/usr/lib/"+multiarch, "/lib/"+multiarch)
	}
	dirs = append(dirs, "/usr/lib64", "/usr/lib", "/lib64", "/lib")
	var unique []string
	for _, dir := range dirs {
		if !slices.Contains(unique, dir) {
			unique = append(unique, dir)
		}
	}
	return unique
}

// ldConf collects the directories of ld.so.conf(5) files.
type ldConf struct {
	root  sysroot.Root
	dirs  []string
	files int // that were read
}

// read takes the directories of one file, and of those that it includes.
func (c *ldConf) read(name string) {
	if c.files++; c.files > mostConfFiles {
		return
	}
	text, err := c.root.Read(name, mostConfBytes)
	if err != nil {
		return // no file is an empty one
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "hwcap":
		case words[0] == "include":
			for _, pattern := range words[1:] {
				c.include(name, pattern)
			}
		case filepath.IsAbs(words[0]) && len(c.dirs) < mostConfDirs:
			c.dirs = append(c.dirs, filepath.Clean(words[0]))
		}
	}
}

// include reads the files of a pattern, which may be relative to the file that has it.
func (c *ldConf) include(from, pattern string) {
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(from), pattern)
	}
	names := c.root.Glob(pattern)
	slices.Sort(names)
	for _, name := range names {
		c.read(name)
	}
}
