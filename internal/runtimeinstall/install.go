package runtimeinstall

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"verge/internal/fault"
)

// Options say what to install.
type Options struct {
	Name     string   // of the runtime
	Platform Platform // to install for; the zero Platform is this machine's
	Dir      string   // runtime directory to install into; "" is the configured one
	From     string   // a package, the library, or a folder that holds one; "" downloads
	Client   string   // "pip" or "npm"; "" is the first that is there

	// AcceptLicence says that the person who installs has read the terms of a library
	// that has some, and accepts them.
	AcceptLicence bool
}

// Phase is what an install is doing.
type Phase string

// The phases.
const (
	Waiting     Phase = "waiting" // for another install into the same directory
	Downloading Phase = "downloading"
	Verifying   Phase = "verifying"
	Unpacking   Phase = "unpacking"
)

// Progress is told how far a phase is, in bytes; total is 0 where it has none.
// Calls do not overlap.
type Progress func(phase Phase, done, total int64)

// Result is what Install did.
type Result struct {
	Found

	Platform Platform
	Package  string // the file that the library came out of; "" where it came by itself
	Already  bool   // the right library was there, and nothing was done
}

// install is one Install that is going on.
type install struct {
	pin      pin
	platform Platform
	sources  []source // that are wanted
	from     string
	dir      string // the runtime directory
	where    string // what Find calls it: Configured or Installed
	progress Progress
	create   func(root *os.Root, name string) (libraryFile, error)
}

// Install puts the library that the lock file pins into a runtime directory, unless
// it is there already. It fails with fault.Corrupt where a package or library has
// other bytes than the lock file says, with fault.Exhausted where the disk is full,
// with fault.Unavailable where the package could not be fetched, and with
// fault.Unsupported where the lock file has nothing for the platform or the machine
// no package client. Then the directory is as it was before. A library that is
// replaced stays whole for the processes that have it open.
func (r *Runtimes) Install(ctx context.Context, o Options, progress Progress) (Result, error) {
	in, err := r.prepare(o, progress)
	if err != nil {
		return Result{}, err
	}
	if result, ok := in.already(ctx); ok {
		return result, nil
	}
	root, err := openDir(in.dir)
	if err != nil {
		return Result{}, err
	}
	defer root.Close() //nolint:errcheck // nothing was written through it
	release, err := acquire(ctx, root, in.progress)
	if err != nil {
		return Result{}, err
	}
	defer release()
	if result, ok := in.already(ctx); ok { // by the one that was waited for
		return result, nil
	}
	result, err := in.run(ctx, root)
	if err != nil && ctx.Err() != nil {
		err = stopped(ctx)
	}
	return result, err
}

// prepare checks the options.
func (r *Runtimes) prepare(o Options, progress Progress) (*install, error) {
	const op = "runtimeinstall.install"
	p, err := r.lock.pin(o.Name)
	if err != nil {
		return nil, err
	}
	if p.Licence != "" && !o.AcceptLicence {
		return nil, fault.New(fault.Denied, op, "its terms have to be accepted first: %s", p.Licence).
			On(p.subject()).WithHint("Read them, and if you accept them, run: verge runtime install %s --accept-licence", p.Name)
	}
	in := &install{pin: p, platform: o.Platform, from: o.From, dir: o.Dir, where: Installed, progress: progress, create: r.create}
	if in.progress == nil {
		in.progress = func(Phase, int64, int64) {}
	}
	if in.platform == (Platform{}) {
		in.platform = r.host
	}
	if in.sources, err = p.sources(in.platform); err != nil {
		return nil, err
	}
	if o.Client != "" {
		var clients []string
		in.sources = slices.DeleteFunc(slices.Clone(in.sources), func(s source) bool {
			clients = append(clients, s.Client)
			return s.Client != o.Client
		})
		if len(in.sources) == 0 {
			return nil, fault.New(fault.Invalid, op, "no package of it comes by %.20q, only by %s", o.Client, strings.Join(clients, " or ")).On(p.subject())
		}
	}
	if in.dir == "" {
		if in.platform != r.host {
			return nil, fault.New(fault.Invalid, op, "this machine is %s, a library for %s is not for its own runtime directory", r.host, in.platform).
				On(p.subject()).WithHint("Name a folder to prepare: --platform %s -o DIR", in.platform)
		}
		in.dir = r.target()
	}
	if in.dir == "" {
		return nil, fault.New(fault.Invalid, op, "no runtime directory is configured").On(p.subject()).WithHint("Set runtime_dir.")
	}
	if in.dir == r.config.Dir {
		in.where = Configured
	}
	in.dir, err = filepath.Abs(in.dir)
	return in, diskError(op, in.dir, err)
}

// place is where the library goes, below the runtime directory.
func (in *install) place() string {
	return path.Join(in.pin.Name, in.pin.Version, in.pin.fileName())
}

func (in *install) found(sum string) Found {
	return Found{Name: in.pin.serves(), Version: in.pin.Version, Path: filepath.Join(in.dir, in.place()), Source: in.where, SHA256: sum}
}

