package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"

	"verge/internal/fault"
)

// Write writes a bundle. open gives the bytes of a file, of which exactly its size is read.
// It fails as open and w do.
func Write(w io.Writer, m Manifest, spec, report []byte, open func(File) (io.ReadCloser, error)) error {
	m.Format = Format
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fault.New(fault.Internal, "bundle.write", "encode: %w", err)
	}
	t := tar.NewWriter(w)
	entry := func(name string, size int64, r io.Reader) error {
		const mode = 0o644
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: mode, ModTime: m.Created.UTC().Truncate(second)}); err != nil {
			return err
		}
		_, err := io.CopyN(t, r, size)
		return err
	}
	if err := entry(manifestName, int64(len(text)), bytes.NewReader(text)); err != nil {
		return err
	}
	if err := entry(m.Spec, int64(len(spec)), bytes.NewReader(spec)); err != nil {
		return err
	}
	if report != nil {
		if err := entry(reportName, int64(len(report)), bytes.NewReader(report)); err != nil {
			return err
		}
	}
	for _, f := range m.Files {
		r, err := open(f)
		if err != nil {
			return err
		}
		err = entry(f.Path, f.Size, r)
		r.Close() //nolint:errcheck,gosec // only read
		if err != nil {
			return err
		}
	}
	return t.Close()
}
