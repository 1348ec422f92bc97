package runtimeinstall

import (
	"os"

	"verge/internal/sysroot"
)

// LibraryFile is what tests hand to SetCreate.
type LibraryFile = libraryFile

// SetCreate replaces what libraries are written to.
func (r *Runtimes) SetCreate(create func(root *os.Root, name string) (LibraryFile, error)) {
	r.create = create
}

// CreateLibrary is what libraries are written to otherwise.
func CreateLibrary(root *os.Root, name string) (LibraryFile, error) { return createLibrary(root, name) }

// SystemDirs is what is searched last.
func SystemDirs(root string, host Platform) []string { return systemDirs(sysroot.Root(root), host) }
