package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
)

// Below the state directory. Both lie on one file system, so that a rename
// between them is atomic.
const (
	blobDir    = "artifacts/sha256" // <blobDir>/ab/<64 digits>, read-only files
	partialDir = "tmp/artifacts"    // <partialDir>/<64 digits>, uploads that are not whole
)

// Store is a directory of artifacts.
type Store struct {
	root   *os.Root
	budget int64
	create func(root *os.Root, name string, offset int64) (partialFile, error) // replaced in tests
	free   func() (int64, error)                                               // bytes left on the file system

	mu       sync.Mutex           // guards all below
	sizes    map[string]int64     // digest → size of every whole artifact
	partials map[string]int64     // digest → bytes of every upload that is not whole
	uploads  map[string]*uploader // digest → the Put that is going on
	doubted  map[string]bool      // digest → its file is not to be relied on: it was found damaged, or its name may not be on disk
}

// Open opens the store in the state directory dir, which is made where it does
// not exist, and removes what uploads have left in it. budget is how many bytes
// artifacts may take; 0 leaves it to the file system.
func Open(dir string, budget int64) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, diskError("artifact.open", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, diskError("artifact.open", err)
	}
	s := &Store{
		root: root, budget: budget, create: createPartial,
		free:  func() (int64, error) { return freeBytes(root) },
		sizes: map[string]int64{}, partials: map[string]int64{}, uploads: map[string]*uploader{}, doubted: map[string]bool{},
	}
	if err := s.prepare(); err != nil {
		return nil, fault.Join(diskError("artifact.open", err), root.Close())
	}
	return s, nil
}

// Close ends the use of the directory.
func (s *Store) Close() error { return s.root.Close() }

// prepare makes the directories, empties the temporary one and reads what is there.
func (s *Store) prepare() error {
	if err := s.root.RemoveAll(partialDir); err != nil {
		return err
	}
	for _, dir := range []string{blobDir, partialDir} {
		if err := s.root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	// A file lasts when its name does, and that of each directory above it.
	for _, dir := range []string{path.Dir(blobDir), "."} {
		if err := s.syncDir(dir); err != nil {
			return err
		}
	}
	return fs.WalkDir(s.root.FS(), blobDir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		digest := digestPrefix + path.Base(name)
		if CheckDigest(digest) != nil || blobName(digest) != name {
			return nil //nolint:nilerr // not ours: neither served nor touched
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		s.sizes[digest] = info.Size()
		return nil
	})
}

// Has reports whether the store holds all bytes of the artifact. It does not where they
// were found damaged: they stay, and the artifact can be put again.
func (s *Store) Has(digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has(digest)
}

// has is Has. The caller holds mu.
func (s *Store) has(digest string) bool {
	_, ok := s.sizes[digest]
	return ok && !s.doubted[digest]
}

// Size returns an artifact's size in bytes, or fault.NotFound where the store has it not.
func (s *Store) Size(digest string) (int64, error) {
	if err := CheckDigest(digest); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doubted[digest] {
		return 0, fault.New(fault.NotFound, "artifact.size", "its file is damaged").On("artifact " + digest).WithHint(again)
	}
	if !s.has(digest) {
		return 0, notFound("artifact.size", digest)
	}
	return s.sizes[digest], nil
}

// Received returns how many bytes of an artifact that is not whole are there:
// the offset at which Put goes on.
func (s *Store) Received(digest string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.partials[digest]
}

// List returns the digest of every whole artifact, in no order.
func (s *Store) List() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]string, 0, len(s.sizes))
	for digest := range s.sizes {
		all = append(all, digest)
	}
	return all, nil
}

// Usage is how much room artifacts take, in bytes.
type Usage struct {
	Artifacts int   // whole ones
	Used      int64 // by them
	Reserved  int64 // for uploads that are going on, and what was cut
	Budget    int64 // for all; 0 means the file system's
}

// Usage returns how much room artifacts take.
func (s *Store) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usage("")
}

// usage leaves the upload of one digest out. The caller holds mu.
func (s *Store) usage(except string) Usage {
	u := Usage{Artifacts: len(s.sizes), Budget: s.budget}
	for digest, size := range s.sizes {
		if digest != except {
			u.Used += size
		}
	}
	for digest, size := range s.partials {
		if up := s.uploads[digest]; up != nil {
			size = up.total
		}
		if digest != except {
			u.Reserved += size
		}
	}
	return u
}

// Remove deletes an artifact, or what is there of it. Memory that was loaded
// from it stays as it is. It is no error when there is none; while the artifact
// is being put, Remove fails with fault.Conflict.
func (s *Store) Remove(digest string) error {
	if err := CheckDigest(digest); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[digest] != nil {
		return fault.New(fault.Conflict, "artifact.remove", "it is being uploaded").On("artifact " + digest)
	}
	if err := s.dropPartial(digest); err != nil {
		return err
	}
	if _, ok := s.sizes[digest]; !ok {
		return nil
	}
	if err := s.root.Remove(blobName(digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError("artifact.remove", err)
	}
	delete(s.sizes, digest)
	delete(s.doubted, digest)
	return s.syncDir(path.Dir(blobName(digest)))
}

// dropPartial deletes an upload that is not going on. The caller holds mu.
func (s *Store) dropPartial(digest string) error {
	if err := s.root.Remove(partialName(digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError("artifact.remove", err)
	}
	delete(s.partials, digest)
	return nil
}

// syncDir makes a rename or a removal in a directory last.
func (s *Store) syncDir(name string) error {
	dir, err := s.root.Open(name)
	if err != nil {
		return diskError("artifact.sync", err)
	}
	return diskError("artifact.sync", errors.Join(dir.Sync(), dir.Close()))
}

func digits(digest string) string      { return strings.TrimPrefix(digest, digestPrefix) }
func blobName(digest string) string    { return path.Join(blobDir, digits(digest)[:2], digits(digest)) }
func partialName(digest string) string { return path.Join(partialDir, digits(digest)) }

func notFound(op, digest string) error {
	return fault.New(fault.NotFound, op, "it is not in the store").On("artifact " + digest)
}

// What artifacts leave free of a file system, so that the state file, reports and logs can
// still be written: 32 MB, or a twentieth of a small one.
const (
	diskReserve  = 32 << 20
	reserveShare = 20
)

// freeBytes is what the file system has left for artifacts.
func freeBytes(root *os.Root) (int64, error) {
	dir, err := root.Open(".")
	if err != nil {
		return 0, err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return 0, fmt.Errorf("statfs: %w", err)
	}
	size := int64(st.Bsize)                                         //nolint:unconvert // an int32 on processors of 32 bits
	reserve := min(diskReserve, int64(st.Blocks)*size/reserveShare) //nolint:gosec // a disk of 2^63 bytes does not exist
	return max(int64(st.Bavail)*size-reserve, 0), nil               //nolint:gosec // as above
}

// diskError gives an error of the file system its kind. The store's own paths
// are left out of its text.
func diskError(op string, err error) error {
	if err == nil {
		return nil
	}
	kind, hint := fault.Internal, ""
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		kind, hint = fault.Exhausted, "Free space on the file system of the state directory, or undeploy models."
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		kind, hint = fault.Unavailable, "Make the state directory writable for the user who runs the node."
	}
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("%s: %w", pathError.Op, pathError.Err)
	}
	return &fault.Error{Kind: kind, Op: op, Subject: "artifact store", Hint: hint, Err: err}
}
