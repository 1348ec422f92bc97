package artifact

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"

	"verge/internal/fault"
	"verge/internal/native"
)

// again is what to do about an artifact that is damaged: it is uploaded then.
const again = "Deploy the model again."

// Load returns the artifact's bytes in sealed, read-only memory, after they
// were hashed there: what the caller sees has the digest, whatever becomes of
// the disk. It fails with fault.NotFound, with fault.Corrupt when the bytes on
// disk have changed, and with fault.Exhausted when memory runs out. The caller
// closes the memory.
func (s *Store) Load(digest string) (_ *native.Memory, err error) {
	defer func() { s.doubt(digest, err) }()
	file, size, err := s.open("artifact.load", digest)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	if size > math.MaxInt {
		return nil, fault.New(fault.Exhausted, "artifact.load", "%d bytes do not fit in memory", size).On("artifact " + digest)
	}
	return native.NewReadOnlyMemory("verge-artifact", int(size), func(data []byte) error {
		sum := sha256.New()
		for rest := data; len(rest) > 0; {
			n, err := io.ReadFull(file, rest[:min(chunk, len(rest))])
			if err != nil {
				return readError("artifact.load", digest, err)
			}
			sum.Write(rest[:n])
			rest = rest[n:]
		}
		return corrupt("artifact.load", digest, sum, again)
	})
}

// Recheck reads the artifact again and returns nil where its bytes still have
// the digest, fault.Corrupt where they have not and fault.NotFound where it is gone.
func (s *Store) Recheck(ctx context.Context, digest string) error {
	return s.Copy(ctx, io.Discard, digest)
}

// Copy writes the artifact's bytes to w as they are on disk, and fails as Recheck does, which
// shows when all of them are written, and as w does.
func (s *Store) Copy(ctx context.Context, w io.Writer, digest string) (err error) {
	defer func() { s.doubt(digest, err) }()
	file, size, err := s.open("artifact.copy", digest)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	sum := sha256.New()
	n, err := copyBytes(ctx, w, sum, file)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return readError("artifact.copy", digest, err)
	case n != size:
		return readError("artifact.copy", digest, io.ErrUnexpectedEOF)
	}
	return corrupt("artifact.copy", digest, sum, again)
}

// open opens an artifact whose file has the size that it was stored with.
func (s *Store) open(op, digest string) (*os.File, int64, error) {
	if err := CheckDigest(digest); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	size, ok := s.sizes[digest]
	s.mu.Unlock()
	if !ok {
		return nil, 0, notFound(op, digest)
	}
	file, err := s.root.Open(blobName(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fault.New(fault.NotFound, op, "its file is gone").On("artifact " + digest).WithHint(again)
	}
	if err != nil {
		return nil, 0, diskError(op, err)
	}
	info, err := file.Stat()
	if err == nil && (info.Size() != size || !info.Mode().IsRegular()) {
		err = fault.New(fault.Corrupt, op, "its file has %d bytes, want %d", info.Size(), size).On("artifact " + digest).WithHint(again)
	}
	if err != nil {
		return nil, 0, fault.Join(err, file.Close())
	}
	return file, size, nil
}

// doubt notes that an artifact was found damaged or gone, so that it can be put again.
// Its file stays as it is.
func (s *Store) doubt(digest string, err error) {
	if kind := fault.KindOf(err); err == nil || kind != fault.Corrupt && kind != fault.NotFound {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.sizes[digest]; ok {
		s.doubted[digest] = true
	}
}

func readError(op, digest string, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fault.New(fault.Corrupt, op, "its file is cut short").On("artifact " + digest).WithHint(again)
	}
	return diskError(op, err)
}
