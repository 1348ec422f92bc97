package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"verge/internal/fault"
	"verge/internal/modelfile"
)

// openFile opens a regular file that has content.
func openFile(path string) (*os.File, int64, error) {
	const op = "cli.open"
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, 0, pathError(op, path, err)
	case info.IsDir():
		return nil, 0, fault.New(fault.Invalid, op, "is a directory, want a file").On(path).WithHint("Name a file in it.")
	case !info.Mode().IsRegular():
		return nil, 0, fault.New(fault.Invalid, op, "is no regular file").On(path)
	case info.Size() == 0:
		return nil, 0, fault.New(fault.Corrupt, op, "the file is empty").On(path).WithHint("Copy or export it again.")
	}
	handle, err := os.Open(path) //nolint:gosec // the person who runs the command names it
	if err != nil {
		return nil, 0, pathError(op, path, err)
	}
	return handle, info.Size(), nil
}

// openWeights opens the file beside a model that holds its weights: the .bin of an
// OpenVINO model. Another format has none, and a model of few layers needs none:
// then, there is neither file nor error.
func openWeights(model io.ReaderAt, path string, size int64) (*os.File, int64, error) {
	if format, err := modelfile.Sniff(model, size); err != nil || format != modelfile.OpenVINO {
		return nil, 0, nil //nolint:nilerr // what is no model is told by who reads it
	}
	weights := strings.TrimSuffix(path, filepath.Ext(path)) + ".bin"
	if info, err := os.Stat(weights); err != nil && errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil, 0, nil
	}
	return openFile(weights)
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	file, bytes, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	if bytes > limit {
		return nil, fault.New(fault.TooLarge, "cli.read", "the file has %d bytes, at most %d are read", bytes, limit).On(path)
	}
	text, err := io.ReadAll(io.LimitReader(file, limit))
	if err != nil {
		return nil, pathError("cli.read", path, err)
	}
	return text, nil
}

// pathError gives an error of the file system its kind and a hint.
func pathError(op, path string, err error) error {
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		err = cause.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e := fault.New(fault.NotFound, op, "no such file").On(path).WithHint("Check the path.")
		if dir, wdErr := os.Getwd(); wdErr == nil && !filepath.IsAbs(path) {
			return e.WithHint("Paths on the command line count from here (%s), those in a deployment file from its folder.", dir)
		}
		return e
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Denied, op, "permission denied").On(path).WithHint("Make it readable for this user.")
	}
	return fault.New(fault.Invalid, op, "%w", err).On(path)
}

// existing returns path, or the nearest folder above it that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}
