package runtimeinstall

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"verge/internal/fault"
)

// packageFile is an open file whose bytes are those of the lock file.
type packageFile struct {
	pin    pin
	source source
	file   *os.File
	size   int64
	bare   bool // it is the library itself, and what it needs lies beside it
}

// open returns the bytes of one of the source's members.
func (p *packageFile) open(m member) (io.ReadCloser, error) {
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return nil, diskError("runtimeinstall.unpack", "", err)
	}
	var content io.ReadCloser
	var err error
	switch {
	case p.bare && m == p.source.library():
		content = io.NopCloser(p.file)
	case p.bare:
		content, err = p.openBeside(path.Base(m.Member))
	case p.source.Client == pipClient:
		content, err = openZip(p.file, p.size, m.Member)
	default:
		content, err = openTarball(p.file, m.Member)
	}
	if err != nil {
		return nil, fault.New(fault.Corrupt, "runtimeinstall.unpack", "%s: %w", p.source.File, err).On(p.pin.subject())
	}
	return content, nil
}

// openBeside opens a file in the folder of the library.
func (p *packageFile) openBeside(name string) (io.ReadCloser, error) {
	file, _, err := openRegular(filepath.Join(filepath.Dir(p.file.Name()), name))
	if err != nil {
		return nil, fmt.Errorf("the library needs %s beside it: %w", name, err)
	}
	return file, nil
}

// openZip returns one member of a wheel.
func openZip(r io.ReaderAt, size int64, member string) (io.ReadCloser, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	for _, entry := range archive.File {
		if entry.Name == member && entry.Mode().IsRegular() {
			return entry.Open()
		}
	}
	return nil, fmt.Errorf("it has no file %s", member)
}

// openTarball returns one member of an npm package.
func openTarball(r io.Reader, member string) (io.ReadCloser, error) {
	const mostBytes = 4 << 30 // of all members before it
	unzipped, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	archive := tar.NewReader(io.LimitReader(unzipped, mostBytes))
	for {
		header, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("it has no file %s", member)
		case err != nil:
			return nil, err
		case header.Name == member && header.Typeflag == tar.TypeReg:
			return struct {
				io.Reader
				io.Closer
			}{archive, unzipped}, nil
		}
	}
}

// identify finds a package or the library among the files that a person has
// brought, by their bytes, and returns it open.
func (in *install) identify(ctx context.Context) (*packageFile, error) {
	const op = "runtimeinstall.from"
	info, err := os.Stat(in.from)
	if err != nil {
		return nil, diskError(op, in.from, err)
	}
	names := []string{in.from}
	if info.IsDir() {
		if names, err = in.candidates(); err != nil {
			return nil, err
		}
	}
	var other, last error
	for _, name := range names {
		pack, err := in.match(ctx, name)
		switch {
		case err == nil:
			return pack, nil
		case fault.KindOf(err) == fault.Invalid:
			other = err // the right runtime for another platform
		case fault.KindOf(err) != fault.Corrupt:
			return nil, err
		default:
			last = err
		}
	}
	switch {
	case other != nil:
		return nil, other
	case info.IsDir():
		return nil, fault.New(fault.NotFound, op, "no file there is a package or the library of %s for %s", in.pin.subject(), in.platform).
			On(in.from).WithHint("%s", in.wanted())
	}
	return nil, last
}

// candidates returns the files of a folder, and those of the place that a runtime
// directory has for the runtime.
func (in *install) candidates() ([]string, error) {
	const most = 10_000
	var names []string
	for _, dir := range []string{in.from, filepath.Join(in.from, in.pin.Name, in.pin.Version)} {
		entries, err := os.ReadDir(dir)
		if err != nil && dir == in.from {
			return nil, diskError("runtimeinstall.from", dir, err)
		}
		for _, entry := range entries {
			if !entry.IsDir() {
				names = append(names, filepath.Join(dir, entry.Name()))
			}
		}
	}
	if len(names) > most {
		return nil, fault.New(fault.TooLarge, "runtimeinstall.from", "it has %d files, want at most %d", len(names), most).
			On(in.from).WithHint("Name the file itself.")
	}
	return names, nil
}

// match opens a file that has the bytes of a package or a library. It fails with
// fault.Invalid where the file is one for another platform, and with fault.Corrupt
// where it is unknown.
func (in *install) match(ctx context.Context, name string) (*packageFile, error) {
	const op = "runtimeinstall.from"
	file, size, err := openRegular(name)
	if err != nil {
		return nil, diskError(op, name, err)
	}
	sum := ""
	sizes := func(s source) bool { return s.Size == size || s.LibrarySize == size }
	if slices.ContainsFunc(in.pin.Platforms, func(p platform) bool { return slices.ContainsFunc(p.Sources, sizes) }) {
		if sum, err = hashFile(ctx, file, size, in.progress); err != nil {
			_ = file.Close() // only read
			return nil, err
		}
	}
	for _, s := range in.sources {
		if sum == s.SHA256 || sum == s.LibrarySHA256 {
			return &packageFile{pin: in.pin, source: s, file: file, size: size, bare: sum == s.LibrarySHA256}, nil
		}
	}
	_ = file.Close() // only read
	return nil, in.unknown(name, size, sum)
}

// unknown says why a file is not what is wanted.
func (in *install) unknown(name string, size int64, sum string) error {
	const op = "runtimeinstall.from"
	for _, other := range in.pin.Platforms {
		for _, s := range other.Sources {
			if sum == s.SHA256 || sum == s.LibrarySHA256 {
				return fault.New(fault.Invalid, op, "it is for %s, not for %s", other.Platform, in.platform).On(name).
					WithHint("Name the platform and a folder to prepare: --platform %s -o DIR", other.Platform)
			}
		}
	}
	what := fmt.Sprintf("its %d bytes", size)
	if sum != "" {
		what += " with sha256 " + sum
	}
	return fault.New(fault.Corrupt, op, "%s are no package or library that the lock file has for %s on %s", what, in.pin.subject(), in.platform).
		On(name).WithHint("%s", in.wanted())
}

// wanted says what a person may bring.
func (in *install) wanted() string {
	var files []string
	for _, s := range in.sources {
		files = append(files, s.File)
	}
	return fmt.Sprintf("Bring %s, the library out of it, or a folder with one of them.", strings.Join(files, " or "))
}
