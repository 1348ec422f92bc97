package bundle

import (
	"archive/tar"
	"encoding/json"
	"io"

	"verge/internal/fault"
)

// Write writes a bundle. file writes the bytes of one file, which are as many as its size
// says. It fails as file and w do.
func Write(w io.Writer, m Manifest, spec, report []byte, file func(w io.Writer, f File) error) error {
	m.Format = Format
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fault.New(fault.Internal, "bundle.write", "encode: %w", err)
	}
	t := tar.NewWriter(w)
	begin := func(name string, size int64) error {
		const mode = 0o644
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: mode, ModTime: m.Created.UTC().Truncate(second)})
	}
	documents := []struct {
		name string
		text []byte
	}{{manifestName, text}, {m.Spec, spec}, {reportName, report}}
	for _, d := range documents {
		if d.text == nil {
			continue
		}
		if err := begin(d.name, int64(len(d.text))); err != nil {
			return err
		}
		if _, err := t.Write(d.text); err != nil {
			return err
		}
	}
	for _, f := range m.Files {
		if err := begin(f.Path, f.Size); err != nil {
			return err
		}
		if err := file(t, f); err != nil {
			return err
		}
	}
	return t.Close() // fails where a file was shorter
}
