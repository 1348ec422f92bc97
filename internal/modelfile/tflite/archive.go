package tflite

import (
	"archive/zip"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"verge/internal/fault"
)

const opLabels = "tflite.labels"

// AppendedFile is a file in the ZIP archive that may follow the model.
type AppendedFile struct {
	Name string `json:"name"`
	Size int64  `json:"size_bytes"` // as the archive says, unpacked
}

// budget is a ReaderAt that ends with an error after so many bytes, so that a
// directory of millions of files is not read.
type budget struct {
	io.ReaderAt
	left  int64
	limit int64
}

// ReadAt implements io.ReaderAt.
func (b *budget) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, zip.ErrFormat // an offset in the archive is wrong
	}
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, fault.New(fault.TooLarge, opRead, "reading the appended files takes more than %d bytes", b.limit)
	}
	n, err := b.ReaderAt.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fault.New(fault.Internal, opRead, "read at byte %d: %w", off, err)
	}
	return n, err //nolint:wrapcheck // io.EOF stays as it is
}

// directory returns r with the budget for reading the directory.
func directory(r io.ReaderAt, limits Limits) *budget {
	return &budget{r, limits.DirectoryBytes, limits.DirectoryBytes}
}

// openArchive opens the archive at the end of b; nil for none.
func openArchive(b *budget, size int64, limits Limits) (*zip.Reader, error) {
	archive, err := zip.NewReader(b, size)
	switch e := (*fault.Error)(nil); {
	case errors.As(err, &e):
		return nil, e
	case errors.Is(err, zip.ErrFormat):
		return nil, nil //nolint:nilnil // no archive, and no error
	case err != nil && !errors.Is(err, zip.ErrInsecurePath):
		return nil, fault.New(fault.Corrupt, opRead, "the directory of the appended files: %w", err)
	case len(archive.File) > limits.Kinds:
		return nil, fault.New(fault.TooLarge, opRead, "the file has %d appended files, the limit is %d", len(archive.File), limits.Kinds)
	}
	return archive, nil
}

// readArchive lists the appended files.
func (p *parser) readArchive() {
	p.aside("The appended files", func() {
		archive, err := openArchive(directory(p.src, p.lim), p.size, p.lim)
		if err != nil {
			p.fail(err)
		}
		if archive == nil || p.err != nil {
			return
		}
		files := make([]AppendedFile, 0, len(archive.File))
		for _, f := range archive.File {
			if len(f.Name) > p.lim.NameBytes || f.UncompressedSize64 > 1<<62 {
				p.tooLarge("the name of an appended file has %d bytes, the limit is %d", len(f.Name), p.lim.NameBytes)
				return
			}
			files = append(files, AppendedFile{Name: clean(f.Name), Size: int64(f.UncompressedSize64)})
		}
		p.m.Files = files
	})
}

// Labels returns the lines of the label file of m, which Read has read from r:
// the one that the metadata name for the first output that has one, else the
// only .txt among the appended files. It returns nil where there is none, and
// fails with fault.Corrupt where it is damaged, fault.TooLarge where it is over
// a limit, fault.Unsupported where it is packed in an unknown way, and
// fault.Internal where r cannot be read.
func Labels(r io.ReaderAt, size int64, m *Model, limits Limits) ([]string, error) {
	name := m.labelFile()
	if name == "" {
		return nil, nil
	}
	b := directory(r, limits)
	archive, err := openArchive(b, size, limits)
	if err != nil {
		return nil, err
	}
	if archive != nil {
		for _, f := range archive.File {
			if clean(f.Name) == name {
				b.left = 2*limits.LabelBytes + pageSize // what is packed badly may take more room
				return readLabels(f, limits)
			}
		}
	}
	return nil, fault.New(fault.Corrupt, opLabels, "the metadata name the label file %q, which is not among the appended files", fault.Clip(name)).
		WithHint("Add the metadata to the model again, with its files.")
}

// labelFile returns the name of the appended file with the labels, or "".
func (m *Model) labelFile() string {
	if m.Metadata != nil {
		for _, o := range m.Metadata.Outputs {
			if len(o.Labels) > 0 {
				return o.Labels[0]
			}
		}
	}
	texts := slices.DeleteFunc(slices.Clone(m.Files), func(f AppendedFile) bool {
		return !strings.EqualFold(path.Ext(f.Name), ".txt")
	})
	if len(texts) == 1 {
		return texts[0].Name
	}
	return ""
}

// readLabels unpacks f and returns its lines.
func readLabels(f *zip.File, limits Limits) ([]string, error) {
	tooLarge := func(format string, args ...any) error {
		return fault.New(fault.TooLarge, opLabels, "label file %q "+format, append([]any{fault.Clip(f.Name)}, args...)...)
	}
	open, err := f.Open()
	if err != nil {
		return nil, labelError(f, err)
	}
	defer open.Close() //nolint:errcheck // it is only read
	data, err := io.ReadAll(io.LimitReader(open, limits.LabelBytes+1))
	switch {
	case err != nil:
		return nil, labelError(f, err)
	case int64(len(data)) > limits.LabelBytes:
		return nil, tooLarge("has more than %d bytes", limits.LabelBytes)
	case !utf8.Valid(data):
		return nil, fault.New(fault.Corrupt, opLabels, "label file %q is not UTF-8 text", fault.Clip(f.Name))
	}
	text := strings.TrimSuffix(strings.TrimPrefix(string(data), "\ufeff"), "\n")
	if text == "" {
		return []string{}, nil
	}
	if n := strings.Count(text, "\n") + 1; n > limits.Labels {
		return nil, tooLarge("has %d lines, the limit is %d", n, limits.Labels)
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if len(line) > limits.LineBytes {
			return nil, tooLarge("has %d bytes in line %d, the limit is %d", len(line), i+1, limits.LineBytes)
		}
		lines[i] = clean(strings.TrimSuffix(line, "\r"))
	}
	return lines, nil
}

// labelError is the error for an appended file that cannot be unpacked.
func labelError(f *zip.File, err error) error {
	var e *fault.Error
	kind := fault.Corrupt
	switch {
	case errors.As(err, &e):
		kind = e.Kind
	case errors.Is(err, zip.ErrAlgorithm):
		kind = fault.Unsupported
	}
	return fault.New(kind, opLabels, "label file %q: %w", fault.Clip(f.Name), err)
}