// already reports whether the library is there and one of those that are wanted,
// with all that belongs beside it. What cannot be read is not there.
func (in *install) already(ctx context.Context) (Result, bool) {
	name := filepath.Join(in.dir, in.place())
	for _, s := range in.sources {
		if !holds(ctx, name, s.library(), in.progress) {
			continue
		}
		whole := true
		for _, m := range s.Beside {
			whole = whole && holds(ctx, filepath.Join(filepath.Dir(name), path.Base(m.Member)), m, in.progress)
		}
		if whole {
			return Result{Found: in.found(s.LibrarySHA256), Platform: in.platform, Already: true}, true
		}
	}
	return Result{}, false
}

// holds reports whether a file has the bytes of a member.
func holds(ctx context.Context, name string, m member, progress Progress) bool {
	file, size, err := openRegular(name)
	if err != nil {
		return false
	}
	defer file.Close() //nolint:errcheck // only read
	if size != m.Size {
		return false
	}
	sum, err := hashFile(ctx, file, size, progress)
	return err == nil && sum == m.SHA256
}

// run does the work, in a temporary folder of the runtime directory that is gone
// afterwards. The caller holds the directory's lock.
func (in *install) run(ctx context.Context, root *os.Root) (result Result, err error) {
	const op, temp = "runtimeinstall.install", ".install"
	if err = root.RemoveAll(temp); err != nil { // what a crash has left
		return Result{}, diskError(op, in.dir, err)
	}
	if err = root.Mkdir(temp, 0o700); err != nil {
		return Result{}, diskError(op, in.dir, err)
	}
	defer func() {
		if removeErr := root.RemoveAll(temp); err == nil && removeErr != nil {
			err = diskError(op, in.dir, removeErr)
		}
	}()
	var pack *packageFile
	if in.from != "" {
		pack, err = in.identify(ctx)
	} else {
		pack, err = in.download(ctx, root, temp)
	}
	if err != nil {
		return Result{}, err
	}
	defer pack.file.Close() //nolint:errcheck // only read
	if err := in.unpack(ctx, root, temp, pack); err != nil {
		return Result{}, err
	}
	result = Result{Found: in.found(pack.source.LibrarySHA256), Platform: in.platform}
	if !pack.bare {
		result.Package = pack.source.File
	}
	return result, nil
}

// unpack copies the members of a package into the temporary folder, and then moves
// each to its place, the library last.
func (in *install) unpack(ctx context.Context, root *os.Root, temp string, pack *packageFile) error {
	const op = "runtimeinstall.install"
	total := pack.source.bytes()
	if err := in.room(root, total); err != nil {
		return err
	}
	members := pack.source.members()
	done := int64(0)
	staged := func(i int) string { return path.Join(temp, fmt.Sprintf("member-%d", i)) }
	for i, m := range members {
		if err := in.write(ctx, root, staged(i), pack, m, func(n int64) { in.progress(Unpacking, done+n, total) }); err != nil {
			return err
		}
		done += m.Size
	}
	for i, m := range members {
		to := in.place()
		if i < len(members)-1 {
			to = path.Join(path.Dir(to), path.Base(m.Member))
		}
		if err := settle(root, staged(i), to); err != nil {
			return diskError(op, in.dir, err)
		}
	}
	return nil
}

// write copies a member, verifies it on the way and brings it to disk.
func (in *install) write(ctx context.Context, root *os.Root, name string, pack *packageFile, m member, progress func(n int64)) error {
	const op = "runtimeinstall.install"
	content, err := pack.open(m)
	if err != nil {
		return err
	}
	defer content.Close() //nolint:errcheck // only read
	file, err := in.create(root, name)
	if err != nil {
		return diskError(op, in.dir, err)
	}
	sum, n, err := copyHashed(ctx, file, io.LimitReader(content, m.Size+1), progress)
	if err == nil && (sum != m.SHA256 || n != m.Size) {
		err = mismatch(in.pin, m.Member, n, sum, m.Size, m.SHA256)
	}
	if err == nil {
		err = diskError(op, in.dir, file.Sync())
	}
	if closeErr := file.Close(); err == nil {
		err = diskError(op, in.dir, closeErr)
	}
	return err
}

// room checks that bytes fit on the disk.
func (in *install) room(root *os.Root, bytes int64) error {
	const mib = 1 << 20
	free, err := freeBytes(root)
	if err != nil {
		return diskError("runtimeinstall.install", in.dir, err)
	}
	if free < bytes {
		return fault.New(fault.Exhausted, "runtimeinstall.install", "it needs %.1f MB, the disk has %.1f MB left", float64(bytes)/mib, float64(free)/mib).
			On(in.dir).WithHint("%s", diskFullHint)
	}
	return nil
}

// mismatch is the error of bytes that the lock file does not know.
func mismatch(p pin, what string, size int64, sum string, wantSize int64, wantSum string) error {
	return fault.New(fault.Corrupt, "runtimeinstall.verify", "%s has %d bytes with sha256 %s, the lock file says %d with %s", what, size, sum, wantSize, wantSum).
		On(p.subject()).WithHint("It was cut or changed on its way: do not use it, and get it again.")
}
