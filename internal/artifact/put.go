package artifact

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
)

// chunk is how many bytes are read, hashed and written at a time.
const chunk = 1 << 20

// OffsetError is the cause of a fault.Conflict: an upload began at another
// place than where the store's bytes end. Received is where to go on.
type OffsetError struct {
	Offset, Received int64
}

// Error implements error.
func (e *OffsetError) Error() string {
	return fmt.Sprintf("the upload begins at byte %d, the store has %d bytes of it", e.Offset, e.Received)
}

// partialFile is what an upload writes to.
type partialFile interface {
	io.Writer
	Sync() error
	Close() error
}

// uploader is one Put that is going on.
type uploader struct {
	total int64
	done  chan struct{} // closed when it has ended
}

// Put takes the bytes from offset to total of an artifact from r. When they are
// all there and have the digest, the artifact is on disk, and Put returns nil;
// that it was there already is no error, and nothing is read then. One that was found
// damaged is replaced.
//
// An upload that r cuts short stays, and a later Put goes on where it ended;
// it fails with what r failed with. Put fails, before it reads a byte, with
// fault.Conflict and an *OffsetError when offset is not where the upload
// ended, and with fault.Exhausted when the budget or the file system has no
// room for total bytes. It fails with fault.Corrupt, and forgets the upload,
// when the bytes have another digest, and with fault.Exhausted, forgetting it
// too, when the disk is full; bytes that could not be synced are forgotten as well. Of several Puts of one artifact, one goes on and
// the others wait for its end.
func (s *Store) Put(ctx context.Context, digest string, r io.Reader, offset, total int64) error {
	const op = "artifact.put"
	if err := CheckDigest(digest); err != nil {
		return err
	}
	if total < 1 || offset < 0 || offset >= total {
		return fault.New(fault.Invalid, op, "bytes from %d of %d, want 1 byte or more", offset, total).On("artifact " + digest)
	}
	up, err := s.begin(ctx, digest, offset, total)
	if up == nil || err != nil {
		return err
	}
	received, err := s.receive(ctx, digest, r, offset, total)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(up.done)
	delete(s.uploads, digest)
	if received == total && err == nil {
		delete(s.partials, digest)
		delete(s.doubted, digest)
		s.sizes[digest] = total
		return nil
	}
	s.partials[digest] = received
	if received == total { // after a sync that failed, what was written is not to be relied on
		if _, statErr := s.root.Lstat(blobName(digest)); statErr == nil {
			s.sizes[digest], s.doubted[digest] = total, true
		}
	}
	if kind := fault.KindOf(err); kind == fault.Corrupt || kind == fault.Exhausted || received == 0 || received == total {
		return fault.Join(err, s.dropPartial(digest))
	}
	return err
}

// begin waits for its turn and reserves room. It returns no uploader when the
// artifact is there.
func (s *Store) begin(ctx context.Context, digest string, offset, total int64) (*uploader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.has(digest) {
			return nil, nil
		}
		other := s.uploads[digest]
		if other == nil {
			break
		}
		s.mu.Unlock()
		select {
		case <-other.done:
			s.mu.Lock()
		case <-ctx.Done():
			s.mu.Lock()
			return nil, ctx.Err()
		}
	}
	if received := s.partials[digest]; received != offset {
		return nil, &fault.Error{
			Kind: fault.Conflict, Op: "artifact.put", Subject: "artifact " + digest,
			Err: &OffsetError{Offset: offset, Received: received},
		}
	}
	if err := s.reserve(digest, offset, total); err != nil {
		return nil, err
	}
	up := &uploader{total: total, done: make(chan struct{})}
	s.uploads[digest], s.partials[digest] = up, offset
	return up, nil
}

// reserve checks that total bytes fit, and gives up cut uploads of others where
// they do not. The caller holds mu.
func (s *Store) reserve(digest string, offset, total int64) error {
	err := s.room(digest, offset, total)
	if err == nil {
		return nil
	}
	for other := range s.partials {
		if other == digest || s.uploads[other] != nil {
			continue
		}
		if err := s.dropPartial(other); err != nil {
			return err
		}
	}
	return s.room(digest, offset, total)
}

