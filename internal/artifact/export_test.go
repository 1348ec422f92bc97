package artifact

import (
	"io"
	"os"
)

// PartialFile is what an upload writes to.
type PartialFile interface {
	io.Writer
	Sync() error
	Close() error
}

// SetFree replaces what the file system says it has left.
func (s *Store) SetFree(free func() (int64, error)) { s.free = free }

// WrapFiles lets wrap stand between the store and the files of its uploads.
func (s *Store) WrapFiles(wrap func(PartialFile) PartialFile) {
	s.create = func(root *os.Root, name string, offset int64) (partialFile, error) {
		file, err := createPartial(root, name, offset)
		if err != nil {
			return nil, err
		}
		return wrap(file), nil
	}
}
