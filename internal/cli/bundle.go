package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"verge/internal/bundle"
	"verge/internal/deploy"
	"verge/internal/deployfile"
	"verge/internal/fault"
)

type exportCommand struct {
	Version modelArg `arg:"" name:"model" help:"Model whose version that serves is exported, or NAME@N for another that is kept."`
	Output  string   `name:"output" short:"o" placeholder:"FILE" help:"File to write; NAME-N.tar without it, - for the standard output."`
}

// Run writes a version as one file.
func (e *exportCommand) Run(c *call) error {
	model, number, numbered := strings.Cut(string(e.Version), "@")
	version, err := strconv.Atoi(number)
	if numbered && (err != nil || version < 1) || model == "" {
		return fault.New(fault.Invalid, "cli.export", "%s is no version of a model", fault.Quote(string(e.Version))).WithHint("Give a name, or name and version, as in digits@2.")
	}
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	if e.Output == "-" {
		return node.Export(c, model, version, c.std.Out)
	}
	if version == 0 && e.Output == "" {
		status, unknown := node.Model(c, model)
		if unknown != nil {
			return unknown
		}
		version = status.Version
	}
	path := cmp.Or(e.Output, fmt.Sprintf("%s-%d.tar", model, version))
	if path, err = outputPath("cli.export", path); err != nil {
		return err
	}
	b, length, err := save(path, func(w io.Writer) error { return node.Export(c, model, version, w) })
	if err != nil {
		return err
	}
	m := b.Manifest
	c.print("%s@%d, with %d %s and its deployment file: %s in %s\n", m.Model, m.Version, len(m.Files), plural(len(m.Files), "file"), size(length), path)
	if b.Report == nil {
		c.print("without a report: that of its deployment is not kept any more\n")
	}
	return nil
}

// save writes a bundle to a file: whole and verified, or not at all.
func save(path string, write func(io.Writer) error) (b *bundle.Bundle, length int64, err error) {
	const op = "cli.export"
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, 0, pathError(op, path, err)
	}
	defer func() {
		file.Close() //nolint:errcheck,gosec // it was synced, or is of no use
		if err != nil {
			os.Remove(file.Name()) //nolint:errcheck,gosec // the first error counts
		}
	}()
	if err = write(file); err != nil {
		if kindOf(err) == fault.Internal {
			return nil, 0, pathError(op, path, err)
		}
		return nil, 0, err
	}
	if length, err = file.Seek(0, io.SeekCurrent); err != nil {
		return nil, 0, pathError(op, path, err)
	}
	if b, err = bundle.Read(file, length); err == nil {
		err = b.Verify()
	}
	if err != nil {
		return nil, 0, about(path, err)
	}
	const readable = 0o644
	if err = file.Chmod(readable); err == nil {
		if err = file.Sync(); err == nil {
			err = os.Rename(file.Name(), path)
		}
	}
	if err != nil {
		return nil, 0, pathError(op, path, err)
	}
	return b, length, nil
}

// readBundle reads what verge export has written; nil where the file is none.
func (f *orderFlags) readBundle() (_ *order, err error) {
	file, size, err := openFile(f.File)
	if err != nil {
		return nil, nil // who reads it as a deployment file says what is wrong
	}
	if !bundle.Is(file) {
		defer file.Close() //nolint:errcheck // only read
		return nil, packed(f.File, file)
	}
	o := &order{path: f.File, from: file, stage: f.Stage, skip: f.IgnorePackage}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	b, err := bundle.Read(file, size)
	if err != nil {
		return nil, about(f.File, err)
	}
	o.text, o.name = b.Spec, cmp.Or(f.Name, b.Manifest.Model)
	if err = b.Verify(); err != nil {
		return nil, about(f.File, err)
	}
	if err = json.Unmarshal(b.Report, &o.proof); err != nil && b.Report != nil {
		return nil, fault.New(fault.Invalid, "cli.bundle", "its report: %w", err).On(f.File)
	}
	spec, err := o.spec()
	if err != nil {
		return nil, err
	}
	name := filepath.Join(f.File, b.Manifest.Spec)
	if o.file, err = deployfile.ParseSpec(spec, name, deployfile.Options{Stage: f.Stage, Ignore: o.skip}); err != nil {
		return nil, err
	}
	if err = deployfile.CheckName(o.name); err != nil {
		return nil, err
	}
	for _, data := range deploy.DataFiles(o.file) {
		if data.Path != "" && b.File(data.Role) == nil {
			return nil, fault.New(fault.Invalid, "cli.bundle", "it lacks the file that %s names at the stage %s", data.Key, o.file.Stage).On(f.File).
				WithHint("Export the version that this stage has, or name another stage.")
		}
	}
	for _, part := range b.Manifest.Files {
		o.files = append(o.files, orderFile{
			role: part.Role, name: filepath.Join(f.File, part.Path), handle: b.File(part.Role), size: part.Size, sum: part.Digest,
		})
	}
	return o, nil
}

// packed refuses an archive in another form, which would be told to be no text.
func packed(path string, file io.ReaderAt) error {
	var head [262]byte
	n, _ := file.ReadAt(head[:], 0) // what is not there is zero
	switch {
	case n > 1 && head[0] == 0x1f && head[1] == 0x8b:
		return fault.New(fault.Invalid, "cli.bundle", "it is compressed with gzip").On(path).WithHint("Unpack it with gunzip.")
	case string(head[257:]) == "ustar":
		return fault.New(fault.Invalid, "cli.bundle", "it is a tar archive that verge export has not written").On(path).WithHint("Unpack it, and name the deployment file in it.")
	}
	return nil
}