// room says why total bytes do not fit. The caller holds mu.
func (s *Store) room(digest string, offset, total int64) error {
	const mb = 1 << 20
	u := s.usage(digest)
	if u.Budget > 0 && (total > u.Budget || u.Used+u.Reserved > u.Budget-total) {
		return fault.New(fault.Exhausted, "artifact.put", "it has %.1f MB, of the budget of %.1f MB artifacts take %.1f and uploads %.1f",
			float64(total)/mb, float64(u.Budget)/mb, float64(u.Used)/mb, float64(u.Reserved)/mb).
			On("artifact " + digest).WithHint("Undeploy models that are not needed, or raise the disk budget of artifacts.")
	}
	free, err := s.free()
	if err != nil {
		return diskError("artifact.put", err)
	}
	if need := total - offset; need > free {
		return fault.New(fault.Exhausted, "artifact.put", "it needs %.1f MB, the file system has %.1f MB left", float64(need)/mb, float64(free)/mb).
			On("artifact " + digest).WithHint("Free space on the file system of the state directory, or undeploy models.")
	}
	return nil
}

// receive writes and hashes the bytes, and puts the file in its place when they
// are all there. It returns how many bytes of the artifact are in the file.
func (s *Store) receive(ctx context.Context, digest string, r io.Reader, offset, total int64) (received int64, err error) {
	sum := sha256.New()
	if err = s.hashPartial(ctx, digest, sum, offset); err != nil {
		return 0, err
	}
	file, err := s.create(s.root, partialName(digest), offset)
	if err != nil {
		return offset, diskError("artifact.put", err)
	}
	n, err := copyBytes(ctx, file, sum, io.LimitReader(r, total-offset))
	received = offset + n
	if err == nil && received < total {
		err = fault.New(fault.Invalid, "artifact.put", "the upload ended after %d of %d bytes", received, total).On("artifact " + digest)
	}
	if err == nil {
		if err = corrupt("artifact.put", digest, sum, ""); err == nil {
			err = diskError("artifact.put", file.Sync())
		}
	}
	if closeErr := file.Close(); err == nil {
		err = diskError("artifact.put", closeErr)
	}
	if err != nil {
		return received, err
	}
	return received, s.settle(digest)
}

// settle moves a whole file to its place, for good.
func (s *Store) settle(digest string) error {
	from, to := partialName(digest), blobName(digest)
	if err := s.root.MkdirAll(path.Dir(to), 0o700); err != nil {
		return diskError("artifact.put", err)
	}
	if err := s.root.Chmod(from, 0o444); err != nil {
		return diskError("artifact.put", err)
	}
	if err := s.root.Rename(from, to); err != nil {
		return diskError("artifact.put", err)
	}
	if err := s.syncDir(path.Dir(to)); err != nil {
		return err
	}
	return s.syncDir(blobDir)
}

// hashPartial hashes what an earlier upload has left.
func (s *Store) hashPartial(ctx context.Context, digest string, sum hash.Hash, offset int64) error {
	if offset == 0 {
		return nil
	}
	file, err := s.root.Open(partialName(digest))
	if err != nil {
		return diskError("artifact.put", err)
	}
	defer file.Close() //nolint:errcheck // only read
	n, err := copyBytes(ctx, io.Discard, sum, io.LimitReader(file, offset))
	if err == nil && n != offset {
		err = fault.New(fault.Corrupt, "artifact.put", "the upload had %d bytes, %d are there", offset, n).On("artifact " + digest)
	}
	return err
}

// copyBytes hashes what r gives and writes it to w, until the end or until ctx
// ends. It counts bytes that are both.
func copyBytes(ctx context.Context, w io.Writer, sum hash.Hash, r io.Reader) (n int64, err error) {
	buf := make([]byte, chunk)
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		k, err := io.ReadFull(r, buf)
		if k > 0 {
			if _, writeErr := w.Write(buf[:k]); writeErr != nil {
				return n, diskError("artifact.put", writeErr)
			}
			sum.Write(buf[:k])
			n += int64(k)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return n, nil
		case err != nil:
			return n, fmt.Errorf("read: %w", err)
		}
	}
}

// createPartial opens the file of an upload for the bytes from offset on. What
// a crash of an earlier write has left behind offset is cut off.
func createPartial(root *os.Root, name string, offset int64) (partialFile, error) {
	file, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := file.Truncate(offset); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
