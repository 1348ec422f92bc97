package deploy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"verge/internal/fault"
)

const opOpen = "deploy.open"

// openStore opens or makes the state file. One of an older schema is copied, and then
// upgraded in one transaction. It fails with fault.Conflict while
// another process holds it, fault.Unsupported when a newer build wrote it (the
// file is left as it is), fault.Exhausted when there is no room for it, and
// fault.Corrupt when it cannot be read.
func openStore(path string) (*store, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		if err = createState(path); err != nil {
			return nil, err
		}
	}
	if err = checkWhole(path); err != nil {
		return nil, err
	}
	kept, err := keepOlder(path)
	if err != nil {
		return nil, err
	}
	s, err := openState(path)
	if err != nil {
		return nil, err
	}
	s.kept = kept
	return s, nil
}

// createState makes an empty state file under another name, and gives it its own
// when all of it is on disk: neither a full disk nor a power cut leaves half of one.
func createState(path string) error {
	draft := path + ".new"
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return stateFault(draft, err)
	}
	s, err := openState(draft)
	if err == nil {
		err = s.close()
	}
	if err == nil {
		err = rename(draft, path)
	}
	if err != nil {
		os.Remove(draft) //nolint:errcheck,gosec // the first error counts
		return stateFault(path, err)
	}
	return nil
}

// rename renames a file of a directory, for good.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// checkWhole refuses a file that was cut off: reading on behind its end would be a
// signal that ends the process. Read-only, the file is not looked into yet.
func checkWhole(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, ReadOnly: true})
	if err != nil {
		return stateFault(path, err)
	}
	defer db.Close() //nolint:errcheck // only read
	need := int64(0)
	err = db.View(func(tx *bbolt.Tx) error {
		need = tx.Size()
		return nil
	})
	info, statErr := os.Stat(path)
	if err = errors.Join(err, statErr); err != nil {
		return stateFault(path, err)
	}
	if info.Size() < need {
		return stateFault(path, fmt.Errorf("the file has %d bytes, its content takes %d", info.Size(), need))
	}
	return nil
}

// openState opens a state file, which it makes where there is none.
func openState(path string) (*store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, stateFault(path, err)
	}
	s := &store{db: db}
	if err := s.prepare(); err != nil {
		db.Close() //nolint:errcheck,gosec // the first error counts
		return nil, stateFault(path, err)
	}
	return s, nil
}

// stateFault says why the state file cannot be used.
func stateFault(path string, err error) error {
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, bolterrors.ErrTimeout):
		return fault.New(fault.Conflict, opOpen, "the state file is held by another process").On(path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return fault.New(fault.Denied, opOpen, "%w", err).WithHint("Run as the user who owns the state directory, or name another one with --state-dir.")
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		return storageFault(err)
	}
	return fault.New(fault.Corrupt, opOpen, "%w", err).On(path).
		WithHint("Move %s away to start with an empty state; the models in artifacts/ are kept.", filepath.Base(path))
}

func (s *store) prepare() error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists([]byte(bucketMeta))
		if err != nil {
			return fmt.Errorf("make bucket: %w", err)
		}
		if found := meta.Get([]byte("schema")); found != nil && string(found) != strconv.Itoa(schema) {
			number, _ := strconv.Atoi(string(found)) // 0, which no upgrade begins with, where it is none
			known, err := upgrade(tx, number)
			if err != nil {
				return err
			}
			if !known {
				return fault.New(fault.Unsupported, opOpen, "state has schema %s, this build knows %d", found, schema).
					WithHint("Use the newer verge that wrote it, or name another directory with --state-dir.")
			}
		}
		return makeBuckets(tx, meta)
	})
}

// makeBuckets makes what is missing, and marks the file as one of this build's schema.
func makeBuckets(tx *bbolt.Tx, meta *bbolt.Bucket) error {
	for _, name := range []string{bucketModels, bucketDeployments, bucketJournal, bucketChoices, bucketTombstones, bucketReports, bucketAudit} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return fmt.Errorf("make bucket: %w", err)
		}
	}
	return meta.Put([]byte("schema"), []byte(strconv.Itoa(schema)))
}
