package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"verge/internal/fault"
)

const (
	op     = "bundle.read"
	second = time.Second // what a tar archive knows of times
)

// Bundle is a bundle that was read: its documents, and where its files lie.
type Bundle struct {
	Manifest Manifest
	Spec     []byte // the deployment file
	Report   []byte // JSON; nil where there is none

	files map[string]*io.SectionReader // by role
}

// Is says whether r begins as a bundle does.
func Is(r io.ReaderAt) bool {
	const block, magicAt = 512, 257
	var head [block]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return false
	}
	name, _, _ := bytes.Cut(head[:100], []byte{0})
	return string(name) == manifestName && bytes.HasPrefix(head[magicAt:], []byte("ustar"))
}

// Read reads a bundle of size bytes but for the bytes of its files. It fails with
// fault.Invalid for what is no bundle, or one that holds anything else than its manifest
// says, and with fault.Corrupt for one that is cut.
func Read(r io.ReaderAt, size int64) (*Bundle, error) {
	section := io.NewSectionReader(r, 0, size)
	t := tar.NewReader(section)
	b := &Bundle{files: map[string]*io.SectionReader{}}
	text, err := document(t, manifestName)
	if err != nil {
		return nil, err
	}
	m, err := parse(text)
	if err != nil {
		return nil, err
	}
	b.Manifest = *m
	if b.Spec, err = document(t, m.Spec); err != nil {
		return nil, err
	}
	header, err := next(t)
	if err == nil && header.Name == reportName {
		if b.Report, err = whole(t, header); err == nil {
			header, err = next(t)
		}
	}
	for _, f := range m.Files {
		switch {
		case err != nil:
			return nil, missing(f.Path, err)
		case header.Name != f.Path || header.Size != f.Size:
			return nil, fault.New(fault.Invalid, op, "it holds %s with %d bytes, want %s with %d as %s says", fault.Quote(header.Name), header.Size, fault.Quote(f.Path), f.Size, manifestName)
		}
		at, seekErr := section.Seek(0, io.SeekCurrent)
		if seekErr != nil {
			return nil, cut(seekErr)
		}
		if at+f.Size > size {
			return nil, cut(io.ErrUnexpectedEOF)
		}
		b.files[f.Role] = io.NewSectionReader(r, at, f.Size)
		header, err = next(t)
	}
	switch {
	case err == nil:
		return nil, fault.New(fault.Invalid, op, "it holds %s, which %s does not know", fault.Quote(header.Name), manifestName)
	case !errors.Is(err, io.EOF):
		return nil, missing("its end", err)
	}
	return b, nil
}

// next returns the next entry, which is a regular file.
func next(t *tar.Reader) (*tar.Header, error) {
	header, err := t.Next()
	if err == nil && header.Typeflag != tar.TypeReg {
		return nil, fault.New(fault.Invalid, op, "%s in it is no regular file", fault.Quote(header.Name))
	}
	return header, err
}

// document returns the next entry, which has a name.
func document(t *tar.Reader, name string) ([]byte, error) {
	header, err := next(t)
	switch {
	case err != nil:
		return nil, missing(name, err)
	case header.Name != name:
		return nil, fault.New(fault.Invalid, op, "it holds %s, want %s", fault.Quote(header.Name), fault.Quote(name))
	}
	return whole(t, header)
}

// whole reads an entry.
func whole(t *tar.Reader, header *tar.Header) ([]byte, error) {
	if header.Size > maxDocument {
		return nil, fault.New(fault.TooLarge, op, "%s in it has %d bytes, at most %d are read", fault.Quote(header.Name), header.Size, maxDocument)
	}
	text, err := io.ReadAll(t)
	if err != nil {
		return nil, cut(err)
	}
	return text, nil
}

func missing(name string, err error) error {
	if _, known := errors.AsType[*fault.Error](err); known {
		return err
	}
	if !errors.Is(err, io.EOF) {
		return cut(err)
	}
	return fault.New(fault.Corrupt, op, "it ends before %s", fault.Quote(name)).WithHint("Export it again.")
}

func cut(err error) error {
	return fault.New(fault.Corrupt, op, "it cannot be read: %w", err).WithHint("Export it again.")
}

// File returns the bytes of the file with a role, or nil. Whether they are what the manifest
// says, Verify tells.
func (b *Bundle) File(role string) *io.SectionReader {
	f := b.files[role]
	if f == nil {
		return nil
	}
	return io.NewSectionReader(f, 0, f.Size())
}

// Verify compares the bytes of all files with their digests. It fails with fault.Corrupt.
func (b *Bundle) Verify() error {
	for _, f := range b.Manifest.Files {
		sum := sha256.New()
		if _, err := io.Copy(sum, b.File(f.Role)); err != nil {
			return cut(err)
		}
		if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != f.Digest {
			return fault.New(fault.Corrupt, op, "%s has digest %s, %s says %s", fault.Quote(f.Path), got, manifestName, f.Digest).WithHint("Export it again.")
		}
	}
	return nil
}
