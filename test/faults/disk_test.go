package faults_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// disk is what a power cut leaves of a state directory: what ops have written down is done
// again, and only what was synced lasts. A file's bytes last with a sync of the file, its name
// with a sync of its directory, and nothing otherwise. A sync that fails loses what it was to
// save, for good, although it can still be read until the power goes: so it is on Linux.
type disk struct {
	root    string
	top     *inode
	pending []*rename // names that do not last yet, in order
}

// inode is a file or a directory.
type inode struct {
	names, lasting map[string]*inode // of a directory: as it reads, and as it lasts; nil for a file
	data           []byte            // of a file, that lasts
	writes         []change          // that do not last yet, in order
}

// change is a write, or a truncation to offset where bytes is nil.
type change struct {
	offset int64
	bytes  []byte
}

func (c change) apply(data []byte) []byte {
	end := int(c.offset) + len(c.bytes)
	if c.bytes == nil && end <= len(data) {
		return data[:end]
	}
	if end > len(data) {
		data = append(data, make([]byte, end-len(data))...)
	}
	copy(data[c.offset:], c.bytes)
	return data
}

// rename changes names: file leaves the one place and gets the other. Either may be missing.
type rename struct {
	file     *inode
	from, to *inode // directories
	old, new string
}

func (r *rename) apply(names func(*inode) map[string]*inode) {
	if r.from != nil && names(r.from)[r.old] == r.file {
		delete(names(r.from), r.old)
	}
	if r.to != nil {
		names(r.to)[r.new] = r.file
	}
}

func asRead(n *inode) map[string]*inode    { return n.names }
func asLasting(n *inode) map[string]*inode { return n.lasting }

// newDisk reads a directory, all of which lasts. One that is not there is made.
func newDisk(t *testing.T, from, root string) *disk {
	t.Helper()
	d := &disk{root: root, top: directory()}
	if from == "" {
		return d
	}
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == from {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		parent, name := d.place(filepath.Join(root, rel))
		n := directory()
		if !entry.IsDir() {
			n = &inode{}
			if n.data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		parent.names[name], parent.lasting[name] = n, n
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func directory() *inode {
	return &inode{names: map[string]*inode{}, lasting: map[string]*inode{}}
}

// place returns the directory of a path, and its name there.
func (d *disk) place(path string) (*inode, string) {
	at := d.top
	parts := strings.Split(strings.TrimPrefix(path, d.root+"/"), "/")
	for _, part := range parts[:len(parts)-1] {
		if at = at.names[part]; at == nil || at.names == nil {
			return nil, ""
		}
	}
	return at, parts[len(parts)-1]
}

// find returns what has a path, or nil.
func (d *disk) find(path string) *inode {
	if path == d.root {
		return d.top
	}
	dir, name := d.place(path)
	if dir == nil {
		return nil
	}
	return dir.names[name]
}

// do does an op again.
func (d *disk) do(t *testing.T, o op) {
	t.Helper()
	at := d.find(o.Path)
	if o.Call == "fsync" || o.Call == "fdatasync" {
		if at == nil {
			t.Fatalf("%+v: what is synced is not known", o)
		}
		d.sync(at, o.Result == 0)
		return
	}
	if o.Result < 0 {
		return
	}
	dir, name := (*inode)(nil), ""
	if o.Path != d.root {
		dir, name = d.place(o.Path)
	}
	switch o.Call {
	case "openat":
		if at == nil && o.Flags&syscall.O_CREAT != 0 {
			at = &inode{}
			d.rename(&rename{file: at, to: dir, new: name})
		}
		if at != nil && at.names == nil && o.Flags&syscall.O_TRUNC != 0 {
			at.writes = append(at.writes, change{})
		}
	case "mkdirat":
		if at == nil {
			d.rename(&rename{file: directory(), to: dir, new: name})
		}
	case "unlinkat":
		if at != nil { // else a socket
			d.rename(&rename{file: at, from: dir, old: name})
		}
	case "renameat":
		to, as := d.place(o.To)
		d.rename(&rename{file: at, from: dir, old: name, to: to, new: as})
	case "write", "pwrite64":
		at.writes = append(at.writes, change{o.Offset, o.Data[:o.Result]})
	case "ftruncate":
		at.writes = append(at.writes, change{offset: o.Size})
	}
}

func (d *disk) rename(r *rename) {
	r.apply(asRead)
	d.pending = append(d.pending, r)
}

func (d *disk) sync(n *inode, well bool) {
	if n.names == nil {
		for _, c := range n.writes {
			if well {
				n.data = c.apply(slices.Clone(n.data))
			}
		}
		n.writes = nil
		return
	}
	if !well {
		return
	}
	d.pending = slices.DeleteFunc(d.pending, func(r *rename) bool {
		if r.from != n && r.to != n {
			return false
		}
		r.apply(asLasting)
		return true
	})
}

// cut writes what a power cut leaves into a directory. Where chance is not nil, it keeps some
// of what was not synced: the first few names, and any sectors.
func (d *disk) cut(t *testing.T, to string, chance *rand.Rand) (digest string) {
	t.Helper()
	lasting := map[*inode]map[string]*inode{} // of directories whose names some more last of
	names := func(n *inode) map[string]*inode {
		if lasting[n] == nil {
			lasting[n] = maps.Clone(n.lasting)
		}
		return lasting[n]
	}
	if chance != nil {
		for _, r := range d.pending[:chance.IntN(len(d.pending)+1)] {
			r.apply(names)
		}
	}
	sum := sha256.New()
	var write func(n *inode, path string)
	write = func(n *inode, path string) {
		if n.names == nil {
			data := n.data
			if chance != nil {
				data = torn(n, chance)
			}
			fmt.Fprintf(sum, "%q %d %x\n", strings.TrimPrefix(path, to), len(data), sha256.Sum256(data))
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		all := names(n)
		var order []string
		for name := range all {
			order = append(order, name)
		}
		slices.Sort(order)
		for _, name := range order {
			write(all[name], filepath.Join(path, name))
		}
	}
	write(d.top, to)
	return hex.EncodeToString(sum.Sum(nil))
}

// torn returns a file of which some sectors were written before the power went.
func torn(n *inode, chance *rand.Rand) []byte {
	const sector = 512
	data := slices.Clone(n.data)
	for _, c := range n.writes {
		if c.bytes == nil {
			if chance.IntN(2) == 0 {
				data = c.apply(data)
			}
			continue
		}
		for at := 0; at < len(c.bytes); at += sector {
			if chance.IntN(2) == 0 {
				data = change{c.offset + int64(at), c.bytes[at:min(at+sector, len(c.bytes))]}.apply(data)
			}
		}
	}
	return data
}
