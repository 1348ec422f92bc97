// Package sysroot reads the files of a machine whose root directory is any directory of
// this one: the mounted image of a board, a tree of a test.
//
//	root := sysroot.Root("/mnt/image")
//	text, err := root.Read("/etc/ld.so.conf", 64<<10)
//
// Names are absolute, as programs on that machine would use them. Symbolic links are
// followed as if the directory were the root, so that nothing outside of it is looked
// at. It is made for trees that nobody changes meanwhile: a link that is put there
// between the look and the reading is followed by the kernel.
//
// Only regular files are read. A pipe, a socket or a device in such a tree is no error of
// this machine's, and is not opened: it might keep the reader waiting, or do something.
package sysroot

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mostLinks is how many symbolic links may be on the way to a file, as in the kernel.
const mostLinks = 40

// mostNames is how many names a Glob finds: links to directories above make endless ones.
const mostNames = 10_000

// Root is the directory that names are below; "" is the current one.
type Root string

// Path returns where a file of the machine is for this process. Where more than 40
// links are on the way it fails with ELOOP.
func (r Root) Path(name string) (string, error) {
	if r == "/" {
		return filepath.Clean(name), nil
	}
	at, err := r.Follow(name)
	if err != nil {
		return "", err
	}
	return r.join(at), nil
}

// join is where an absolute name without links is for this process.
func (r Root) join(name string) string { return filepath.Join(cmp.Or(string(r), "."), name) }

// Follow returns a name with all symbolic links on its way followed. It fails as Path
// does.
func (r Root) Follow(name string) (string, error) {
	at, links := "/", 0
	for rest := strings.Split(name, "/"); len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		target, err := os.Readlink(r.join(next))
		if err != nil { // it is no link
			at = next
			continue
		}
		if links++; links > mostLinks {
			return "", &fs.PathError{Op: "follow", Path: name, Err: unix.ELOOP}
		}
		if path.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

// Stat describes the file that a name leads to.
func (r Root) Stat(name string) (fs.FileInfo, error) {
	at, err := r.Path(name)
	if err != nil {
		return nil, err
	}
	return os.Stat(at)
}

// Exists reports whether a name leads to something.
func (r Root) Exists(name string) bool {
	_, err := r.Stat(name)
	return err == nil
}

// Read returns the first bytes of a regular file, at most so many.
func (r Root) Read(name string, most int64) ([]byte, error) {
	at, err := r.Path(name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(at)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: %v", name, info.Mode().Type())
	}
	file, err := os.Open(at) //nolint:gosec // to read it is what this is for
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	return io.ReadAll(io.LimitReader(file, most))
}

// ReadDir lists a directory, in the order of names.
func (r Root) ReadDir(name string) ([]fs.DirEntry, error) {
	at, err := r.Path(name)
	if err != nil {
		return nil, err
	}
	return os.ReadDir(at)
}

// Readlink returns what the last element of a name points to, as it is written there.
func (r Root) Readlink(name string) (string, error) {
	at, err := r.last(name)
	if err != nil {
		return "", err
	}
	return os.Readlink(at)
}

// last is as Path, but leaves the last element as it is.
func (r Root) last(name string) (string, error) {
	name = path.Clean("/" + name)
	dir, err := r.Path(path.Dir(name))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, path.Base(name)), nil
}

// Glob returns the names that match an absolute pattern (path.Match), links that lead
// nowhere included, 10,000 at the most. Shorter ones come first, so that zone2 is before
// zone10.
func (r Root) Glob(pattern string) []string {
	found := []string{"/"}
	for part := range strings.SplitSeq(strings.Trim(pattern, "/"), "/") {
		var next []string
		for _, dir := range found {
			if !strings.ContainsAny(part, "*?[") {
				next = append(next, path.Join(dir, part))
				continue
			}
			entries, err := r.ReadDir(dir)
			if err != nil {
				continue // no directory has no entries
			}
			for _, entry := range entries {
				if ok, err := path.Match(part, entry.Name()); ok && err == nil && len(next) < mostNames {
					next = append(next, path.Join(dir, entry.Name()))
				}
			}
		}
		found = next
	}
	found = slices.DeleteFunc(found, func(name string) bool {
		at, err := r.last(name)
		if err == nil {
			_, err = os.Lstat(at)
		}
		return err != nil
	})
	slices.SortStableFunc(found, func(a, b string) int { return len(a) - len(b) })
	return found
}
