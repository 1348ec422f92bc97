package prepared

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxEntries is how many entries of one model are kept: libraries, their versions
	// and their settings are few.
	maxEntries = 8
	// patience is how long an entry may take to be made.
	patience = time.Hour
)

// Trim removes what is of no use from a cache: all of a model that is not needed, what
// was begun and never finished, and of a model with many entries those that were used
// last the longest ago. What a process has open of them stays whole for it.
func Trim(cache string, needed func(digest string) bool, now time.Time) error {
	models, err := os.ReadDir(cache)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, model := range models {
		folder := filepath.Join(cache, model.Name())
		if needed(model.Name()) {
			errs = append(errs, trimModel(folder, now))
		} else if err := os.RemoveAll(folder); !errors.Is(err, unix.ENOTEMPTY) { // else someone makes an entry there: the next time
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Drop removes all of a model from a cache. What a process has open of it stays whole
// for that one.
func Drop(cache, digest string) error {
	if digest == "." || !filepath.IsLocal(digest) || digest != filepath.Base(digest) {
		return fmt.Errorf("%q is no digest", digest)
	}
	return os.RemoveAll(filepath.Join(cache, digest))
}

// trimModel removes what is of no use from the folder of a model that is needed.
func trimModel(folder string, now time.Time) error {
	type entry struct {
		Folder
		used time.Time
	}
	var entries []entry
	found, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has gone meanwhile
	}
	errs := []error{err}
	for _, e := range found {
		info, err := e.Info()
		switch path := filepath.Join(folder, e.Name()); {
		case err != nil: // it has gone meanwhile
		case !strings.HasPrefix(e.Name(), temporary):
			entries = append(entries, entry{Folder{path}, info.ModTime()})
		case now.Sub(info.ModTime()) > patience:
			errs = append(errs, os.RemoveAll(path))
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return b.used.Compare(a.used) })
	for _, e := range entries[min(len(entries), maxEntries):] {
		errs = append(errs, e.Remove())
	}
	return errors.Join(errs...)
}
