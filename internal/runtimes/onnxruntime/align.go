package onnxruntime

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"verge/internal/inference"
)

// alignWeights lays out the weights of a prepared model again, each at a multiple of
// inference.Align. The library writes them one behind the other, maps the file, and
// has kernels read them with instructions that fault on other addresses.
func alignWeights(folder string) error {
	modelPath, weightsPath := filepath.Join(folder, preparedModel), filepath.Join(folder, preparedWeights)
	model, err := os.ReadFile(modelPath) //nolint:gosec // of the cache
	if err != nil {
		return err
	}
	offsets := map[extent]int64{}
	find := mover(func(e extent) int64 { offsets[e] = 0; return 0 })
	if _, err = find.rewrite(nil, model, modelMessage, 0); err != nil {
		return fmt.Errorf("%s: %w", preparedModel, err)
	}
	ordered := slices.SortedFunc(maps.Keys(offsets), func(a, b extent) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.length, b.length))
	})
	if len(ordered) > 0 { // else all are in the model itself
		if err = moveWeights(weightsPath, ordered, offsets); err != nil {
			return fmt.Errorf("%s: %w", preparedWeights, err)
		}
	}
	replace := mover(func(e extent) int64 { return offsets[e] })
	if model, err = replace.rewrite(make([]byte, 0, len(model)), model, modelMessage, 0); err != nil {
		return fmt.Errorf("%s: %w", preparedModel, err)
	}
	return os.WriteFile(modelPath, model, 0o600) //nolint:gosec // of the cache
}

// moveWeights replaces a file by one with the same extents, which are in order, at
// aligned offsets. These are noted in offsets.
func moveWeights(path string, ordered []extent, offsets map[extent]int64) error {
	from, err := os.Open(path) //nolint:gosec // of the cache
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // only read
	info, err := from.Stat()
	if err != nil {
		return err
	}
	to, err := os.OpenFile(path+".aligned", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // of the cache
	if err != nil {
		return err
	}
	defer to.Close() //nolint:errcheck // the second time, except after a failure
	end, written := int64(0), int64(0)
	for _, e := range ordered {
		if e.offset < end || e.offset > info.Size()-e.length {
			return fmt.Errorf("%d bytes at %d are in others or behind the end, %d", e.length, e.offset, info.Size())
		}
		end = e.offset + e.length
		padding := -written & (inference.Align - 1)
		if _, err := to.Write(make([]byte, padding)); err != nil {
			return err
		}
		written += padding
		offsets[e] = written
		if _, err := from.Seek(e.offset, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(to, from, e.length); err != nil {
			return err
		}
		written += e.length
	}
	if err := to.Close(); err != nil {
		return err
	}
	return os.Rename(to.Name(), path)
}
