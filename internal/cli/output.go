package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"verge/internal/fault"
)

// outputPath is where a file that a person names is to be written: path, or what it links to.
// It fails for what is no regular file, and for a folder that is not there.
func outputPath(op, path string) (string, error) {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, linked := os.Lstat(path); linked == nil {
			return "", fault.New(fault.Invalid, op, "is a link to nothing").On(path)
		}
		if info, missing := os.Stat(filepath.Dir(path)); missing != nil || !info.IsDir() {
			return "", fault.New(fault.NotFound, op, "no such folder").On(filepath.Dir(path)).WithHint("Check the path.")
		}
		return path, nil
	}
	if err != nil {
		return "", pathError(op, path, err)
	}
	info, err := os.Stat(target)
	switch {
	case err != nil:
		return "", pathError(op, path, err)
	case info.IsDir():
		return "", fault.New(fault.Invalid, op, "is a directory, want a file").On(path)
	case !info.Mode().IsRegular():
		return "", fault.New(fault.Invalid, op, "is no regular file").On(path).WithHint("Use -o - for the standard output.")
	}
	return target, nil
}

// save writes a text to a file, or prints it where path is "" or "-". A pipe that nobody
// reads is refused rather than waited for.
func (c *call) save(path string, text []byte) error {
	const op, readable = "cli.save", 0o644 // less what the umask of the user takes away
	if path == "" || path == "-" {
		c.print("%s", text)
		return nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NONBLOCK, readable) //nolint:gosec // the person who runs the command names it
	if err != nil {
		return pathError(op, path, err)
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Close()); err != nil {
		return pathError(op, path, err)
	}
	return nil
}

// output is the standard output, and remembers why nothing can be written to it any more.
type output struct {
	io.Writer

	err error // the first one
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// lost says why not all was written, or nil; a reader that has gone had enough.
func (o *output) lost() error {
	if o.err == nil || errors.Is(o.err, syscall.EPIPE) || errors.Is(o.err, io.ErrClosedPipe) {
		return nil
	}
	return fault.New(fault.Exhausted, "cli.output", "the output was not written: %w", o.err)
}
